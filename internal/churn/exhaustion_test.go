package churn

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// batch is how the kernel's timer wheel rounds a minute up, at HZ=250: TIME_WAITs end together, 60 to 62 s old.
const batch = 2048 * time.Millisecond

// kernel plays one destination: it hands out ports, and takes them back as the real one does.
type kernel struct {
	settings *host.Settings
	free     [2][]uint16 // by parity
	waits    []holder    // TIME_WAITs in the order in which they end
	leaked   []holder    // connections that never end
	now      time.Duration

	observe func(e *event.Event) // nil: nobody is tracing
	full    time.Duration        // when all ports were first held; 0: not yet
}

type holder struct {
	port    uint16
	state   event.State
	expires time.Duration // when the TIME_WAIT should end
	old     bool          // since before the window
}

func newKernel(ports int) *kernel {
	k := &kernel{settings: &host.Settings{Netns: 1, RangeLow: 32768, RangeHigh: 32768 + uint16(ports) - 1, Timestamps: true}}
	for p := k.settings.RangeHigh; p >= k.settings.RangeLow; p-- {
		k.free[p%2] = append(k.free[p%2], p)
	}
	return k
}

func (k *kernel) tell(kind event.Kind, h holder, f func(e *event.Event)) {
	if k.observe == nil {
		return
	}
	e := out(kind, k.now)
	e.Local = netip.AddrPortFrom(e.Local.Addr(), h.port)
	e.NewState, e.Substate, e.Timestamps = h.state, event.TimeWaitState, true
	e.Preexisting, e.InCensus, e.Remaining = h.old, h.old, max(h.expires-k.now, 0)
	if f != nil {
		f(e)
	}
	k.observe(e)
}

// advance ends the TIME_WAITs whose time is over at now.
func (k *kernel) advance(now time.Duration) {
	for len(k.waits) > 0 {
		h := k.waits[0]
		end := (h.expires + batch - 1) / batch * batch
		if end > now {
			break
		}
		k.now, k.waits = end, k.waits[1:]
		k.free[h.port%2] = append(k.free[h.port%2], h.port)
		k.tell(event.TimeWaitEnd, h, func(e *event.Event) { e.Cause, e.Basis = event.Expired, event.Exact })
	}
	k.now = now
}

// reuse frees the port of the oldest TIME_WAIT when there is no other and the settings allow that.
func (k *kernel) reuse() {
	if k.settings.TimeWaitReuse != 1 || len(k.free[0])+len(k.free[1]) > 0 || len(k.waits) == 0 {
		return
	}
	if h := k.waits[0]; k.now-h.expires+time.Minute >= k.settings.TimeWaitReuseDelay {
		k.waits = k.waits[1:]
		k.free[h.port%2] = append(k.free[h.port%2], h.port)
		k.tell(event.TimeWaitEnd, h, func(e *event.Event) { e.Cause, e.Basis = event.Reused, event.Exact })
	}
}

// end is what becomes of a connection.
type end uint8

const (
	endsHere  end = iota // in a TIME_WAIT
	endsThere            // in the peer's TIME_WAIT
	never
)

// connect opens a connection that ends after a millisecond, or never.
func (k *kernel) connect(how end) {
	k.reuse()
	free := &k.free[0]
	if len(*free) == 0 {
		free = &k.free[1]
	}
	if len(*free) == 0 {
		k.tell(event.ConnectFailed, holder{}, func(e *event.Event) { e.Error, e.Cause = event.EADDRNOTAVAIL, event.PortsExhausted })
		return
	}
	h := holder{port: (*free)[len(*free)-1], state: event.Established}
	*free = (*free)[:len(*free)-1]
	k.tell(event.Connect, h, func(e *event.Event) { e.AutoPort = true })
	if len(k.free[0])+len(k.free[1]) == 0 && k.full == 0 {
		k.full = k.now
	}
	k.now += time.Millisecond
	over := func(e *event.Event) { e.Lifetime = time.Millisecond }
	switch how {
	case never:
		k.leaked = append(k.leaked, h)
	case endsThere:
		k.tell(event.Close, h, over)
		*free = append(*free, h.port)
	case endsHere:
		h.state, h.expires = event.TimeWaitState, k.now+time.Minute
		k.tell(event.TimeWait, h, over)
		k.waits = append(k.waits, h)
	}
}

