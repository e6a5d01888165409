package agent

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/service"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sameAs compares with a golden file.
func sameAs(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// textOf is what Prometheus reads of a snapshot, the process's own metrics left out.
func textOf(t *testing.T, s *Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range familiesOf(s) {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// samples are the samples of a snapshot by name and labels, e.g. tcpstate_time_wait{service="x",…}. Each must be there
// once, with labels and names as Prometheus wants them.
func samples(t *testing.T, s *Snapshot) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, f := range familiesOf(s) {
		if !model.LegacyValidation.IsValidMetricName(f.GetName()) || f.GetHelp() == "" {
			t.Errorf("%s: a strange name, or no help", f.GetName())
		}
		for _, m := range f.GetMetric() {
			key := f.GetName() + labelsText(t, m.GetLabel())
			if _, twice := all[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			switch {
			case m.Counter != nil:
				all[key] = m.GetCounter().GetValue()
				if m.GetCounter().GetCreatedTimestamp() == nil {
					t.Errorf("%s: not known since when", key)
				}
			case m.Gauge != nil:
				all[key] = m.GetGauge().GetValue()
			case m.Histogram != nil:
				all[key] = float64(m.GetHistogram().GetSampleCount())
				soundHistogram(t, key, m.GetHistogram())
			}
		}
	}
	return all
}

func labelsText(t *testing.T, labels []*dto.LabelPair) string {
	t.Helper()
	var parts []string
	last := ""
	for _, l := range labels {
		if l.GetName() <= last || !model.LegacyValidation.IsValidLabelName(l.GetName()) {
			t.Errorf("label %q after %q", l.GetName(), last)
		}
		last = l.GetName()
		v := l.GetValue()
		if !utf8.ValidString(v) || len(v) > maxLabel || event.Printable(v) != v {
			t.Errorf("label %s=%q", l.GetName(), v)
		}
		parts = append(parts, fmt.Sprintf("%s=%q", l.GetName(), v))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// soundHistogram is what Prometheus checks when it reads one (histogram.Validate): else it refuses the whole scrape.
func soundHistogram(t *testing.T, key string, h *dto.Histogram) {
	t.Helper()
	sum, last, i := h.GetZeroCount(), int64(0), 0
	for n, s := range h.GetPositiveSpan() {
		if n > 0 && s.GetOffset() < 0 || s.GetLength() == 0 {
			t.Errorf("%s: span %d is %v", key, n, s)
		}
		for range s.GetLength() {
			last += h.GetPositiveDelta()[i]
			i++
			if last < 0 {
				t.Errorf("%s: a negative bucket", key)
			}
			sum += uint64(last)
		}
	}
	if i != len(h.GetPositiveDelta()) || sum != h.GetSampleCount() || h.GetSchema() != schema {
		t.Errorf("%s: %d of %d deltas, %d in buckets, %d counted", key, i, len(h.GetPositiveDelta()), sum, h.GetSampleCount())
	}
}

// in is an event of a connection that was accepted.
func in(kind event.Kind, from string, at time.Duration) event.Event {
	e := out(kind, netip.AddrPortFrom(netip.MustParseAddr(from), 50000), at)
	e.Direction, e.Local = event.Inbound, netip.MustParseAddrPort("10.0.0.1:80")
	e.Owner = event.Owner{PID: 20, Basis: event.OwnerListener}
	copy(e.Owner.Comm[:], "nginx")
	return e
}

func settingsOf(netns uint32, low, high uint16) *host.Settings {
	return &host.Settings{Netns: netns, RangeLow: low, RangeHigh: high, Reserved: new(host.PortSet), Blocked: new(host.PortSet)}
}

func observe(l *book, events ...event.Event) {
	for i := range events {
		l.Observe(&events[i])
	}
}

// ended is the end of a connection that this host closed first, after a second.
func ended(kind event.Kind, to netip.AddrPort, at time.Duration) event.Event {
	e := out(kind, to, at)
	e.ClosedBy, e.Lifetime, e.Counted, e.SentBytes, e.ReceivedBytes = event.ClosedLocal, time.Second, true, 100, 1000
	return e
}

func TestWhatPrometheusReads(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	l.SetHost(settingsOf(1, 40000, 40099))
	db := remote(1)
	for i := range 40 {
		at := time.Duration(i) * 100 * time.Millisecond
		c := out(event.Connect, db, at)
		c.ConnectTime = 2 * time.Millisecond
		observe(l, c)
		if i < 30 {
			observe(l, ended(event.TimeWait, db, at+50*time.Millisecond))
		}
	}
	refused, empty := out(event.ConnectFailed, remote(2), 0), out(event.ConnectFailed, db, 0)
	refused.Error = event.Error(111)
	empty.Error, empty.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
	lost := out(event.Lost, db, 0)
	lost.Of, lost.Count = event.Connect, 7
	observe(l, refused, empty, empty, lost)
	for _, from := range []string{"10.0.0.8", "10.0.0.9"} { // one listener, one series
		observe(l, in(event.Accept, from, 0))
	}
	s := complete(l.Publish(noon+int64(5*time.Second), true))
	s.Namespaces = []NamespaceWaits{{Netns: 1, TimeWait: 30}}
	s.Findings = map[Finding]int{{"warning", "unpooled"}: 2}
	s.Programs = []Program{{"inet_sock_set_state", 1000, time.Millisecond}}
	s.Recorder = Recorder{Running: true, Incidents: 1, Events: 90, Bytes: 1000}
	v := Verdict{Labels: Labels{Service: "client", Destination: "10.1.0.1:5432"}, Verdict: "unpooled", Confidence: "high"}
	v.pairs = pairsOf("service", v.Service, "destination", v.Destination, "verdict", v.Verdict, "kind", v.Kind, "confidence", v.Confidence)
	s.Verdicts = []Verdict{v}
	samples(t, s)
	sameAs(t, "metrics.txt", textOf(t, s))
}

// Where it is not known how many TIME_WAITs are held, nothing is said of what follows from that.
func TestWhatIsNotKnownIsNotThere(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	observe(l, out(event.Connect, remote(1), 0))
	s := complete(l.Publish(noon+1e9, false))
	s.Tracer.Tier = 0
	for key := range samples(t, s) {
		for _, name := range []string{"tcpstate_time_wait{", "tcpstate_port_capacity", "tcpstate_ports_used", "tcpstate_ports_reusable", "tcpstate_port_used_ratio", "tcpstate_seconds"} {
			if strings.HasPrefix(key, name) {
				t.Errorf("%s is there", key)
			}
		}
	}
	// Settings are missing, TIME_WAITs are known: ports are counted, and nothing is said of how many there are.
	known := samples(t, complete(l.Publish(noon+2e9, true)))
	if v, ok := known[`tcpstate_ports_used{destination="10.1.0.1:5432",source="10.0.0.1"}`]; !ok || v != 1 {
		t.Errorf("ports used: %v, %v", v, ok)
	}
	if _, ok := known[`tcpstate_port_capacity{destination="10.1.0.1:5432",source="10.0.0.1"}`]; ok {
		t.Error("a capacity without settings")
	}
}

// Rows of several network namespaces and source addresses have the same labels: they are added up.
func TestRowsWithTheSameLabelsAreAddedUp(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	for netns, n := range map[uint32]int{1: 3, 2: 5} {
		l.SetHost(settingsOf(netns, 40000, 40000+uint16(netns)*10-1)) // 10 and 20 ports
		for range n {
			c := out(event.Connect, remote(1), 0)
			c.Netns = netns
			observe(l, c)
		}
		f := out(event.ConnectFailed, remote(1), 0)
		f.Netns, f.Error, f.Cause = netns, event.EADDRNOTAVAIL, event.PortsExhausted
		observe(l, f)
	}
	other := out(event.Connect, remote(1), 0)
	other.Local = netip.MustParseAddrPort("10.0.0.2:40000")
	observe(l, other)
	got := samples(t, complete(l.Publish(noon+1e9, true)))
	const row, port = `{destination="10.1.0.1:5432",service="client"}`, `{destination="10.1.0.1:5432",source="10.0.0.1"}`
	for key, want := range map[string]float64{
		"tcpstate_connects_total" + row: 9, "tcpstate_open_connections" + row: 9,
		`tcpstate_connect_failures_total{destination="10.1.0.1:5432",error="EADDRNOTAVAIL",service="client"}`: 2,
		"tcpstate_port_capacity" + port: 30, "tcpstate_ports_used" + port: 8, "tcpstate_port_used_ratio" + port: 0.3,
		"tcpstate_port_exhaustions_total" + port:                                         2,
		`tcpstate_port_exhaustions_total{destination="10.1.0.1:5432",source="10.0.0.2"}`: 0,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
		}
	}
}

// Of the ports that are used, those are told apart that connect() takes over: where nobody knows, nothing is said.
func TestPortsThatConnectTakesOver(t *testing.T) {
	const port = `{destination="10.1.0.1:5432",source="10.0.0.1"}`
	reusable := func(used, waits int, namespaces ...*host.Settings) any {
		t.Helper()
		l := newBook(LedgerOptions{Destinations: 10})
		for _, s := range namespaces {
			if s.RangeLow > 0 {
				l.SetHost(s)
			}
			for i := range used {
				c, w := out(event.Connect, remote(1), 0), ended(event.TimeWait, remote(1), time.Second)
				c.Netns, w.Netns = s.Netns, s.Netns
				observe(l, c)
				if i < waits {
					observe(l, w)
				}
			}
		}
		got := samples(t, complete(l.Publish(noon+2e9, true)))
		if n := float64(used * len(namespaces)); got["tcpstate_ports_used"+port] != n {
			t.Errorf("%v ports used, want %v", got["tcpstate_ports_used"+port], n)
		}
		if v, ok := got["tcpstate_ports_reusable"+port]; ok {
			return v
		}
		return nil
	}
	with := func(netns uint32, reuse int) *host.Settings {
		s := settingsOf(netns, 40000, 40099)
		s.TimeWaitReuse, s.Timestamps, s.TimeWaitReuseDelay = reuse, true, time.Second
		return s
	}
	unstamped, unknown := with(1, 1), &host.Settings{Netns: 2}
	unstamped.Timestamps = false
	for _, c := range []struct {
		name        string
		used, waits int
		in          []*host.Settings
		want        any
	}{
		{"never", 50, 40, []*host.Settings{with(1, 0)}, 0.0},
		{"on loopback only", 50, 40, []*host.Settings{with(1, 2)}, 0.0},
		{"always", 50, 40, []*host.Settings{with(1, 1)}, 40.0},
		{"always, but connections have no timestamps", 50, 40, []*host.Settings{unstamped}, 0.0},
		{"nothing is in TIME_WAIT", 50, 0, []*host.Settings{with(1, 1)}, 0.0},
		{"two namespaces", 50, 40, []*host.Settings{with(1, 1), with(3, 0)}, 40.0},
		{"not known", 50, 40, []*host.Settings{unknown}, nil},
		{"not known of one of two", 50, 40, []*host.Settings{with(1, 1), unknown}, nil},
	} {
		if got := reusable(c.used, c.waits, c.in...); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// 10,000 services and destinations, named by an enemy: bounded, each series once, and the totals are exact.
func TestTenThousandLabels(t *testing.T) {
	const bound, n = 1000, 10_000
	l := newBook(LedgerOptions{Destinations: bound, Owner: func(o *event.Owner) *service.Service {
		return &service.Service{Name: strings.Repeat("\xff\"\n\u202e{}é", 40) + fmt.Sprint(o.PID)}
	}})
	for i := range n {
		c := out(event.Connect, remote(i), time.Duration(i))
		c.Owner.PID = uint32(i)
		a := in(event.Accept, remote(i).Addr().String(), time.Duration(i))
		a.Local = netip.AddrPortFrom(a.Local.Addr(), uint16(i))
		f := out(event.ConnectFailed, remote(i), time.Duration(i))
		f.Error, f.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
		observe(l, c, a, f)
		if i%1000 == 0 {
			l.Publish(noon+int64(i), true)
		}
	}
	s := complete(l.Publish(noon+1e9, true))
	if len(s.Series) > bound+2 || len(s.Ports) > bound+1 {
		t.Errorf("%d series and %d ports of %d rows", len(s.Series), len(s.Ports), bound)
	}
	sums := make(map[string]float64)
	for key, v := range samples(t, s) {
		name, _, _ := strings.Cut(key, "{")
		sums[name] += v
	}
	for _, name := range []string{"connects_total", "accepts_total", "connect_failures_total", "port_exhaustions_total"} {
		if got := sums["tcpstate_"+name]; got != n {
			t.Errorf("%s: %v in all, want %d", name, got, n)
		}
	}
	if sums["tcpstate_events_total"] != 3*n || s.Exhausted != n || s.Failed != n {
		t.Errorf("%v events, %d exhausted, %d failed", sums["tcpstate_events_total"], s.Exhausted, s.Failed)
	}
	all := textOf(t, s)
	for _, want := range []string{`service="~other"`, `destination="~other"`, `listener="~other"`, `source="~other"`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s", want)
		}
	}
}

// A service that turns out to be called otherwise leaves what it counted where it was: nothing is counted twice, and no
// counter goes down.
func TestAServiceThatGetsAnotherNameIsNotCountedTwice(t *testing.T) {
	name := "unknown"
	l := newBook(LedgerOptions{Destinations: 10, Owner: func(*event.Owner) *service.Service {
		return &service.Service{Name: name}
	}})
	rng := rand.New(rand.NewPCG(1, 2))
	before := map[string]float64{}
	opened := 0.0
	for second := range int64(60) {
		for range rng.IntN(20) {
			observe(l, out(event.Connect, remote(1), time.Duration(second)*time.Second))
			opened++
		}
		observe(l, ended(event.Close, remote(1), time.Duration(second)*time.Second))
		if second == 20 {
			name = "web"
		}
		now := samples(t, complete(l.Publish(noon+second*1e9, true)))
		sum := 0.0
		for key, v := range now {
			if strings.HasPrefix(key, "tcpstate_connects_total") {
				sum += v
			}
			if strings.Contains(key, "_total") && v < before[key] {
				t.Errorf("second %d: %s went from %v to %v", second, key, before[key], v)
			}
		}
		if sum != opened {
			t.Fatalf("second %d: %v connects, want %v", second, sum, opened)
		}
		before = now
	}
	for _, service := range []string{"unknown", "web"} {
		if before[`tcpstate_connection_lifetime_seconds{destination="10.1.0.1:5432",service="`+service+`"}`] == 0 {
			t.Errorf("%s has no lifetimes: %v", service, before)
		}
	}
	if v := before[`tcpstate_open_connections{destination="10.1.0.1:5432",service="unknown"}`]; v != 0 {
		t.Errorf("%v connections are still open under the old name", v)
	}
}

// What is idle for an hour makes room. It comes back at nothing, from then on; totals go on.
func TestIdleSeriesMakeRoomAndComeBackAtNothing(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 2})
	observe(l, out(event.Connect, remote(1), 0), ended(event.Close, remote(1), time.Second),
		out(event.Connect, remote(2), 0)) // stays open
	now := noon
	step := func(d time.Duration) *Snapshot {
		now += int64(d)
		return complete(l.Publish(now, true))
	}
	if n := len(step(time.Second).Series); n != 2 {
		t.Fatalf("%d series", n)
	}
	observe(l, out(event.Connect, remote(3), 0), ended(event.Close, remote(3), 0))
	if s := step(time.Second); s.Series[len(s.Series)-1].Service != Other {
		t.Fatalf("want ~other beyond the bound: %+v", s.Series[len(s.Series)-1])
	}
	for range 58 {
		if n := len(step(time.Minute).Series); n != 3 {
			t.Fatalf("%d series before an hour is over", n)
		}
	}
	for range 12 {
		step(time.Minute)
	}
	var names []string
	s := step(time.Minute)
	for _, x := range s.Series {
		names = append(names, x.Service+" "+x.Destination)
	}
	if want := []string{"client 10.1.0.2:5432"}; !slices.Equal(names, want) {
		t.Fatalf("after an hour: %q, want %q", names, want)
	}
	if len(s.Ports) != 1 || s.Ports[0].Used != 1 {
		t.Errorf("ports: %+v", s.Ports)
	}
	observe(l, out(event.Connect, remote(1), time.Duration(now-noon)))
	s = step(time.Second)
	for _, x := range s.Series {
		if x.Destination == "10.1.0.1:5432" && (x.Opened != 1 || !x.Created.After(s.At.Add(-2*time.Second))) {
			t.Errorf("it came back with %d since %s", x.Opened, x.Created)
		}
	}
	if len(s.Series) != 2 || s.Events[event.Connect] != 4 {
		t.Errorf("%d series, %d connects in all", len(s.Series), s.Events[event.Connect])
	}
}

// Idle for hours within one long window, whose table has the row all the time: it goes, stays away, and comes back.
func TestIdleSeriesMakeRoomWithinALongWindow(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	l.windows.SetLength(24 * time.Hour)
	empty := out(event.ConnectFailed, remote(1), 0)
	empty.Error, empty.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
	observe(l, out(event.Connect, remote(1), 0), empty, ended(event.Close, remote(1), time.Second))
	for i := range int64(200) {
		s := l.Publish(noon+i*int64(time.Minute), true)
		if want := 1; i < 59 && (len(s.Series) != want || len(s.Ports) != want) || i > 64 && (len(s.Series) != 0 || len(s.Ports) != 0) {
			t.Fatalf("after %d minutes: %d series, %d ports", i, len(s.Series), len(s.Ports))
		}
	}
	empty.UnixNano = noon + int64(4*time.Hour)
	observe(l, empty)
	s := l.Publish(noon+int64(4*time.Hour), true)
	if len(s.Series) != 1 || s.Series[0].Opened != 0 || s.Series[0].Failed[0].Count != 1 || len(s.Ports) != 1 || s.Ports[0].Exhausted != 1 {
		t.Errorf("it came back as %+v, %+v", s.Series, s.Ports)
	}
	if s.Exhausted != 2 || s.Failed != 2 {
		t.Errorf("%d exhausted and %d failed in all", s.Exhausted, s.Failed)
	}
}

// Tables come and go under the ledger; it counts as if there were one. Whatever comes, in whatever order.
func TestCountersGoOnFromTableToTable(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 9))
		l := newBook(LedgerOptions{Destinations: 8})
		l.windows.SetLength(time.Duration(1+rng.IntN(5)) * time.Second)
		l.SetHost(settingsOf(1, 40000, 40099))
		whole := churn.New(churn.Options{Start: noon})
		var s *Snapshot
		before := map[string]float64{}
		for second := range int64(40) {
			for range rng.IntN(30) {
				e := anyEvent(rng, noon+second*1e9)
				l.Observe(&e)
				whole.Observe(&e)
			}
			s = complete(l.Publish(noon+second*1e9, true))
			now := samples(t, s)
			for key, v := range before {
				if strings.Contains(key, "_total{") && now[key] < v {
					t.Fatalf("seed %d, second %d: %s went from %v to %v", seed, second, key, v, now[key])
				}
			}
			before = now
		}
		var want, got [7]uint64
		for _, r := range whole.Rows() {
			for i, n := range []uint64{r.Opened, r.Closed, r.Failed(), r.TimeWaitEntered, r.SentBytes, r.PortsExhausted, r.Lifetimes.Count()} {
				want[i] += n
			}
		}
		for _, x := range s.Series {
			got[0] += x.Opened
			for _, n := range x.ClosedBy {
				got[1] += n
			}
			for _, f := range x.Failed {
				got[2] += f.Count
			}
			got[3] += x.TimeWaitEntered
			got[4] += x.SentBytes
			if x.Lifetimes != nil {
				got[6] += x.Lifetimes.Count
			}
		}
		for _, p := range s.Ports {
			got[5] += p.Exhausted
		}
		if got != want {
			t.Errorf("seed %d: opened, closed, failed, TIME_WAIT, sent, exhausted, lifetimes: %v, want %v", seed, got, want)
		}
	}
}

