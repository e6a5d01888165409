package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each field of a row in JSON is a column of CSV, with the same value.
func TestCSVSaysWhatJSONSays(t *testing.T) {
	in := lossyHost()
	d := Build(in)
	lines, err := csv.NewReader(strings.NewReader(csvOf(t, d))).ReadAll()
	if err != nil || len(lines) != len(d.Destinations)+1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	var doc struct{ Destinations []map[string]any }
	numbers := json.NewDecoder(bytes.NewReader(jsonOf(t, d, false)))
	numbers.UseNumber() // as they are written
	if err := numbers.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for i, r := range doc.Destinations {
		delete(r, "charts")
		want := map[string]string{"host": "web1"}
		flatten(want, "", r)
		got := make(map[string]string)
		for j, title := range lines[0] {
			if !strings.HasPrefix(title, "ports.") {
				got[title] = lines[i+1][j]
			}
		}
		want["failed"], want["failed_by"] = fmt.Sprint(d.Destinations[i].failed()), d.Destinations[i].failedBy()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("row %d (-JSON +CSV):\n%s", i, diff)
		}
	}
}

func flatten(to map[string]string, path string, of map[string]any) {
	for name, v := range of {
		switch v := v.(type) {
		case map[string]any:
			if path+name != "failed" {
				flatten(to, path+name+".", v)
			}
		case []any:
			var parts []string
			for _, p := range v {
				parts = append(parts, fmt.Sprint(p))
			}
			to[path+name] = strings.Join(parts, "; ")
		case nil:
			to[path+name] = ""
		default:
			to[path+name] = fmt.Sprint(v)
		}
	}
}

// A spreadsheet takes what begins so for a formula, even in quotes.
func TestCSVHasNoFormulas(t *testing.T) {
	lines, err := csv.NewReader(strings.NewReader(csvOf(t, Build(hostileHost())))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	guarded := 0
	for _, line := range lines {
		for i, field := range line {
			if strings.ContainsAny(strings.TrimLeft(field, " ")[:min(1, len(strings.TrimLeft(field, " ")))], "=+-@") {
				t.Errorf("%s is %q", lines[0][i], field)
			}
			if strings.HasPrefix(field, "'=") || strings.HasPrefix(field, "'@") {
				guarded++
			}
		}
	}
	if guarded == 0 {
		t.Error("nothing hostile is there")
	}
}

func TestCSVTellsNothingFromUnknown(t *testing.T) {
	d := Build(busyHost())
	r := &d.Destinations[0]
	r.Host, r.Service.Unit, r.Service.PID, r.Dst.Addr, r.Open.Oldest = "h", "", nil, nil, pointer(Decimal(math.NaN()))
	d.Destinations = d.Destinations[:1]
	lines := strings.Split(csvOf(t, d), "\n")
	titles, fields := strings.Split(lines[0], ","), strings.Split(lines[1], ",")
	for title, want := range map[string]string{"host": "h", "service.pid": "", "service.unit": `""`, "dst.addr": ""} {
		for i := range titles {
			if titles[i] == title && fields[i] != want {
				t.Errorf("%s is %s, want %s", title, fields[i], want)
			}
		}
	}
	if strings.Contains(lines[1], "null") || strings.Contains(lines[1], "NaN") {
		t.Errorf("a word for what is no number: %s", lines[1])
	}
}