// client says when the n-th connect comes after the one before, and how it ends.
type client struct {
	every func(now time.Duration) time.Duration
	ends  func() end
}

func steady(perSecond float64) client {
	every := time.Duration(1e9 / perSecond)
	return client{func(time.Duration) time.Duration { return every }, func() end { return endsHere }}
}

// forecast runs a client for some time before the window, then traces for the window, and returns the figures and what
// happens within the day thereafter: when all ports are held, in seconds after the window.
func forecast(k *kernel, c client, before, window, after time.Duration, snapshot bool) (f BudgetFigures, full float64) {
	next := k.now
	run := func(until time.Duration) {
		for next < until {
			k.advance(next)
			k.connect(c.ends())
			next += c.every(next)
		}
		k.advance(until)
	}
	run(before)
	table := New(Options{Start: epoch + int64(before)})
	k.observe = table.Observe
	for _, held := range [][]holder{k.waits, k.leaked} {
		for i := range held {
			held[i].old = true
			k.tell(event.Existing, held[i], nil)
		}
	}
	run(before + window)
	table.Close(epoch + int64(before+window))
	for _, h := range slices.Concat(k.waits, k.leaked) {
		if snapshot {
			k.tell(event.Open, h, nil)
		}
	}
	table.Snapshot(snapshot)
	table.SetHost(k.settings)
	f = table.Budgets()[0].Figures(table.Window())
	k.observe, k.full = nil, 0
	run(before + window + after)
	if k.full == 0 {
		return f, 0
	}
	return f, (k.full - before - window).Seconds()
}

func TestSecondsToExhaustionAreWhatThenHappens(t *testing.T) {
	type run struct {
		ports          int
		rate           float64
		before, window time.Duration
	}
	var runs []run
	for _, window := range []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second} {
		for _, rate := range []float64{1, 1.5, 1.7, 2, 2.3, 3, 5, 9, 17} {
			runs = append(runs, run{100, rate, 0, window}, run{100, rate, 2700 * time.Millisecond, window})
		}
		for _, rate := range []float64{400, 480, 700, 2000} {
			runs = append(runs, run{28232, rate, 0, window}, run{28232, rate, 4 * time.Second, window})
		}
	}
	runs = append(runs, run{100, 50, 0, time.Second}, run{100, 30, 0, 2 * time.Second}, run{100, 1.5, 100 * time.Second, 5 * time.Second},
		run{28232, 400, 100 * time.Second, 10 * time.Second}, run{100, 1.7, 40 * time.Second, 5 * time.Second})
	for _, r := range runs {
		if r.rate*(r.before+r.window).Seconds() >= float64(r.ports) && r.rate*62 > float64(r.ports) {
			continue // all over before the window ends
		}
		for _, snapshot := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v ports, %v per s for %v, window %v, snapshot %v", r.ports, r.rate, r.before, r.window, snapshot), func(t *testing.T) {
				f, full := forecast(newKernel(r.ports), steady(r.rate), r.before, r.window, 3*time.Minute, snapshot)
				if math.Abs(f.OpenedPerSecond-r.rate) > r.rate/50 {
					t.Errorf("%v opened per second, want %v", f.OpenedPerSecond, r.rate)
				}
				same(t, f, full)
			})
		}
	}
}

// lives is what a client does whose connections live long, and are closed by the peer.
func lives(rate float64, life func() time.Duration, window time.Duration) []*event.Event {
	var events []*event.Event
	for at := time.Duration(0); at < window; at += time.Duration(1e9 / rate) {
		events = append(events, out(event.Connect, at))
		l := life()
		e := out(event.Close, at+l)
		e.Lifetime = l
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b *event.Event) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	return slices.DeleteFunc(events, func(e *event.Event) bool { return e.UnixNano > epoch+int64(window) })
}

