package main

import (
	"fmt"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// How often it is told how open connections have been used so far. A pool's never end, and the kernel tells by itself only
// at the end.
const (
	// firstRound is soon enough for a verdict within ten seconds, none of which is made before 5 s.
	firstRound = 5 * time.Second
	roundEvery = 10 * time.Second
	// soonRounds come so often everywhere, then as seldom as is asked for: even where nothing is open one takes 5 ms, in which
	// the kernel goes over its table.
	soonRounds = 3
	// roundShare is the part of one CPU that rounds take at most: where many connections are open, rounds are seldom.
	roundShare = 0.0015
	// roundStep is for how long events wait in the ring while connections are told: a round of many takes several steps.
	roundStep = 20 * time.Millisecond
	// roundAnyway is after how long there is a round although nothing seems to be open.
	roundAnyway = time.Minute
)

// rounds make a stream tell it now and then. The zero value never does.
type rounds struct {
	failed func(error)   // is told why there are none any more; nil: there are none
	every  time.Duration // how often they are made at most, after the first ones

	made int

	next   time.Time
	latest time.Time // when the last was over
	open   int64     // connections, about
	used   uint64    // the sum of their exchanges in this round
	was    uint64    // ... and in the one before
	moved  uint64    // how many rounds found them used
}

// see counts what is open.
func (r *rounds) see(e *event.Event) {
	switch kind := e.Kind; {
	case r.failed == nil || kind == event.Lost:
	case kind == event.Connect, kind == event.Accept, kind == event.Existing && e.NewState != event.TimeWaitState:
		r.open++
	case kind == event.Close, kind == event.TimeWait:
		r.open--
	}
}

// due reports whether it is time to begin one, or to go on.
func (r *rounds) due(now time.Time) bool {
	if r.failed == nil {
		return false
	}
	if r.next.IsZero() {
		r.next, r.latest = now.Add(firstRound), now
	}
	return !now.Before(r.next) && (r.open > 0 || now.Sub(r.latest) >= roundAnyway)
}

// over takes what a round came to.
func (r *rounds) over(x *tracer.Round, now time.Time) {
	if r.used != r.was {
		r.moved++
	}
	r.was, r.used = r.used, 0
	r.open = int64(x.Told)
	rest := max(roundEvery, time.Duration(float64(x.Took)/roundShare))
	if r.made++; r.made >= soonRounds {
		rest = max(rest, r.every)
	}
	r.latest, r.next = now, now.Add(rest)
}

// tellProgress goes on with a round where it is time to.
func (l *live) tellProgress() {
	r := &l.rounds
	if !r.due(time.Now()) {
		return
	}
	x, err := l.tracer.Progress(roundStep, func(e *event.Event) {
		if e.Direction != 0 { // not the end of the round
			if !l.filter.Match(e, l.services.See(&e.Owner)) {
				return
			}
			r.used += uint64(e.Exchanges())
		}
		l.taker.progress(e)
	})
	switch {
	case err != nil:
		r.failed(fmt.Errorf("open connections are judged when they end: %w", err))
		r.failed = nil
	case x != nil:
		r.over(x, time.Now())
	}
}
