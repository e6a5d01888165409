package churn

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// tenPorts are 1000 to 1009.
func tenPorts() *host.Settings { return &host.Settings{Netns: 1, RangeLow: 1000, RangeHigh: 1009} }

func ports(of ...uint16) *host.PortSet {
	var s host.PortSet
	for _, p := range of {
		s.Add(p)
	}
	return &s
}

func at(e *event.Event, port uint16) *event.Event {
	return with(e, func(e *event.Event) { e.Local = netip.AddrPortFrom(e.Local.Addr(), port) })
}

// auto is a connect whose port connect() chose.
func auto(port uint16, when time.Duration) *event.Event {
	return with(at(out(event.Connect, when), port), func(e *event.Event) { e.AutoPort = true })
}

func held(port uint16, s event.State) *event.Event {
	return with(at(out(event.Open, 9), port), func(e *event.Event) {
		e.NewState, e.Substate, e.Remaining = s, event.TimeWaitState, event.Unknown
	})
}

func exhausted(when time.Duration) *event.Event {
	return with(out(event.ConnectFailed, when), func(e *event.Event) { e.Error, e.Cause = event.EADDRNOTAVAIL, event.PortsExhausted })
}

func service(e *event.Event, name string) *event.Event {
	return with(e, func(e *event.Event) { e.Owner.Comm = comm(name) })
}

func toward(e *event.Event, remote string) *event.Event {
	return with(e, func(e *event.Event) { e.Remote = netip.MustParseAddrPort(remote) })
}

func figures(t *Table) BudgetFigures { return t.Budgets()[0].Figures(t.Window()) }

func TestServicesShareABudget(t *testing.T) {
	first := out(event.Connect, 0)
	for _, c := range []struct {
		name    string
		second  *event.Event
		budgets int
	}{
		{"another service", service(first, "other"), 1},
		{"another destination port", toward(first, "10.0.0.2:1"), 2},
		{"another destination", toward(first, "10.0.0.3:5432"), 2},
		{"another local address", with(first, func(e *event.Event) { e.Local = netip.MustParseAddrPort("10.0.0.7:1") }), 2},
		{"another network namespace", with(first, func(e *event.Event) { e.Netns++ }), 2},
		{"inbound", in(event.Accept, 0, event.Owner{}), 1},
		{"no local address", with(first, func(e *event.Event) { e.Kind, e.Local = event.ConnectFailed, netip.AddrPort{} }), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := observe(New(Options{}), first, c.second)
			if n := len(table.Budgets()); n != c.budgets || len(table.Rows()) != 2 {
				t.Errorf("%d budgets of %d rows, want %d of 2", n, len(table.Rows()), c.budgets)
			}
			if r := table.Rows()[0]; r.Budget() != table.Budgets()[0] {
				t.Error("the row does not know its budget")
			}
		})
	}
}

func TestBudgetsOfAFullTable(t *testing.T) {
	table := observe(New(Options{MaxRows: 1}), out(event.Connect, 0), service(out(event.Connect, 1), "other"),
		toward(out(event.Connect, 2), "10.0.0.3:1"), toward(closed(3, 1), "10.0.0.3:1"), in(event.Accept, 4, event.Owner{}))
	if b := table.Budgets(); len(b) != 1 || b[0].Opened != 2 || table.BudgetsOmitted() != 1 {
		t.Errorf("%d budgets, %d opened, %d omitted; want 1, 2 by both services, 1", len(b), b[0].Opened, table.BudgetsOmitted())
	}
}

