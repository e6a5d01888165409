package tracer_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// want is everything about an event that a scenario can know beforehand. Two are compared with ==.
type want struct {
	kind           event.Kind
	dir            event.Direction
	local, remote  netip.AddrPort
	old, new, sub  event.State
	by             event.Closer
	err            event.Error
	basis          event.Basis
	cause          event.Cause
	owner          owner
	sent, received uint64
	retransmits    uint32 // compared where a scenario sets it

	anyPort bool // the local port is only known not to be 0
	anyEnd  bool // how it ended is not fixed, only that it did
	anySub  bool // the substate is not known
}

type owner struct {
	pid   uint32
	comm  string
	basis event.OwnerBasis
}

// self is the owner of what the test process itself does.
func self(basis event.OwnerBasis) owner {
	comm, err := os.ReadFile("/proc/self/comm")
	testnet.Must(err)
	return owner{uint32(os.Getpid()), strings.TrimSuffix(string(comm), "\n"), basis}
}

// child is the owner of what a child process does that has not renamed itself.
func child(c *testnet.Child) owner { return owner{c.PID(), "exe", event.OwnerConnect} }

// end is one end of a connection, or of an attempt at one.
type end struct {
	dir            event.Direction
	local, remote  netip.AddrPort
	owner          owner
	sent, received uint64
}

// outbound is the end of a socket of this process that called connect().
func outbound(s *testnet.Socket) end {
	return end{dir: event.Outbound, local: s.Local, remote: s.Remote, owner: self(event.OwnerConnect)}
}

// inbound is the end of a socket that this process accepted from a listener of its own.
func inbound(s *testnet.Socket) end {
	return end{dir: event.Inbound, local: s.Local, remote: s.Remote, owner: self(event.OwnerListener)}
}

// attempt is an end toward a destination whose local port nobody could ask for.
func attempt(to netip.AddrPort) end {
	return end{
		dir: event.Outbound, local: netip.AddrPortFrom(testnet.Client, 0), remote: to, owner: self(event.OwnerConnect),
	}
}

// moved is e with its payload counted.
func (e end) moved(sent, received uint64) end {
	e.sent, e.received = sent, received
	return e
}

// of is e under another owner.
func (e end) of(o owner) end {
	e.owner = o
	return e
}

func (e end) want(kind event.Kind, from, to event.State) want {
	return want{kind: kind, dir: e.dir, local: e.local, remote: e.remote, old: from, new: to, owner: e.owner}
}

// opened is its connect or accept event.
func (e end) opened() want {
	if e.dir == event.Inbound {
		return e.want(event.Accept, event.SynRecv, event.Established)
	}
	return e.want(event.Connect, event.SynSent, event.Established)
}

// failed is its connect_failed event, known from the kernel.
func (e end) failed(err event.Error) want {
	w := e.want(event.ConnectFailed, event.SynSent, event.Closed)
	w.err, w.basis = err, event.Exact
	return w
}

// refused is failed for a blocking connect, after which the local port is gone.
func (e end) refused() want {
	w := e.failed(event.Error(unix.ECONNREFUSED))
	w.anyPort = true
	return w
}

// closed is its close event from the given state.
func (e end) closed(from event.State, by event.Closer) want {
	w := e.want(event.Close, from, event.Closed)
	w.by, w.sent, w.received = by, e.sent, e.received
	return w
}

// aborted is a close event by this end's own RST, or its peer's when err says so.
func (e end) aborted(from event.State, err unix.Errno) want {
	w := e.closed(from, event.ClosedReset)
	w.err = event.Error(err)
	if err != 0 {
		w.basis = event.Exact
	}
	return w
}

// timeWait is its time_wait event; sub is the timewait socket's substate.
func (e end) timeWait(from, sub event.State) want {
	w := e.closed(from, event.ClosedLocal)
	w.kind, w.new, w.sub = event.TimeWait, event.TimeWaitState, sub
	if from == event.Closing {
		w.by = event.ClosedBoth
	}
	return w
}

// timeWaitEnd is the end of its TIME_WAIT, which was in substate sub by then.
func (e end) timeWaitEnd(sub event.State, cause event.Cause) want {
	w := e.want(event.TimeWaitEnd, event.TimeWaitState, event.Closed)
	w.sub, w.cause, w.basis = sub, cause, event.Exact
	if cause == event.Killed {
		w.basis = event.Inferred
	}
	return w
}

// byCensus are wants as a census sees them: that a TIME_WAIT has ended is known, not why, nor what became of its substate.
func byCensus(wants []want) []want {
	for i := range wants {
		if w := &wants[i]; w.kind == event.TimeWaitEnd {
			w.cause, w.basis, w.sub, w.anySub = 0, event.Inferred, 0, true
		}
	}
	return wants
}

// ended is its end, in whatever way.
func (e end) ended() want {
	w := e.closed(0, 0)
	w.new, w.anyEnd = 0, true
	return w
}

