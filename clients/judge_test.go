package main

import (
	"strings"
	"testing"
)

// sound is a report of one client of one server, and of another network namespace.
const sound = `{
"schema": "tcpstate.report/v1", "window": {"seconds": 6.1}, "loss": {"totals_exact": true, "events_merged": 0},
"destinations": [
{"service": {"name": "psql", "comm": "psql"}, "direction": "outbound", "netns": 7, "local": {"addr": "127.0.0.1", "port": null},
 "dst": {"addr": "127.0.0.1", "port": 5432, "name": ""}, "opened": 100, "failed": {}, "closed_by": {"local": 100, "remote": 0},
 "verdict": {"name": "unpooled", "evidence": ["100 connects"], "advice": ["pool them"]}},
{"service": {"name": "postgres", "comm": "postgres"}, "direction": "inbound", "netns": 7, "local": {"addr": "127.0.0.1", "port": 5432},
 "dst": {"addr": "127.0.0.1", "port": null, "name": ""}, "opened": 100, "failed": {}, "closed_by": {},
 "verdict": {"name": null, "evidence": ["100 accepted"], "advice": []}},
{"service": {"name": "other", "comm": "other"}, "direction": "outbound", "netns": 8, "local": {"addr": "127.0.0.1", "port": null},
 "dst": {"addr": "127.0.0.1", "port": 5432, "name": ""}, "opened": 3, "failed": {}, "closed_by": {},
 "verdict": {"name": "too-few-to-tell", "evidence": ["3 connects"], "advice": []}}]}`

func soundly() []expected {
	return []expected{{
		comm: "psql", server: "postgres", dst: "127.0.0.1:5432", verdict: unpooled, opened: 100,
		failed: map[string]uint64{}, countedBy: "the log", closedBy: "local",
	}}
}

func mustDecode(t *testing.T, text string) *document {
	t.Helper()
	doc, err := decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestJudge(t *testing.T) {
	for _, c := range []struct{ name, old, new, problem string }{
		{"sound", "", "", ""},
		{"totals that are not exact", `"totals_exact": true`, `"totals_exact": false`, "totals are not exact"},
		{"rows summed up", `"events_merged": 0`, `"events_merged": 1`, "totals are not exact"},
		{"a window too short for a verdict", `6.1`, `4.9`, "window is 4.9 s"},
		{"a tool that was not stopped", `6.1`, `19.9`, "window is 19.9 s"},
		{"another verdict", `"name": "unpooled"`, `"name": "pooled"`, "verdict pooled, not unpooled"},
		{"no verdict", `"name": "unpooled"`, `"name": null`, "verdict null, not unpooled"},
		{"one connection less", `"opened": 100, "failed": {}, "closed_by": {"local": 100, `,
			`"opened": 99, "failed": {}, "closed_by": {"local": 100, `, "99 opened, not 100, as counted by the log"},
		{"an unknown number", `"opened": 100, "failed": {}, "closed_by": {"local": 100, `,
			`"opened": null, "failed": {}, "closed_by": {"local": 100, `, "opened, not 100"},
		{"a failed connect", `"failed": {}, "closed_by": {"local"`, `"failed": {"ETIMEDOUT": 1}, "closed_by": {"local"`,
			"failed map[ETIMEDOUT:1]"},
		{"the server closed first once", `"remote": 0`, `"remote": 1`, "not local only"},
		{"another name", `"name": "psql"`, `"name": "bash"`, `service's name is "bash"`},
		{"another process", `"comm": "psql"`, `"comm": "bash"`, "nobody expected this row"},
		{"another destination", `"addr": "127.0.0.1", "port": 5432, "name"`, `"addr": "127.0.0.2", "port": 5432, "name"`, "0 rows"},
		{"no evidence", `["100 connects"]`, `[]`, "evidence is missing"},
		{"an empty sentence", `["100 connects"]`, `["100 connects", " "]`, "evidence is missing or empty"},
		{"no advice", `["pool them"]`, `[]`, "advice is missing"},
		{"the server is blamed", `"name": null`, `"name": "unpooled"`, "blamed"},
		{"another server", `"comm": "postgres"`, `"comm": "redis-server"`, "the server is postgres"},
		{"a connection that nobody accepted", `"opened": 100, "failed": {}, "closed_by": {},`,
			`"opened": 98, "failed": {}, "closed_by": {},`, "98 opened, not 100"},
		{"a row of another namespace", `"netns": 8`, `"netns": 7`, "nobody expected this row"},
		{"two rows of one client", `"name": "other", "comm": "other"}, "direction": "outbound", "netns": 8`,
			`"name": "psql", "comm": "psql"}, "direction": "outbound", "netns": 7`, "2 rows of psql"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(sound, c.old, c.new, 1)
			if c.old != "" && text == sound {
				t.Fatalf("the report has no %s", c.old)
			}
			found := strings.Join(judge(mustDecode(t, text), 7, soundly()), "\n")
			if (c.problem == "") != (found == "") || !strings.Contains(found, c.problem) {
				t.Errorf("found %q, not %q", found, c.problem)
			}
		})
	}
}

