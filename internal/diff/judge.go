package diff

import "math"

// rank orders verdicts, the best highest. A verdict that is not here tells nothing.
var rank = map[string]int{"connect-failing": 1, "unpooled": 1, "undersized-pool": 2, "pooled": 3}

// worse says whether a verdict tells more, or is worse, than another.
func worse(v, other string) bool { return rank[v] > 0 && (rank[other] == 0 || rank[v] < rank[other]) }

const (
	// deviations is how far apart two rates must be, in standard deviations, when only one pair is compared.
	deviations = 3
	// relative is how far apart they must be beside: less is not worth telling however certain it is.
	relative = 0.2
	// newFailures is how many failures are told where there were none before.
	newFailures = 3
	// maxMissing is the share of a row's events that may be missing before its verdict is not believed.
	maxMissing = 0.2
	// usedMore is the share of all ports by which the use must differ.
	usedMore = 0.05
	// timeWait is how long a TIME_WAIT lasts, in seconds (TCP_TIMEWAIT_LEN): in a window as long, all that are held at its
	// end began within.
	timeWait = 60
)

// judge compares the figures of pairs.
type judge struct{ deviations float64 }

// newJudge makes one for so many pairs. Chance has the same small hope of making a difference in any of them, however
// many they are, as it has in one at three standard deviations.
func newJudge(pairs int) judge {
	chance := math.Erfc(deviations / math.Sqrt2)
	return judge{math.Sqrt2 * math.Erfcinv(chance/float64(max(pairs, 1)))}
}

// sample is a number of events in so much time, or work.
type sample struct{ n, per, missing float64 }

// compare returns 1 when b's rate is higher than a's beyond noise, -1 when it is lower, else 0. Counts vary as their
// square root (Poisson); missing events could all belong to either.
func (j judge) compare(a, b sample) int {
	before, after := a.n/a.per, b.n/b.per
	noise := j.deviations*math.Sqrt(a.n/(a.per*a.per)+b.n/(b.per*b.per)) + a.missing/a.per + b.missing/b.per
	switch difference := after - before; {
	case math.Abs(difference) <= noise || math.Abs(difference) < relative*before:
		return 0
	case difference > 0:
		return 1
	}
	return -1
}

// perSecond compares the counts n of the figures a and b.
func (j judge) perSecond(a, b *Figures, n func(*Figures) float64) int {
	return j.compare(sample{n(a), a.seconds, a.missing}, sample{n(b), b.seconds, b.missing})
}

// perExchange is the same for the same work. False: it is not known how much that was.
func (j judge) perExchange(a, b *Figures, n func(*Figures) float64) (int, bool) {
	if a.work() == 0 || b.work() == 0 {
		return 0, false
	}
	return j.compare(sample{n(a), a.work(), a.missing}, sample{n(b), b.work(), b.missing}), true
}

// fewer is the result for a figure of which less is better.
func fewer(difference int) Result {
	switch difference {
	case 1:
		return Worse
	case -1:
		return Better
	}
	return Same
}

