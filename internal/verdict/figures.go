package verdict

import (
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// figures are what the rule looks at.
type figures struct {
	window          float64 // seconds
	attempts        float64 // A
	opened          float64 // N
	failedElsewhere float64 // F - F0: failed for another reason than the want of a local port
	rate            float64 // attempts per second in which something was attempted
	peak            float64 // C: most open at once
	exchanges       float64 // X: of all connections
	base            float64 // exchanges that even the least used connections had
	heavy           float64 // exchanges carried by connections with 5 times the base or more
	medianLife      float64 // seconds, of new connections, those still open with what they lived so far
	silent          float64
	later           float64
	busySeconds     float64

	closed        uint64
	mostExchanges uint64 // of one new connection
	errors        string // why connects failed elsewhere

	peakLow, peakHigh    float64
	details, lostDetails uint64
	// before is the part of exchanges, heavyBefore that of heavy, of connections opened before the window of which nothing
	// says what they had done by then: the kernel counts from when they were opened.
	before, heavyBefore float64
	// earlier are exchanges, not among those above, that connections of this window had before it.
	earlier float64
	// ends is how many new connections' use is known, lostEnds of how many it is not; byBytes is how many times more
	// the lost ones were used than the known ones, going by their payload.
	ends, lostEnds, byBytes float64
}

func measure(r *churn.Row, w churn.Window) figures {
	low, high := r.Peak()
	f := figures{
		window: w.Seconds(), attempts: float64(r.Attempts()), opened: float64(r.Opened),
		failedElsewhere: float64(r.Failed() - min(r.Failed(), r.FailedWith(event.EADDRNOTAVAIL))),
		peak:            float64(high), peakLow: float64(low), peakHigh: float64(high),
		base:       max(r.Exchanges.Quantile(0.1), 1),
		medianLife: medianLife(r), silent: float64(r.Silent), later: r.LaterShare(w), busySeconds: float64(r.BusySeconds()),
		closed: r.Closed, mostExchanges: r.Exchanges.Max(), errors: errorsOf(r),
		details: r.Opened + r.Closed + r.Failed(), lostDetails: r.LostDetails(),
	}
	f.rate = f.attempts / busy(r, w)
	f.use(r)
	return f
}

// busy is in how many seconds something was attempted. Lost events have no time: when all were lost, any second of the
// window may have been busy.
func busy(r *churn.Row, w churn.Window) float64 {
	if r.LostOpens+r.LostFailures > 0 && r.BusySeconds() == 0 {
		return max(w.Seconds(), 1)
	}
	return max(min(float64(r.BusySeconds()), w.Seconds()), 1) // a window of 7.0 s touches up to eight seconds of the clock
}

// use fills in what the connections were used for. Connections whose end was lost are taken to be like the others.
func (f *figures) use(r *churn.Row) {
	seen := float64(r.Exchanges.Sum())
	heavyAt := rule.heavyTimes * f.base
	f.before, f.heavyBefore = float64(r.PreexistingExchanges.Sum()), r.PreexistingExchanges.SumFrom(heavyAt)
	f.earlier = float64(r.EarlierExchanges)
	f.ends, f.lostEnds, f.byBytes = float64(r.Exchanges.Count()), float64(r.LostEnds), 1
	scale := 1.0
	if f.ends > 0 {
		scale = (f.ends + f.lostEnds) / f.ends
		f.byBytes = payloadRatio(r)
	}
	f.exchanges = f.before + float64(r.CarriedExchanges.Sum()) + seen*scale
	f.heavy = f.heavyBefore + r.CarriedExchanges.SumFrom(heavyAt) + r.Exchanges.SumFrom(heavyAt)*scale
	if f.lostEnds > 0 {
		f.silent *= scale
	}
}

// payloadRatio compares the payload of a lost connection with that of one that was seen, in the direction that moved
// less.
func payloadRatio(r *churn.Row) float64 {
	ends := float64(r.Exchanges.Count() + r.CarriedExchanges.Count() + r.PreexistingExchanges.Count())
	seen := float64(min(r.SentBytes-r.LostSentBytes, r.ReceivedBytes-r.LostReceivedBytes)) / max(ends, 1)
	if r.LostEnds == 0 || seen == 0 {
		return 1
	}
	return float64(min(r.LostSentBytes, r.LostReceivedBytes)) / float64(r.LostEnds) / seen
}

// medianLife is in seconds. A connection that is still open counts with its age.
func medianLife(r *churn.Row) float64 {
	var all churn.Histogram
	all.Merge(r.Lifetimes)
	all.Merge(r.Ages)
	return all.Quantile(0.5) / 1e9
}

// manyLost is the share of connections without details from which on the others may not stand for them.
const manyLost = 0.2

// variants are the figures as they could be, too, given what was lost: the fewest and the most connections open at
// once, and, when more than a fifth of the ends were lost, their use estimated by payload and set to nothing.
func (f *figures) variants() []figures {
	var all []figures
	if f.peakLow != f.peakHigh {
		v := *f
		v.peak = f.peakLow
		all = append(all, v)
	}
	if f.lostEnds <= manyLost*(f.ends+f.lostEnds) {
		return all
	}
	v := *f
	if f.ends > 0 {
		v.exchanges += (f.byBytes - 1) * f.exchanges * f.lostEnds / (f.ends + f.lostEnds)
		v.exchanges = max(v.exchanges, 0)
	}
	all = append(all, v)
	if f.ends < rule.attempts {
		v.exchanges, v.heavy = rule.exchangesMany*f.opened, 0
		all = append(all, v)
	}
	return all
}

// newOnly are the figures as they would be if connections opened before the window had not been used in it.
func (f *figures) newOnly() *figures {
	v := *f
	v.exchanges -= f.before
	v.heavy -= f.heavyBefore
	return &v
}

// wholeLives are the figures with all exchanges of the connections of this window since they were opened.
func (f *figures) wholeLives() *figures {
	v := *f
	v.exchanges += f.earlier
	return &v
}

// perConnect is X/N. Connections from before the window count for one connect when there was none.
func (f *figures) perConnect() float64 { return f.exchanges / max(f.opened, 1) }

// avoidable is the share of the connects that a pool as large as the peak would have saved.
func (f *figures) avoidable() float64 {
	return max((f.opened-f.peak)/max(f.opened, 1), 0)
}

// beyondBase is the share of the exchanges that are more than the least each connection had.
func (f *figures) beyondBase() float64 {
	if f.exchanges == 0 {
		return 0
	}
	return 1 - f.base*f.opened/f.exchanges
}
