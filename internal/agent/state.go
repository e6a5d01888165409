package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpstate/tcpstate/internal/report"
)

// State is what the tracing goroutine and those who serve share: the latest snapshot, a heartbeat, and requests for
// reports, which only that goroutine can make.
type State struct {
	snapshot atomic.Pointer[Snapshot]
	began    time.Time    // with a monotonic reading: the clock may be set
	beat     atomic.Int64 // nanoseconds since
	asked    chan request

	mu     sync.Mutex // one request at a time
	cached map[int]cached
}

// request is for a report with charts of so many rows.
type request struct {
	charted int
	answer  chan *report.Document
}

type cached struct {
	document *report.Document
	made     time.Time
}

// NewState returns one without a snapshot.
func NewState() *State {
	return &State{began: time.Now(), asked: make(chan request), cached: make(map[int]cached)}
}

// Publish makes s the latest snapshot.
func (s *State) Publish(snapshot *Snapshot) { s.snapshot.Store(snapshot) }

// Latest returns the latest snapshot; nil: there is none yet.
func (s *State) Latest() *Snapshot { return s.snapshot.Load() }

// Beat says that the tracing goroutine is at work.
func (s *State) Beat(now time.Time) { s.beat.Store(int64(now.Sub(s.began))) }

// Silent is for how long it has not said so; at first, how long it takes to begin.
func (s *State) Silent(now time.Time) time.Duration {
	return now.Sub(s.began) - time.Duration(s.beat.Load())
}

const (
	// cachedFor is how long a report is good for those who ask after it was made.
	cachedFor = 2 * time.Second
	// reportWithin is how long somebody waits for one.
	reportWithin = 5 * time.Second
)

// ErrBusy says that no report could be made in time.
var ErrBusy = errors.New("the tracing goroutine is busy: try again later")

// Report returns a report of the last minutes with charts of so many rows, made now or two seconds ago at most. Nobody may
// change it.
func (s *State) Report(ctx context.Context, charted int) (*report.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cached[charted]; c.document != nil && time.Since(c.made) < cachedFor {
		return c.document, nil
	}
	delete(s.cached, charted)
	r := request{charted, make(chan *report.Document, 1)}
	select {
	case s.asked <- r:
	case <-ctx.Done():
		return nil, ErrBusy
	}
	select {
	case d := <-r.answer:
		if d == nil {
			return nil, ErrBusy
		}
		s.cached[charted] = cached{d, time.Now()}
		return d, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

// Serve is called by the tracing goroutine, between two events: it makes a report, with charts of so many rows, if
// somebody waits for one. A report that cannot be made is nil.
func (s *State) Serve(build func(charted int) *report.Document) {
	select {
	case r := <-s.asked:
		r.answer <- build(r.charted)
	default:
	}
}