func TestCapacityAndUse(t *testing.T) {
	for _, c := range []struct {
		name                           string
		change                         func(s *host.Settings)
		held                           []uint16
		reserved, blocked, capacity, n int
		ratio                          float64
	}{
		{"nothing in the way", func(*host.Settings) {}, []uint16{1000, 1002, 1004}, 0, 0, 10, 3, 0.3},
		{"outside of the range", func(*host.Settings) {}, []uint16{1000, 1010, 999}, 0, 0, 10, 1, 0.1},
		{"reserved ports", func(s *host.Settings) { s.Reserved = ports(1001, 1003, 2000) }, []uint16{1000, 1001}, 2, 0, 8, 1, 0.125},
		{"ports of others", func(s *host.Settings) { s.Blocked = ports(1001, 1003, 2000) }, []uint16{1000, 1002}, 0, 2, 8, 2, 0.25},
		{"a port both reserved and of another", func(s *host.Settings) { s.Reserved, s.Blocked = ports(1001), ports(1001) }, []uint16{1000}, 1, 0, 9, 1, 1 / 9.},
		{"its own ports, chosen by bind", func(s *host.Settings) { s.Blocked = ports(1001, 1003, 1005) }, []uint16{1001, 1003}, 0, 1, 9, 2, 2 / 9.},
		{"no port to use", func(s *host.Settings) { s.Reserved = ports(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009) }, []uint16{2000}, 10, 0, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := New(Options{})
			for _, p := range c.held {
				table.Observe(held(p, event.Established))
			}
			s := tenPorts()
			c.change(s)
			table.Snapshot(true)
			table.SetHost(s)
			f := figures(table)
			got := []int{f.RangeSize, f.Reserved, f.Blocked, f.Capacity, f.Used}
			if diff := cmp.Diff([]int{10, c.reserved, c.blocked, c.capacity, c.n}, got); diff != "" {
				t.Errorf("range, reserved, blocked, capacity, used (-want +got):\n%s", diff)
			}
			if f.UsedRatio != c.ratio || !f.Exact || f.Comes != (c.capacity == 0) {
				t.Errorf("ratio %v, exact %v, exhausted %v; want %v, exact", f.UsedRatio, f.Exact, f.Comes, c.ratio)
			}
		})
	}
}

func TestTheLatestSettingsCount(t *testing.T) {
	table := observe(New(Options{}), auto(1000, 0))
	table.SetHost(tenPorts())
	if f := figures(table); f.Capacity != 10 {
		t.Errorf("capacity %d, want 10", f.Capacity)
	}
	s := tenPorts()
	s.Reserved = ports(1001, 1002)
	if table.SetHost(s); figures(table).Capacity != 8 {
		t.Errorf("capacity %d, want 8", figures(table).Capacity)
	}
}

func TestUsedPortsByState(t *testing.T) {
	table := observe(New(Options{}), held(1000, event.Established), held(1001, event.SynSent), held(1002, event.TimeWaitState),
		with(held(1003, event.TimeWaitState), func(e *event.Event) { e.Substate = event.FinWait2 }), held(2000, event.CloseWait))
	table.Snapshot(true)
	table.SetHost(tenPorts())
	want := map[event.State]uint64{event.Established: 1, event.SynSent: 1, event.TimeWaitState: 2}
	if diff := cmp.Diff(want, figures(table).ByState); diff != "" {
		t.Errorf("by state (-want +got):\n%s", diff)
	}
}

func TestFiguresWithoutASnapshotCountEvents(t *testing.T) {
	table := observe(New(Options{}), existing(event.Established), existing(event.TimeWaitState), auto(1000, 0), auto(1002, 1), closed(2, 1),
		with(closed(3, 1), func(e *event.Event) { e.Kind = event.TimeWait }), ended(event.Expired))
	if f := figures(table); f.Used != 2 || f.Capacity != 0 || f.Settings != nil || f.UsedRatio != 0 || f.Comes {
		t.Errorf("used %d of %d before settings are known, want 2 of 0", f.Used, f.Capacity)
	}
	table.SetHost(tenPorts())
	f := figures(table)
	if f.Used != 2 || f.Capacity != 10 || f.Exact || f.ByState[event.Established] != 1 || f.ByState[event.TimeWaitState] != 1 {
		t.Errorf("used %d of %d, exact %v, %v; want 2 of 10, one of them a TIME_WAIT", f.Used, f.Capacity, f.Exact, f.ByState)
	}
	for range 20 {
		table.Observe(auto(1000, 4))
	}
	if f := figures(table); f.Used != 10 || f.UsedRatio != 1 {
		t.Errorf("used %d of 10, ratio %v", f.Used, f.UsedRatio)
	}
}

