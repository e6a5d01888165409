package churn

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// maxSockets is how many sockets of the snapshot are kept one by one, in all budgets: 16 MiB.
const maxSockets = 4 << 20

// socket is a port held, in 32 bits: the port (16), the state (4), whether the timewait socket's substate is
// FIN_WAIT2 (1) and whether it has timestamps (1), and its remaining time in eighths of a second (10).
type socket uint32

const (
	remainingUnknown = 1<<10 - 1
	longestRemaining = remainingUnknown - 1
)

func socketOf(e *event.Event) socket {
	s := socket(e.Local.Port()) | socket(e.NewState&15)<<16
	if e.NewState != event.TimeWaitState {
		return s
	}
	if e.Substate == event.FinWait2 {
		s |= 1 << 20
	}
	if e.Timestamps {
		s |= 1 << 21
	}
	remaining := socket(remainingUnknown)
	if e.Remaining >= 0 {
		remaining = socket(min(e.Remaining/(time.Second/8), longestRemaining))
	}
	return s | remaining<<22
}

func (s socket) port() uint16       { return uint16(s) }
func (s socket) state() event.State { return event.State(s >> 16 & 15) }
func (s socket) timestamps() bool   { return s>>21&1 != 0 }

func (s socket) substate() event.State {
	if s>>20&1 != 0 {
		return event.FinWait2
	}
	return event.TimeWaitState
}

// remaining is how many seconds a timewait socket has left.
func (s socket) remaining() (float64, bool) {
	r := s >> 22
	return float64(r) / 8, r != remainingUnknown
}
