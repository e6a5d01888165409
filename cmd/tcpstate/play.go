package main

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/top"
)

// player makes updates of a capture, as it happened: its events come when it is their time. It is one goroutine.
type player struct {
	scene
	open    func(context.Context) (*replay, error) // from the beginning
	again   bool                                   // open can be called again
	send    func(top.Update)
	notes   *notes
	wishes  *wishes
	writer  func(from, to int64) // writes a part as a capture; nil: it cannot be done
	clock   playClock
	delay   time.Duration
	stay    bool // at the end, until told to go
	atOnce  bool // the first update, and not after the delay
	options churn.Options
	end     int64                 // of the capture, Unix nanoseconds; 0: not known
	waits   *report.TimeWaitInput // what its end says of TIME_WAITs; nil: not known
	losses  *report.Losses        // what its end says is missing, nobody knows since when; nil: nothing, or not known

	ctx    context.Context
	stop   context.CancelFunc // of the run
	replay *replay
	pace   pace
	next   time.Time     // when the next update is due
	free   int64         // events up to this time are handed on without a look at the clock
	passed int           // how many were
	latest int64         // the time that the table has reached
	target int64         // of a seek; 0: none
	rewind bool          // the target is behind: begin again
	last   *report.Input // of the finished report; nil: not at the end
}

// playClock is the time that a player goes by.
type playClock interface {
	Now() time.Time
	// After is time.After.
	After(time.Duration) <-chan time.Time
}

// wallClock is that of the wall.
type wallClock struct{}