func TestPortsThatBindChoseForTheBudgetAreNotBlocked(t *testing.T) {
	table := New(Options{})
	s := tenPorts()
	s.Blocked = ports(1009)
	for p := range uint16(5) {
		s.Blocked.Add(1001 + p)
		table.Observe(at(out(event.Connect, 0), 1001+p))
	}
	table.SetHost(s)
	if f := figures(table); f.Bound != 5 || f.Blocked != 1 || f.Capacity != 9 || f.Used != 5 {
		t.Errorf("bound %d, blocked %d, used %d of %d; want 5, 1, 5 of 9", f.Bound, f.Blocked, f.Used, f.Capacity)
	}
}

func TestSocketsBeyondTheBoundAreCountedByState(t *testing.T) {
	table := New(Options{})
	table.Observe(held(1000, event.Established))
	table.sockets = maxSockets
	observe(table, held(1001, event.TimeWaitState), held(1002, event.TimeWaitState))
	table.Snapshot(true)
	table.SetHost(tenPorts())
	if f := figures(table); f.Exact || f.Used != 3 || f.ByState[event.TimeWaitState] != 2 || len(table.Budgets()[0].sockets) != 1 {
		t.Errorf("exact %v, used %d, %v; want inexact, 3", f.Exact, f.Used, f.ByState)
	}
}

func TestSocketKeepsWhatIsNeeded(t *testing.T) {
	for _, s := range []event.State{event.Established, event.NewSynRecv} {
		if got := socketOf(held(65535, s)); got.port() != 65535 || got.state() != s {
			t.Errorf("%v is port %d, %v", s, got.port(), got.state())
		}
	}
	for _, c := range []struct {
		left  time.Duration
		want  float64
		known bool
	}{{0, 0, true}, {59999 * time.Millisecond, 59.875, true}, {time.Hour, 127.75, true}, {event.Unknown, 0, false}} {
		got := socketOf(with(waiting(event.FinWait2), func(e *event.Event) { e.Remaining, e.Timestamps = c.left, true }))
		left, known := got.remaining()
		if known != c.known || known && left != c.want || got.substate() != event.FinWait2 || !got.timestamps() || got.state() != event.TimeWaitState {
			t.Errorf("%v left is %v (%v), substate %v, timestamps %v", c.left, left, known, got.substate(), got.timestamps())
		}
	}
	if got := socketOf(waiting(event.TimeWaitState)); got.substate() != event.TimeWaitState || got.timestamps() {
		t.Errorf("substate %v, timestamps %v", got.substate(), got.timestamps())
	}
}

func TestTheCliffIsToldByParity(t *testing.T) {
	timed := func(e *event.Event, d time.Duration) *event.Event {
		return with(e, func(e *event.Event) { e.ConnectTime = d })
	}
	events := []*event.Event{
		timed(auto(1000, 0), time.Microsecond), timed(auto(1002, 1), time.Microsecond), timed(auto(1001, 2), time.Millisecond),
		timed(auto(1003, 3), time.Millisecond), timed(auto(1005, 4), time.Millisecond), timed(at(out(event.Connect, 5), 1007), time.Hour),
	}
	for _, c := range []struct {
		name     string
		settings *host.Settings
		slow     uint64
		since    int64
		fast     uint64 // connect times
	}{
		{"the range begins with an even port", tenPorts(), 3, epoch + 2, 2},
		{"the range begins with an odd port", &host.Settings{Netns: 1, RangeLow: 999, RangeHigh: 1009}, 2, epoch, 3},
		{"the kernel does not go by parity", &host.Settings{Netns: 1, RangeLow: 1000, RangeHigh: 1009, PortStep: 4}, 0, 0, 0},
		{"the settings are those of another namespace", &host.Settings{Netns: 2, RangeLow: 1000, RangeHigh: 1009}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := observe(New(Options{}), events...)
			table.SetHost(c.settings)
			f := figures(table)
			if f.SlowOpened != c.slow || f.SlowSince != c.since || f.ConnectSlow.Count() != c.slow || f.ConnectFast.Count() != c.fast {
				t.Errorf("%d slow since %d, %d and %d times; want %d, %d, %d", f.SlowOpened, f.SlowSince, f.ConnectSlow.Count(),
					f.ConnectFast.Count(), c.slow, c.since, c.fast)
			}
			if f.ConnectSlow.Max() > uint64(time.Millisecond) || f.Bound != 1 {
				t.Errorf("a port that bind() chose counts: %d ns, bound %d", f.ConnectSlow.Max(), f.Bound)
			}
		})
	}
}

