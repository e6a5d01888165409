package tracer

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// settle makes ends of timewait sockets final that are older than age. Whether a timer that was taken off is set anew is
// known with the next timer event of its CPU (timewait_timer_cancel in bpf/timewait.h); a CPU that idles has none. So one
// is made there: by a thread that waits on that CPU for what never comes.
func (t *Tracer) settle(age time.Duration) error {
	if t.tier != TierTimers {
		return nil
	}
	before := uint64(monotonic() - age.Nanoseconds())
	waiting, err := t.undecided(before)
	if err != nil || len(waiting) == 0 {
		return err
	}
	done := make(chan error, len(waiting))
	for _, cpu := range waiting {
		go func() { done <- setTimerOn(cpu) }()
	}
	var errs []error
	for range waiting {
		errs = append(errs, <-done)
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	// This process may not run on that CPU: another decides for it, which is safe while it idles.
	if err := t.variables.SettleBeforeNs.Set(before); err != nil {
		return fmt.Errorf("settle ends of TIME_WAIT: %w", err)
	}
	if err := drainMap(t.programs["settle_ends"], t.maps.Cpus, nil); err != nil {
		return fmt.Errorf("settle ends of TIME_WAIT: %w", err)
	}
	return nil
}

// undecided are the CPUs on which an end from before waits to become final.
func (t *Tracer) undecided(before uint64) (cpus []int, err error) {
	var id uint32
	var c bpfCpu
	it := t.maps.Cpus.Iterate()
	for it.Next(&id, &c) {
		if c.Leaving.Timer != 0 && c.Leaving.TimeNs < before {
			cpus = append(cpus, int(id))
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read state of CPUs: %w", err)
	}
	return cpus, nil
}

// setTimerOn sets a timer on the CPU, by waiting a tick for a datagram: schedule_timeout() takes a timer_list.
func setTimerOn(cpu int) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		result <- waitOn(cpu)
	}()
	return <-result
}

func waitOn(cpu int) error {
	var before, set unix.CPUSet
	set.Set(cpu)
	if err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &set)); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }() // should it be the process's first thread, which stays
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1}); err != nil {
		return err
	}
	var b [1]byte
	if _, _, err = unix.Recvfrom(s, b[:], 0); errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0 // cannot be: it is this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
