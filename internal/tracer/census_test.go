package tracer_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// childSettle makes so many TIME_WAITs and then as many connections as its second argument says, to itself, and holds
// these until released. It listens at its third.
func childSettle(args []string) {
	at := netip.MustParseAddrPort(args[2])
	l := testnet.Listen(at.Addr(), at.Port())
	for range testnet.Must1(strconv.Atoi(args[0])) {
		c := testnet.Dial(l.Local)
		d := l.Accept()
		c.Close()
		d.Close()
	}
	var open []*testnet.Socket
	for range testnet.Must1(strconv.Atoi(args[1])) {
		c := testnet.Dial(l.Local)
		open = append(open, c, l.Accept())
	}
	fmt.Println("settled")
	testnet.AwaitRelease()
	for _, s := range open {
		s.Abort()
	}
}

// What is there when tracing begins is told once, with its owner where there is one, and joined with its end.
func TestCensus(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		const made, open = 3000, 200
		var held int // a RST ends one in a thousand at once: a FIN can overtake an ACK
		ns := testnet.New(t)
		at := netip.AddrPortFrom(testnet.Server, 6001)
		var kid *testnet.Child
		ns.Do(t, func() {
			testnet.Sysctl("net.ipv4.tcp_tw_reuse", "0")
			kid = testnet.StartChild("settle", []string{strconv.Itoa(made), strconv.Itoa(open), at.String()})
			kid.Line()
			held = testnet.ReadSockstat().TimeWait
		})
		o.Listeners = []event.Listener{{Netns: ns.Inode(), Local: at, Owner: event.Owner{PID: kid.PID(), Basis: event.OwnerListener}}}
		r := startTrace(t, o).watch(ns)
		r.mark(t)
		old := existing(t, r.collect(t, 0))
		if held < made*9/10 {
			t.Fatalf("%d TIME_WAITs of %d connections", held, made)
		}
		if len(old) != held+2*open {
			t.Errorf("%d are told to be older than the trace, want %d", len(old), held+2*open)
		}
		comm := "exe"
		states := map[event.State]int{}
		for _, e := range old {
			states[e.NewState]++
			inbound := e.Local == at
			switch {
			case (e.Direction == event.Inbound) != inbound || e.DirectionBasis != event.Inferred:
				t.Errorf("direction of %+v", e)
			case e.NewState == event.TimeWaitState && (e.Owner.PID != 0 || e.Owner.Basis != event.OwnerUnknown || e.Substate != event.TimeWaitState):
				t.Errorf("nobody owns a TIME_WAIT: %+v", e)
			case e.NewState != event.TimeWaitState && (e.Owner.PID != kid.PID() || e.Owner.Comm.Raw() != comm || e.Owner.Basis != event.OwnerHolder):
				t.Errorf("it is the child's: %+v", e)
			}
			if t.Failed() {
				break
			}
		}
		if states[event.TimeWaitState] != held || states[event.Established] != 2*open {
			t.Errorf("states %v", states)
		}
		if t.Failed() {
			return
		}
		// An end of each kind: all connections, and the TIME_WAIT of a port that connect() takes again.
		var again ends
		for k, e := range old {
			if e.NewState == event.TimeWaitState {
				again = k
				break
			}
		}
		ns.Do(t, func() {
			port := strconv.Itoa(int(again.local.Port()))
			testnet.Sysctl("net.ipv4.ip_local_port_range", port+" "+port)
			testnet.Sysctl("net.ipv4.tcp_tw_reuse", "1")
			testnet.Until("the port to be reused", func() bool {
				c := testnet.NewSocket(testnet.Client)
				defer c.Abort()
				return c.Connect(again.remote) == nil
			})
			kid.Release()
		})
		ended := map[event.Kind]int{}
		events := r.collect(t, 2*open+1)
		if o.Tier == tracer.TierCensus {
			events = append(events, r.collect(t, 1)...)
		}
		for _, e := range events {
			was, known := old[ends{e.Local, e.Remote}]
			if e.Kind != event.Close && e.Kind != event.TimeWaitEnd || !known || was.NewState == event.TimeWaitState && e.Kind == event.Close {
				continue // of the connection that took over
			}
			ended[e.Kind]++
			if !e.Preexisting || !e.InCensus || e.Direction != was.Direction || e.Owner != was.Owner {
				t.Errorf("%+v is not joined with %+v", e, was)
				break
			}
		}
		if ended[event.Close] != 2*open || ended[event.TimeWaitEnd] != 1 {
			t.Errorf("ends %v", ended)
		}
		r.stopAndCompare(t)
		for i := range r.events {
			if e := &r.events[i]; e.Kind == event.Open && (!e.InCensus || !e.Preexisting) {
				t.Fatalf("held since before the trace: %+v", *e)
			}
		}
	})
}

