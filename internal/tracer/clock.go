package tracer

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock turns the kernel's times into ours.
type clock struct {
	// offset is CLOCK_REALTIME - CLOCK_MONOTONIC when tracing began. One offset per trace: an NTP step in between must
	// not reorder events.
	offset int64
	// jiffy is the length of a kernel tick.
	jiffy time.Duration
}

func newClock() (clock, error) {
	var before, wall, after, tick unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
		return clock{}, fmt.Errorf("read monotonic clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		return clock{}, fmt.Errorf("read clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &after); err != nil {
		return clock{}, fmt.Errorf("read monotonic clock: %w", err)
	}
	// The coarse clock moves once a tick: its resolution is TICK_NSEC (kernel/time/posix-timers.c), 1/CONFIG_HZ.
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		return clock{}, fmt.Errorf("read tick length: %w", err)
	}
	middle := before.Nano() + (after.Nano()-before.Nano())/2
	return clock{offset: wall.Nano() - middle, jiffy: time.Duration(tick.Nano())}, nil
}

func (c clock) unixNano(monotonic uint64) int64 { return int64(monotonic) + c.offset }

// now is the present in the trace's own time.
func (c clock) now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot be: newClock read the same clock
	}
	return c.unixNano(uint64(ts.Nano()))
}

// waitForRCU returns after every BPF program that was running has ended: MEMBARRIER_CMD_GLOBAL is synchronize_rcu()
// (kernel/sched/membarrier.c). Kernels with nohz_full refuse it; there a pause must do.
func waitForRCU() {
	const membarrierGlobal = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		time.Sleep(10 * time.Millisecond)
	}
}
