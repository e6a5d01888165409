package churn

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
)

const epoch = int64(1_700_000_000_000_000_000)

func comm(s string) (c event.Comm) {
	copy(c[:], s)
	return c
}

// out is an event of a connection from 10.0.0.1 to 10.0.0.2:5432.
func out(kind event.Kind, at time.Duration) *event.Event {
	return &event.Event{
		UnixNano: epoch + int64(at), Kind: kind, Direction: event.Outbound, Netns: 1,
		Owner:  event.Owner{PID: 10, CgroupID: 7, Comm: comm("client"), Basis: event.OwnerConnect},
		Local:  netip.MustParseAddrPort("10.0.0.1:40000"),
		Remote: netip.MustParseAddrPort("10.0.0.2:5432"), Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
	}
}

func in(kind event.Kind, at time.Duration, o event.Owner) *event.Event {
	e := out(kind, at)
	e.Direction, e.Owner = event.Inbound, o
	e.Local, e.Remote = netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.9:51000")
	return e
}

func closed(at time.Duration, by event.Closer) *event.Event {
	e := out(event.Close, at)
	e.ClosedBy, e.Counted, e.Lifetime = by, true, time.Millisecond
	e.SentBytes, e.ReceivedBytes, e.SentDataSegments, e.ReceivedDataSegments = 100, 200, 3, 2
	return e
}

func observe(t *Table, events ...*event.Event) *Table {
	for _, e := range events {
		t.Observe(e)
	}
	return t
}

func only(t *testing.T, table *Table) *Row {
	t.Helper()
	rows := table.Rows()
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	return rows[0]
}