// playedBy is the clock of all players.
var playedBy playClock = wallClock{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

const (
	// playTick is how often events are handed on that have become due: as often as the tracer does.
	playTick = 50 * time.Millisecond
	// playLook is after how many events the clock is looked at while nothing waits for it.
	playLook = 1024
)

// pace says how far into a capture it is.
type pace struct {
	speed  float64
	paused bool
	at     int64 // the capture's time, Unix nanoseconds
	since  time.Time
}

// now is the capture's time at t.
func (p *pace) now(t time.Time) int64 {
	if p.paused {
		return p.at
	}
	ahead := p.speed * float64(t.Sub(p.since))
	if ahead >= math.MaxInt64/2 || p.speed == fastest {
		return math.MaxInt64
	}
	return p.at + int64(ahead)
}

// until is how long after t the capture's time is at.
func (p *pace) until(at int64, t time.Time) time.Duration {
	left := float64(at-p.now(t)) / p.speed
	return time.Duration(min(max(left, 0), float64(time.Hour)))
}

// set goes on from at.
func (p *pace) set(at int64, t time.Time) { p.at, p.since = at, t }

// play plays until ctx ends.
func (p *player) play(ctx context.Context) error {
	p.ctx = ctx
	for first := true; first || p.rewind; first = false {
		if err := p.run(first); err != nil {
			return err
		}
	}
	return nil
}

// run plays from the beginning, to the end or until it is to begin again.
func (p *player) run(first bool) (err error) {
	var ctx context.Context
	ctx, p.stop = context.WithCancel(p.ctx)
	defer p.stop()
	if p.replay, err = p.open(ctx); err != nil {
		return err
	}
	defer func() {
		if closeErr := p.replay.close(); err == nil {
			err = closeErr
		}
	}()
	w := p.replay.window()
	o := p.options
	o.Start, o.Partial = w.Start, w.Partial
	p.table, p.owner = churn.New(o), p.replay.owner
	p.rewind, p.last, p.latest, p.free, p.passed = false, nil, w.Start, 0, 0
	if first {
		p.pace.set(w.Start, p.clock.Now())
		if p.next = p.clock.Now(); !p.atOnce {
			p.next = p.next.Add(p.delay)
		}
	}
	err = p.replay.run(ctx, &taker{
		event: func(e *event.Event, _ *service.Service) {
			if !p.until(e.UnixNano) {
				p.stop()
				return
			}
			p.table.Observe(e)
			p.latest = max(p.latest, e.UnixNano)
		},
		progress: p.table.Observe,
		settings: p.table.SetHost,
	})
	if p.rewind || p.ctx.Err() != nil {
		return nil // it was not read to its end, and that is no failure
	}
	if err != nil {
		return err
	}
	return p.finish()
}

// until waits until it is time for what happened at t. False: it will not be.
func (p *player) until(t int64) bool {
	if p.passed++; t <= p.free && p.passed < playLook {
		return true
	}
	busy := t <= p.free
	p.passed = 0
	for p.ctx.Err() == nil {
		now := p.clock.Now()
		if p.obey(now); p.rewind {
			return false
		}
		if p.target != 0 && t > p.target { // it was a seek, and is there
			p.pace.set(p.target, now)
			p.latest, p.target, p.next = p.target, 0, now
		}
		p.free = p.position(now)
		if t > p.free { // all until then has come
			p.latest = max(p.latest, p.free)
		}
		if !now.Before(p.next) && (busy || t > p.free) {
			p.show(now)
		}
		if t <= p.free {
			return true
		}
		p.wait(now, t)
	}
	return false
}

// position is up to when events are to be handed on.
func (p *player) position(now time.Time) int64 {
	if p.target != 0 {
		return p.target
	}
	return p.pace.now(now)
}

// look is for while a capture that is followed does not go on.
func (p *player) look() {
	if p.table == nil {
		return // it has not begun
	}
	now := p.clock.Now()
	p.obey(now)
	switch {
	case p.rewind:
		p.stop()
	case !now.Before(p.next):
		p.show(now)
	}
}

// wait waits until something is to be done, until at most t is there.
func (p *player) wait(now time.Time, t int64) {
	var wake <-chan time.Time
	if !p.pace.paused {
		wake = p.clock.After(max(min(p.pace.until(t, now), p.next.Sub(now)), playTick))
	}
	select {
	case <-p.ctx.Done():
	case <-p.wishes.come:
	case <-p.notes.come:
		p.next = now
	case <-wake:
	}
}

// obey does what keys ask for.
func (p *player) obey(now time.Time) {
	all := p.wishes.take()
	for _, w := range all {
		p.grant(w, now)
	}
	if len(all) > 0 && !p.rewind && p.target == 0 {
		p.next = now
	}
}

func (p *player) grant(w wish, now time.Time) {
	switch w.what {
	case toWatch:
		p.watched = w.id
	case toWrite:
		p.write(now)
	case toPause:
		p.pace.set(p.reached(now), now)
		p.pace.paused = w.paused
	case toSpeed:
		p.pace.set(p.reached(now), now)
		p.pace.speed = w.factor
	case toSeek:
		p.seek(p.reached(now)+int64(w.by), now)
	}
}

// seek goes to another time: on, or from the beginning again.
func (p *player) seek(to int64, now time.Time) {
	start := p.replay.window().Start
	if p.end != 0 {
		to = min(to, p.end)
	}
	to = max(to, start)
	if to < p.latest {
		if !p.again {
			p.notes.say("standard input can be read once: there is no way back; play a file instead")
			return
		}
		p.rewind = true
	}
	if p.last == nil || p.rewind {
		p.target, p.next = to, now.Add(p.delay)
		p.pace.set(to, now)
		if to == p.end { // what was there then is told by events that are a little later
			p.target = math.MaxInt64
		}
	}
}

// reached is the time that is shown.
func (p *player) reached(now time.Time) int64 {
	at := p.position(now)
	if p.target == 0 && p.pace.speed == fastest && !p.pace.paused {
		at = p.latest
	}
	if end := p.ending(); end != 0 {
		at = min(at, end)
	}
	return at
}

// ending is when the capture ends, as far as it is known; 0: it is not.
func (p *player) ending() int64 {
	if p.last != nil {
		return p.table.Window().End
	}
	return p.end
}

// show sends what there is to be seen.
func (p *player) show(now time.Time) {
	for !p.next.After(now) {
		p.next = p.next.Add(max(p.delay, now.Sub(p.next)))
	}
	if p.last != nil {
		p.send(top.Update{Document: report.Build(p.input(*p.last)), Playback: p.playback(), Final: true})
		return
	}
	p.table.Advance(p.latest)
	facts := p.replay.soFar()
	if facts.TimeWait != nil && p.waits != nil {
		facts.TimeWait = p.waits // how well they were followed shows at the end only
	}
	if p.losses != nil {
		facts.Losses = *p.losses
	}
	p.send(top.Update{Document: p.document(facts), Playback: p.playback()})
}

func (p *player) playback() *top.Playback {
	at := p.latest
	if p.last != nil {
		at = p.table.Window().End
	}
	end := p.ending()
	if end == 0 {
		end = at
	}
	return &top.Playback{
		Start: time.Unix(0, p.replay.window().Start), End: time.Unix(0, end), Now: time.Unix(0, at),
		Speed: p.pace.speed, Paused: p.pace.paused,
	}
}

// finish shows the finished report when its time has come, and stays.
func (p *player) finish() error {
	if !p.until(p.replay.until()) {
		return nil
	}
	in, err := concluded(p.replay, p.table)
	if err != nil {
		return err
	}
	in.Charted = chartedRows
	p.last, p.target = &in, 0
	p.latest = p.table.Window().End
	p.pace.set(p.latest, p.clock.Now())
	p.show(p.clock.Now())
	for p.stay && !p.rewind {
		select {
		case <-p.ctx.Done():
			return nil
		case <-p.wishes.come:
		case <-p.notes.come:
		}
		now := p.clock.Now()
		p.obey(now)
		if !p.rewind {
			p.show(now)
		}
	}
	return nil
}

// write writes the last minutes that were seen.
func (p *player) write(now time.Time) {
	if p.writer == nil {
		return
	}
	p.writer(p.replay.window().Start, p.reached(now))
}

// until is when the recording ends, as far as that is known when it was read.
func (r *replay) until() int64 {
	end := r.latest
	if r.last != nil {
		end = r.last.End
	}
	if u := r.options.Until; u != 0 {
		end = min(end, u)
	}
	return end
}

// soFar are the facts of a report in the middle of the recording: those of its beginning, and what was met since.
func (r *replay) soFar() report.Facts {
	current := r.segments[0]
	for _, s := range r.segments {
		if s.reader.Header().WindowStart <= r.latest {
			current = s
		}
	}
	f := current.began.Facts
	if r.begins != 0 && !r.census {
		f.TimeWait = nil // nobody knows how many there were when the window began
	}
	f.Source = r.source()
	f.Damage.Places = slices.Clip(f.Damage.Places)
	f.Damage.Join(&r.damage)
	f.Excluded += r.excluded
	if r.added != "" {
		f.Filter = joined(f.Filter, r.added)
	}
	return f
}
