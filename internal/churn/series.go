package churn

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// maxSteps bounds how finely a window is divided: it has at least half as many steps once it is longer than as many
// seconds.
const maxSteps = 128

// steps divides the window into steps of equal length, a second at first and doubled whenever there would be too many.
type steps struct {
	start    int64 // Unix nanoseconds
	set      bool
	shift    uint8 // a step is 2^shift seconds long
	now      int   // the step from from to before to, for events come in order
	from, to int64
}

func (s *steps) width() int64 { return int64(time.Second) << s.shift }

// at returns the step of a time; times before the start belong to the first.
func (s *steps) at(unixNano int64) int {
	if s.from <= unixNano && unixNano < s.to {
		return s.now
	}
	i := max(unixNano-s.start, 0) / s.width()
	for i >= maxSteps {
		s.shift++
		i /= 2
	}
	s.now, s.from = int(i), s.start+i*s.width()
	s.to = s.from + s.width()
	return s.now
}

// series counts something by step, from the first step in which it happened to the last.
type series struct {
	shift  uint8
	first  int32
	counts []uint32
}

func (c *series) add(s *steps, unixNano int64, n uint64) {
	i := s.at(unixNano)
	if c.shift != s.shift {
		c.widen(s.shift)
	}
	switch {
	case len(c.counts) == 0:
		c.first = int32(i)
	case i < int(c.first):
		c.counts = append(make([]uint32, int(c.first)-i), c.counts...)
		c.first = int32(i)
	}
	for len(c.counts) <= i-int(c.first) {
		c.counts = append(c.counts, 0)
	}
	increase(&c.counts[i-int(c.first)], n)
}

// widen joins steps until they are 2^shift seconds long.
func (c *series) widen(shift uint8) {
	if len(c.counts) > 0 {
		by := shift - c.shift
		first := c.first >> by
		last := (c.first + int32(len(c.counts)) - 1) >> by
		for i, n := range c.counts {
			to := (c.first+int32(i))>>by - first
			if c.counts[i] = 0; n > 0 { // to is never beyond i
				c.counts[to] = saturatingAdd(c.counts[to], n)
			}
		}
		c.counts, c.first = c.counts[:last-first+1], first
	}
	c.shift = shift
}

// spread returns n steps of s; what is beyond the last is counted in it.
func (c *series) spread(s *steps, n int) []uint64 {
	all := make([]uint64, n)
	if c.shift != s.shift {
		c.widen(s.shift)
	}
	for i, count := range c.counts {
		all[min(int(c.first)+i, n-1)] += uint64(count)
	}
	return all
}

// course is how a row went on.
type course struct {
	opened, closed series
	entered, ended series // TIME_WAITs
	failed         *[failureKinds + 1]series
}

// proceed counts e, or what it stands for, in its step.
func (r *Row) proceed(s *steps, e *event.Event, kind event.Kind, n uint64) {
	c := &r.course
	switch kind {
	case event.Connect, event.Accept:
		c.opened.add(s, e.UnixNano, n)
	case event.ConnectFailed:
		if c.failed == nil {
			c.failed = new([failureKinds + 1]series)
		}
		c.failed[r.failures.place(e.Error)].add(s, e.UnixNano, n)
	case event.TimeWait:
		c.entered.add(s, e.UnixNano, n)
		c.closed.add(s, e.UnixNano, n)
	case event.Close:
		c.closed.add(s, e.UnixNano, n)
	case event.TimeWaitEnd:
		c.ended.add(s, e.UnixNano, n)
	}
}

// Course is how a row, or a budget, went on from Start (Unix nanoseconds) on, in steps of equal length.
type Course struct {
	Start int64
	Step  time.Duration
	// Opened, Closed and Failed count within each step; Open and TimeWait are how many there were when it ended, counted
	// from beginnings and ends.
	Opened, Closed, Open, TimeWait []uint64
	Failed                         map[event.Error][]uint64
}

// Course returns how r went on, nil unless the table was asked to keep that (see [Options]).
func (t *Table) Course(r *Row) *Course {
	if t.steps == nil || !t.steps.set {
		return nil
	}
	n := t.stepCount()
	c := &Course{Start: t.steps.start, Step: time.Duration(t.steps.width()), Failed: make(map[event.Error][]uint64)}
	c.Opened, c.Closed = r.course.opened.spread(t.steps, n), r.course.closed.spread(t.steps, n)
	c.Open = levels(r.Preexisting, c.Opened, c.Closed)
	c.TimeWait = levels(r.TimeWaitExisting, r.course.entered.spread(t.steps, n), r.course.ended.spread(t.steps, n))
	if r.course.failed != nil {
		for err := range r.Failures {
			c.Failed[err] = r.course.failed[r.failures.place(err)].spread(t.steps, n)
		}
	}
	return c
}

// BudgetCourse returns how b went on: Open and TimeWait, which together are the ports held, and Opened, all of them summed
// up over the rows that draw on it.
func (t *Table) BudgetCourse(b *Budget) *Course {
	var sum *Course
	for _, r := range t.order {
		if r.budget != b {
			continue
		}
		c := t.Course(r)
		if sum == nil {
			sum = c
			continue
		}
		for _, pair := range [][2][]uint64{{sum.Opened, c.Opened}, {sum.Closed, c.Closed}, {sum.Open, c.Open}, {sum.TimeWait, c.TimeWait}} {
			for i, n := range pair[1] {
				pair[0][i] += n
			}
		}
	}
	if sum != nil {
		sum.Failed = nil
	}
	return sum
}

// stepCount is how many steps the window has so far.
func (t *Table) stepCount() int {
	return t.steps.at(t.window.End-1) + 1
}

// levels adds up what begins and ends, from base on.
func levels(base uint64, begun, ended []uint64) []uint64 {
	at := make([]uint64, len(begun))
	now := int64(base)
	for i := range begun {
		now += int64(begun[i]) - int64(ended[i])
		at[i] = clamp(now)
	}
	return at
}