func TestRowCountsWhatBecameOfConnections(t *testing.T) {
	failed := out(event.ConnectFailed, 3)
	failed.Error = event.Error(111)
	exhausted := out(event.ConnectFailed, 4)
	exhausted.Error, exhausted.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
	bound := out(event.ConnectFailed, 4)
	bound.Error, bound.Cause = event.EADDRNOTAVAIL, event.TupleInUse
	tw := closed(6, event.ClosedLocal)
	tw.Kind = event.TimeWait
	overflow := closed(6, event.ClosedLocal)
	overflow.Cause = event.TimeWaitOverflow
	table := observe(New(Options{}), out(event.Connect, 0), out(event.Connect, 1), out(event.Connect, 2), failed, exhausted, bound,
		closed(5, event.ClosedRemote), tw, overflow)
	r := only(t, table)
	got := map[string]uint64{
		"opened": r.Opened, "closed": r.Closed, "failed": r.Failed(), "attempts": r.Attempts(), "refused": r.FailedWith(111),
		"EADDRNOTAVAIL": r.FailedWith(event.EADDRNOTAVAIL), "exhausted": r.PortsExhausted, "bound": r.TupleInUse,
		"local": r.ClosedBy[event.ClosedLocal], "remote": r.ClosedBy[event.ClosedRemote], "time_wait": r.TimeWaitEntered,
		"overflow": r.TimeWaitOverflow, "sent": r.SentBytes, "received": r.ReceivedBytes, "open": r.Open(),
		"exchanges": r.Exchanges.Sum(), "lives": r.Lifetimes.Count(),
	}
	want := map[string]uint64{
		"opened": 3, "closed": 3, "failed": 3, "attempts": 6, "refused": 1, "EADDRNOTAVAIL": 2, "exhausted": 1, "bound": 1,
		"local": 2, "remote": 1, "time_wait": 1, "overflow": 1, "sent": 300, "received": 600, "open": 0, "exchanges": 6, "lives": 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestFailuresBeyondSixErrorsAreCountedAsOther(t *testing.T) {
	table := New(Options{})
	for errno := range event.Error(9) {
		e := out(event.ConnectFailed, 0)
		e.Error = 100 + errno
		observe(table, e, e)
	}
	r := only(t, table)
	if r.Failed() != 18 || r.FailedWith(105) != 2 || r.FailedWith(106) != 0 || r.FailedWith(OtherFailures) != 6 {
		t.Errorf("failed %d, with 105 %d, with 106 %d, other %d; want 18, 2, 0, 6",
			r.Failed(), r.FailedWith(105), r.FailedWith(106), r.FailedWith(OtherFailures))
	}
	sum := uint64(0)
	for _, n := range r.Failures {
		sum += n
	}
	if sum != r.Failed() {
		t.Errorf("the errors add up to %d, want %d", sum, r.Failed())
	}
}

func TestConnectionsShareARowByServiceAndDestination(t *testing.T) {
	change := func(kind event.Direction, f func(e *event.Event)) func() *event.Event {
		return func() *event.Event {
			e := out(event.Connect, 0)
			if kind == event.Inbound {
				e = in(event.Accept, 0, event.Owner{PID: 1, Comm: comm("nginx"), Basis: event.OwnerListener})
			}
			f(e)
			return e
		}
	}
	for _, c := range []struct {
		name string
		make func() *event.Event
		rows int
	}{
		{"outbound: another pid is the same service", change(event.Outbound, func(e *event.Event) { e.Owner.PID = 99 }), 1},
		{"outbound: another local port is the same row", change(event.Outbound, func(e *event.Event) { e.Local = netip.MustParseAddrPort("10.0.0.1:1") }), 1},
		{"outbound: another local address is another row", change(event.Outbound, func(e *event.Event) { e.Local = netip.MustParseAddrPort("10.0.0.3:1") }), 2},
		{"outbound: another destination port is another row", change(event.Outbound, func(e *event.Event) { e.Remote = netip.MustParseAddrPort("10.0.0.2:1") }), 2},
		{"outbound: another program is another row", change(event.Outbound, func(e *event.Event) { e.Owner.Comm = comm("other") }), 2},
		{"outbound: another cgroup is another row", change(event.Outbound, func(e *event.Event) { e.Owner.CgroupID++ }), 2},
		{"outbound: another network namespace is another row", change(event.Outbound, func(e *event.Event) { e.Netns++ }), 2},
		{"inbound: another remote port is the same row", change(event.Inbound, func(e *event.Event) { e.Remote = netip.MustParseAddrPort("10.0.0.9:1") }), 1},
		{"inbound: another owner is the same row", change(event.Inbound, func(e *event.Event) { e.Owner.Comm = comm("other") }), 1},
		{"inbound: another local port is another row", change(event.Inbound, func(e *event.Event) { e.Local = netip.MustParseAddrPort("10.0.0.1:81") }), 2},
		{"inbound: another remote host is another row", change(event.Inbound, func(e *event.Event) { e.Remote = netip.MustParseAddrPort("10.0.0.8:51000") }), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := out(event.Connect, 0)
			changed := c.make()
			if changed.Direction == event.Inbound {
				first = in(event.Accept, 0, event.Owner{PID: 1, Comm: comm("nginx"), Basis: event.OwnerListener})
			}
			if got := len(observe(New(Options{}), first, changed, first, changed).Rows()); got != c.rows {
				t.Errorf("%d rows, want %d", got, c.rows)
			}
		})
	}
}

func TestInboundOwnerIsTheBestKnown(t *testing.T) {
	systemd := event.Owner{PID: 1, Comm: comm("systemd"), Basis: event.OwnerListener}
	listener := event.Owner{PID: 20, Comm: comm("nginx"), Basis: event.OwnerListener}
	closer := event.Owner{PID: 21, Comm: comm("worker"), Basis: event.OwnerCloser}
	cgroup := event.Owner{CgroupID: 5, Basis: event.OwnerCgroup}
	for _, c := range []struct {
		name string
		seen []event.Owner
		want string
	}{
		{"a listener before a closer", []event.Owner{listener, closer}, "nginx"},
		{"a listener after a closer", []event.Owner{closer, listener}, "nginx"},
		{"a closer rather than a cgroup", []event.Owner{closer, cgroup}, "worker"},
		{"a closer rather than pid 1, which only holds the socket", []event.Owner{systemd, closer}, "worker"},
		{"pid 1 where nobody else is known", []event.Owner{cgroup, systemd, {}}, "systemd"},
		{"anybody rather than nobody", []event.Owner{{}, closer}, "worker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := New(Options{})
			for _, o := range c.seen {
				table.Observe(in(event.Close, 0, o))
			}
			if got := only(t, table).Owner.Comm.String(); got != c.want {
				t.Errorf("owner %q, want %q", got, c.want)
			}
		})
	}
}

