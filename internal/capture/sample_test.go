package capture

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	sample = flag.Bool("write-sample", false, "write a sample of the current version, unless there is one")
)

// TestSamples holds the promise: each version that was ever written is read, and gives what it gave. A sample is never
// written again.
func TestSamples(t *testing.T) {
	if *sample {
		writeSample(t)
	}
	files, err := filepath.Glob("testdata/v*.tcps")
	if err != nil || len(files) != Major {
		t.Fatalf("%d samples, want one of each of %d versions (-write-sample); %v", len(files), Major, err)
	}
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := describe(t, file)
		golden := strings.TrimSuffix(path, ".tcps") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
		if s, err := Verify(bytes.NewReader(file)); err != nil || len(s.Damages) > 0 {
			t.Errorf("%s: %+v, %v", path, s, err)
		}
	}
}

// describe prints all that a capture gives, a line each.
func describe(t *testing.T, file []byte) string {
	t.Helper()
	c, err := NewReader(bytes.NewReader(file), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "header%s\n", fields(*c.Header()))
	for {
		i, err := c.Next()
		if err != nil {
			return b.String()
		}
		switch i.Kind {
		case KindEvent:
			fmt.Fprintf(&b, "event%s\n", fields(*i.Event))
		case KindSettings:
			fmt.Fprintf(&b, "settings%s\n", fields(*i.Settings))
		case KindService:
			fmt.Fprintf(&b, "service%s\n", fields(*i.Service))
		case KindEnd:
			fmt.Fprintf(&b, "end%s\n", fields(*i.End))
		case KindDamage:
			fmt.Fprintf(&b, "damage%s\n", fields(*i.Damage))
		}
	}
}

// fields are those that are not zero: a sample does not change because there are new ones.
func fields(s any) string {
	var b strings.Builder
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			text := fmt.Sprintf("%+v", f.Interface())
			if raw, ok := f.Interface().(json.RawMessage); ok {
				text = string(raw)
			}
			fmt.Fprintf(&b, " %s=%s", v.Type().Field(i).Name, text)
		}
	}
	return b.String()
}

func writeSample(t *testing.T) {
	t.Helper()
	f, err := Create(fmt.Sprintf("testdata/v%d.tcps", Major), false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(f, Header{
		Host: "db1", Kernel: "6.1.0-18-amd64", Version: "0.5.0", Hooks: []string{"tp_btf/inet_sock_set_state", "fexit/inet_twsk_alloc"},
		Tier: 1, BootID: "2b5bd5d1-8a5a-4dbb-a1d4-5d1e0c1f0a0f", Monotonic: 12_000_000_000, UnixNano: generatedStart,
		Filter: "dst.port==5432", WindowStart: generatedStart, Facts: []byte(`{"a":1}`),
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range sampleItems() {
		put(t, w, &i)
	}
	if err := w.Close(End{Facts: []byte(`{"b":2}`)}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// sampleItems have something of everything in them: each kind of event, addresses of all families, every fact.
func sampleItems() (all []Item) {
	reserved := new(host.PortSet)
	for port := range uint16(5) {
		reserved.Add(8080 + port)
	}
	all = append(all,
		Item{Kind: KindSettings, Settings: &host.Settings{
			Netns: generatedNetns, RangeLow: 32768, RangeHigh: 60999, Reserved: reserved, TimeWaitReuse: 2, TimeWaitReuseDelay: time.Second,
			Timestamps: true, MaxTimeWait: 131072, FinTimeout: time.Minute, PortStep: 3,
		}},
		Item{Kind: KindService, Service: &Service{
			Identity: event.Identity{CgroupID: 71, Comm: event.Comm{'p', 'g', 0xff}}, Name: "pg", Kind: "pod", PID: 812, PIDs: []uint32{811, 812},
			Processes: 2, ProcessesMore: true, Comm: "pg", Exe: "/usr/bin/pg", Runtime: "native", Library: "libpq",
			Unit: "pg.service", ContainerID: "c0ffee", Pod: "b1a5", Cgroup: "/kubepods/x",
		}})
	for i := range 60 {
		e := generated()[i*300]
		switch i {
		case 50:
			e.Kind, e.Of, e.Count = event.Lost, event.TimeWait, 1234
		case 51:
			e.Kind, e.Error, e.Cause, e.Basis = event.BindFailed, event.EADDRINUSE, event.PortsExhausted, event.Exact
			e.Remote = addrPort("0.0.0.0:0")
		case 52:
			e.Kind, e.Remaining = event.Open, 31*time.Second
		case 53:
			e.Kind, e.Preexisting, e.InCensus, e.DirectionBasis = event.Existing, true, true, event.Inferred
		case 54:
			e.Remote = addrPort("[fe80::1%eth0]:443")
		case 40:
			all = append(all, Item{})
		}
		all = append(all, Item{Kind: KindEvent, Event: &e})
	}
	return append(all, Item{Kind: KindSettings, Settings: &host.Settings{Netns: 7, Reserved: new(host.PortSet)}})
}