func TestLongConnectionsAreNoLeak(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name   string
		rate   float64
		life   func() time.Duration
		window time.Duration
	}{
		{"a second and a half on average, since the window began", 20, func() time.Duration { return time.Duration(r.ExpFloat64() * 1.5e9) }, 10 * time.Second},
		{"the same a minute later", 20, func() time.Duration { return time.Duration(r.ExpFloat64() * 1.5e9) }, time.Minute},
		{"eight seconds, and two of them have ended", 2, func() time.Duration { return 8 * time.Second }, 9 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := observe(New(Options{Start: epoch}), lives(c.rate, c.life, c.window)...)
			table.SetHost(newKernel(100).settings)
			table.Close(epoch + int64(c.window))
			if f := table.Budgets()[0].Figures(table.Window()); f.Comes || f.Used == 0 {
				t.Errorf("used %d, exhausted in %v s", f.Used, f.SecondsToExhaustion)
			}
		})
	}
}

func TestSecondsToExhaustionWhenPortsAreShort(t *testing.T) {
	f, _ := forecast(newKernel(100), steady(10), 100*time.Second, 10*time.Second, time.Second, true)
	if !f.Comes || f.SecondsToExhaustion > 2 || f.Exhausted == 0 || f.OpenedPerSecond > 3 {
		t.Errorf("exhausted in %v s (%v), %d times, %v opened a second; want none left within 2 s", f.SecondsToExhaustion, f.Comes,
			f.Exhausted, f.OpenedPerSecond)
	}
}

func TestRefusedConnectsMeanThatNoPortsAreLeft(t *testing.T) {
	table := New(Options{Start: epoch})
	for p := range uint16(98) { // two more have listeners, which nobody tells
		table.Observe(held(32768+p, event.Established))
	}
	for at := time.Duration(0); at < 5*time.Second; at += 100 * time.Millisecond {
		table.Observe(exhausted(at))
	}
	table.Close(epoch + 5e9)
	table.Snapshot(true)
	table.SetHost(newKernel(100).settings)
	if f := figures(table); !f.Comes || f.SecondsToExhaustion > 0.5 || f.OpenedPerSecond != 0 || f.Used != 98 {
		t.Errorf("used %d, exhausted in %v s (%v), %v opened a second", f.Used, f.SecondsToExhaustion, f.Comes, f.OpenedPerSecond)
	}
}

func TestTimeWaitsEndedEarlyHoldNoPort(t *testing.T) {
	for _, c := range []struct {
		cause event.Cause
		comes bool
	}{{event.Killed, false}, {event.Reused, false}, {event.Expired, true}} {
		table := New(Options{Start: epoch})
		for at := time.Duration(0); at < 10*time.Second; at += 200 * time.Millisecond {
			gone := with(ended(c.cause), func(e *event.Event) { e.UnixNano = epoch + int64(at+100*time.Millisecond) })
			observe(table, auto(32768, at), with(closed(at, event.ClosedLocal), func(e *event.Event) { e.Kind = event.TimeWait }), gone)
		}
		table.Close(epoch + 10e9)
		table.SetHost(newKernel(100).settings)
		if f := figures(table); f.Comes != c.comes {
			t.Errorf("%v: exhausted in %v s (%v), want %v", c.cause, f.SecondsToExhaustion, f.Comes, c.comes)
		}
	}
}

func TestLeaksAreFollowedForADay(t *testing.T) {
	f := BudgetFigures{Settings: newKernel(100).settings, Capacity: 28232, Used: 232}
	for _, c := range []struct {
		leak, want float64
		comes      bool
	}{{10, 2800, true}, {0.35, 80000, true}, {0.3, 0, false}, {0, 0, false}} {
		got, comes := f.exhaustion(new(usage), trend{leak: c.leak})
		if comes != c.comes || math.Abs(got-c.want) > 1e-6*c.want {
			t.Errorf("%v leaked a second: exhausted in %v s (%v), want %v", c.leak, got, comes, c.want)
		}
	}
}

