package churn

import (
	"net/netip"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Budget is the local ports of one network namespace from one local address toward one destination, shared by all
// services: every outbound connection holds one from connect() to its end, and so does the TIME_WAIT thereafter, in
// either substate. [Budget.Figures] says how many are held and how many there are.
type Budget struct {
	Netns  uint32
	Local  netip.Addr
	Remote netip.AddrPort

	// Opened counts the connections established while tracing, lost events included. Bound counts those of which bind()
	// had chosen the port, or connect() from a range of the socket's own; lost events not included.
	Opened, Bound uint64
	// Exhausted counts connects that found no port left, TupleInUse those whose own port was in use toward the
	// destination.
	Exhausted, TupleInUse uint64

	namespace *namespace

	// Connections that were open before the window, and that ended in it.
	preexisting, ended uint64
	// TIME_WAITs that were there before the window, and that began and ended in it.
	waitExisting, waitEntered, waitEnded uint64
	// Connections whose lifetime is known, and the sum of these in nanoseconds.
	lives, lifetime uint64

	since                   int64 // from when on history is known, Unix nanoseconds; 0: from the beginning of the window
	lastWanted              int64 // Unix nanoseconds of the last connect
	exhaustedSince          int64 // Unix nanoseconds; 0: never
	toldHalf, toldExhausted bool
	parities                [2]parity
	history                 history
	// due counts the TIME_WAITs from before the window by the Unix second in which their time is over.
	due *[seconds]uint32

	snapshot bool
	sockets  []socket                     // what the snapshot found
	omitted  [event.NewSynRecv + 1]uint32 // what it found beyond maxSockets, by state
}

// parity is what is known of the connects whose port was even, or odd, and connect() had chosen it from the range.
type parity struct {
	opened uint64
	first  int64 // Unix nanoseconds
	times  *Histogram
}

// Budgets returns the port budgets in the order of their first event. They are the table's own.
func (t *Table) Budgets() []*Budget { return t.budgets }

// BudgetsOmitted is how many outbound connections and TIME_WAITs belong to no budget because the table was full.
func (t *Table) BudgetsOmitted() uint64 { return t.budgetsOmitted }

// budget finds the budget of outbound row r with key k, or makes it; there are never more of them than rows. A
// connect that failed for want of a route has no local address, and so no budget.
func (t *Table) budget(k key, r *Row) *Budget {
	if a := r.Local.Addr(); !a.IsValid() || a.IsUnspecified() {
		return nil
	}
	k = k.withoutService()
	b := t.budgetByKey[k]
	if b == nil {
		b = &Budget{
			Netns: r.Netns, Local: r.Local.Addr(), Remote: r.Remote, namespace: t.namespace(r.Netns), snapshot: t.snapshot,
		}
		t.budgetByKey[k] = b
		t.budgets = append(t.budgets, b)
	}
	return b
}

// budgetOf is the budget in which e of row r counts. The ~other row has none, but what is in it can belong to the
// budget of another service's row.
func (t *Table) budgetOf(r *Row, e *event.Event) *Budget {
	if !r.Other {
		return r.budget
	}
	return t.otherBudget(e)
}

func (t *Table) otherBudget(e *event.Event) *Budget {
	if e.Direction != event.Outbound {
		return nil
	}
	b := t.budgetByKey[keyOf(e).withoutService()]
	if b == nil {
		t.omitBudget(e)
	}
	return b
}

func (t *Table) omitBudget(e *event.Event) {
	kind, n := e.Kind, uint64(1)
	if kind == event.Lost {
		kind, n = e.Of, e.Count
	}
	if kind == event.Connect || kind == event.Existing || e.Preexisting && !e.InCensus {
		t.budgetsOmitted += n
	}
}

// open counts a connection that was established. A nil Budget, which inbound rows have, counts nothing, here and
// below.
func (b *Budget) open(e *event.Event) {
	if b == nil {
		return
	}
	b.Opened++
	s := b.want(e.UnixNano)
	s.opened = saturatingAdd(s.opened, 1)
	if !e.AutoPort {
		b.Bound++
		return
	}
	p := &b.parities[e.Local.Port()%2]
	if p.opened++; p.opened == 1 {
		p.first = e.UnixNano
	}
	if e.ConnectTime >= 0 {
		add(&p.times, uint64(e.ConnectTime))
	}
}

// want notes the time of connects, which the caller counts in the second that it returns.
func (b *Budget) want(unixNano int64) *second {
	b.lastWanted = max(b.lastWanted, unixNano)
	s := b.history.at(unixNano)
	s.want(unixNano)
	return s
}

// fail counts n connects that failed like e.
func (b *Budget) fail(e *event.Event, n uint64) {
	if b == nil {
		return
	}
	switch e.Cause {
	case event.PortsExhausted:
		if b.Exhausted += n; b.exhaustedSince == 0 {
			b.exhaustedSince = e.UnixNano
		}
		s := b.want(e.UnixNano)
		increase(&s.refused, n)
	case event.TupleInUse:
		b.TupleInUse += n
	}
}

// end counts n connections that ended like e.
func (b *Budget) end(e *event.Event, kind event.Kind, n uint64) {
	if b == nil {
		return
	}
	b.ended += n
	if e.Preexisting && !e.InCensus {
		b.preexisting += n
	}
	if e.Lifetime >= 0 {
		b.lives++
		b.lifetime += uint64(e.Lifetime)
	}
	s := b.history.at(e.UnixNano)
	if kind == event.TimeWait {
		b.waitEntered += n
		increase(&s.entered, n)
		return
	}
	increase(&s.freed, n)
}

// endWait counts n TIME_WAITs that ended like e.
func (b *Budget) endWait(e *event.Event, n uint64) {
	if b == nil {
		return
	}
	b.waitEnded += n
	if e.Preexisting && !e.InCensus {
		b.waitExisting += n
	}
	if e.Cause == event.Reused || e.Cause == event.Killed {
		increase(&b.history.at(e.UnixNano).early, n)
	}
}

// exist counts n connections or TIME_WAITs that were there before the window.
func (b *Budget) exist(e *event.Event, n uint64) {
	if b == nil {
		return
	}
	switch e.NewState {
	case event.TimeWaitState:
		b.waitExisting += n
		b.expect(e, n)
	case event.SynSent, event.SynRecv: // its connect is still to come
	default:
		b.preexisting += n
	}
}

func (b *Budget) expect(e *event.Event, n uint64) {
	if e.Kind == event.Open || e.Remaining < 0 || e.Remaining > timeWait*time.Second {
		return
	}
	if b.due == nil {
		b.due = new([seconds]uint32)
	}
	increase(&b.due[uint64(e.UnixNano+int64(e.Remaining))/1e9%seconds], n)
}

// lost counts what e stands for, in the second in which that was told.
func (b *Budget) lost(e *event.Event) {
	if b == nil {
		return
	}
	switch e.Of {
	case event.Connect:
		b.Opened += e.Count
		s := b.want(e.UnixNano)
		increase(&s.opened, e.Count)
	case event.ConnectFailed:
		b.fail(e, e.Count)
	case event.Close, event.TimeWait:
		b.end(e, e.Of, e.Count)
	case event.TimeWaitEnd:
		b.endWait(e, e.Count)
	case event.Existing:
		b.exist(e, e.Count)
	}
}

// hold takes a socket that is there when the window ends, and reports whether it kept it: not without room.
func (b *Budget) hold(e *event.Event, room bool) bool {
	if b == nil {
		return false
	}
	if e.Preexisting && !e.InCensus {
		b.exist(e, 1)
	}
	if !room {
		increase(&b.omitted[min(e.NewState, event.NewSynRecv)], 1)
		return false
	}
	b.sockets = append(b.sockets, socketOf(e))
	return true
}
