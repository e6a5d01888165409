package churn

import (
	"net/netip"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Row is what became of the connections between one service and one destination (outbound), or between one listening
// address and one remote host (inbound).
type Row struct {
	// ID is the row's own within its table, and does not change.
	ID        int
	Direction event.Direction
	Netns     uint32
	// Local has port 0 for outbound rows, Remote for inbound ones: those ports differ from connection to connection.
	Local, Remote netip.AddrPort
	// Owner is the process that was seen last (outbound) or is known best (inbound: the listener, then whoever closed).
	Owner event.Owner
	// Other marks the row that stands for all destinations of one direction beyond [Options].MaxRows, or for all hosts
	// of one listener: that has a Local.
	Other bool

	// Opened and Closed count connections that were established, and that ended, while tracing; lost events included.
	Opened, Closed uint64
	// ClosedBy counts the ends by who closed first; index it with an event.Closer.
	ClosedBy [5]uint64
	// Ports exhausted and tuple in use are the two reasons for EADDRNOTAVAIL; both are among the failures, too.
	PortsExhausted, TupleInUse uint64
	// TimeWaitEntered counts the TIME_WAIT sockets made here, TimeWaitOverflow those that were due and not made.
	TimeWaitEntered, TimeWaitOverflow uint64
	// TimeWaitExisting counts those that were made before tracing began, TimeWaitEnded those that were removed while
	// tracing, and EndedBy the latter by their event.Cause: Expired, Reused, Killed, or 0 where it is not known.
	TimeWaitExisting, TimeWaitEnded uint64
	EndedBy                         [event.Killed + 1]uint64
	// SentBytes and ReceivedBytes are the payload of ended connections, and of those still open as far as it was told: when
	// the window ends, and by Progress events before. What connections had carried before the window is left out where that
	// was told, too.
	SentBytes, ReceivedBytes uint64
	// Preexisting counts connections that were open before tracing began: those that a census announced, and others of
	// which something was seen.
	Preexisting uint64
	// Silent counts new connections on which nothing was sent for the last half of their life, and for 0.3 s at least.
	Silent uint64
	// Connecting counts connects that were under way, without an answer, when the window ended; OldestConnect is for how
	// long the oldest of them has been.
	Connecting    uint64
	OldestConnect time.Duration
	// StillOpen counts new connections that were seen open when the window ended.
	StillOpen uint64

	// LostOpens, LostEnds and LostFailures count what is in the totals although its details were lost: no lifetimes,
	// exchanges, pids or times of these.
	LostOpens, LostEnds, LostFailures uint64
	// LostSentBytes and LostReceivedBytes are the part of the payload that lost ends stand for.
	LostSentBytes, LostReceivedBytes uint64

	// Lifetimes of ended connections, Ages of new ones still open when the window ended, ConnectTimes of established
	// ones: nanoseconds. Nil: none.
	Lifetimes, Ages, ConnectTimes *Histogram
	// Exchanges per connection (see event.Event.Exchanges): of new connections; of preexisting ones in this window; and of
	// preexisting ones since they were opened, where nothing says how many of these were before the window. Nil: none.
	Exchanges, CarriedExchanges, PreexistingExchanges *Histogram
	// EarlierExchanges are those that the connections of CarriedExchanges had before the window.
	EarlierExchanges uint64
	// IdleEnds are the ends of connections that the other end closed after at least a second without use: for how long
	// nothing had been sent, nanoseconds. Nil: none.
	IdleEnds *Histogram

	budget   *Budget
	states   *States
	waits    waits
	failures failures
	// level is new connections minus ended ones, those that existed before included in the latter; peak its highest.
	level, peak int64
	older       uint64 // of Preexisting, those that have not ended
	busySeconds uint32
	lastSecond  int64
	arrivals    arrivals
	failed      *arrivals // of connects that failed; nil: none
	pace        pace
	falls       falls
	course      course
	recent      *recent // nil: none, or not kept
	lostEnds    uint64  // those among which connections may be whose progress was told
}

// Unnamed reports whether r stands for many services: that of all other hosts of a listener does not.
func (r *Row) Unnamed() bool { return r.Other && !r.Local.IsValid() }

// Budget is the port budget that the row's connections use up; nil for inbound and ~other rows.
func (r *Row) Budget() *Budget { return r.budget }

// States are the connections that are there when the window ends, by state. Nil: none.
func (r *Row) States() *States { return r.states }

// Failed is how many connects failed, for whatever reason.
func (r *Row) Failed() uint64 { return r.failures.total }

// FailedWith is how many connects failed with e. Beyond six different errors in a row, the later ones are under
// [OtherFailures] only.
func (r *Row) FailedWith(e event.Error) uint64 { return r.failures.with(e) }

// Failures calls yield for every error that occurred, in the order of their first occurrence; OtherFailures last.
func (r *Row) Failures(yield func(event.Error, uint64) bool) { r.failures.each(yield) }

// Attempts is how many connects came to an end, well or badly: what was opened and what failed.
func (r *Row) Attempts() uint64 { return r.Opened + r.Failed() }

// BusySeconds is in how many different seconds something was attempted (lost events have no time and are left out).
func (r *Row) BusySeconds() uint32 { return r.busySeconds }

// Open is how many connections are open now, those opened before tracing began included as far as they were seen.
func (r *Row) Open() uint64 {
	return clamp(int64(r.Preexisting) + r.level + int64(r.LostOpens) - int64(r.LostEnds))
}

// Peak is the most that were open at once. When lost events blur it, low and high are its bounds; else both are equal.
func (r *Row) Peak() (low, high uint64) {
	seen := r.Preexisting + clamp(r.peak)
	now := r.Open()
	low = max(now, seen-min(seen, r.LostEnds))
	high = max(now, min(seen+r.LostOpens, r.Preexisting+r.Opened))
	if r.LostOpens+r.LostEnds > 0 {
		high = min(high, max(low, r.likelyPeak()))
	}
	return min(low, high), high
}

// likelyPeak is a generous guess from the lifetimes that are known: connections open on average (Little's law) while
// the service was busy, five times that for bursts, and twenty more. Too few known lifetimes guess nothing.
func (r *Row) likelyPeak() uint64 {
	n := r.Lifetimes.Count()
	if n < 20 {
		return ^uint64(0)
	}
	mean := float64(r.Lifetimes.Sum()) / float64(n) / 1e9
	open := mean * float64(r.Opened) / float64(max(r.busySeconds, 1))
	return r.Open() + r.Preexisting + 20 + uint64(5*open)
}

// LaterShare is the share (0 to 1) of the opened connections that came in the second half of the window.
func (r *Row) LaterShare(w Window) float64 { return r.arrivals.shareAfter(w.Start + (w.End-w.Start)/2) }

// FailedLaterShare is the share (0 to 1) of the failed connects that came in the second half of the window.
func (r *Row) FailedLaterShare(w Window) float64 {
	if r.failed == nil {
		return 0
	}
	return r.failed.shareAfter(w.Start + (w.End-w.Start)/2)
}

// LostDetails is how many events are in the totals only.
func (r *Row) LostDetails() uint64 { return r.LostOpens + r.LostEnds + r.LostFailures }

// openOne counts a connection that was established (or n, when their events were lost).
func (r *Row) openOne(e *event.Event) {
	r.Opened++
	if r.level++; r.level > r.peak {
		r.peak = r.level
	}
	r.attempt(e.UnixNano)
	r.arrivals.add(e.UnixNano)
	if e.ConnectTime >= 0 {
		add(&r.ConnectTimes, uint64(e.ConnectTime))
	}
}

func (r *Row) failOne(e *event.Event) {
	r.fail(e.Error, e.Cause, 1)
	r.attempt(e.UnixNano)
	if r.failed == nil {
		r.failed = new(arrivals)
	}
	r.failed.add(e.UnixNano)
}

func (r *Row) fail(err event.Error, cause event.Cause, n uint64) {
	r.failures.add(err, n)
	switch cause {
	case event.PortsExhausted:
		r.PortsExhausted += n
	case event.TupleInUse:
		r.TupleInUse += n
	}
}

func (r *Row) attempt(unixNano int64) {
	r.pace.add(unixNano)
	if s := unixNano / int64(time.Second); s > r.lastSecond {
		r.lastSecond = s
		r.busySeconds++
	}
}

// endOne counts the end of a connection, of which was is what was told before.
func (r *Row) endOne(e *event.Event, was *use) {
	if e.Preexisting && !e.InCensus {
		r.Preexisting++
	}
	if e.InCensus && r.older > 0 {
		r.older--
	}
	r.falls.end(e, r.Open(), r.Opened)
	r.level--
	r.end(e, e.Kind, 1)
	r.carry(e, was)
	if e.ClosedBy == event.ClosedRemote && e.Idle >= idleEnd {
		add(&r.IdleEnds, uint64(e.Idle))
	}
	if e.Lifetime >= 0 {
		add(&r.Lifetimes, uint64(e.Lifetime))
	}
	r.use(e, was)
}

// end counts n ends of which e is one, or which e stands for, but for what they had carried.
func (r *Row) end(e *event.Event, kind event.Kind, n uint64) {
	r.Closed += n
	if int(e.ClosedBy) < len(r.ClosedBy) {
		r.ClosedBy[e.ClosedBy] += n
	}
	if kind == event.TimeWait {
		r.TimeWaitEntered += n
	}
	if e.Cause == event.TimeWaitOverflow {
		r.TimeWaitOverflow += n
	}
}

// stillThere takes the snapshot of a connection or a timewait socket that is there when the window ends.
func (r *Row) stillThere(e *event.Event, was *use) {
	if e.NewState == event.TimeWaitState {
		r.stillWaiting(e)
		return
	}
	if r.states == nil {
		r.states = new(States)
	}
	r.states.add(e)
	r.stillOpen(e, was)
}

func (r *Row) stillOpen(e *event.Event, was *use) {
	if e.NewState == event.SynSent || e.NewState == event.SynRecv {
		r.Connecting++
		r.OldestConnect = max(r.OldestConnect, e.ConnectTime)
		return
	}
	r.carry(e, was)
	r.use(e, was)
	if e.Preexisting {
		if !e.InCensus {
			r.Preexisting++
		}
		return
	}
	r.StillOpen++
	if e.Lifetime >= 0 {
		add(&r.Ages, uint64(e.Lifetime))
	}
}

// idleEnd is how long nothing must have been sent before the other end's close can be called an idle timeout.
const idleEnd = time.Second

// silence is how long nothing must have been sent before a connection can be called silent.
const silence = 300 * time.Millisecond

func (r *Row) lost(e *event.Event) {
	switch e.Of {
	case event.Connect, event.Accept:
		r.Opened += e.Count
		r.LostOpens += e.Count
	case event.ConnectFailed:
		r.fail(e.Error, e.Cause, e.Count)
		r.LostFailures += e.Count
	case event.Close, event.TimeWait:
		if e.Preexisting && !e.InCensus {
			r.Preexisting += e.Count
		}
		r.end(e, e.Of, e.Count)
		if e.Counted {
			r.SentBytes += e.SentBytes
			r.ReceivedBytes += e.ReceivedBytes
		}
		r.LostEnds += e.Count
		r.lostEnds += e.Count
		r.LostSentBytes += e.SentBytes
		r.LostReceivedBytes += e.ReceivedBytes
	case event.TimeWaitEnd:
		r.endWait(e, e.Count)
	case event.Existing:
		r.exist(e, e.Count)
	}
}

// own takes over the owner of e when it is known better than, or as well and later than, the one so far.
func (r *Row) own(o *event.Owner) {
	if was, is := rank(&r.Owner, r.Direction), rank(o, r.Direction); is > was || is == was && o.PID != r.Owner.PID && o.PID != 0 {
		r.Owner = *o
	}
}

// rank orders owners by how well they are known. A listener that belongs to pid 1 is socket activation: whoever closes
// the connection did the work.
func rank(o *event.Owner, d event.Direction) int {
	switch o.Basis {
	case event.OwnerConnect:
		if d == event.Outbound {
			return 5
		}
		return 1
	case event.OwnerListener:
		if o.PID == 1 {
			return 3
		}
		return 5
	case event.OwnerCloser, event.OwnerHolder:
		return 4
	case event.OwnerCgroup:
		return 2
	}
	return 0
}

// add counts v in *h, which is made when first needed.
func add(h **Histogram, v uint64) {
	if *h == nil {
		*h = new(Histogram)
	}
	(*h).Add(v)
}

func clamp(n int64) uint64 { return uint64(max(n, 0)) }
