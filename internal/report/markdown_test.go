package report

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// cutCode takes the code out of a line of Markdown, as CommonMark 0.31 (6.1) says: from a row of backticks to the next
// row of as many.
func cutCode(line string) (rest string, spans []string) {
	var b strings.Builder
	for line != "" {
		i := strings.IndexByte(line, '`')
		if i < 0 {
			break
		}
		n := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
		b.WriteString(line[:i])
		body := line[i+n:]
		end := closingRun(body, n)
		if end < 0 {
			b.WriteString(line[i : i+n]) // no code: to be found by whoever looks at rest
			line = body
			continue
		}
		spans = append(spans, inside(body[:end]))
		b.WriteString("C")
		line = body[end+n:]
	}
	return b.String() + line, spans
}

// closingRun is where a row of exactly n backticks begins, -1: there is none.
func closingRun(s string, n int) int {
	for i := 0; i < len(s); {
		if s[i] != '`' {
			i++
			continue
		}
		run := len(s[i:]) - len(strings.TrimLeft(s[i:], "`"))
		if run == n {
			return i
		}
		i += run
	}
	return -1
}

func inside(s string) string {
	if len(s) > 1 && s[0] == ' ' && s[len(s)-1] == ' ' && strings.Trim(s, " ") != "" {
		return s[1 : len(s)-1]
	}
	return s
}

// The marks that the form itself writes, at the beginning of a line.
var mark = regexp.MustCompile(`^(?:## |### |- \*\*(?:Critical|Warning|Info):\*\* |  - \*\*Advice:\*\* |- |  - )`)

// runbookLink ends the line of a finding.
var runbookLink = regexp.MustCompile(`^(- \*\*(?:Critical|Warning|Info):\*\* .*) \[[a-z-]+\]\(` + regexp.QuoteMeta(RunbookPages) + `/[a-z-]+\.md\)$`)

// loose is what could mean something in Markdown or to those who show it.
var loose = regexp.MustCompile("[`*_\\[\\]<>&#~|\\\\@=$+{}^/]|www\\.|:[a-z+]\\w*:|^ *(?:\\d+[.)](?: |$)|-)|GH-")

// assertPlain fails when anything but code and plain words is in a text of Markdown.
func assertPlain(t *testing.T, text string) {
	t.Helper()
	pipes := 0
	for line := range strings.Lines(text) {
		line = runbookLink.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1")
		if row, ok := strings.CutPrefix(line, "| "); ok {
			n := len(regexp.MustCompile(`(?:^|[^\\])\|`).FindAllString(line, -1))
			if pipes == 0 {
				pipes = n
				continue // titles
			}
			if n != pipes || !strings.HasSuffix(row, " |") {
				t.Errorf("%d cells, not %d: %s", n, pipes, line)
			}
			if strings.HasPrefix(row, "--") {
				continue
			}
			for strings.Contains(line, "| - |") { // not known
				line = strings.ReplaceAll(line, "| - |", "|")
			}
			line = strings.NewReplacer("&lt;1%", "1%", "&gt;99%", "99%", `\|`, "|", " | ", " ").Replace(strings.Trim(line, "| "))
		} else {
			pipes = 0
		}
		rest, _ := cutCode(strings.TrimPrefix(line, mark.FindString(line)))
		if bad := loose.FindString(rest); bad != "" {
			t.Errorf("%q is not in code: %s", bad, line)
		}
	}
}

func TestMarkdownHasNoMarkupFromOutside(t *testing.T) {
	for name, in := range map[string]Input{"busy": busyHost(), "lossy": lossyHost(), "hostile": hostileHost()} {
		t.Run(name, func(t *testing.T) {
			d := Build(in)
			d.at(name + "|@x") // as in a report of several
			text := markdownOf(t, d)
			assertPlain(t, text)
			if n := len(text); n > 65536 {
				t.Errorf("%d characters: GitHub takes 65536", n)
			}
		})
	}
}

// What comes out of the code is what went in.
func TestMarkdownKeepsNames(t *testing.T) {
	for _, h := range hostile {
		h = event.Printable(h)
		for _, text := range []string{"%s connects to %s: 1", "the ports of %s, %s are", "%s %s"} {
			text = prose(fmt.Sprintf(text, h, "10.0.0.1:80"), h, "10.0.0.1:80")
			assertPlain(t, text)
			if _, spans := cutCode(text); !slices.Contains(spans, h) && strings.TrimSpace(h) == h {
				t.Errorf("%q is not in %s", h, text)
			}
		}
		if got := code(h); !strings.Contains(h, "|") && name(h) != got {
			t.Errorf("%q is %s in a table, %s elsewhere", h, name(h), got)
		}
		if _, spans := cutCode(strings.ReplaceAll(name(h), `\|`, "|")); len(spans) != 1 ||
			spans[0] != strings.ReplaceAll(h, `\|`, `\x7c`) && strings.TrimSpace(h) != "" {
			t.Errorf("%q comes out of a table as %q", h, spans)
		}
	}
}

