package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/top"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// liveTop makes updates of what happens now, on the goroutine that reads the ring: nobody else has the table.
type liveTop struct {
	*stage
	scene
	l      *live
	flight *lastMinutes
	hold   *holds
	own    ownCost

	opened time.Time // with a monotonic reading: the times of events do not jump when the clock is set
	sent   time.Time // when the last update was
	next   time.Time // when the next one is due
	soon   time.Time // when one that was asked for is
	took   time.Duration
}

// maxTick is how often the ring is read at least.
const maxTick = 100 * time.Millisecond

// soonest is how soon after an update another one is made because a key asks for it.
const soonest = 200 * time.Millisecond

func runLiveTop(s *stage, f *topFlags, set *filter.Set) (err error) {
	t := &liveTop{stage: s, scene: scene{watched: -1}}
	what := traced{filter: set, expression: expression(f.filter), length: f.length.Duration}
	what.rounds.failed = func(err error) { s.notes.say(err.Error()) }
	if !s.plain && !f.noRecord {
		t.flight = newLastMinutes(f, &s.notes)
		what.tap = t.flight
		s.after = t.flight.written
		defer t.flight.remove()
	}
	o := f.bounds.options()
	o.Tick = min(f.delay.Duration/4, maxTick)
	if t.l, err = openLive(s.e, o, what); err != nil {
		return err
	}
	defer func() {
		if closeErr := t.l.close(); err == nil {
			err = closeErr
		}
	}()
	if s.plain {
		t.l.header(s.e)
	}
	return s.show(t.run)
}

// run traces to the end. Where lines are written, the last ones are of the finished report.
func (t *liveTop) run(ctx context.Context) error {
	t.begin()
	err := t.l.run(ctx, &taker{
		event:    func(e *event.Event, _ *service.Service) { t.table.Observe(e) },
		progress: t.table.Observe,
		settings: func(s *host.Settings) { t.table.SetHost(t.hold.merged(s)) },
		idle:     t.idle,
	})
	if err != nil || !t.plain {
		return err
	}
	in, err := concluded(t.l, t.table)
	if err != nil {
		return err
	}
	in.Charted = chartedRows
	t.send(top.Update{Document: report.Build(t.input(in)), Own: t.own.read(), Final: true})
	return nil
}

func (t *liveTop) begin() {
	w := t.l.window()
	t.table = churn.New(churn.Options{
		MaxRows: t.flags.destinations.n, Start: w.Start, Partial: w.Partial, Steps: true, Recent: true, Alert: t.l.alert(t.e),
	})
	t.owner = t.l.owner
	t.hold = newHolds(0.01)
	t.opened = time.Now()
	t.next = t.opened
	t.own.read()
}

// idle is called between two readings of the ring.
func (t *liveTop) idle() {
	now := time.Now()
	for _, w := range t.wishes.take() {
		t.grant(w)
	}
	select {
	case <-t.notes.come:
		t.hurry()
	default:
	}
	if now.Before(t.next) && (t.soon.IsZero() || now.Before(t.soon)) {
		return
	}
	t.hold.step(t.l, now)
	facts, err := t.facts()
	if err != nil {
		t.fail(err)
		return
	}
	t.table.Advance(t.opened.Add(now.Sub(t.opened)).UnixNano())
	t.send(top.Update{Document: t.document(facts), Own: t.own.read()})
	t.sent, t.soon = now, time.Time{}
	for !t.next.After(now) {
		t.next = t.next.Add(max(t.flags.delay.Duration, now.Sub(t.next)))
	}
	t.took = time.Since(now)
	if rested := now.Add(min(restFor*t.took, longestRest)); t.next.Before(rested) {
		t.next = rested
	}
}

// A very large host is not to pay for being watched with much of a CPU: it is restFor times as long as an update takes until
// the next one at least, but no longer than somebody waits who looks at it.
const (
	restFor     = 25
	longestRest = 3 * time.Second
)

