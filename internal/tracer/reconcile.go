package tracer

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// How the timewait sockets we hold are compared with the kernel's own count.
const (
	// checkEvery is how often, checkQuiet while nothing happens where the last one agreed.
	checkEvery = time.Second
	checkQuiet = 5 * time.Second
	// lasting is how many checks in a row must differ before a census repairs it. One that differs once was read while
	// something changed.
	lasting = 3
	// settleAge is how old the end of a TIME_WAIT must be to be final although its CPU has set no timer since.
	settleAge = 20 * time.Millisecond
	// sweepAt is how many entries may wait to be deleted, when more are held: deleting takes a walk over all of them.
	sweepAt = 4096
	// censusRest is how long after a census that could not repair the difference the next is made.
	censusRest = 10 * time.Second
)

// TimeWaitCount is how many timewait sockets were held in a network namespace.
type TimeWaitCount struct {
	Netns uint32
	// Ours is what the programs counted; Kernel is the kernel's own count at the same moment (tcp_death_row, which is what
	// /proc/net/sockstat shows), -1: the namespace is gone.
	Ours, Kernel int64
}

// TimeWaitCheck says how the timewait sockets that were followed compare with the kernel's own count.
type TimeWaitCheck struct {
	// Known: there is something to compare.
	Known bool
	// Checks is how many comparisons were made, Differences how many of them did not agree.
	Checks, Differences uint64
	// Censuses counts those after the first, made because a difference lasted, or instead of timers. Repaired is how many
	// timewait sockets they found or ended.
	Censuses, Repaired uint64
	// Uncounted is how many timewait sockets were made in namespaces beyond those that are kept apart: nothing is compared
	// there.
	Uncounted uint64
	// Namespaces is the last comparison.
	Namespaces []TimeWaitCount
}

// Exact reports whether the last comparison agreed, and in every namespace.
func (c *TimeWaitCheck) Exact() bool {
	for _, n := range c.Namespaces {
		if n.differs() {
			return false
		}
	}
	return c.Known && c.Uncounted == 0
}

// differs: a namespace that is gone has nothing to compare with.
func (n TimeWaitCount) differs() bool { return n.Kernel >= 0 && n.Ours != n.Kernel }

// timeWaits is what the comparisons have given so far.
type timeWaits struct {
	check      TimeWaitCheck
	censuses   uint64
	censusTook time.Duration
	baseline   uint64 // what the first census found
	lastSettle int64  // monotonic nanoseconds
	lastCheck  int64
	records    uint64 // that had come at the last check
	lastCensus int64
	inARow     int
}

// TimeWaitCheck returns how the comparisons went. It is complete when Run has ended.
func (t *Tracer) TimeWaitCheck() (TimeWaitCheck, error) {
	check := t.timeWaits.check
	c, err := t.counters()
	if err != nil {
		return check, err
	}
	check.Censuses = t.timeWaits.censuses - min(t.timeWaits.censuses, 1)
	check.Uncounted = c.NamespacesFull
	check.Repaired = c.TimewaitsFound + c.TimewaitsMissed - t.timeWaits.baseline
	return check, nil
}

// reconcile compares with the kernel once a second, seldom while nothing happens, and repairs.
func (t *Tracer) reconcile(emit func(*event.Event)) error {
	w := &t.timeWaits
	now := monotonic()
	if now-w.lastSettle < checkEvery.Nanoseconds() || !t.TimeWaitsKnown() || t.ended {
		return nil
	}
	w.lastSettle = now
	if err := t.settle(settleAge); err != nil {
		return err
	}
	if t.records == w.records && w.inARow == 0 && !t.endsByCensus() && now-w.lastCheck < checkQuiet.Nanoseconds() {
		return nil
	}
	w.records, w.lastCheck = t.records, now
	if err := t.sweepIfDue(); err != nil {
		return err
	}
	if err := t.watchTimers(); err != nil {
		return err
	}
	if t.endsByCensus() {
		return t.periodicCensus(now, emit)
	}
	if err := t.compare(); err != nil {
		return err
	}
	if t.timeWaits.inARow < lasting || now-t.timeWaits.lastCensus < censusRest.Nanoseconds() {
		return nil
	}
	t.timeWaits.lastCensus = now
	return t.census(emit)
}