func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"over 99% of 1,401 in 44.4 s (7.10)":          "over 99% of 1,401 in 44.4 s (7.10)",
		"median: 40µs before, 2.0ms since.":           "median: 40µs before, 2.0ms since.",
		"0 held by bind() or listen()":                "0 held by `bind()` or `listen()`",
		"net.ipv4.tcp_tw_reuse=1 would":               "`net.ipv4.tcp_tw_reuse=1` would",
		"pgbench: remove -C (--connect),":             "pgbench: remove `-C` (`--connect`),",
		`no "Connection: close", and`:                 `no "Connection: close", and`,
		"(over 99%): the pool":                        "(over 99%): the pool",
		"ports: ESTABLISHED 3, TIME_WAIT 4":           "ports: ESTABLISHED 3, `TIME_WAIT` 4",
		"web 1.0 is; is it? yes!":                     "`web 1.0` is; is it? yes!",
		"web 1.0, web 1.0x, aweb 1.0":                 "`web 1.0`, web `1.0x`, aweb 1.0",
		"1. one":                                      "`1.` one",
		"51.4 a second":                               "51.4 a second",
		"set Pool(max=N, block=True) for (N callers)": "set `Pool(max=N, block=True)` for (N callers)",
		"set Pool(max=N, block=True":                  "set `Pool(max=N`, `block=True`",
		"  - one":                                     "`-` one",
		"a @b ``c`` d|e":                              "a `@b` ``` ``c`` ``` `d|e`",
		"12345 … 123.":                                "12345 … 123.",
		"":                                            "",
	} {
		if got := prose(text, "web 1.0", ""); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func FuzzProse(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, h)
	}
	f.Fuzz(func(t *testing.T, text, known string) {
		text, known = event.Printable(text), event.Printable(known)
		assertPlain(t, "- "+prose(text, known)+"\n")
		assertPlain(t, "| a | b |\n| "+name(text)+" | "+name(known)+" |\n")
	})
}

func TestMarkdownSaysWhatItLeavesOut(t *testing.T) {
	var h happenings
	for port := range uint16(30) {
		c := connecting(&h, "client", 1, "10.0.0.1:80")
		c.remote = netip.AddrPortFrom(c.remote.Addr(), 1000+port)
		c.connect(0, 1, 1)
		c.fail(0, event.EADDRNOTAVAIL, event.PortsExhausted)
	}
	table := h.table(churn.Options{})
	table.SetHost(settings())
	d := Build(Input{Table: table, Facts: Facts{TimeWait: &TimeWaitInput{Exact: true}}})
	text := markdownOf(t, d)
	assertSays := func(text string, more map[string]string) {
		t.Helper()
		for heading, want := range more {
			_, section, _ := strings.Cut(text, "### "+heading+"\n")
			section, _, _ = strings.Cut(section, "###")
			if !strings.Contains(section, "\n"+want+"\n") {
				t.Errorf("%s does not say %q:\n%s", heading, want, section)
			}
		}
	}
	assertSays(text, map[string]string{
		"Findings": "- and 20 more findings", "Outbound": "and 10 more.", "Failed connects": "and 10 more.",
		"Ports": "and 20 more.",
	})
	d.Limit(3)
	d.BindFailures, d.BindFailuresOmitted = []BindFailure{{Taken: 1}}, 4
	d.Namespaces, d.NamespacesOmitted = slices.Repeat([]Namespace{{Seen: true, Range: &[2]uint16{1, 2}}}, 11), 5
	text = markdownOf(t, d)
	assertSays(text, map[string]string{
		"Ports": "and 27 more.", "Failed binds": "and 4 more.", "Host settings": "and 6 more.",
	})
	if !strings.Contains(text, "\n27 more destinations not shown.\n") {
		t.Errorf("does not say what --limit left out:\n%s", text)
	}
}

func TestMarkdownSaysWhatIsNotKnown(t *testing.T) {
	in := busyHost()
	in.TimeWait = nil
	for line := range strings.Lines(markdownOf(t, Build(in))) {
		if strings.HasPrefix(line, "| `pgbench` | 812 ") {
			if cells := strings.Split(line, " | "); cells[8] != "-" || cells[9] != "-" {
				t.Errorf("TIME_WAIT %q, ports %q, want - for what was not observed", cells[8], cells[9])
			}
			return
		}
	}
	t.Error("no row of pgbench")
}
