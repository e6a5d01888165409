package churn

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Fall is a second in which connections that had been open for long ended together, as they do when one of the two
// programs restarts.
type Fall struct {
	Ended, Of uint64 // how many of those that were open when it began
	ByOther   uint64 // how many of Ended the other end closed or reset
	Since     uint64 // how many were opened since it began
}

const (
	fallTime  = int64(time.Second)
	fallLife  = 2 * time.Second // connections that lived shorter come and go anyhow
	fallLeast = 3
)

// falls follows the ends of long-lived connections.
type falls struct {
	start, worstStart int64
	now, worst        Fall // Since holds how many had been opened before
}

// end takes the end of a connection; open and opened are how many were open, and had been opened, before it.
func (f *falls) end(e *event.Event, open, opened uint64) {
	if e.Lifetime >= 0 && e.Lifetime < fallLife {
		return
	}
	if e.UnixNano-f.start > fallTime {
		f.start, f.now = e.UnixNano, Fall{Of: open, Since: opened}
	}
	f.now.Ended++
	if e.ClosedBy == event.ClosedRemote || e.ClosedBy == event.ClosedReset && e.Error != event.NoError {
		f.now.ByOther++
	}
	if f.now.Ended >= fallLeast && 5*f.now.Ended >= 4*f.now.Of && (f.start == f.worstStart || f.now.Ended > f.worst.Ended) {
		f.worst, f.worstStart = f.now, f.start
	}
}

// Fall is the greatest fall of the window, in which at least four in five connections ended and at least three. ok is
// false when there was none.
func (r *Row) Fall() (f Fall, ok bool) {
	f = r.falls.worst
	f.Since = r.Opened - min(r.Opened, f.Since)
	f.Of = max(f.Of, f.Ended) // some that ended had not been seen open
	return f, f.Ended > 0
}
