package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTheDashboardIsWhatItsSourceGives(t *testing.T) {
	var now bytes.Buffer
	if err := writeDashboard(&now); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("tcpstate.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(now.Bytes(), kept) {
		t.Error("tcpstate.json is stale: go run ./monitoring/grafana > monitoring/grafana/tcpstate.json")
	}
}

func TestPanelsDoNotOverlapAndHaveNamesOfTheirOwn(t *testing.T) {
	taken, titles := map[[2]int]string{}, map[string]bool{}
	for _, p := range build().Panels {
		if titles[p.Title] {
			t.Errorf("two panels are called %q", p.Title)
		}
		titles[p.Title] = true
		g := p.GridPos
		if g.X+g.W > 24 {
			t.Errorf("%q ends at column %d of 24", p.Title, g.X+g.W)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestEachQueryIsOfTheChosenHosts(t *testing.T) {
	for _, p := range build().Panels {
		for _, q := range p.Targets {
			for metric := range strings.FieldsFuncSeq(q.Expr, func(r rune) bool { return strings.ContainsRune(" ()[]", r) }) {
				name, selector, _ := strings.Cut(metric, "{")
				if !strings.HasPrefix(name, "tcpstate_") && !strings.HasPrefix(name, "process_") {
					continue
				}
				joined := strings.Contains(q.Expr, "and on (job, instance) "+metric)
				if !joined && !strings.Contains(selector, `instance=~"$instance"`) {
					t.Errorf("%q: %s is not limited to the chosen hosts", p.Title, metric)
				}
			}
		}
	}
}