// fail ends the tracing with an error.
func (t *liveTop) fail(err error) {
	if t.l.broken == nil {
		t.l.broken = err
		t.l.cancel(err)
	}
}

// grant does what a key asks for.
func (t *liveTop) grant(w wish) {
	switch w.what {
	case toWatch:
		t.watched = w.id
	case toWrite:
		t.writeLast()
	case toPause, toSpeed, toSeek:
		return // the view stands still by itself
	}
	t.hurry()
}

// hurry makes the next update come soon.
func (t *liveTop) hurry() { t.soon = t.sent.Add(max(soonest, 4*t.took)) }

func (t *liveTop) writeLast() {
	if t.flight == nil {
		t.notes.say("nothing is kept to be written: --no-record")
		return
	}
	t.flight.write(t.flags.writeTo())
}

// facts are what the report would say, as far as it is known at once: what a namespace has to be entered for is what was
// read last.
func (t *liveTop) facts() (report.Facts, error) {
	facts, err := t.l.facts()
	if err != nil {
		return facts, err
	}
	check, err := t.l.tracer.TimeWaitCheck()
	if err != nil {
		return facts, failure{err}
	}
	facts.TimeWait, facts.Namespaces = t.l.timeWait(&check), t.l.settings.known(&check)
	if facts.TimeWait != nil {
		facts.TimeWait.Kernel = nil // it was read up to a second ago, and compared with what was then
	}
	for i := range facts.Namespaces {
		facts.Namespaces[i].TimeWait = nil
	}
	return facts, nil
}

// known are the namespaces with the settings that were read last.
func (s *settings) known(check *tracer.TimeWaitCheck) []report.NamespaceInput {
	s.ended = make(map[uint32]error, len(s.read))
	for inode := range s.read {
		if _, there := s.places[inode]; there {
			s.ended[inode] = nil
		}
	}
	return s.namespaces(check)
}

// holds are the ports that bind() has taken, which are read seldom: that takes some milliseconds a namespace.
type holds struct {
	share float64 // of one CPU, which reading them may take
	next  time.Time
	read  map[uint32]time.Time
	last  map[uint32]*host.PortSet
}

// holdsEvery is how often they are read at most.
const holdsEvery = 30 * time.Second

func newHolds(share float64) *holds {
	return &holds{share: share, read: make(map[uint32]time.Time), last: make(map[uint32]*host.PortSet)}
}

// step reads those of one namespace at most, that has waited long enough.
func (h *holds) step(l *live, now time.Time) {
	if now.Before(h.next) {
		return
	}
	for inode := range l.settings.used {
		if at, ok := h.read[inode]; ok && now.Sub(at) < holdsEvery {
			continue
		}
		h.read[inode] = now
		_ = l.settings.look(inode, true) // one that is gone is not known, and the report says so
		h.next = now.Add(time.Duration(float64(time.Since(now)) / h.share))
		return
	}
}

// merged adds the ports that were read last to settings that were read without them.
func (h *holds) merged(s *host.Settings) *host.Settings {
	if s.Blocked != nil {
		h.last[s.Netns] = s.Blocked
		return s
	}
	if h.last[s.Netns] == nil {
		return s
	}
	with := *s
	with.Blocked = h.last[s.Netns]
	return &with
}

// ownCost measures what the tool itself costs.
type ownCost struct {
	at  time.Time
	cpu time.Duration
}

// read returns the cost since it was read last; nil: not known.
func (o *ownCost) read() *top.Own {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return nil
	}
	now, cpu := time.Now(), time.Duration(u.Utime.Nano()+u.Stime.Nano())
	own := &top.Own{MemoryBytes: residentBytes()}
	if passed := now.Sub(o.at); !o.at.IsZero() && passed > 0 {
		own.CPURatio = float64(cpu-o.cpu) / float64(passed)
	}
	o.at, o.cpu = now, cpu
	return own
}

// residentBytes is how much memory the process has; 0: not known.
func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	columns := strings.Fields(string(text))
	if len(columns) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(columns[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
