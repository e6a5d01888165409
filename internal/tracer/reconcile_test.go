package tracer_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// leaveTimeWaits leaves n of them at the connecting end. Call it inside [testnet.Namespace.Do].
func leaveTimeWaits(n int) {
	l := testnet.Listen(testnet.Server, 6001)
	defer l.Close()
	for range n {
		c := testnet.Dial(l.Local)
		d := l.Accept()
		c.Close()
		d.ReadEnd()
		d.Close()
	}
	testnet.Until("TIME_WAITs", func() bool { return testnet.ReadSockstat().TimeWait >= n })
}

// What we hold is made wrong on purpose, in both ways. Comparing with the kernel finds it out, and a census repairs it.
func TestReconcileRepairs(t *testing.T) {
	for _, tier := range tiersHere(t) {
		if tier == tracer.TierCensus {
			continue // repairs each second what is wrong in any case
		}
		t.Run(tier.String(), func(t *testing.T) {
			const held, forget, invent = 50, 5, 2
			r := startTrace(t, tracer.Options{Tier: tier, TimerCost: 1}).watch(testnet.New(t))
			r.ns.Do(t, func() { leaveTimeWaits(held) })
			r.compareHeld(t)
			if c := r.lastCheck(); c.Differences != 0 || c.Repaired != 0 {
				t.Errorf("before anything is wrong: %+v", c)
			}
			r.correct(t, -1)(r.tracer.ForgetTimeWaits(r.ns.Inode(), forget))
			r.correct(t, +1)(r.tracer.InventTimeWaits(r.ns.Inode(), invent))
			r.waitCheck(t, "a difference is seen", func(c tracer.TimeWaitCheck) bool { return c.Differences > 0 && !r.agrees(c) && !c.Exact() })
			r.waitCheck(t, "a census repairs it", func(c tracer.TimeWaitCheck) bool { return c.Censuses > 0 && r.agrees(c) })
			if c := r.lastCheck(); c.Repaired != forget+invent || c.Censuses != 1 {
				t.Errorf("%+v, want one census that repaired %d", c, forget+invent)
			}
			r.compareHeld(t)
			found, ended := 0, 0
			for _, e := range r.collect(t, 0) {
				switch e.Kind {
				case event.Existing:
					found++
				case event.TimeWaitEnd:
					ended++
					if e.Cause != 0 || e.Basis != event.Inferred {
						t.Errorf("nobody saw it end: %s", observe(&e, want{}))
					}
				}
			}
			if found != forget || ended != invent {
				t.Errorf("%d found and %d ended, want %d and %d", found, ended, forget, invent)
			}
			r.stopAndCompare(t)
		})
	}
}

// correct makes the recorder know what was done behind the tracer's back.
func (r *recorder) correct(t *testing.T, by int) func([][2]netip.AddrPort, error) {
	return func(changed [][2]netip.AddrPort, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range changed {
			k := ends{c[0], c[1]}
			w := timeWait{r.held[k].held, time.Now().UnixNano()}
			if w.held += by; w.held == 0 {
				delete(r.held, k)
			} else {
				r.held[k] = w
			}
		}
	}
}

// waitCheck waits until a comparison with the kernel's count is as it should be.
func (t *trace) waitCheck(tb testing.TB, what string, as func(tracer.TimeWaitCheck) bool) {
	tb.Helper()
	for end := time.Now().Add(testnet.Patience); !as(t.lastCheck()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("still waiting after %s: %s; %+v", testnet.Patience, what, t.lastCheck())
		}
	}
}

// Where timers take more than they may, a census finds the ends, and the tier says so.
func TestTimersTooDear(t *testing.T) {
	r := startTrace(t, tracer.Options{Tier: tracer.TierTimers, TimerCost: 1e-9}).watch(testnet.New(t))
	r.waitCheck(t, "timers are given up", func(tracer.TimeWaitCheck) bool {
		r.ns.Do(t, func() { leaveTimeWaits(1) }) // sets some
		return strings.Contains(r.tierNow(), "ends by census")
	})
	r.ns.Do(t, func() {
		testnet.Sysctl("net.ipv4.tcp_fin_timeout", "1")
		l := testnet.Listen(testnet.Server, 6002)
		defer l.Close()
		for range 20 {
			c := testnet.Dial(l.Local)
			d := l.Accept()
			c.Close()
			defer d.Close()
		}
		leaveTimeWaits(20)
		time.Sleep(2 * time.Second) // orphans expire, which nothing tells
	})
	r.stopAndCompare(t)
	ended := count(r.events, ofKind(event.TimeWaitEnd))
	if said := strings.Join(r.tracer.Hooks(), "\n"); ended != 20 || !strings.Contains(said, "--timer-cost") {
		t.Errorf("%d ends; hooks: %s", ended, said)
	}
}