// observe is what e would have been expected to be, seen through w's blind spots.
func observe(e *event.Event, w want) want {
	o := want{
		kind: e.Kind, dir: e.Direction, local: e.Local, remote: e.Remote, old: e.OldState, new: e.NewState, sub: e.Substate,
		by: e.ClosedBy, err: e.Error, basis: e.Basis, cause: e.Cause,
		owner: owner{e.Owner.PID, e.Owner.Comm.Raw(), e.Owner.Basis},
		sent:  e.SentBytes, received: e.ReceivedBytes, anyPort: w.anyPort, anyEnd: w.anyEnd, anySub: w.anySub,
	}
	if w.retransmits != 0 {
		o.retransmits = e.Retransmits
	}
	switch e.Kind {
	case event.Connect, event.Accept:
		o.sent, o.received = 0, 0 // what a fast open sent is not this event's subject
	case event.Close, event.TimeWait:
		if w.anyEnd {
			o.kind, o.old, o.new, o.sub, o.by, o.err, o.basis, o.cause = event.Close, 0, 0, 0, 0, 0, 0, 0
		}
	}
	if w.anySub {
		o.sub = 0
	}
	if w.anyPort && o.local.Port() != 0 {
		o.local = netip.AddrPortFrom(o.local.Addr(), 0)
	}
	return o
}

func (w want) String() string {
	s := fmt.Sprintf("%s %s %s>%s %s->%s", w.kind, w.dir, w.local, w.remote, w.old, w.new)
	if w.sub != 0 {
		s += "(" + w.sub.String() + ")"
	}
	return s + fmt.Sprintf(" by=%s err=%q basis=%s cause=%s owner=%d/%q/%s bytes=%d/%d retransmits=%d",
		w.by, w.err, w.basis, w.cause, w.owner.pid, w.owner.comm, w.owner.basis, w.sent, w.received, w.retransmits)
}

// compare fails the test unless got are exactly the events wanted, in any order, and each is sound in itself.
func compare(tb testing.TB, wants []want, got []event.Event) {
	tb.Helper()
	rest := slices.Clone(wants)
	var extra []string
	for i := range got {
		e := &got[i]
		j := slices.IndexFunc(rest, func(w want) bool { return observe(e, w) == w })
		if j < 0 {
			extra = append(extra, observe(e, want{}).String())
			continue
		}
		rest = slices.Delete(rest, j, j+1)
		for _, flaw := range flaws(e) {
			tb.Errorf("%s: %s", observe(e, want{}), flaw)
		}
	}
	for _, w := range rest {
		tb.Errorf("missing    %s", w)
	}
	for _, s := range extra {
		tb.Errorf("unexpected %s", s)
	}
	checkOrder(tb, got)
}

// flaws names what no event of a connection that began during the trace may have.
func flaws(e *event.Event) []string {
	var f []string
	say := func(bad bool, what string) {
		if bad {
			f = append(f, what)
		}
	}
	ended := e.Kind == event.Close || e.Kind == event.TimeWait
	refused := e.OldState == e.NewState // a call that failed at once: it names what was asked for, no more
	say(e.Preexisting || e.DirectionBasis == event.Inferred, "is said to be older than the trace")
	say(e.UnixNano <= 0, "has no time")
	say(e.Kind != event.BindFailed && (!e.Remote.IsValid() || e.Remote.Addr().IsUnspecified() || e.Remote.Port() == 0),
		"has no remote end")
	say(!e.Local.IsValid() || !refused && e.Local.Addr().IsUnspecified(), "has no local address")
	say(e.Local.Port() == 0 && !refused && e.Error != event.EADDRNOTAVAIL, "has no local port")
	say(e.Local.Addr().Is4In6() || e.Remote.Addr().Is4In6(), "has a mapped address")
	say(ended && !e.Counted, "has no counters")
	say(ended && e.Lifetime < 0, "has no lifetime")
	say(e.Kind == event.TimeWaitEnd && (e.Counted || e.SentSegments != 0), "has counters that are not its own")
	say(e.InCensus, "is said to be in a census")
	say((e.Kind == event.Connect || e.Kind == event.ConnectFailed && !refused) && e.ConnectTime < 0, "has no connect time")
	say(e.Count != 0 || e.Of != 0, "has the fields of a loss")
	return f
}

// checkOrder fails the test if a connection's end comes before its beginning, or its clock runs backwards.
func checkOrder(tb testing.TB, got []event.Event) {
	tb.Helper()
	type key struct {
		dir           event.Direction
		local, remote netip.AddrPort
	}
	last := map[key]event.Event{}
	timeWaits := map[key][]int64{}
	for _, e := range got {
		if e.Kind == event.ConnectFailed || e.Kind == event.BindFailed {
			continue // can have the 4-tuple of a living connection: that is why it failed
		}
		k := key{e.Direction, e.Local, e.Remote}
		switch begun := timeWaits[k]; {
		case e.Kind == event.TimeWait:
			timeWaits[k] = append(begun, e.UnixNano)
		case e.Kind == event.TimeWaitEnd && (len(begun) == 0 || begun[0] > e.UnixNano):
			tb.Errorf("%s: a TIME_WAIT ends without a beginning", observe(&e, want{}))
		case e.Kind == event.TimeWaitEnd:
			timeWaits[k] = begun[1:]
			continue // the next connection can be there already
		}
		before, known := last[k]
		if known && before.UnixNano > e.UnixNano {
			tb.Errorf("%s: its clock runs backwards", observe(&e, want{}))
		}
		if ended := e.Kind == event.Close || e.Kind == event.TimeWait; ended &&
			(!known || before.Kind != event.Connect && before.Kind != event.Accept) {
			tb.Errorf("%s: ends without a beginning", observe(&e, want{}))
		}
		last[k] = e
	}
}