// anyEvent is one of a dozen destinations, from any of two services.
func anyEvent(rng *rand.Rand, at int64) event.Event {
	e := out([]event.Kind{event.Connect, event.Connect, event.Close, event.TimeWait, event.TimeWaitEnd, event.ConnectFailed, event.Lost}[rng.IntN(7)],
		remote(rng.IntN(12)), 0)
	e.UnixNano = at
	e.Owner.Comm[0] = byte('a' + rng.IntN(2))
	switch e.Kind {
	case event.Close, event.TimeWait:
		e.ClosedBy, e.Lifetime, e.Counted, e.SentBytes = event.Closer(rng.IntN(5)), time.Duration(rng.Int64N(1e12)), true, uint64(rng.IntN(1000))
	case event.ConnectFailed:
		if e.Error, e.Cause = event.EADDRNOTAVAIL, event.PortsExhausted; rng.IntN(2) == 0 {
			e.Error, e.Cause = event.Error(111), 0
		}
	case event.Lost:
		e.Of, e.Count = []event.Kind{event.Connect, event.TimeWait, event.ConnectFailed}[rng.IntN(3)], uint64(1+rng.IntN(9))
		if e.Of == event.ConnectFailed {
			e.Error, e.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
		}
	}
	return e
}

// A thousand destinations an hour for a day: what is kept does not grow.
func TestADayOfNewDestinationsStaysBounded(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 500})
	now, most := noon, 0
	for i := range 24 * 60 {
		for k := range 20 {
			to := remote((i*20 + k) % 60000)
			c := out(event.Connect, to, time.Duration(now-noon))
			e := ended(event.Close, to, time.Duration(now-noon)+time.Millisecond)
			l.Observe(&c)
			l.Observe(&e)
		}
		now += int64(time.Minute)
		s := l.Publish(now, true)
		most = max(most, len(s.Series))
		if s.Events[event.Connect] != uint64(20*(i+1)) {
			t.Fatalf("%d connects", s.Events[event.Connect])
		}
	}
	if most > 501 || len(l.tallies) > 501 || len(l.series) > 501 || len(l.budgets) > 501 || len(l.ports) > 501 {
		t.Errorf("%d series at most, %d rows, %d, %d budgets, %d ports", most, len(l.tallies), len(l.series), len(l.budgets), len(l.ports))
	}
}