func TestOutboundOwnerIsTheNewestPID(t *testing.T) {
	a, b, nobody := out(event.Connect, 0), out(event.Connect, 1), out(event.Close, 2)
	b.Owner.PID, nobody.Owner.PID = 11, 0
	if got := only(t, observe(New(Options{}), a, b, nobody)).Owner.PID; got != 11 {
		t.Errorf("pid %d, want 11", got)
	}
}

func TestPeakIsTheMostThatWereOpenAtOnce(t *testing.T) {
	before := closed(9, event.ClosedLocal)
	before.Preexisting, before.Lifetime = true, event.Unknown
	open := out(event.Open, 10)
	open.Preexisting = true
	for _, c := range []struct {
		name      string
		events    []*event.Event
		now, peak uint64
	}{
		{"one after the other", []*event.Event{out(event.Connect, 0), closed(1, 1), out(event.Connect, 2), closed(3, 1)}, 0, 1},
		{"three at once", []*event.Event{out(event.Connect, 0), out(event.Connect, 1), out(event.Connect, 2), closed(3, 1)}, 2, 3},
		{"one that was open before and ended", []*event.Event{before}, 0, 1},
		{"new ones beside one that was open all along", []*event.Event{out(event.Connect, 0), closed(1, 1), out(event.Connect, 2), open}, 2, 2},
		{"one that was open before ends while another is open", []*event.Event{out(event.Connect, 0), before}, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := only(t, observe(New(Options{}), c.events...))
			low, high := r.Peak()
			if r.Open() != c.now || low != c.peak || high != c.peak {
				t.Errorf("open now %d, peak %d to %d; want %d, %d", r.Open(), low, high, c.now, c.peak)
			}
		})
	}
}

func TestLostEventsCountInTheTotals(t *testing.T) {
	lost := func(of event.Kind, n uint64, f func(e *event.Event)) *event.Event {
		e := out(event.Lost, time.Second)
		e.Of, e.Count = of, n
		f(e)
		return e
	}
	table := observe(New(Options{}),
		out(event.Connect, 0), closed(1, event.ClosedLocal),
		lost(event.Connect, 100, func(*event.Event) {}),
		lost(event.ConnectFailed, 7, func(e *event.Event) { e.Error, e.Cause = event.EADDRNOTAVAIL, event.PortsExhausted }),
		lost(event.TimeWait, 60, func(e *event.Event) {
			e.ClosedBy, e.Counted, e.SentBytes, e.ReceivedBytes = event.ClosedLocal, true, 6000, 12000
		}),
		lost(event.Close, 30, func(e *event.Event) { e.ClosedBy = event.ClosedReset }),
	)
	r := only(t, table)
	got := []uint64{
		r.Opened, r.Closed, r.Failed(), r.PortsExhausted, r.TimeWaitEntered, r.ClosedBy[event.ClosedLocal], r.ClosedBy[event.ClosedReset],
		r.SentBytes, r.ReceivedBytes, r.Open(), r.Lifetimes.Count(), r.LostDetails(), table.Counts().Lost, table.Counts().Unassigned,
	}
	want := []uint64{101, 91, 7, 7, 60, 61, 30, 6100, 12200, 10, 1, 197, 197, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if low, high := r.Peak(); low != 10 || high != 101 {
		t.Errorf("peak %d to %d, want 10 to 101", low, high)
	}
}

func TestLostEventsOfNobodyAreUnassigned(t *testing.T) {
	unknown := &event.Event{Kind: event.Lost, Count: 5}
	nowhere := &event.Event{Kind: event.Lost, Of: event.Close, Direction: event.Outbound, Count: 6}
	table := observe(New(Options{}), unknown, nowhere)
	if c := table.Counts(); c.Unassigned != 11 || c.Lost != 11 || len(table.Rows()) != 0 {
		t.Errorf("unassigned %d, lost %d, rows %d; want 11, 11, 0", c.Unassigned, c.Lost, len(table.Rows()))
	}
}

func TestRowsBeyondTheBoundAreMergedAndCounted(t *testing.T) {
	table := New(Options{MaxRows: 3})
	for port := range uint16(10) {
		e := out(event.Connect, 0)
		e.Remote = netip.AddrPortFrom(e.Remote.Addr(), 1000+port)
		table.Observe(e)
		a := in(event.Accept, 0, event.Owner{})
		a.Local = netip.AddrPortFrom(a.Local.Addr(), 1000+port)
		table.Observe(a)
	}
	rows := table.Rows()
	if len(rows) != 6 || !rows[4].Other || !rows[5].Other || rows[4].Direction == rows[5].Direction {
		t.Fatalf("%d rows, want 3, one for a listener, and one for the others of each direction", len(rows))
	}
	var opened uint64
	for _, r := range rows {
		opened += r.Opened
	}
	if opened != 20 || table.Counts().Merged != 17 {
		t.Errorf("opened %d, merged %d; want 20 and 17", opened, table.Counts().Merged)
	}
}

func TestInboundRowsLeaveRoomForOutboundOnes(t *testing.T) {
	table := New(Options{MaxRows: 10})
	for i := range 200 {
		e := in(event.Accept, 0, event.Owner{})
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 1)
		table.Observe(e)
	}
	for port := range uint16(5) {
		e := out(event.Connect, 0)
		e.Remote = netip.AddrPortFrom(e.Remote.Addr(), 1000+port)
		table.Observe(e)
	}
	outbound := 0
	for _, r := range table.Rows() {
		if r.Direction == event.Outbound && !r.Other {
			outbound++
		}
	}
	if outbound != 5 || len(table.Rows()) != 11 || table.Counts().Merged != 195 {
		t.Errorf("%d outbound of %d rows, %d merged; want 5 of 11, 195", outbound, len(table.Rows()), table.Counts().Merged)
	}
}

