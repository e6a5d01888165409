package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tcpstate/tcpstate/internal/agent"
)

// load is loadAgent with these flags and a file that says that.
func loadSettings(t *testing.T, text string, args ...string) (*agentFlags, error) {
	t.Helper()
	path := ""
	if text != "" {
		path = filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, cmd := newAgentFlags()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return loadAgent(cmd.Flags(), path)
}

func TestFlagsWinOverTheConfiguration(t *testing.T) {
	f, err := loadSettings(t, "listen: ['127.0.0.1:1', '127.0.0.1:2']\nwindow: 7m\ntrigger: [failed>9]\nring: 16M\nsyscalls: false\n"+
		"dst: [10.0.0.0/8, 192.0.2.1]\nwrite: /somewhere\nipv4: true\ntimer-cost: 2%\ntime-wait-by: census\n",
		"--listen", "[::1]:3", "--listen", ":4", "--dst", "10.1.0.0/16", "--destinations", "5", "-6", "--ipv4=false")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range []string{
		"listen", "window", "trigger", "ring", "syscalls", "dst", "write", "destinations", "ipv4", "ipv6", "timer-cost", "time-wait-by", "keep",
	} {
		got = append(got, fmt.Sprint(name, valuesOf(f.set.Lookup(name).Value)))
	}
	want := []string{
		"listen[[::1]:3 :4]", "window[7m0s]", "trigger[failed>9]", "ring[16M]", "syscalls[false]", "dst[10.1.0.0/16]",
		"write[/somewhere]", "destinations[5]", "ipv4[false]", "ipv6[true]", "timer-cost[2%]", "time-wait-by[census]", "keep[15m0s]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("settings:\n got %q\nwant %q", got, want)
	}
	if f.window.Minutes() != 7 || len(f.record.parsed) != 1 || f.bounds.syscalls || f.record.keep != (duration{f.keep.Duration}) {
		t.Errorf("what the flags are read into: %+v", f)
	}
}

// All mistakes are told with their lines, those of filters, too.
func TestMistakesOfFiltersHaveTheirLines(t *testing.T) {
	_, err := loadSettings(t, "dst: nonsense\nport:\n  - 80\n  - x\npid: -1\nfilter: a==\nnetns: /nonexistent\ncomm: fine\nlisten: []\n")
	var all agent.Mistakes
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	var lines []int
	for _, m := range all {
		lines = append(lines, m.Line)
		if strings.Contains(m.Text, "--") {
			t.Errorf("%s is about a flag", m)
		}
	}
	if !slices.Equal(lines, []int{1, 4, 5, 6, 7, 9}) {
		t.Errorf("mistakes: %s", all)
	}
}

// A list without values is one: no trigger puts anything aside.
func TestAnEmptyListIsNotTheDefault(t *testing.T) {
	f, err := loadSettings(t, "trigger: []\ncomm: []\n")
	if err != nil || len(f.triggers.values) != 0 || len(f.record.parsed) != 0 {
		t.Fatalf("%v, triggers %q", err, f.triggers.values)
	}
	var text strings.Builder
	if err := f.print(&text); err != nil || !strings.Contains(text.String(), "trigger: []\n") {
		t.Errorf("%v, it is printed as\n%s", err, text.String())
	}
	if f, err = loadSettings(t, "trigger: []", "--trigger", "failed>1"); err != nil || !slices.Equal(f.triggers.values, []string{"failed>1"}) {
		t.Errorf("%v, triggers %q with a flag", err, f.triggers.values)
	}
}

// Settings that are printed are a configuration that gives the same settings.
func TestPrintedSettingsAreAConfiguration(t *testing.T) {
	first, err := loadSettings(t, "", "--listen", "unix:/x", "--no-record", "--trigger", "exhausted>5", "--filter", "dst.port==5432,comm==java",
		"--comm", "true", "--otlp-endpoint", "http://127.0.0.1:4318", "--log-format", "json", "--time-waits", "7")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := first.print(&text); err != nil {
		t.Fatal(err)
	}
	again, err := loadSettings(t, text.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	if now, later := first.changes(again); len(now)+len(later) > 0 {
		t.Errorf("these differ: %q %q in\n%s", now, later, text.String())
	}
}

func TestWhatSIGHUPChangesAndWhatTakesARestart(t *testing.T) {
	first, err := loadSettings(t, "window: 5m\n")
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadSettings(t, "window: 6m\ntrigger: failed>3\nlisten: ':1'\ndestinations: 7\nring: 8M\n")
	if err != nil {
		t.Fatal(err)
	}
	now, later := second.changes(first)
	if !slices.Equal(now, []string{"trigger", "window"}) || !slices.Equal(later, []string{"destinations", "listen"}) {
		t.Errorf("now %q, later %q", now, later)
	}
}

// docs/agent.md has each setting as it is here.
func TestDocumentedSettingsAreThoseThereAre(t *testing.T) {
	_, cmd := newAgentFlags()
	settings := settingsOf(cmd.Flags())
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s := settings[name]
		what, usage := pflag.UnquoteUsage(s)
		if what == "" {
			what = "true or false"
		}
		if isList(s.Value) {
			what += ", or several"
		}
		reload := ""
		if slices.Contains(changeable, name) {
			reload = "yes"
		}
		usage = strings.ReplaceAll(strings.TrimSuffix(usage, "; can be repeated"), "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.ReplaceAll(what, "|", `\|`), defaultValue(s), reload, usage)
	}
	text, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), b.String()) {
		t.Errorf("docs/agent.md must have this table:\n%s", b.String())
	}
}

func defaultValue(f *pflag.Flag) string {
	all := valuesOf(f.Value)
	if len(all) == 0 || all[0] == "" {
		return ""
	}
	return "`" + strings.Join(all, "`, `") + "`"
}