// A scrape must not see what the tracing goroutine writes: run with -race.
func TestSnapshotsDoNotChange(t *testing.T) {
	l, events := busy(50)
	state := NewState()
	state.Publish(complete(l.Publish(noon+1e9, true)))
	site := NewSite(state, NewGatherer(state), "test", log.New(io.Discard, "", 0))
	first := textOf(t, state.Latest())
	snapshot := state.Latest()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			w := httptest.NewRecorder()
			site.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		}
	}()
	for i := range int64(50) {
		for k := range events {
			events[k].UnixNano = noon + i*1e9
			l.Observe(&events[k])
		}
		state.Publish(complete(l.Publish(noon+i*1e9, true)))
	}
	<-done
	if textOf(t, snapshot) != first {
		t.Error("a snapshot has changed")
	}
}

func TestHistogramsKeepWhatTheyCountedAsItSpreads(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	rng := rand.New(rand.NewPCG(3, 4))
	last := map[int]uint64{}
	var all []float64
	sum := 0.0
	for step := range int64(200) {
		for range rng.IntN(30) {
			// From microseconds to days: more than the table's histograms hold without joining buckets.
			v := time.Duration(math.Exp(rng.Float64()*27)) * time.Microsecond / 4
			e := ended(event.Close, remote(1), time.Duration(step)*time.Second)
			e.Lifetime = v
			observe(l, out(event.Connect, remote(1), 0), e)
			all = append(all, v.Seconds())
			sum += v.Seconds()
		}
		s := complete(l.Publish(noon+step*1e9, true))
		samples(t, s) // each is sound
		h := s.Series[0].Lifetimes
		if h == nil {
			continue
		}
		now := map[int]uint64{}
		for _, b := range h.Buckets {
			now[b.Index] = b.Count
		}
		for i, n := range last {
			if now[i] < n {
				t.Fatalf("step %d: bucket %d went from %d to %d, which reads as a restart", step, i, n, now[i])
			}
		}
		last = now
		if h.Count != uint64(len(all)) || math.Abs(h.Sum-sum) > 1e-6*sum {
			t.Fatalf("step %d: %d counted, sum %v; want %d, %v", step, h.Count, h.Sum, len(all), sum)
		}
	}
	// A quantile read from it is near the true one.
	slices.Sort(all)
	indices, seen := slices.Sorted(maps.Keys(last)), uint64(0)
	for _, i := range indices {
		if seen += last[i]; seen >= uint64(len(all)/2) {
			upper := math.Exp2(float64(i) / 8)
			if middle := all[len(all)/2]; upper < middle/1.2 || upper > middle*1.3 {
				t.Errorf("the median is %v, by the histogram it is below %v", middle, upper)
			}
			break
		}
	}
}

func TestDocumentedMetricsAreThoseThereAre(t *testing.T) {
	var b strings.Builder
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), b.String()) {
		t.Errorf("docs/metrics.md must have this table:\n%s", b.String())
	}
}