func TestANewRangeOfOtherParityStartsAnew(t *testing.T) {
	table := New(Options{})
	table.SetHost(tenPorts())
	observe(table, auto(1000, 0), auto(1001, 1))
	same := tenPorts()
	same.RangeLow = 998
	if table.SetHost(same); figures(table).SlowOpened != 1 {
		t.Errorf("%d slow, want 1: the parity is the same", figures(table).SlowOpened)
	}
	other := tenPorts()
	other.RangeLow = 999
	if table.SetHost(other); figures(table).SlowOpened != 0 {
		t.Errorf("%d slow, want 0", figures(table).SlowOpened)
	}
	if observe(table, auto(1000, 2)); figures(table).SlowOpened != 1 {
		t.Errorf("%d slow, want 1", figures(table).SlowOpened)
	}
}

func TestAlertsAreToldOnce(t *testing.T) {
	lost := with(exhausted(5), func(e *event.Event) { e.Kind, e.Of, e.Count = event.Lost, event.ConnectFailed, 3 })
	inUse := with(exhausted(4), func(e *event.Event) { e.Cause = event.TupleInUse })
	for _, c := range []struct {
		name   string
		early  *host.Settings // known from the beginning
		events []*event.Event
		late   *host.Settings // known after the events, which then come again
		want   []string
	}{
		{"half of the ports", tenPorts(), []*event.Event{auto(1000, 0), auto(1001, 1), auto(1003, 2)}, nil, []string{"half 1"}},
		{"half of the ports, toward two destinations", tenPorts(), []*event.Event{auto(1001, 1), toward(auto(1001, 2), "10.0.0.3:1")}, nil, []string{"half 1", "half 2"}},
		{"a port that bind() chose", tenPorts(), []*event.Event{at(out(event.Connect, 1), 1001)}, nil, nil},
		{"settings come late", nil, []*event.Event{auto(1000, 0), auto(1001, 1)}, tenPorts(), []string{"half 1"}},
		{"settings never come", nil, []*event.Event{auto(1000, 0), auto(1001, 1), exhausted(2)}, nil, []string{"out 2"}},
		{"no ports left", tenPorts(), []*event.Event{inUse, exhausted(4), exhausted(5)}, nil, []string{"out 4"}},
		{"the failures are lost", tenPorts(), []*event.Event{lost, exhausted(6)}, nil, []string{"out 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			table := New(Options{Alert: func(a Alert) {
				if a.Budget == nil || a.Owner.PID != 10 {
					t.Errorf("alert about %v of %v", a.Budget, a.Owner)
				}
				got = append(got, fmt.Sprint(map[AlertKind]string{HalfTaken: "half ", OutOfPorts: "out "}[a.Kind], a.UnixNano-epoch))
			}})
			if c.early != nil {
				table.SetHost(c.early)
			}
			if observe(table, c.events...); c.late != nil {
				table.SetHost(c.late)
				observe(table, c.events...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
		})
	}
	observe(New(Options{}), exhausted(1)) // nobody wants to be told
}

func TestExhaustionIsCounted(t *testing.T) {
	inUse := with(exhausted(1), func(e *event.Event) { e.Cause = event.TupleInUse })
	table := observe(New(Options{}), inUse, exhausted(2), exhausted(3))
	b, f := table.Budgets()[0], figures(table)
	if b.Exhausted != 2 || f.Exhausted != 2 || f.TupleInUse != 1 || f.ExhaustedSince != epoch+2 {
		t.Errorf("exhausted %d since %d, in use %d; want 2, 2, 1", f.Exhausted, f.ExhaustedSince-epoch, f.TupleInUse)
	}
}

