package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// keys are some of each kind, and where their values go.
func keys(got map[string][]string) map[string]Key {
	note := func(name string) func(string) error {
		return func(s string) error { got[name] = append(got[name], s); return nil }
	}
	return map[string]Key{
		"listen":  {Set: note("listen"), List: true},
		"trigger": {Set: note("trigger"), List: true, Empty: func() { got["trigger"] = []string{} }},
		"name":    {Set: note("name")},
		"record":  {Set: note("record"), Bool: true},
		"window": {Set: func(s string) error {
			if _, err := time.ParseDuration(s); err != nil {
				return fmt.Errorf("%q has no unit: write %ss", s, s)
			}
			return note("window")(s)
		}},
		"time-waits": {Set: note("time-waits")},
	}
}

func TestConfigurationsThatAreRight(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "map[]",
		"# nothing\n":                         "map[]",
		"---\n":                               "map[]",
		"window: 5m\nrecord: true\n":          "map[record:[true] window:[5m]]",
		"listen: 127.0.0.1:9847":              "map[listen:[127.0.0.1:9847]]",
		"listen: [a, b]":                      "map[listen:[a b]]",
		"listen:\n  - a\n  - unix:/b\n":       "map[listen:[a unix:/b]]",
		"trigger: []":                         "map[trigger:[]]",
		"time-waits: 1000\nname: '007'\n":     "map[name:[007] time-waits:[1000]]",
		"name: \"\\u202egnp\"":                "map[name:[\u202egnp]]",
		"name: >\n  two\n  lines\n":           "map[name:[two lines\n]]",
		"name: 'true'\n":                      "map[name:[true]]",
		strings.Repeat("# long\n", 10_000):    "map[]",
		"name: x # and a comment\nwindow: 1s": "map[name:[x] window:[1s]]",
	} {
		got := make(map[string][]string)
		if err := ReadConfig(strings.NewReader(text), keys(got)); err != nil {
			t.Errorf("%.100q: %v", text, err)
		}
		if s := fmt.Sprint(got); s != want {
			t.Errorf("%.100q: %s, want %s", text, s, want)
		}
	}
}

func TestEveryMistakeOfAConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"windw: 5m":                    `line 1: unknown key "windw": did you mean window?`,
		"# one\nnothing-like-it: 1":    `line 2: unknown key "nothing-like-it" (tcpstate agent --help lists them: they are the names of the flags)`,
		"time_waits: 5":                `line 1: unknown key "time_waits": did you mean time-waits?`,
		"Window: 5m":                   `line 1: unknown key "Window": did you mean window?`,
		"window: 5":                    `line 1: window: "5" has no unit: write 5s`,
		"window: [5m]":                 "line 1: window takes one value, not a list",
		"window:\n  length: 5m":        "line 2: window wants a value, not a list or a mapping",
		"window:":                      "line 1: window has no value",
		"window: ~":                    "line 1: window has no value",
		"window: 5m\n\nwindow: 6m":     "line 3: window is there twice: line 1 has it, too",
		"record: yes":                  `line 1: record: "yes" is neither true nor false`,
		"record: 1":                    `line 1: record: "1" is neither true nor false`,
		"record: 'true'":               `line 1: record: "true" is neither true nor false`,
		"name: true":                   `line 1: name: "true" is a truth value; put it in quotes if it is a name`,
		"name: 2026-11-22":             `line 1: name: "2026-11-22" is no text and no number (!!timestamp)`,
		"name: !!binary aGk=":          `line 1: name: "aGk=" is no text and no number (!!binary)`,
		"name: &a x\nlisten: [*a]":     "line 1: name: anchors and aliases are not taken: write the value; line 2: listen: anchors and aliases are not taken: write the value",
		"<<: {name: x}":                `line 1: unknown key "<<" (tcpstate agent --help lists them: they are the names of the flags)`,
		"listen: [[a]]":                "line 1: listen wants a value, not a list or a mapping",
		"listen:\n  - a\n  -\n":        "line 3: listen has no value",
		"[window, 5m]":                 "line 1: want lines like  window: 5m",
		"window 5m":                    "line 1: want lines like  window: 5m",
		"? [a]\n: b":                   "line 1: a key must be a word",
		"name: x\n---\nname: y":        "line 2: a second document begins here: there can be one only",
		"name: \"x":                    "line 1: found unexpected end of stream",
		"\tname: x":                    "line 1: found character that cannot start any token",
		"name: x\n  window: 5m":        "line 2: mapping values are not allowed in this context",
		"\x1b[31m: x":                  "line 1: control characters are not allowed",
		"name: \xff":                   "line 1: invalid leading UTF-8 octet",
		"windw: 1\nwindow: 2\nname: [": "line 3: did not find expected node content",
		"name: x\nwindow: 5m\n\trecord: true\nname: y": "line 3: found a tab character that violates indentation",
		"name: x\nlisten: [a\nwindow: 5m":              "line 2: did not find expected ',' or ']'",
		"listen: [a,\n  b]\n\nname: \"x":               "line 4: found unexpected end of stream",
		"name: []":                                     "line 1: name takes one value, not a list",
		"records: []":                                  `line 1: unknown key "records": did you mean record?`,
		"listen: []":                                   "line 1: listen wants one value at least",
		"windw: 1\nwindow: 2\nrecord: on\n": `line 1: unknown key "windw": did you mean window?; line 2: window: "2" has no unit: write 2s; ` +
			`line 3: record: "on" is neither true nor false`,
		strings.Repeat("#", maxConfig+1): "it has more than 1048576 bytes",
	} {
		err := ReadConfig(strings.NewReader(text), keys(make(map[string][]string)))
		var all Mistakes
		if !errors.As(err, &all) {
			t.Errorf("%.100q: %v", text, err)
			continue
		}
		if got := err.Error(); got != want {
			t.Errorf("%.100q:\n got %s\nwant %s", text, got, want)
		}
		if strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%.100q: %q is not one harmless line", text, err)
		}
	}
}

// An alias that stands for another ten times, and so on, is never resolved.
func TestAnAliasBombDoesNotGoOff(t *testing.T) {
	text := "name: &a x\n"
	for i := 'b'; i < 'z'; i++ {
		text += fmt.Sprintf("%c: &%c [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*%c,", i-1), 10))
	}
	began := time.Now()
	if err := ReadConfig(strings.NewReader(text), keys(make(map[string][]string))); err == nil {
		t.Error("it is taken")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"window: 5m\nlisten: [a, b]\n", "a: &x [*x]", "? x\n", "{a: b}", "record: !!bool yes"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := ReadConfig(strings.NewReader(text), keys(make(map[string][]string)))
		var all Mistakes
		if err != nil && (!errors.As(err, &all) || len(all) == 0) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