// changes judges every figure that decides.
func (j judge) changes(a, b *Figures) []Change {
	changes := []Change{j.verdict(a, b), j.connections(a, b)}
	for _, find := range []func(a, b *Figures) (Change, bool){j.timeWaits, j.failures, j.noPort, j.portsUsed} {
		if c, ok := find(a, b); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

func (j judge) verdict(a, b *Figures) Change {
	c := Change{VerdictFigure, Same, verdictText(a) + " before, " + verdictText(b) + " after"}
	switch before, after := rank[value(a.Verdict)], rank[value(b.Verdict)]; {
	case before == 0 || after == 0:
		c.Result = CannotTell
	case a.missesMuch() || b.missesMuch():
		c.Result, c.Why = CannotTell, c.Why+", but many events may be missing"
	case after > before:
		c.Result = Better
	case after < before:
		c.Result = Worse
	}
	return c
}

func (f *Figures) missesMuch() bool {
	return f.missing > maxMissing*float64(sum(f.busy(), f.closed))
}

// connections judges how many were opened for the same work: fewer because there was less to do is no better.
func (j judge) connections(a, b *Figures) Change {
	opened := func(f *Figures) float64 { return float64(f.Opened) }
	if difference, known := j.perExchange(a, b, opened); known {
		return Change{ConnectionsFigure, fewer(difference),
			beforeAfter("connections for 1,000 exchanges", decimal(a.PerThousand), decimal(b.PerThousand)) +
				inBrackets(percentage(a.PerThousand, b.PerThousand))}
	}
	c := Change{ConnectionsFigure, Same, beforeAfter("connections a second", decimal(a.OpenedRate), decimal(b.OpenedRate))}
	if j.perSecond(a, b, opened) != 0 {
		c.Result, c.Why = CannotTell, c.Why+", and nobody knows for how much work: "+whyUnknown(a, b)
	}
	return c
}

func whyUnknown(a, b *Figures) string {
	for _, f := range []*Figures{a, b} {
		if why := f.workUnknown(); why != "" {
			return why
		}
	}
	return "the two ends did not take turns"
}

// timeWaits judges how many began, for the same work; not at all where the work is not known and the connections differ.
func (j judge) timeWaits(a, b *Figures) (Change, bool) {
	entered := func(f *Figures) float64 { return float64(f.TimeWait.Entered) }
	c := Change{TimeWaitFigure, Same,
		beforeAfter("TIME_WAITs a second", decimal(a.TimeWait.EnteredRate), decimal(b.TimeWait.EnteredRate))}
	if entered(a) == 0 && entered(b) == 0 {
		return c, false
	}
	if difference, known := j.perExchange(a, b, entered); known {
		c.Result = fewer(difference)
		return c, true
	}
	if j.connections(a, b).Result == CannotTell {
		return c, false
	}
	c.Result = fewer(j.perSecond(a, b, entered))
	return c, true
}

func (j judge) failures(a, b *Figures) (Change, bool) {
	n := func(f *Figures) float64 { return float64(f.failures()) }
	return j.failed(FailuresFigure, "failed connects a second", a, b, n)
}

func (j judge) noPort(a, b *Figures) (Change, bool) {
	n := func(f *Figures) float64 { return float64(f.Failed[noPort]) }
	return j.failed(NoPortFigure, "connects a second that found no port (EADDRNOTAVAIL)", a, b, n)
}

// failed judges failures: a difference counts when the same work makes it, too.
func (j judge) failed(figure, what string, a, b *Figures, n func(*Figures) float64) (Change, bool) {
	c := Change{figure, Same, beforeAfter(what, number(n(a)/a.seconds), number(n(b)/b.seconds))}
	if n(a) == 0 && n(b) == 0 {
		return c, false
	}
	difference := j.perSecond(a, b, n)
	if forWork, known := j.perExchange(a, b, n); known && forWork != difference {
		difference = 0
	}
	if n(a) == 0 && n(b) >= newFailures && n(b) > a.missing+b.missing {
		difference = 1
	}
	c.Result = fewer(difference)
	return c, true
}

// portsUsed judges the ports held at the end, of windows so long that what was before them plays no part.
func (j judge) portsUsed(a, b *Figures) (Change, bool) {
	if !a.portsKnown() || !b.portsKnown() {
		return Change{}, false
	}
	before, after := *a.Ports.UsedRatio, *b.Ports.UsedRatio
	c := Change{PortsUsedFigure, Same, beforeAfter("of the ports used", share(&before), share(&after))}
	if math.Abs(float64(after-before)) < usedMore {
		return c, true
	}
	held := func(f *Figures) float64 { return float64(f.Ports.Used) }
	difference := j.compare(sample{held(a), 1, a.missing}, sample{held(b), 1, b.missing})
	if a.work() > 0 && b.work() > 0 { // a second's, for the ports are those of one moment
		before, after := sample{held(a), a.work() / a.seconds, a.missing}, sample{held(b), b.work() / b.seconds, b.missing}
		if j.compare(before, after) != difference {
			difference = 0
		}
	}
	c.Result = fewer(difference)
	return c, true
}

// beforeAfter is "466 connections a second before, 12.0 after".
func beforeAfter(what, before, after string) string {
	return before + " " + what + " before, " + after + " after"
}

func (f *Figures) portsKnown() bool {
	return f.Ports != nil && f.Ports.UsedRatio != nil && f.seconds >= timeWait
}

// outcomeOf is what the changes of a row come to, and why: one figure that is worse is not made good by others.
func outcomeOf(changes []Change) (Result, []string) {
	for _, r := range []Result{Worse, Better, CannotTell} {
		reasons := []string{}
		for _, c := range changes {
			if c.Result == r {
				reasons = append(reasons, c.Why)
			}
		}
		if len(reasons) > 0 {
			return r, reasons
		}
	}
	return Same, []string{}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
