package churn

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// States are the connections of a row that are there when the window ends, by state; TIME_WAITs are none.
type States struct {
	count [event.NewSynRecv + 1]uint64
	idle  [event.NewSynRecv + 1]time.Duration
}

// Count is how many are in a state. Nil States have none.
func (s *States) Count(state event.State) uint64 {
	if s == nil || int(state) >= len(s.count) {
		return 0
	}
	return s.count[state]
}

// OldestIdle is the longest time for which nothing had been sent on one in a state; 0 when that is not known of any.
func (s *States) OldestIdle(state event.State) time.Duration {
	if s == nil || int(state) >= len(s.idle) {
		return 0
	}
	return s.idle[state]
}

func (s *States) add(e *event.Event) {
	if int(e.NewState) < len(s.count) {
		s.count[e.NewState]++
		s.idle[e.NewState] = max(s.idle[e.NewState], e.Idle)
	}
}
