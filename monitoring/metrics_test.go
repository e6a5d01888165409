package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/agent"
)

// exported are the metrics of the agent.
func exported(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range agent.Metrics() {
		list = append(list, m.Name)
	}
	if len(list) < 20 {
		t.Fatalf("only %d metrics are found", len(list))
	}
	return list
}

// metric finds names of metrics, and leaves out those of recorded series, which have a colon before them.
var metric = regexp.MustCompile(`(?:^|[^:\w])(tcpstate_[a-z0-9_]+)`)

func TestRulesDashboardAndPagesNameMetricsThatThereAre(t *testing.T) {
	known := exported(t)
	for _, file := range []string{
		"tcpstate.rules.yml", "tcpstate.rules_test.yml", "grafana/tcpstate.json", "README.md", "../docs/fleet.md",
	} {
		for _, m := range metric.FindAllStringSubmatch(read(t, file), -1) {
			name := m[1]
			whole := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count") // of a histogram
			if !slices.Contains(known, name) && !slices.Contains(known, whole) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
	for _, page := range pages(t) {
		for _, m := range metric.FindAllStringSubmatch(read(t, runbook+"/"+page+".md"), -1) {
			if name := m[1]; !slices.Contains(known, name) && !strings.HasSuffix(name, "_") {
				t.Errorf("docs/runbook/%s.md: there is no metric %s", page, name)
			}
		}
	}
}

func TestEachMetricIsLookedAt(t *testing.T) {
	shown := read(t, "grafana/tcpstate.json") + read(t, "tcpstate.rules.yml") + read(t, "README.md")
	for _, name := range exported(t) {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(shown) {
			t.Errorf("%s is in no rule, no panel, and not in README.md", name)
		}
	}
}
