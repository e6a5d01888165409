package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// What JSON has to look like is written down as a value: a map is an object that has at least these names, a slice is
// an array of its one element, "numbers" an object of numbers, and a word the type, with ? for "or null". More than a
// word is null, or what it says, as an orNull.
type (
	object = map[string]any
	array  = []any
	orNull struct{ contract any }
)

var serviceContract = object{
	"name": "string", "kind": "string", "pid": "number?", "comm": "string", "exe": "string", "unit": "string",
	"container_id": "string", "pod": "string",
}

var traceContract = object{
	"time": "time", "kind": "string", "direction": "string?", "netns": "number?", "service": serviceContract,
	"src": object{"addr": "string?", "port": "number?"}, "dst": object{"addr": "string?", "port": "number?", "name": "string"},
	"old_state": "string?", "new_state": "string?", "error": "string?", "error_basis": "string?", "closed_by": "string?",
	"lifetime_seconds": "number?", "connect_seconds": "number?", "sent_bytes": "number?", "received_bytes": "number?",
	"sent_segments": "number?", "received_segments": "number?", "retransmits": "number?",
	"direction_basis": "string?", "owner_basis": "string?", "substate": "string?", "cause": "string?", "cause_basis": "string?",
	"preexisting": "bool", "idle_seconds": "number?", "exchanges": "number?", "auto_port": "bool?",
}

// kinds are all that a line of a trace can be.
var kinds = []string{
	"connect", "accept", "connect_failed", "bind_failed", "close", "time_wait", "time_wait_end", "lost",
}

var quantilesContract = object{"p50": "number?", "p90": "number?", "p99": "number?", "max": "number?"}

var reportContract = object{
	"schema": "string",
	"window": object{"start": "time", "end": "time", "seconds": "number"},
	"host":   object{"name": "string", "kernel": "string", "source": "string"},
	"loss":   object{"events_lost": "number", "totals_exact": "bool", "sockets_evicted": "number", "services_unknown": "number"},
	"findings": array{object{
		"severity": "string", "code": "string", "service": "string", "destination": "string", "summary": "string",
		"evidence": array{"string"}, "advice": array{"string"}, "runbook": "string",
	}},
	"destinations": array{object{
		"service": serviceContract, "direction": "string", "netns": "number?",
		"local": object{"addr": "string?", "port": "number?"}, "dst": object{"addr": "string?", "port": "number?", "name": "string"},
		"opened": "number", "closed": "number", "failed": "numbers",
		"closed_by": object{"local": "number", "remote": "number", "both": "number", "reset": "number"},
		"open":      object{"now": "number", "peak": "number"}, "opened_per_second": "number",
		"time_wait": object{
			"entered": "number", "now": "number?", "existing": "number", "fin_wait2": "number?", "overflowed": "number", "ended": "number",
			"ended_by": object{"expired": "number", "reused": "number", "killed": "number", "unknown": "number"},
		},
		"lifetime_seconds": quantilesContract, "connect_seconds": quantilesContract,
		"sent_bytes": "number", "received_bytes": "number",
		"verdict": object{"name": "string?", "evidence": array{"string"}, "advice": array{"string"}},
	}},
	"ports": orNull{array{portsContract}}, "ports_omitted": "number",
	"bind_failures": array{object{
		"service": serviceContract, "netns": "number?", "local": object{"addr": "string?", "port": "number?"}, "since": "time?",
		"exhausted": "number", "taken": "number", "not_local": "number",
	}},
	"bind_failures_omitted": "number",
	"time_wait": orNull{object{
		"tier": "number", "how": "string", "exact": "bool", "now": "number", "kernel": "number?", "checks": "number",
		"differences": "number", "censuses": "number", "repaired": "number",
	}},
	"namespaces": array{object{
		"netns": "number?", "seen": "bool", "why_unseen": "string", "time_wait": object{"now": "number?", "kernel": "number?"},
		"port_range": orNull{array{"number"}}, "reserved": "number?", "tcp_tw_reuse": "number?",
		"tcp_tw_reuse_delay_seconds": "number?", "tcp_timestamps": "bool?", "tcp_max_tw_buckets": "number?",
		"tcp_fin_timeout_seconds": "number?",
	}},
	"namespaces_omitted": "number", "hooks_absent": array{"string"},
}