// A listener with many clients is known still, beyond the bound; so is who listens.
func TestClientsBeyondTheBoundAreCountedByListener(t *testing.T) {
	table := New(Options{MaxRows: 16, Start: noon})
	clients := func(kind event.Kind, from, to int, at time.Duration) {
		for i := from; i < to; i++ {
			e := in(kind, at, event.Owner{Comm: comm("web")})
			e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), 1)
			e.Local = netip.AddrPortFrom(e.Local.Addr(), 8000+uint16(i%4))
			e.Lifetime = at
			observe(table, when(e, at))
		}
	}
	clients(event.Accept, 0, 200, 0)
	opened := make(map[uint16]uint64)
	for _, r := range table.Rows() {
		opened[r.Local.Port()] += r.Opened
		if r.Other && r.Local.IsValid() && (r.Owner.Comm != comm("web") || r.Remote.IsValid()) {
			t.Errorf("of %s, toward %s", r.Owner.Comm, r.Remote)
		}
	}
	// 16 rows are room for two such listeners.
	if want := map[uint16]uint64{8000: 50, 8001: 50, 8002: 2, 8003: 2, 0: 96}; !cmp.Equal(opened, want) {
		t.Errorf("opened by port: %s", cmp.Diff(want, opened))
	}
	table = table.Next(noon + int64(time.Second))
	clients(event.Close, 0, 8, 2*time.Second)
	table = table.Next(noon + int64(3*time.Second)) // which has room again
	clients(event.Close, 8, 200, 4*time.Second)
	for _, r := range table.Rows() {
		if r.Open() != 0 {
			t.Errorf("%s from %s: %d are open still", r.Local, r.Remote, r.Open())
		}
	}
}

func TestSilentConnectionsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name       string
		life, idle time.Duration
		silent     uint64
	}{
		{"silent since its first use", 4 * time.Second, 3900 * time.Millisecond, 1},
		{"silent for half of its life", 4 * time.Second, 2 * time.Second, 1},
		{"used in the second half of its life", 4 * time.Second, time.Second, 0},
		{"too young to be called silent", 300 * time.Millisecond, 250 * time.Millisecond, 0},
		{"not known", 4 * time.Second, event.Unknown, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := out(event.Open, 0)
			e.Lifetime, e.Idle, e.Counted = c.life, c.idle, true
			if got := only(t, observe(New(Options{}), e)).Silent; got != c.silent {
				t.Errorf("silent %d, want %d", got, c.silent)
			}
		})
	}
}

func TestArrivalsTellTheHalvesOfTheWindow(t *testing.T) {
	for _, window := range []time.Duration{5 * time.Second, 10 * time.Second, time.Minute, 3 * time.Hour} {
		table := New(Options{Start: epoch})
		for i := range 100 {
			at := window / 4 * time.Duration(i) / 60 // 60 in the first quarter
			if i >= 60 {
				at = window/2 + window/4 + window/8*time.Duration(i-60)/40 // 40 after three quarters
			}
			table.Observe(out(event.Connect, at))
		}
		table.Close(epoch + int64(window))
		if got := only(t, table).LaterShare(table.Window()); got < 0.38 || got > 0.42 {
			t.Errorf("%v: %v of the connects came later, want 0.4", window, got)
		}
	}
}

