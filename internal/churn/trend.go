package churn

import "math"

// When will the ports be used up? That is inferred, on three grounds: connects go on as lately, connections go on to
// end as lately, and every TIME_WAIT gives its port back when the kernel's timer says so.
//
// Of the connections opened from now on, one share is leaked: that by which open connections lately grew. The others
// end, about as soon as they begin, and give their port back at once or enter TIME_WAIT, in the proportion lately
// seen. Those hold the port for as long as a TIME_WAIT can last; or until connect() takes it over, where the kernel
// allows that, and then they hold it no longer than the delay. What the TIME_WAITs held now will return is known one
// by one.

// timeWait is TCP_TIMEWAIT_LEN in include/net/tcp.h, seconds; timerSlack by how much the timer wheel can be late (the
// timers of a minute fire in batches of 2 s). Ports run out at the end of such a batch: count with the longest.
const (
	timeWait   = 60
	timerSlack = 2
)

const (
	// recently is how far back a rate looks, nanoseconds.
	recently = 10e9
	// shortest is how many seconds must have been traced: from less, a burst looks like a rate.
	shortest = 0.5
	// foresight is for how many seconds the ports are counted one by one; thereafter only leaks go on.
	foresight = 130
	// farthest is how many seconds ahead a leak is followed.
	farthest = 86400
)

// trend is what goes on, in connections a second.
type trend struct {
	opened float64 // established
	leak   float64 // established, or to be, and not to end
	enter  float64 // to end in a TIME_WAIT
	early  float64 // the share of the TIME_WAITs that end before their time
}

// trend finds out what goes on when window w ends. Connects that find no port belong to it: they take every port that
// comes back.
func (b *Budget) trend(w Window) trend {
	now := max(w.End, b.lastWanted)
	s := b.sum(max(w.Start, now-recently), now)
	wanted := s.rate(b.lastWanted, now)
	if wanted == 0 || w.Seconds() < shortest {
		return trend{}
	}
	t := trend{opened: wanted * s.opened / (s.opened + s.refused)}
	t.leak = wanted * b.leaking(&s, w, now)
	if ended := s.freed + s.entered; ended > 0 {
		t.enter = (wanted - t.leak) * s.entered / ended
	}
	if s.entered > 0 {
		t.early = min(s.early/s.entered, 1)
	}
	return t
}

// totals sum up some seconds of a history.
type totals struct {
	opened, refused, freed, entered, early float64

	span    float64 // seconds
	first   int64   // the first connect, Unix nanoseconds
	longest float64 // between the first connects of two seconds, with none in between: seconds
}

func (b *Budget) sum(from, to int64) totals {
	t := totals{span: float64(to-from) / 1e9}
	last := int64(0)
	b.history.each(from, max(to, b.lastWanted), func(at int64, s *second) {
		t.opened += float64(s.opened)
		t.refused += float64(s.refused)
		t.freed += float64(s.freed)
		t.entered += float64(s.entered)
		t.early += float64(s.early)
		if s.opened|s.refused == 0 {
			return
		}
		first := at*1e9 + int64(s.first)
		if t.first == 0 {
			t.first = first
		} else {
			t.longest = max(t.longest, float64(first-last)/1e9)
		}
		last = first
	})
	return t
}

// rate is how many connects there are a second: n connects have n-1 times between them. Shorter than 2 s it takes for
// a burst. It is 0 when for longer than usual there was none.
func (t *totals) rate(last, now int64) float64 {
	between := t.opened + t.refused - 1
	if between < 1 {
		return 0
	}
	lasted := float64(last-t.first) / 1e9
	idle := float64(now-last) / 1e9
	if idle > max(1, 1.5*t.longest) {
		return 0
	}
	return between / max(lasted, min(t.span, 2), 1e-3)
}

// leaking is the share of the connections opened lately, or if that shows nothing then within a minute, by which more
// are open than were. When every connect was refused, nothing is known of what would become of them, and they count
// as if they were not to end.
func (b *Budget) leaking(lately *totals, w Window, now int64) float64 {
	if lately.opened == 0 {
		return 1
	}
	share := b.grown(lately)
	if share > 0 || lately.opened <= lately.freed+lately.entered {
		return share
	}
	longer := b.sum(max(w.Start, now-(seconds-2)*1e9), now)
	return b.grown(&longer)
}

// grown is the share of the opened connections by which more are open than were. As many as are open at once when all
// end (Little's law: the rate times the mean lifetime) are no leak, and their number varies by about its square root;
// only more than that, three times over, is one.
func (b *Budget) grown(t *totals) float64 {
	ended := t.freed + t.entered
	more := t.opened - ended
	if more <= 0 {
		return 0
	}
	if ended > 0 {
		passing := float64(b.openNow())
		if b.lives > 0 {
			passing = float64(b.lifetime) / float64(b.lives) / 1e9 * t.opened / max(t.span, 1e-3)
		}
		if more <= 1+passing+3*math.Sqrt(2*passing) {
			return 0
		}
	}
	return min(more/t.opened, 1)
}

// exhaustion is in how many seconds all ports will be used, if that comes.
func (f *BudgetFigures) exhaustion(u *usage, t trend) (float64, bool) {
	capacity, used := float64(f.Capacity), float64(f.Used-f.Reusable)
	if used >= capacity {
		return 0, true
	}
	hold := f.holding(u, t)
	returned := 0.0
	for s := range foresight {
		returned += u.returns[s]
		next := float64(f.Used-f.Reusable) + t.leak*float64(s+1) + hold(float64(s+1)) - returned
		if next >= capacity {
			return float64(s) + (capacity-used)/(next-used), true
		}
		used = next
	}
	if t.leak <= 0 || foresight+(capacity-used)/t.leak > farthest {
		return 0, false
	}
	return foresight + (capacity-used)/t.leak, true
}

// holding tells how many ports the TIME_WAITs that enter from now on hold after some seconds.
func (f *BudgetFigures) holding(u *usage, t trend) func(after float64) float64 {
	reusable := 0.0
	if u.waits > 0 {
		reusable = float64(u.reusable) / float64(u.waits)
	} else if u.reusableLater {
		reusable = 1
	}
	delay := f.Settings.TimeWaitReuseDelay.Seconds()
	enter := t.enter * (1 - t.early*(1-reusable)) // those taken over are no longer among the used ones anyway
	return func(after float64) float64 {
		return enter * (reusable*min(after, delay) + (1-reusable)*min(after, timeWait+timerSlack))
	}
}

// returns are how many ports come back in each of the seconds to come, all beyond in the last.
type returns [foresight]float64

func (r *returns) add(in float64, n float64) {
	r[min(max(int(in), 0), len(r)-1)] += n
}