func (t *trace) tierNow() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tier
}

// The kernel ends a namespace's TIME_WAITs with the namespace; one that comes later counts, too.
func TestNamespacesComeAndGo(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		const each = 30
		tr := startTrace(t, o)
		first, second := tr.watch(testnet.New(t)), tr.watch(testnet.New(t))
		for _, r := range []*recorder{first, second} {
			r.ns.Do(t, func() { leaveTimeWaits(each) })
			r.compareHeld(t)
		}
		made := map[ends]bool{} // another namespace can get the number of this one at once
		for _, e := range first.events {
			made[ends{e.Local, e.Remote}] = true
		}
		_ = first.space.Close()
		first.ns.Close()
		ok := first.wait(func() bool { return first.held.sum() == 0 })
		if !ok {
			t.Errorf("%d TIME_WAITs of a namespace that is gone are still held", first.held.sum())
		}
		for _, e := range first.events {
			if e.Kind == event.TimeWaitEnd && e.Cause != event.Killed && o.Tier != tracer.TierCensus {
				t.Errorf("%s", observe(&e, want{}))
			}
		}
		checks := tr.lastCheck().Checks
		tr.waitCheck(t, "comparisons agree", func(c tracer.TimeWaitCheck) bool { return c.Checks > checks+1 && first.agrees(c) && second.agrees(c) })
		if c := tr.lastCheck(); o.Tier != tracer.TierCensus && c.Repaired != 0 {
			t.Errorf("%+v", c)
		}
		tr.stop(t)
		if n := count(first.events, func(e *event.Event) bool { return e.Kind == event.Open && made[ends{e.Local, e.Remote}] }); n != 0 {
			t.Errorf("%d are told to be open in a namespace that is gone", n)
		}
	})
}

// More TIME_WAITs than can be remembered: counted, and said.
func TestMoreTimeWaitsThanCanBeRemembered(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		const made = 100
		o.TimeWaits = 10
		r := startTrace(t, o).watch(testnet.New(t))
		r.ns.Do(t, func() { leaveTimeWaits(made) })
		events := r.all(t)
		if n := count(events, ofKind(event.TimeWait)); n != made {
			t.Errorf("%d TIME_WAITs, want %d", n, made)
		}
		if n := count(events, ofKind(event.Open)); n > o.TimeWaits {
			t.Errorf("%d are told as held, with room for %d", n, o.TimeWaits)
		}
		if loss := r.losses(t); loss.TimeWaits == 0 || loss.TotalsExact() {
			t.Errorf("losses %+v", loss)
		}
	})
}

// A FIN_WAIT2 whose FIN comes becomes a TIME_WAIT, which no timer tells when both would end in the same tick.
func TestSubstateIsThatOfTheEnd(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		r := startTrace(t, o).watch(testnet.New(t))
		var waits, came end
		r.ns.Do(t, func() {
			s := newScene(r)
			defer s.end()
			var p *testnet.PeerConn
			_, _, waits = s.orphan()
			_, p, came = s.orphan()
			p.Send(testnet.FIN|testnet.ACK, "")
			testnet.UntilState(came.local, came.remote, event.TimeWaitState)
		})
		r.stopAndCompare(t)
		held := map[netip.AddrPort]event.State{}
		for _, e := range r.events {
			if e.Kind == event.Open {
				held[e.Local] = e.Substate
			}
		}
		if len(held) != 2 || held[waits.local] != event.FinWait2 || held[came.local] != event.TimeWaitState {
			t.Errorf("substates %v, want FIN_WAIT2 of %s and TIME_WAIT of %s", held, waits.local, came.local)
		}
	})
}

// What begins or ends after the window is not told.
func TestNothingAfterTheWindow(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		ns := testnet.New(t)
		var kids churners
		ns.Do(t, func() {
			kids = manyReuses()
			kids.start(2 * time.Second)
		})
		r := startTrace(t, o).watch(ns)
		r.mark(t)
		time.Sleep(500 * time.Millisecond)
		r.stop(t) // in the middle of it
		window := r.tracer.Window()
		ns.Do(t, func() {
			kids.await()
			kids.stop()
		})
		held, told := r.held.sum(), 0
		for i := range r.events {
			e := &r.events[i]
			if e.Kind == event.Open {
				if e.NewState == event.TimeWaitState {
					told++
				}
				continue
			}
			if e.UnixNano > window.End {
				t.Errorf("%s after the window, by %d ns", observe(e, want{}), e.UnixNano-window.End)
			}
		}
		if held < 100 || told < 100 {
			t.Errorf("%d held by the events, %d told: too few for this test", held, told)
		}
		if held != told {
			t.Errorf("%d TIME_WAITs held by the events, %d told as held at the end", held, told)
		}
	})
}