var portsContract = object{
	"netns": "number?", "src": "string?", "dst": object{"addr": "string?", "port": "number?"},
	"range": orNull{array{"number"}}, "reserved": "number?", "capacity": "number?", "used": "number", "used_ratio": "number?",
	"by_state": "numbers", "opened_per_second": "number?", "seconds_to_exhaustion": "number?", "exhausted": "number",
	"blocked": "number?", "reusable": "number", "basis": "string", "opened": "number", "tuple_in_use": "number",
	"slow_connects": "number", "slow_since": "time?", "connect_seconds_before_half": orNull{quantilesContract},
	"connect_seconds_past_half": orNull{quantilesContract}, "bound_connects": "number", "bind_exhausted": "number",
	"services": array{"string"}, "services_omitted": "number",
}

// breaches are all ways in which v is not what the contract says.
func breaches(path string, contract, v any) (all []string) {
	switch c := contract.(type) {
	case orNull:
		if v != nil {
			return breaches(path, c.contract, v)
		}
	case object:
		o, ok := v.(object)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an object", path, v)}
		}
		for _, name := range slices.Sorted(maps.Keys(c)) {
			if _, ok := o[name]; !ok {
				all = append(all, fmt.Sprintf("%s.%s is missing", path, name))
				continue
			}
			all = append(all, breaches(path+"."+name, c[name], o[name])...)
		}
	case array:
		a, ok := v.(array)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an array", path, v)}
		}
		for i := range a {
			all = append(all, breaches(fmt.Sprintf("%s[%d]", path, i), c[0], a[i])...)
		}
	case string:
		if !fits(c, v) {
			all = append(all, fmt.Sprintf("%s is %v, want %s", path, v, c))
		}
	}
	return all
}

func fits(kind string, v any) bool {
	if rest, nullable := strings.CutSuffix(kind, "?"); nullable {
		return v == nil || fits(rest, v)
	}
	switch v := v.(type) {
	case string:
		if kind == "time" {
			_, err := time.Parse("2006-01-02T15:04:05.000000Z", v)
			return err == nil
		}
		return kind == "string"
	case json.Number:
		return kind == "number"
	case bool:
		return kind == "bool"
	case object:
		for _, n := range v {
			if _, ok := n.(json.Number); !ok {
				return false
			}
		}
		return kind == "numbers"
	}
	return false
}

// jsonLines reads what trace -o json printed: every line must be one object that keeps the contract.
func (p *process) jsonLines(tb testing.TB) []object {
	tb.Helper()
	var events []object
	for line := range strings.Lines(p.stdout.String()) {
		e := parse(tb, line)
		if all := breaches("event", traceContract, e); all != nil {
			tb.Fatalf("%q in line %d: %s", all, len(events)+1, line)
		}
		if !slices.Contains(kinds, get(e, "kind")) {
			tb.Fatalf("no such kind in line %d: %s", len(events)+1, line)
		}
		events = append(events, e)
	}
	return events
}

// parse reads one JSON object that ends with a newline.
func parse(tb testing.TB, line string) object {
	tb.Helper()
	if !strings.HasSuffix(line, "\n") {
		tb.Fatalf("no newline at the end of %.200q", line)
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil || d.More() {
		tb.Fatalf("not one JSON object (%v): %.200q", err, line)
	}
	return o
}

// get is the value at a path like service.comm, as text; null is "null".
func get(o object, path string) string {
	var v any = o
	for name := range strings.SplitSeq(path, ".") {
		o, _ := v.(object)
		v = o[name]
	}
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

// tally counts events by the values at paths, joined by blanks.
func tally(events []object, paths ...string) map[string]int {
	n := map[string]int{}
	for _, e := range events {
		var key []string
		for _, p := range paths {
			key = append(key, get(e, p))
		}
		n[strings.Join(key, " ")]++
	}
	return n
}

// same fails the test unless got is want.
func same(tb testing.TB, what string, got, want map[string]int) {
	tb.Helper()
	if !maps.Equal(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}
