package verdict

// thresholds of the rule. Beside each, the range within which every recorded case stays right when it is moved alone.
type thresholds struct {
	failures      float64 // not pinned
	failingShare  float64 // not pinned
	exchangesPool float64 // 3 to 20
	exchangesMany float64 // 45 to 300
	avoidable     float64 // 0.2 to 0.7
	longLife      float64 // seconds; 0.1 to 1.2
	beyondBase    float64 // 0.7 to 0.95
	attempts      float64 // not pinned from 5 to 40
	rate          float64 // per second; not pinned from 0.5 to 8
	heavyTimes    float64 // a connection is heavy when it was used so many times more than the base
	heavyShare    float64 // 0.005 to 0.06
	silentShare   float64 // 0.2 to 0.9
	laterShare    float64
	busySeconds   float64
	exchangesKept float64
}

// rule is what verdicts are made with.
var rule = thresholds{
	failures: 10, failingShare: 0.5, exchangesPool: 20, exchangesMany: 80, avoidable: 0.5, longLife: 1, beyondBase: 0.95,
	attempts: 20, rate: 3, heavyTimes: 5, heavyShare: 0.03, silentShare: 0.6, laterShare: 0.3, busySeconds: 3, exchangesKept: 3,
}

// conclusion is the test that decided.
type conclusion int

const (
	failing      conclusion = iota // connects fail
	reused                         // connections are used many times
	reusedBefore                   // they were before the window, and are kept
	tooFew                         // not enough to look at
	undersized                     // some are reused and most are not
	thrownAway                     // opened and closed without need
	leak                           // opened, used once, never closed
	kept                           // opened once and used
	burst                          // opened once; no telling whether again
	exhausted                      // nothing was established
)

// apply runs the tests in their order; the first that holds decides.
func (t *thresholds) apply(f *figures) conclusion {
	switch {
	case f.failedElsewhere >= t.failures && f.failedElsewhere >= t.failingShare*f.attempts:
		return failing
	case t.reuses(f):
		return reused
	case f.attempts < t.attempts || f.rate < t.rate:
		if f.earlier > 0 && t.reuses(f.wholeLives()) {
			return reusedBefore
		}
		return tooFew
	case f.avoidable() >= t.avoidable && f.heavy > 0 && f.heavy >= t.heavyShare*f.exchanges:
		return undersized
	case f.avoidable() >= t.avoidable:
		return thrownAway
	case t.leaking(f):
		return leak
	case f.opened == 0:
		return exhausted
	case f.perConnect() >= t.exchangesKept:
		return kept
	}
	return burst
}

func (t *thresholds) reuses(f *figures) bool {
	return f.perConnect() >= t.exchangesPool && t.poolLike(f)
}

func (t *thresholds) poolLike(f *figures) bool {
	return f.avoidable() <= t.avoidable || f.medianLife >= t.longLife || f.perConnect() >= t.exchangesMany ||
		f.beyondBase() >= t.beyondBase
}

func (t *thresholds) leaking(f *figures) bool {
	return f.opened > 0 && f.perConnect() < t.exchangesPool && f.silent >= t.silentShare*f.opened &&
		f.later >= t.laterShare && f.busySeconds >= t.busySeconds
}

func (c conclusion) name() Name {
	switch c {
	case failing:
		return ConnectFailing
	case reused, reusedBefore, kept:
		return Pooled
	case undersized:
		return UndersizedPool
	case thrownAway, leak:
		return Unpooled
	}
	return TooFewToTell
}