// endsByCensus reports whether nothing tells when a timewait socket ends.
func (t *Tracer) endsByCensus() bool {
	return t.tier == TierCensus || t.tier == TierTimers && t.timers.tooDear
}

// periodicCensus ends what is gone. It is made each second, or as seldom as keeps it within the bound for timers.
func (t *Tracer) periodicCensus(now int64, emit func(*event.Event)) error {
	rest := max(checkEvery, time.Duration(float64(t.timeWaits.censusTook)/t.timers.most))
	if now-t.timeWaits.lastCensus < rest.Nanoseconds() {
		return nil
	}
	t.timeWaits.lastCensus = now
	return t.withTimers(func() error {
		if err := t.census(emit); err != nil {
			return err
		}
		return t.compare()
	})
}

// withTimers does f with the timer hooks attached where they work but are too dear to stay: a census takes
// milliseconds, in which sockets come and go.
func (t *Tracer) withTimers(f func() error) error {
	if t.tier != TierTimers || !t.timers.tooDear {
		return f()
	}
	if err := t.timers.attach(t.timers.cancel, t.timers.start); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := t.timers.detach(); err != nil {
		return err
	}
	waitForRCU()
	return t.settle(0)
}

// lastCheck compares at the end of the window.
func (t *Tracer) lastCheck(emit func(*event.Event)) error {
	if !t.TimeWaitsKnown() {
		return nil
	}
	if t.endsByCensus() {
		if err := t.census(emit); err != nil {
			return err
		}
	}
	if err := t.settle(time.Millisecond); err != nil {
		return err
	}
	if err := t.compare(); err != nil {
		return err
	}
	if t.timeWaits.inARow == 0 || t.endsByCensus() {
		return nil
	}
	// There is no later check to repair it.
	if err := t.census(emit); err != nil {
		return err
	}
	return t.compare()
}

// compareTries is how often counts that differ are read again: one read while something changes differs.
const compareTries = 10

func (t *Tracer) compare() error {
	var counts []TimeWaitCount
	differs := false
	for range compareTries {
		var err error
		if counts, err = t.countTimeWaits(); err != nil || counts == nil {
			return err
		}
		if differs = anyDiffers(counts); !differs {
			break
		}
		time.Sleep(time.Millisecond)
		if err := t.settle(time.Millisecond); err != nil {
			return err
		}
	}
	c := &t.timeWaits.check
	c.Known, c.Namespaces = true, counts
	c.Checks++
	if !differs {
		t.timeWaits.inARow = 0
		return nil
	}
	c.Differences++
	t.timeWaits.inARow++
	return nil
}

func anyDiffers(counts []TimeWaitCount) bool {
	for _, c := range counts {
		if c.differs() {
			return true
		}
	}
	return false
}

// countTimeWaits reads both counts of every namespace in which a timewait socket was seen. Nil under lockdown.
func (t *Tracer) countTimeWaits() ([]TimeWaitCount, error) {
	p := t.programs["count_timewaits"]
	if p == nil {
		return nil, nil
	}
	const size = 24 // struct namespace_count in bpf/census.h
	counts := []TimeWaitCount{}
	err := drainMap(p, t.maps.Namespaces, func(r io.Reader) error {
		return eachRecord(r, size, func(b []byte) error {
			entered, left := binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])
			counts = append(counts, TimeWaitCount{
				Netns: nativeUint32(b), Kernel: int64(int32(nativeUint32(b[4:]))), Ours: int64(entered - left),
			})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the kernel's count of timewait sockets: %w", err)
	}
	return counts, nil
}

// sweepIfDue deletes entries when many wait for it.
func (t *Tracer) sweepIfDue() error {
	var gone uint64
	if err := t.variables.TimewaitsGone.Get(&gone); err != nil {
		return fmt.Errorf("read how many timewait sockets are gone: %w", err)
	}
	held := uint64(0)
	for _, c := range t.timeWaits.check.Namespaces {
		held += uint64(max(0, c.Ours))
	}
	if gone < max(sweepAt, held/4) || gone > 1<<63 {
		return nil
	}
	return t.sweep()
}

func nativeUint32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
