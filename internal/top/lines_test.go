package top

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/report"
)

func linesOf(t *testing.T, u Update, o Options) string {
	t.Helper()
	var b strings.Builder
	if o.Location == nil {
		o.Location = time.UTC
	}
	if err := Lines(&b, u, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLines(t *testing.T) {
	golden(t, "lines", linesOf(t, live(report.Build(incident().input())), Options{}))
	golden(t, "lines.hostile", linesOf(t, live(report.Build(hostile().input())), Options{Limit: 5}))
	golden(t, "lines.empty", linesOf(t, live(empty()), Options{}))
}

func TestValuesOfLinesCanBeReadBack(t *testing.T) {
	for _, value := range []string{"", "a b", `a b\`, `a\"b`, "a=b", "日本 語", `\x1b [31m`, `a\b`, "curl"} {
		text := quoted(value)
		if strings.HasPrefix(text, `"`) {
			if got, err := strconv.Unquote(text); err != nil || got != value {
				t.Errorf("%q is written as %s, which is read as %q: %v", value, text, got, err)
			}
		} else if text != value || strings.ContainsAny(text, ` "=`) {
			t.Errorf("%q is written as %s", value, text)
		}
	}
}

func TestLinesAreBoundedAndPlain(t *testing.T) {
	d := many(t, 100)
	for limit, want := range map[int]int{0: 20 + 1, 7: 7 + 1, 500: 100 + 1} {
		text := linesOf(t, live(d), Options{Limit: limit, Color: true})
		if got := strings.Count(text, "\n"); got != want {
			t.Errorf("--limit %d: %d lines, want %d", limit, got, want)
		}
		if strings.ContainsRune(text, '\x1b') {
			t.Errorf("escape sequences in lines:\n%q", text)
		}
	}
	if text := linesOf(t, Update{}, Options{}); text != "" {
		t.Errorf("no document gives %q", text)
	}
}