func TestBindFailures(t *testing.T) {
	failed := func(cause event.Cause, local string) *event.Event {
		return with(out(event.BindFailed, 1), func(e *event.Event) {
			e.Error, e.Cause, e.Local, e.Remote = event.EADDRINUSE, cause, netip.MustParseAddrPort(local), netip.AddrPort{}
		})
	}
	lost := with(failed(event.PortsExhausted, "10.0.0.1:0"), func(e *event.Event) { e.Kind, e.Of, e.Count = event.Lost, event.BindFailed, 7 })
	elsewhere := with(failed(event.PortsExhausted, "0.0.0.0:0"), func(e *event.Event) { e.Netns = 2 })
	table := observe(New(Options{}), out(event.Connect, 0), failed(event.PortsExhausted, "10.0.0.1:0"), lost,
		failed(event.PortTaken, "10.0.0.1:80"), failed(event.NotLocal, "10.0.0.5:80"), failed(event.PortsExhausted, "10.0.0.5:0"), elsewhere,
		service(failed(event.PortsExhausted, "0.0.0.0:0"), "other"))
	type counts struct {
		Netns                      uint32
		Local                      string
		Name                       string
		Exhausted, Taken, NotLocal uint64
	}
	var got []counts
	for _, f := range table.BindFailures() {
		got = append(got, counts{f.Netns, f.Local.String(), f.Owner.Comm.String(), f.Exhausted, f.Taken, f.NotLocal})
	}
	want := []counts{
		{1, "10.0.0.1:80", "client", 8, 1, 0}, {1, "10.0.0.5:0", "client", 1, 0, 1}, {2, "0.0.0.0:0", "client", 1, 0, 0}, {1, "0.0.0.0:0", "other", 1, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bind failures (-want +got):\n%s", diff)
	}
	if len(table.Rows()) != 1 || table.Counts().Unassigned != 0 || figures(table).BindExhausted != 9 {
		t.Errorf("%d rows, %d unassigned, %d exhausted; want 1, 0, 9", len(table.Rows()), table.Counts().Unassigned, figures(table).BindExhausted)
	}
	for i := range 100 {
		table.Observe(service(failed(event.PortTaken, "10.0.0.1:80"), fmt.Sprint(i)))
	}
	if len(table.BindFailures()) != 64 || table.BindFailuresOmitted() != 40 {
		t.Errorf("%d kept, %d omitted; want 64, 40", len(table.BindFailures()), table.BindFailuresOmitted())
	}
}

func TestHistoryToleratesDisorderAndGaps(t *testing.T) {
	var h history
	put := func(s int64) { h.at(epoch+s*1e9).opened++ }
	for _, s := range []int64{0, 1, 1, 0, 63, 5, 64, 0, 63} { // at 64, second 0 is forgotten
		put(s)
	}
	sums := func() (all uint32, by [3]uint32) {
		h.each(epoch, epoch+1000e9, func(_ int64, s *second) { all += s.opened })
		return all, [3]uint32{h.at(epoch + 1e9).opened, h.at(epoch + 63e9).opened, h.stale.opened}
	}
	if all, by := sums(); all != 6 || by != [3]uint32{2, 2, 1} {
		t.Errorf("%d in all, %v in the seconds 1, 63 and too late; want 6, [2 2 1]", all, by)
	}
	for s := range int64(100) {
		put(100 + s)
	}
	put(1000)
	if all, _ := sums(); all != 1 {
		t.Errorf("%d after a long gap, want 1", all)
	}
	if h.entered(epoch/1e9+1001) != 0 || h.entered(epoch/1e9) != 0 {
		t.Error("something entered in a second that is not known")
	}
}

func TestOpenedPerSecondIsThatOfTheLastSeconds(t *testing.T) {
	for _, c := range []struct {
		name       string
		when       func(yield func(time.Duration))
		window     time.Duration
		want, give float64
	}{
		{"two a second", every(0, 10*time.Second, 500*time.Millisecond), 10 * time.Second, 2, 0.01},
		{"two a second, not in step with the window", every(300*time.Millisecond, 5*time.Second, 500*time.Millisecond), 5 * time.Second, 2, 0.01},
		{"two a second, out of order", func(yield func(time.Duration)) {
			for at := time.Duration(0); at < 10*time.Second; at += time.Second {
				yield(at + 500*time.Millisecond)
				yield(at)
			}
		}, 10 * time.Second, 2, 0.01},
		{"three in ten seconds", every(time.Second, 10*time.Second, 3*time.Second), 10 * time.Second, 1 / 3., 0.01},
		{"faster in the end", both(every(0, 20*time.Second, time.Second), every(20*time.Second, 40*time.Second, 10*time.Millisecond)), 40 * time.Second, 100, 1},
		{"stopped two seconds ago", every(0, 8*time.Second, 20*time.Millisecond), 10 * time.Second, 0, 0},
		{"stopped long ago", every(0, 8*time.Second, 20*time.Millisecond), time.Minute, 0, 0},
		{"began two seconds ago", every(8*time.Second, 10*time.Second, 10*time.Millisecond), 10 * time.Second, 100, 1},
		{"in bursts, every three seconds", both(every(0, 8*time.Second, 3*time.Second), every(1, 8*time.Second, 3*time.Second)), 8 * time.Second, 5 / 6., 0.05},
		{"a burst just now is not taken for a rate", every(9900*time.Millisecond, 10*time.Second, time.Millisecond), 10 * time.Second, 50, 1},
		{"once", every(0, time.Second, time.Second), 10 * time.Second, 0, 0},
		{"never", every(0, 0, time.Second), 10 * time.Second, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := observe(New(Options{Start: epoch}), existing(event.Established))
			c.when(func(at time.Duration) { table.Observe(auto(1000, at)) })
			table.Close(epoch + int64(c.window))
			if got := figures(table).OpenedPerSecond; got < c.want-c.give || got > c.want+c.give {
				t.Errorf("%v per second, want %v", got, c.want)
			}
		})
	}
}