func TestBusySecondsCountSecondsWithAttempts(t *testing.T) {
	failed := out(event.ConnectFailed, 5*time.Second)
	r := only(t, observe(New(Options{}), out(event.Connect, 0), out(event.Connect, 200*time.Millisecond), failed,
		out(event.Connect, 5*time.Second), closed(8*time.Second, event.ClosedLocal)))
	if r.BusySeconds() != 2 {
		t.Errorf("%d busy seconds, want 2", r.BusySeconds())
	}
}

func TestWindowIsWhatTheCallerSaysElseWhatTheEventsSpan(t *testing.T) {
	free := observe(New(Options{}), out(event.Connect, time.Second), out(event.Connect, 4*time.Second))
	if got := free.Window().Seconds(); got != 3 {
		t.Errorf("events span %v s, want 3", got)
	}
	set := New(Options{Start: epoch})
	observe(set, out(event.Connect, time.Second))
	set.Close(epoch + int64(10*time.Second))
	observe(set, out(event.Open, 11*time.Second))
	if got := set.Window().Seconds(); got != 10 {
		t.Errorf("the window is %v s, want 10", got)
	}
}

func TestObserveAllocatesNothingForAKnownRow(t *testing.T) {
	table := New(Options{})
	events := stream(50)
	for i := range events {
		table.Observe(&events[i])
	}
	if n := testing.AllocsPerRun(100, func() {
		for i := range events {
			table.Observe(&events[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d events, want 0", n, len(events))
	}
}

func TestAThousandRowsStaySmall(t *testing.T) {
	var before, after runtime.MemStats
	events := stream(1000)
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := New(Options{})
	for i := range events {
		table.Observe(&events[i])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (after.HeapAlloc - before.HeapAlloc) / 1000; per > 8<<10 {
		t.Errorf("a row takes %d bytes, want 8192 at most", per)
	}
	runtime.KeepAlive(table)
}

// stream is a connect, an accept and two ends for each of n destinations.
func stream(n int) []event.Event {
	var all []event.Event
	for i := range n {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 5432)
		c, d := out(event.Connect, time.Duration(i)*time.Millisecond), closed(time.Duration(i)*time.Millisecond, event.ClosedLocal)
		d.Kind, c.ConnectTime, c.AutoPort = event.TimeWait, 50*time.Microsecond, true
		c.Remote, d.Remote = remote, remote
		a := in(event.Accept, time.Duration(i)*time.Millisecond, event.Owner{PID: 20, Comm: comm("nginx"), Basis: event.OwnerListener})
		a.Remote = remote
		b := *a
		b.Kind = event.Close
		all = append(all, *c, *a, *d, b)
	}
	return all
}

func BenchmarkObserve(b *testing.B) {
	for _, c := range []struct {
		n    int
		o    Options
		name string
	}{{n: 1}, {n: 50}, {n: 1000}, {1000, Options{Steps: true}, ",steps"}, {1000, Options{Steps: true, Recent: true}, ",steps,recent"}} {
		b.Run(fmt.Sprintf("destinations=%d%s", c.n, c.name), func(b *testing.B) {
			table, n := New(c.o), c.n
			events := stream(n)
			for i := range events {
				table.Observe(&events[i])
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				table.Observe(&events[i])
				if i++; i == len(events) {
					i = 0
				}
			}
		})
	}
}

func TestConnectsUnderWayAreNotOpen(t *testing.T) {
	young, old := out(event.Open, 0), out(event.Open, 0)
	for _, e := range []*event.Event{young, old} {
		e.NewState, e.Counted = event.SynSent, true
	}
	young.ConnectTime, old.ConnectTime = time.Second, 4*time.Second
	r := only(t, observe(New(Options{}), young, old, young))
	if r.Connecting != 3 || r.OldestConnect != 4*time.Second {
		t.Errorf("%d connecting, the oldest for %s", r.Connecting, r.OldestConnect)
	}
	if r.Open() != 0 || r.StillOpen != 0 || r.Preexisting != 0 || r.Attempts() != 0 || r.Exchanges.Count() != 0 {
		t.Errorf("an attempt counted as more than one: %+v", r)
	}
}
