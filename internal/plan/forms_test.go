package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/form"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s:\n%s", path, diff)
	}
}

// Golden files are named by the flags that make them.
func TestForms(t *testing.T) {
	plans := map[string]*Scenario{
		"rate=30.ports=5000.time-wait=240s": scenario(t, 30, "5000", 240*time.Second),
		"ports=28232":                       scenario(t, 0, "28232", time.Minute),
		"rate=1.ports=1":                    scenario(t, 1, "1", time.Minute),
		"rate=30.preset=windows-2003": {
			Preset: presets[1], Rate: 30, New: 1, Ports: presets[1].Ports, TimeWait: presets[1].TimeWait, Sources: 1, Destinations: 1,
		},
		"preset=windows": {Preset: presets[2], New: 1, Ports: presets[2].Ports, TimeWait: presets[2].TimeWait, Sources: 1, Destinations: 1},
		"rate=12000.reuse=75%.preset=linux.lifetime=1.5s.sources=2.destinations=3": {
			Preset: linux, Rate: 12000, New: 0.25, Ports: linux.Ports, TimeWait: time.Minute, Lifetime: 1500 * time.Millisecond,
			Sources: 2, Destinations: 3,
		},
		"rate=0.5.ports=1024-65535": scenario(t, 0.5, "1024-65535", time.Minute),
	}
	for name, s := range plans {
		d := Build(s)
		var columns, pretty, line, table bytes.Buffer
		for _, err := range []error{WriteColumns(&columns, d), WriteJSON(&pretty, d, true), WriteJSON(&line, d, false), WriteCSV(&table, d)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		golden(t, name+".columns", columns.Bytes())
		golden(t, name+".jsonpretty", pretty.Bytes())
		golden(t, name+".csv", table.Bytes())
		var compact bytes.Buffer
		if err := json.Compact(&compact, pretty.Bytes()); err != nil || compact.String()+"\n" != line.String() {
			t.Errorf("%s: json and jsonpretty differ (%v)", name, err)
		}
		for text := range strings.Lines(columns.String()) {
			if n := utf8.RuneCountInString(text); n > 121 || strings.HasSuffix(text, " \n") {
				t.Errorf("%s: %d columns: %q", name, n-1, text)
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		470.5333: "470", 20.8333: "20.8", 0.0166666: "0.0166", 1075.2: "1,075", 28232: "28,232", 99.99: "99.9", 0.29: "0.29",
		1234567.8: "1,234,567", 1: "1", 0.00000123: "0.00000123",
	} {
		if got := rate(figure(v)); got != want {
			t.Errorf("rate %v: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{
		166.7: "167 s", 83.33: "83.3 s", 0.0001: "0.0001 s", 59.96: "60 s", 1999.6: "2,000 s", 86400: "86,400 s",
	} {
		if got := seconds(figure(v)); got != want {
			t.Errorf("seconds %v: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]figure{470.5333: 470.5, 20.8339: 20.83, 1075.29: 1075.2, 28232: 28232, 0.016666: 0.01666, 1.001: 1.001, 10.03: 10.03} {
		if got := down(v); got != want {
			t.Errorf("down %v: %v, want %v", v, got, want)
		}
	}
	for f, want := range map[figure]string{470.5: "470.5", 7200: "7200", 0.00000001: "0.00000001", 3e22: "30000000000000000000000"} {
		if got, err := f.MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("JSON of %v: %s, %v, want %s", float64(f), got, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0 ports", 1: "1 port", 2: "2 ports", 7200: "7,200 ports", 1e6: "1,000,000 ports"} {
		if got := form.Count(n, "port"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := form.Count(2, "source address"); got != "2 source addresses" {
		t.Error(got)
	}
}
