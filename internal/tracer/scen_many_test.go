package tracer_test

import (
	"fmt"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// Tables smaller than one port range, whose failures nobody looks at: 40,000 sockets live at once. Four processes hold
// one end of 5,000 connections each, for few may have 20,000 descriptors; the other ends wait to be accepted for ever.
func testFortyThousandSockets(t *testing.T, tr *trace) {
	const processes, each = 4, 5_000
	r := tr.watch(testnet.New(t))
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		hold(s, processes, each, func() {
			if n := testnet.ReadSockstat().InUse; n < 2*processes*each {
				testnet.Fail("%d sockets in use", n)
			}
		})
	})
	tally(t, r.collect(t, 4*processes*each), processes*each)
	if loss := tr.losses(t); loss != (tracer.Loss{}) {
		t.Errorf("losses %+v", loss)
	}
}

// A bound that is too small costs owners, never counts, and says so.
func TestMoreConnectionsThanCanBeRemembered(t *testing.T) {
	const links, remembered = 600, 128
	r := startTrace(t, tracer.Options{Sockets: remembered}).watch(testnet.New(t))
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		hold(s, 1, links, func() {})
	})
	tally(t, r.collect(t, 4*links), links)
	if loss := r.losses(t); loss.Sockets < 2*links-2*remembered || loss.TotalsExact() {
		t.Errorf("losses %+v, with %d connections and room for %d", loss, 2*links, remembered)
	}
}

// hold lets processes open so many connections each, all to this one, calls then when they are open, and aborts them.
func hold(s *scene, processes, each int, then func()) {
	s.sysctl("net.core.somaxconn", "65535") // how many may wait to be accepted
	var kids []*testnet.Child
	for range processes {
		l := s.listen(s.server())
		kids = append(kids, testnet.StartChild("hold", []string{l.Local.String(), strconv.Itoa(each)}))
	}
	for _, kid := range kids {
		kid.Line() // all are open
	}
	then()
	for _, kid := range kids {
		kid.Release()
	}
	testnet.Until("the RSTs to arrive", func() bool { return testnet.ReadSockstat().InUse <= processes })
}

// childHold opens connections, holds them until released, and ends them by RST, which leaves no timewait sockets.
func childHold(args []string) {
	n := testnet.Must1(strconv.Atoi(args[1]))
	var held []*testnet.Socket
	for range n {
		held = append(held, dial(args[0]))
	}
	fmt.Println("open")
	testnet.AwaitRelease()
	for _, c := range held {
		c.Abort()
	}
}

// tally fails the test unless the events are exactly those of so many links that their clients aborted.
func tally(t *testing.T, events []event.Event, links int) {
	t.Helper()
	type story struct {
		kind event.Kind
		dir  event.Direction
		err  event.Error
	}
	got := map[story]int{}
	for i := range events {
		e := &events[i]
		got[story{e.Kind, e.Direction, e.Error}]++
	}
	for s, n := range map[story]int{
		{event.Connect, event.Outbound, 0}:                         links,
		{event.Accept, event.Inbound, 0}:                           links,
		{event.Close, event.Outbound, 0}:                           links,
		{event.Close, event.Inbound, event.Error(unix.ECONNRESET)}: links,
	} {
		if got[s] != n {
			t.Errorf("%d events %s %s %q, want %d", got[s], s.kind, s.dir, s.err, n)
		}
		delete(got, s)
	}
	for s, n := range got {
		t.Errorf("%d unexpected events %s %s %q", n, s.kind, s.dir, s.err)
	}
}