func TestRowsOfOneServerAddUp(t *testing.T) {
	text := strings.Replace(sound, `"netns": 8`, `"netns": 7`, 1)
	text = strings.Replace(text, `"opened": 100, "failed": {}, "closed_by": {},`, `"opened": 103, "failed": {}, "closed_by": {},`, 1)
	want := append(soundly(), expected{comm: "other", server: "postgres", dst: "127.0.0.1:5432", verdict: tooFew, opened: 3})
	if problems := judge(mustDecode(t, text), 7, want); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestEachWrongExpectationIsNoticed(t *testing.T) {
	o := &outcome{netns: 7, want: soundly(), doc: mustDecode(t, sound)}
	if names := o.unnoticed(); len(names) > 0 {
		t.Error(names)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, err string }{
		{"an empty report", sound, "", "unexpected end"},
		{"another schema", "tcpstate.report/v1", "tcpstate.report/v2", "schema"},
		{"no word on losses", `"totals_exact": true, `, "", "totals are exact"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode([]byte(strings.Replace(sound, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestScenariosAreWellFormed(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range scenarios() {
		if seen[c.name] || c.name == "" || c.what == "" || c.play == nil {
			t.Errorf("case %q is incomplete or there twice", c.name)
		}
		seen[c.name] = true
		for _, n := range c.needs {
			if _, ok := needs[n]; !ok {
				t.Errorf("case %s needs %q, which is unknown", c.name, n)
			}
		}
	}
	if !seen[selfTestCase] || len(seen) < 20 {
		t.Errorf("%d cases, with %s: %t", len(seen), selfTestCase, seen[selfTestCase])
	}
}

func TestListens(t *testing.T) {
	const table = "  sl  local_address rem_address   st\n   0: 0100007F:1538 00000000:0000 0A\n   1: 0100007F:1539 0100007F:9999 01\n"
	if !listens(table, 5432) || listens(table, 5433) || listens(table, 38) {
		t.Error("5432 listens, and nothing else does")
	}
}

func TestWhatCannotBeInstalledIsExcused(t *testing.T) {
	l := &lab{options: &options{cache: t.TempDir()}, reasons: map[string]string{"pg": "no such package"}}
	if why, excused := l.missing([]string{"pg"}); !excused || !strings.Contains(why, "no such package") {
		t.Errorf("%q, excused: %t", why, excused)
	}
	if why, excused := l.missing([]string{"ioredis"}); excused || why == "" {
		t.Errorf("%q, excused: %t", why, excused)
	}
	if why, _ := l.missing(nil); why != "" {
		t.Errorf("nothing is needed, yet %q", why)
	}
}