func TestReusableTimeWaitsAreNotAlarmedAbout(t *testing.T) {
	for _, c := range []struct {
		rate          float64
		before        time.Duration
		reuse         int
		comes, taking bool
	}{
		{40, 10 * time.Second, 1, false, true},
		{1.7, 50 * time.Second, 1, false, false},
		{1.7, 50 * time.Second, 0, true, false},
		{130, 0, 1, true, false},
	} {
		for _, snapshot := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v per s, tcp_tw_reuse %d, snapshot %v", c.rate, c.reuse, snapshot), func(t *testing.T) {
				k := newKernel(100)
				k.settings.TimeWaitReuse, k.settings.TimeWaitReuseDelay = c.reuse, time.Second
				f, _ := forecast(k, steady(c.rate), c.before, 500*time.Millisecond+c.before/10, time.Second, snapshot)
				if f.Comes != c.comes || snapshot && (f.Reusable > 0) != (c.reuse != 0 && c.before > 0) {
					t.Errorf("used %d, reusable %d, exhausted in %v s (%v)", f.Used, f.Reusable, f.SecondsToExhaustion, f.Comes)
				}
				if r := f.UsedRatio; c.taking && r != 1 {
					t.Errorf("used ratio %v, want all ports held", r)
				}
			})
		}
	}
}

// same compares a forecast with what then happened: within 10 %, or one connect.
func same(t *testing.T, f BudgetFigures, full float64) {
	t.Helper()
	if f.Comes != (full != 0) || math.Abs(f.SecondsToExhaustion-full) > max(full/10, 1/f.OpenedPerSecond) {
		t.Errorf("exhausted in %.2f s (%v), then it was in %.2f s (used %d)", f.SecondsToExhaustion, f.Comes, full, f.Used)
	}
}

func TestSecondsToExhaustionOfOtherClients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	poisson := func(rate float64) func(time.Duration) time.Duration {
		return func(time.Duration) time.Duration { return time.Duration(r.ExpFloat64() / rate * 1e9) }
	}
	evenly := func(rate float64) func(time.Duration) time.Duration { return steady(rate).every }
	each := func(n int, then, else_ end) func() end {
		i := 0
		return func() end {
			if i++; i%n == 0 {
				return then
			}
			return else_
		}
	}
	always := func(e end) func() end { return func() end { return e } }
	faster := func(at time.Duration, slow, fast float64) func(time.Duration) time.Duration {
		return func(now time.Duration) time.Duration {
			if now < at {
				return steady(slow).every(now)
			}
			return steady(fast).every(now)
		}
	}
	for _, c := range []struct {
		name           string
		client         client
		before, window time.Duration
	}{
		{"the peer closes first", client{evenly(40), always(endsThere)}, 0, 10 * time.Second},
		{"the peer closes first, at random times", client{poisson(40), always(endsThere)}, 0, 10 * time.Second},
		{"half of them are closed by the peer", client{evenly(3), each(2, endsHere, endsThere)}, 0, 10 * time.Second},
		{"few of them are closed by the peer", client{evenly(3), each(6, endsThere, endsHere)}, 0, 10 * time.Second},
		{"all leak", client{evenly(2), always(never)}, 0, 10 * time.Second},
		{"one in a hundred leaks", client{evenly(50), each(100, never, endsThere)}, 0, 10 * time.Second},
		{"one in thirty leaks", client{evenly(6), each(30, never, endsThere)}, 0, time.Minute},
		{"faster after a minute", client{faster(time.Minute, 1, 3), always(endsHere)}, time.Minute, 10 * time.Second},
		{"faster after a minute, seen from the middle", client{faster(65*time.Second, 1, 4), always(endsHere)}, 66 * time.Second, 5 * time.Second},
		{"slower after half a minute", client{faster(30*time.Second, 2, 0.5), always(endsHere)}, 30 * time.Second, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, full := forecast(newKernel(100), c.client, c.before, c.window, 30*time.Minute, true)
			same(t, f, full)
		})
	}
}
