package main

import (
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// What processes call themselves is shown, never acted on: not by a terminal, nor by whoever reads lines.
func TestHostileProcessNamesAreEscaped(t *testing.T) {
	testnet.RequireTracing(t)
	names := map[string]string{ // as set and as shown
		"\x1b[31mred": `\x1b[31mred`, "two\nlines": `two\nlines`, "\xff\xfe": `\xff\xfe`, "\u202egnp": `\u202egnp`, "\x9b31m": `\x9b31m`,
		"\r\a\b": `\r\a\b`, `a"b\c`: `a"b\c`, "<b>&": "<b>&",
	}
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	at := []string{"--netns", of(ns)}
	forms := [][]string{
		{"trace"}, {"trace", "-o", "wide"}, {"trace", "-o", "json"},
		{"report", "--for", "10m"}, {"report", "--for", "10m", "-o", "wide"}, {"report", "--for", "10m", "-o", "json"}, {"report", "--for", "10m", "-o", "jsonpretty"},
		{"report", "--for", "10m", "-o", "md"}, {"report", "--for", "10m", "-o", "csv"},
	}
	var lines [][]string
	for _, form := range forms {
		lines = append(lines, append(form, at...))
	}
	ps := traceAll(t, lines...)
	for name := range names {
		s.calls(t, name, 1, 1)
	}
	stopAll(t, ps)
	for i, p := range ps {
		out, form := p.stdout.String(), forms[i][len(forms[i])-1]
		for line := range strings.Lines(out + p.stderr.String()) {
			if why := acting(strings.TrimSuffix(line, "\n")); why != "" {
				t.Errorf("%q: %s in %q", forms[i], why, line)
			}
		}
		for _, shown := range names {
			switch {
			case strings.HasPrefix(form, "json"):
				shown = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(shown)
			case form == "csv":
				shown = strings.ReplaceAll(shown, `"`, `""`)
			case form == "md":
				shown = "| `" + shown + "` |"
			}
			if !strings.Contains(out, shown) {
				t.Errorf("%q: no %s in\n%s", forms[i], shown, out)
			}
		}
	}
	const each = 5 // four ends and a failure
	if n := strings.Count(ps[0].stdout.String(), "\n"); n != 1+each*len(names) {
		t.Errorf("%d lines of columns, want a title and %d a client", n, each)
	}
	if n := len(ps[2].jsonLines(t)); n != each*len(names) {
		t.Errorf("%d lines of JSON, want %d a client", n, each)
	}
}
