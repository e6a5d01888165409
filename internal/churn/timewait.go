package churn

import "github.com/tcpstate/tcpstate/internal/event"

// waits are the timewait sockets of a row that the snapshot at the end of the window found.
type waits struct {
	taken         bool // there is a snapshot, with all of them
	all, finWait2 uint64
}

// Snapshot says whether the Open events, which come when the window ends, tell of every timewait socket that there
// is. If so they are the truth, and what was counted from beginnings and ends is not. It can be called before or
// after them.
func (t *Table) Snapshot(taken bool) {
	t.snapshot = taken
	for _, r := range t.Rows() {
		r.waits.taken = taken
	}
	for _, b := range t.budgets {
		b.snapshot = taken
	}
}

// Repaired is by how many TIME_WAITs, summed up over the rows, the snapshot differs from what was counted. 0 without
// one.
func (t *Table) Repaired() (sum uint64) {
	for _, r := range t.Rows() {
		d := r.TimeWaitRepaired()
		sum += uint64(max(d, -d))
	}
	return sum
}

// TimeWaitNow is how many TIME_WAITs, of either substate, are held when the window ends.
func (r *Row) TimeWaitNow() uint64 {
	if r.waits.taken {
		return r.waits.all
	}
	return clamp(r.timeWaitCounted())
}

// TimeWaitRepaired is how many more TIME_WAITs the snapshot found than were counted; negative: fewer. 0 without one.
func (r *Row) TimeWaitRepaired() int64 {
	if !r.waits.taken {
		return 0
	}
	return int64(r.waits.all) - r.timeWaitCounted()
}

func (r *Row) timeWaitCounted() int64 {
	return int64(r.TimeWaitExisting) + int64(r.TimeWaitEntered) - int64(r.TimeWaitEnded)
}

// TimeWaitFinWait2 is how many of [Row.TimeWaitNow] have substate FIN_WAIT2: the peer's FIN is still to come. Only a
// snapshot knows, for the kernel turns one into the other without a word.
func (r *Row) TimeWaitFinWait2() (n uint64, known bool) { return r.waits.finWait2, r.waits.taken }

// endWait counts n TIME_WAITs that ended like e.
func (r *Row) endWait(e *event.Event, n uint64) {
	r.TimeWaitEnded += n
	if int(e.Cause) < len(r.EndedBy) {
		r.EndedBy[e.Cause] += n
	}
	if e.Preexisting && !e.InCensus {
		r.TimeWaitExisting += n
	}
}

// exist counts n connections or TIME_WAITs that were there before the window.
func (r *Row) exist(e *event.Event, n uint64) {
	switch e.NewState {
	case event.TimeWaitState:
		r.TimeWaitExisting += n
	case event.SynSent, event.SynRecv: // its connect or accept is still to come
	default:
		r.Preexisting += n
		r.older += n
	}
}

// stillWaiting takes a timewait socket that is there when the window ends.
func (r *Row) stillWaiting(e *event.Event) {
	r.waits.all++
	if e.Substate == event.FinWait2 {
		r.waits.finWait2++
	}
	if e.Preexisting && !e.InCensus {
		r.TimeWaitExisting++
	}
}