// existing returns the Existing events by their ends, each of which must come once.
func existing(t *testing.T, events []event.Event) map[ends]event.Event {
	t.Helper()
	old := map[ends]event.Event{}
	for _, e := range events {
		if e.Kind != event.Existing {
			continue
		}
		k := ends{e.Local, e.Remote}
		if !e.Preexisting || !e.InCensus || old[k].Kind != 0 {
			t.Fatalf("told twice, or not as older than the trace: %s %+v", observe(&e, want{}), e)
		}
		old[k] = e
	}
	return old
}

// A census in the middle of churn: nothing is told twice, nothing is forgotten, and no end is without a beginning.
func TestCensusDuringChurn(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		ns := testnet.New(t)
		var kids churners
		ns.Do(t, func() { kids = manyReuses() })
		defer ns.Do(t, func() { kids.stop() })
		const times = 3
		for range times {
			ns.Do(t, func() { kids.start(time.Second) })
			r := startTrace(t, o).watch(ns)
			ns.Do(t, func() { kids.await() })
			r.compareHeld(t)
			r.stopAndCompare(t)
			r.checkBeginnings(t)
			if t.Failed() {
				return
			}
		}
	})
}

// checkBeginnings fails the test if a connection is told twice, or ends without having begun.
func (r *recorder) checkBeginnings(t *testing.T) {
	t.Helper()
	type key struct {
		ends
		dir event.Direction
	}
	open := map[key]int{}
	flaws := 0
	for i := range r.events {
		e := &r.events[i]
		k := key{ends{e.Local, e.Remote}, e.Direction}
		switch {
		case e.NewState == event.TimeWaitState && e.Kind == event.Existing, e.Kind == event.TimeWaitEnd, e.Kind == event.ConnectFailed:
			continue
		case e.Kind == event.Connect, e.Kind == event.Accept, e.Kind == event.Existing:
			open[k]++
		case e.Kind == event.Close, e.Kind == event.TimeWait:
			if e.Preexisting && !e.InCensus && open[k] == 0 {
				continue // it ended before the census came to it
			}
			open[k]--
		}
		if open[k] < 0 || open[k] > 1 {
			flaws++
			t.Logf("%d at once: %s preexisting=%t in census=%t", open[k], observe(e, want{}), e.Preexisting, e.InCensus)
			open[k] = 0
		}
	}
	// A tracepoint does not always call its programs.
	if flaws > 2 {
		t.Errorf("%d connections were told twice or not at all", flaws)
	}
}

// The census comes before the window: nobody listens where it found a connection to have come from, for instance.
func TestExistingStates(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := &scene{}
	var waiting, half *link
	var orphan end
	ns.Do(t, func() {
		s.peer = testnet.NewPeer()
		waiting, half = s.link(), s.link()
		waiting.c.Shutdown(unix.SHUT_WR)
		waiting.d.ReadEnd()
		half.d.Close()
		half.c.ReadEnd()
		c, p, out := s.withPeer()
		c.Close()
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.ACK, "")
		testnet.Until("a timewait socket", func() bool { return testnet.IsTimewait(out.local, out.remote) })
		orphan = out
	})
	r := startTrace(t, tracer.Options{}).watch(ns)
	r.mark(t)
	old := existing(t, r.collect(t, 0))
	for _, w := range []struct {
		of    end
		state event.State
		sub   event.State
	}{
		{waiting.out, event.FinWait2, 0}, {waiting.in, event.CloseWait, 0}, {half.out, event.CloseWait, 0},
		{half.in, event.TimeWaitState, event.FinWait2}, {orphan, event.TimeWaitState, event.FinWait2},
	} {
		k := ends{w.of.local, w.of.remote}
		if e := old[k]; e.NewState != w.state || e.Substate != w.sub {
			t.Errorf("%s > %s: %+v, want state %s (%s)", k.local, k.remote, e, w.state, w.sub)
		}
		delete(old, k)
	}
	if len(old) != 0 {
		t.Errorf("more: %v", old)
	}
	ns.Do(t, s.end)
	r.stopAndCompare(t)
}
