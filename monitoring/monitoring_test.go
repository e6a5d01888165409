// Package monitoring has only tests: rules, dashboard and runbook are about the same metrics and findings.
package monitoring

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const runbook = "../docs/runbook"

// onlyAlerts are the pages about the agent itself, which finds nothing when it is down.
var onlyAlerts = []string{"agent-config", "agent-costly", "agent-down", "agent-not-ready", "agent-not-recording"}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// codes are the codes of findings: the constants Code… of package report.
func codes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/report/findings.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") {
			code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, code)
		}
		return true
	})
	if len(list) < 20 {
		t.Fatalf("only %d codes are found in findings.go", len(list))
	}
	return list
}

// pages are the names of the runbook's pages, without .md.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(runbook + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".md"); name != "README" {
			list = append(list, name)
		}
	}
	return list
}

func TestEachFindingHasItsPageAndEachPageItsFinding(t *testing.T) {
	want := append(codes(t), onlyAlerts...)
	got := pages(t)
	for _, code := range want {
		if !slices.Contains(got, code) {
			t.Errorf("docs/runbook/%s.md is missing", code)
		}
	}
	for _, page := range got {
		if !slices.Contains(want, page) {
			t.Errorf("docs/runbook/%s.md is about no finding", page)
		}
	}
}

func TestEachPageSaysTheSameThings(t *testing.T) {
	index := read(t, runbook+"/README.md")
	heading := regexp.MustCompile(`(?m)^#+ .*$`)
	for _, page := range pages(t) {
		text := read(t, filepath.Join(runbook, page+".md"))
		want := []string{
			"# " + page, "## What it means", "## Confirm", "## First", "## Properly", "## Not", "## Over",
		}
		if got := heading.FindAllString(outsideOfCode(text), -1); !slices.Equal(got, want) {
			t.Errorf("%s has the headings %q, want %q", page, got, want)
		}
		if !strings.Contains(index, "["+page+"]("+page+".md)") {
			t.Errorf("README.md does not list %s", page)
		}
	}
}

// outsideOfCode is a page without what stands between fences.
func outsideOfCode(text string) string {
	var kept []string
	for i, part := range strings.Split(text, "```") {
		if i%2 == 0 {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "")
}

// alert is what is said of one in the rules.
type alert struct{ name, severity, expr, url string }

// alerts reads tcpstate.rules.yml, as far as it has to be understood here.
func alerts(t *testing.T) []alert {
	t.Helper()
	parts := strings.Split(read(t, "tcpstate.rules.yml"), "      - alert: ")
	field := func(part, pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(part)
		if m == nil {
			return ""
		}
		return m[1]
	}
	var list []alert
	anchors := map[string]string{} // annotations that others repeat
	for _, part := range parts[1:] {
		a := alert{
			name: field(part, `^(\w+)`), severity: field(part, `severity: (\w+)`),
			expr: field(part, `(?s)expr:(.*?)\n        (?:for|keep_firing_for|labels):`), url: field(part, `runbook_url: (\S+)`),
		}
		if at := field(part, `annotations: &(\w+)`); at != "" {
			anchors[at] = a.url
		}
		if at := field(part, `annotations: \*(\w+)`); at != "" {
			a.url = anchors[at]
		}
		if strings.Contains(part, "runbook_url: https://github.com/tcpstate/tcpstate/blob/main/docs/runbook/{{") {
			a.url = field(part, `runbook_url: (https://\S+\{\{ \S+ \}\}\.md)`)
		}
		list = append(list, a)
	}
	if len(list) < 10 {
		t.Fatalf("only %d alerts are found", len(list))
	}
	return list
}

// named are the alternatives that an expression selects by a label.
func named(expr, label string) []string {
	var all []string
	for _, m := range regexp.MustCompile(label+`=~?"([^"]+)"`).FindAllStringSubmatch(expr, -1) {
		all = append(all, strings.Split(m[1], "|")...)
	}
	return all
}

func TestEachAlertLeadsToAPageThatNamesIt(t *testing.T) {
	const base = "https://github.com/tcpstate/tcpstate/blob/main/docs/runbook/"
	for _, a := range alerts(t) {
		if !slices.Contains([]string{"critical", "warning", "info"}, a.severity) {
			t.Errorf("%s has the severity %q", a.name, a.severity)
		}
		page, ok := strings.CutPrefix(a.url, base)
		if !ok {
			t.Errorf("%s leads to %q, not into the runbook", a.name, a.url)
			continue
		}
		leads := []string{page}
		if label, ok := strings.CutPrefix(page, "{{ $labels."); ok {
			leads = nil
			for _, value := range named(a.expr, strings.TrimSuffix(label, " }}.md")) {
				leads = append(leads, value+".md")
			}
		}
		if len(leads) == 0 {
			t.Errorf("%s leads nowhere: %s", a.name, a.url)
		}
		for _, page := range leads {
			if text := read(t, filepath.Join(runbook, page)); !strings.Contains(text, "`"+a.name+"`") {
				t.Errorf("%s leads to %s, which does not name it", a.name, page)
			}
		}
	}
}

func TestEachCodeInTheRulesIsOne(t *testing.T) {
	known := codes(t)
	for _, code := range named(read(t, "tcpstate.rules.yml"), "code") {
		if !slices.Contains(known, code) {
			t.Errorf("the rules look for the finding %q, which there is not", code)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	files, err := filepath.Glob(runbook + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "README.md", "../docs/fleet.md") {
		for _, m := range link.FindAllStringSubmatch(outsideOfCode(read(t, file)), -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			to := filepath.Join(filepath.Dir(file), m[1])
			if m[1] == "" {
				to = file
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s leads nowhere", file, m[0])
			} else if m[2] != "" && !slices.Contains(anchorsOf(read(t, to)), m[2]) {
				t.Errorf("%s: %s leads to no heading", file, m[0])
			}
		}
	}
}

// anchorsOf are the links to a page's headings, as GitHub makes them.
func anchorsOf(text string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(outsideOfCode(text), -1) {
		kept := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', r >= 'a' && r <= 'z', r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		list = append(list, "#"+kept)
	}
	return list
}
