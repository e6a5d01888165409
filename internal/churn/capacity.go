package churn

import (
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// BudgetFigures are the figures of a port budget when the window ends.
type BudgetFigures struct {
	// Settings of the network namespace. Nil: not known; then there is no Capacity, and all that follows from it is 0.
	Settings *host.Settings
	// RangeSize is how many ports the namespace's range has, Reserved how many of them are kept from connect(), and
	// Blocked how many of the others are closed to it because another socket was bound to them. A port that bind()
	// chose for one of this budget's own connections is not blocked but used. Capacity is the range less both.
	RangeSize, Reserved, Blocked, Capacity int
	// Used is how many ports of Capacity are held, Reusable how many of them by a TIME_WAIT that connect() would take
	// over.
	Used, Reusable int
	// UsedRatio is Used / Capacity, and 1 when there is no port to use.
	UsedRatio float64
	// ByState counts the used ports by state; TIME_WAIT is for timewait sockets of both substates. Without a snapshot
	// every connection counts as ESTABLISHED.
	ByState map[event.State]uint64

	// OpenedPerSecond is how many connections were lately established a second: in the last 10 s, and 0 when none
	// were any more.
	OpenedPerSecond float64
	// SecondsToExhaustion is when all of Capacity will be used if everything goes on as in the last 10 s. Inferred: see
	// trend. Comes is false when it will not be within a day.
	SecondsToExhaustion float64
	Comes               bool

	// SlowOpened counts the connections whose port is of the second parity: when connect() chose it, every port of the
	// first was taken, and it had looked at all of them. SlowSince is when that first happened, Unix nanoseconds.
	SlowOpened uint64
	SlowSince  int64
	// ConnectFast and ConnectSlow are the connect times with a port of the first and of the second parity. Nil: none.
	ConnectFast, ConnectSlow *Histogram

	// Exhausted, TupleInUse and Bound are those of the Budget. BindExhausted counts the bind() calls to port 0 in the
	// same namespace, from the same or from any address, that found no port left.
	Exhausted, TupleInUse, Bound, BindExhausted uint64
	// ExhaustedSince is when a connect() first found no port left, Unix nanoseconds; 0: none did.
	ExhaustedSince int64

	// Exact: the ports were counted one by one in a snapshot. Else Used is beginnings less ends, and can hold ports
	// outside of the range.
	Exact bool
}

// Figures returns the figures when window w ends.
func (b *Budget) Figures(w Window) BudgetFigures {
	n := b.namespace
	if b.since != 0 {
		w.Start = b.since
	}
	f := BudgetFigures{
		Settings: n.settings, ByState: make(map[event.State]uint64),
		Exhausted: b.Exhausted, TupleInUse: b.TupleInUse, Bound: b.Bound, BindExhausted: n.bindExhausted(b.Local),
		ExhaustedSince: b.exhaustedSince, Exact: b.snapshot && !w.Partial,
	}
	u := usage{reusableLater: f.Settings != nil && b.reusableHere(f.Settings)}
	if b.snapshot {
		b.countSockets(&f, &u, w)
	} else {
		b.countEvents(&f, &u, w)
	}
	f.fill(n, &u)
	b.cliff(&f)
	t := b.trend(w)
	f.OpenedPerSecond = t.opened
	if f.Settings != nil {
		f.SecondsToExhaustion, f.Comes = f.exhaustion(&u, t)
	}
	return f
}

// usage is what the ports held say about the time to come.
type usage struct {
	own   int // of the blocked ports: those that the budget's own connections hold
	waits int // timewait sockets
	// reusable of the waits are of the kind that connect() takes over, be it when they are older than the delay.
	reusable int
	returns  returns
	// reusableLater: those to come are of that kind, as far as the settings say.
	reusableLater bool
}

// countSockets counts the ports of the snapshot.
func (b *Budget) countSockets(f *BudgetFigures, u *usage, w Window) {
	unknown := 0
	for _, s := range b.sockets {
		if !b.namespace.candidate(s.port()) {
			continue
		}
		f.Used++
		f.ByState[s.state()]++
		if f.Settings != nil && f.Settings.Blocked != nil && f.Settings.Blocked.Has(s.port()) {
			u.own++
		}
		if s.state() == event.TimeWaitState && !b.countWait(f, u, s) {
			unknown++
		}
	}
	for state, n := range b.omitted {
		if n == 0 {
			continue
		}
		f.Used += int(n)
		f.ByState[event.State(state)] += uint64(n)
		f.Exact = false
		if event.State(state) == event.TimeWaitState {
			unknown += int(n)
		}
	}
	b.returnByAge(&u.returns, unknown, w)
}

// countWait notes when a timewait socket gives its port back, and reports whether that is known.
func (b *Budget) countWait(f *BudgetFigures, u *usage, s socket) bool {
	u.waits++
	left, known := s.remaining()
	if f.Settings == nil || !f.Settings.Reusable(b.Local, b.Remote.Addr(), s.timestamps(), s.substate()) {
		if known {
			u.returns.add(left+timerSlack, 1)
		}
		return known
	}
	u.reusable++
	if young := f.Settings.TimeWaitReuseDelay.Seconds() - (timeWait - left); known && young > 0 {
		u.returns.add(young, 1)
	} else {
		f.Reusable++
	}
	return true
}

// countEvents counts the ports held as beginnings less ends.
func (b *Budget) countEvents(f *BudgetFigures, u *usage, w Window) {
	open, waits := b.openNow(), b.waitsNow()
	if f.Used = int(open + waits); f.Used == 0 {
		return
	}
	f.ByState[event.Established], f.ByState[event.TimeWaitState] = open, waits
	if b.Opened > 0 {
		u.own = int(float64(f.Used) * min(float64(b.Bound)/float64(b.Opened), 1)) // the same share as of the connects
	}
	u.waits = int(waits)
	if u.reusableLater {
		f.Reusable, u.reusable = u.waits, u.waits
		return
	}
	b.returnByAge(&u.returns, u.waits, w)
}

// reusableHere reports whether connect() takes over the TIME_WAITs of a connection with timestamps, if it has them.
func (b *Budget) reusableHere(s *host.Settings) bool {
	return s.Reusable(b.Local, b.Remote.Addr(), s.Timestamps, event.TimeWaitState)
}

func (b *Budget) openNow() uint64 {
	return clamp(int64(b.preexisting) + int64(b.Opened) - int64(b.ended))
}

func (b *Budget) waitsNow() uint64 {
	return clamp(int64(b.waitExisting) + int64(b.waitEntered) - int64(b.waitEnded))
}

// returnByAge returns n timewait sockets whose remaining time is not known one by one: the youngest are those that
// entered last, older ones are those that were there before the window, and whatever else there is can end at any
// time.
func (b *Budget) returnByAge(r *returns, n int, w Window) {
	take := func(counted uint32, expires int64) {
		k := min(int(counted), n)
		n -= k
		r.add(float64(expires-w.End/1e9)+0.5-float64(w.End%1e9)/1e9+timerSlack, float64(k))
	}
	now := w.End / 1e9
	for s := now; s > now-seconds; s-- {
		take(b.history.entered(s), s+timeWait)
	}
	for s := w.Start/1e9 + timeWait; s >= now-timerSlack && b.due != nil; s-- {
		take(b.due[uint64(s)%seconds], s)
	}
	for s := range timeWait {
		r.add(float64(s), float64(n)/timeWait)
	}
}

// fill works out the capacity, and what part of it is used.
func (f *BudgetFigures) fill(n *namespace, u *usage) {
	if f.Settings == nil {
		return
	}
	reserved, blocked := n.measure()
	f.RangeSize, f.Reserved, f.Blocked = f.Settings.RangeSize(), reserved, blocked-min(u.own, blocked)
	f.Capacity = f.RangeSize - f.Reserved - f.Blocked
	if !f.Exact {
		f.Used = min(f.Used, f.Capacity)
		f.Reusable = min(f.Reusable, f.Used)
	}
	f.UsedRatio = 1
	if f.Capacity > 0 {
		f.UsedRatio = float64(f.Used) / float64(f.Capacity)
	}
}

// cliff says which of the connects were slow, if that can be told by the parity of their ports.
func (b *Budget) cliff(f *BudgetFigures) {
	if b.namespace.slow == noParity {
		return
	}
	fast, slow := &b.parities[1-b.namespace.slow], &b.parities[b.namespace.slow]
	f.SlowOpened, f.SlowSince = slow.opened, slow.first
	f.ConnectFast, f.ConnectSlow = fast.times, slow.times
}