func every(from, to, step time.Duration) func(func(time.Duration)) {
	return func(yield func(time.Duration)) {
		for at := from; at < to; at += step {
			yield(at)
		}
	}
}

func both(a, b func(func(time.Duration))) func(func(time.Duration)) {
	return func(yield func(time.Duration)) {
		a(yield)
		b(yield)
	}
}

func TestLostConnectsCountInTheirSecond(t *testing.T) {
	table := New(Options{Start: epoch})
	for s := range 10 {
		e := out(event.Lost, time.Duration(s)*time.Second+500*time.Millisecond)
		e.Of, e.Count = event.Connect, 100
		table.Observe(e)
	}
	table.Close(epoch + 10e9)
	if got := figures(table).OpenedPerSecond; got < 100 || got > 112 {
		t.Errorf("%v per second, want about 100", got)
	}
}

func TestAQuarterMillionTimeWaitsStaySmall(t *testing.T) {
	for _, budgets := range []int{4, 1000} {
		t.Run(fmt.Sprint(budgets, " budgets"), func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			table := New(Options{})
			e := *waiting(event.TimeWaitState)
			for i := range 262_144 {
				local := netip.AddrPortFrom(e.Local.Addr(), uint16(i/budgets))
				e.Local, e.Remote = local, netip.AddrPortFrom(e.Remote.Addr(), uint16(i%budgets)+1)
				e.Kind = event.Existing
				table.Observe(&e)
				e.Kind = event.Open
				table.Observe(&e)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if mib := float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20); mib > 10 {
				t.Errorf("%.1f MiB, want 10 at most", mib)
			} else {
				t.Logf("%.1f MiB", mib)
			}
			runtime.KeepAlive(table)
		})
	}
}
