package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/capture"
)

// described is what info says about one file.
func described(t *testing.T, code int, args ...string) map[string]any {
	t.Helper()
	r := runInside(append([]string{"info", "-o", "json"}, args...)...)
	if r.code != code {
		t.Fatalf("info %q: exit code %d, want %d: %s%s", args, r.code, code, r.stdout, r.stderr)
	}
	var d struct {
		Schema   string
		Captures []map[string]any
	}
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil || d.Schema != "tcpstate.info/v1" || len(d.Captures) != 1 {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return d.Captures[0]
}

func TestInfoCountsWhatIsThere(t *testing.T) {
	want := map[string]any{}
	events := eventsOf(t, sampleCapture)
	for _, e := range events {
		n, _ := want[e.Kind.String()].(float64)
		want[e.Kind.String()] = n + 1
	}
	st, err := os.Stat(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{sampleCapture}, {"--verify", sampleCapture}} {
		c := described(t, exitDone, args...)
		agrees(t, "info", c, map[string]string{
			"complete": "true", "damage": "null", "host.name": "shop1", "error": "null", "events_lost": "0", "events_dropped": "0",
		})
		if c["events"] != float64(len(events)) || c["size_bytes"] != float64(st.Size()) ||
			c["bytes_per_event"].(float64) < float64(st.Size())/float64(len(events))-0.01 {
			t.Errorf("%d events in %d bytes: %v", len(events), st.Size(), c)
		}
		for kind, n := range c["events_by_kind"].(map[string]any) {
			if n != want[kind] {
				t.Errorf("%v %s, want %v", n, kind, want[kind])
			}
		}
		if c["verified"] != (len(args) == 2) {
			t.Errorf("%q: verified is %v", args, c["verified"])
		}
	}
}

// Without --verify damage in the middle is not seen, and not denied; with it, it is, and the exit code says so.
func TestInfoOfADamagedCapture(t *testing.T) {
	path, missing := flipped(t)
	if c := described(t, exitDone, path); c["verified"] != false || c["damage"] != nil {
		t.Errorf("%v", c)
	}
	if r := runInside("info", path); !strings.Contains(r.stdout, "--verify checks every block") {
		t.Errorf("%s", r.stdout)
	}
	c := described(t, exitFailed, "--verify", path)
	d, ok := c["damage"].(map[string]any)
	if !ok || d["events_missing"] != float64(missing) || c["complete"] != true {
		t.Fatalf("%v", c)
	}
	r := runInside("info", "--verify", path)
	if r.code != exitFailed || !strings.Contains(r.stdout, "    at byte ") || !strings.Contains(r.stdout, "checksum differs") {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
}

// A file that was cut off is read to where it was, and nobody claims to know how much is missing.
func TestInfoOfWhatWasCutOff(t *testing.T) {
	content, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(content) - 1, len(content) / 2} {
		path := filepath.Join(t.TempDir(), "cut.tcps")
		if err := os.WriteFile(path, content[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verify := range []bool{false, true} {
			args, code := []string{path}, exitDone
			if verify {
				args, code = append(args, "--verify"), exitFailed
			}
			c := described(t, code, args...)
			if c["damage"] == nil || c["events"] == float64(0) {
				t.Errorf("%d of %d bytes: %v", n, len(content), c)
			}
			if n == len(content)/2 && (c["complete"] != false || c["damage"].(map[string]any)["events_missing"] != nil) {
				t.Errorf("%d of %d bytes: %v", n, len(content), c)
			}
		}
	}
}

// What is not known is null, and a file without events has no bytes per event.
func TestInfoOfNothing(t *testing.T) {
	path := stored(t, capture.Header{}, nil, nil)
	c := described(t, exitDone, path)
	agrees(t, "info", c, map[string]string{
		"bytes_per_event": "null", "recorded.first": "null", "recorded.seconds": "null", "events": "0", "host.time_wait_tier": "null",
	})
	r := runInside("info", path)
	if !strings.Contains(r.stdout, "unknown, for there are no events") || !strings.Contains(r.stdout, "no events\n") || !strings.Contains(r.stdout, "unknown: the header") {
		t.Errorf("%s", r.stdout)
	}
}
