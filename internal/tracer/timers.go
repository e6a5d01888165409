package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// timers are the two hooks that run for every timer of the host, and what they cost.
type timers struct {
	links   []link.Link
	cancel  *ebpf.Program
	start   *ebpf.Program
	most    float64 // the part of one CPU that they may take
	tooDear bool    // they took more, and are attached only while a census is made

	nsPerRun  float64 // 0: not measured yet
	runs      uint64
	lastCheck int64 // monotonic nanoseconds
	over      int   // how many checks in a row they took too much
}

const (
	// assumedRun is what a run costs, in nanoseconds, where it cannot be measured, which takes CAP_SYS_ADMIN.
	assumedRun = 60
	// dearestRun is more than a run ever costs: as long as even such runs stay within the bound, none is measured.
	dearestRun = 1000
)

// tooDearChecks in a row end the hooks: a burst shall not.
const tooDearChecks = 3

func (m *timers) bound() string { return fmt.Sprintf("%.3g %% of a CPU (--timer-cost)", 100*m.most) }

func (m *timers) attach(cancel, start *ebpf.Program) error {
	m.cancel, m.start = cancel, start
	for _, p := range []*ebpf.Program{cancel, start} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach timer hook: %w", errors.Join(err, m.detach()))
		}
		m.links = append(m.links, l)
	}
	return nil
}

func (m *timers) detach() error {
	var errs []error
	for _, l := range m.links {
		errs = append(errs, l.Close())
	}
	m.links = nil
	return errors.Join(errs...)
}

// measure finds what a run costs by the kernel's own statistics, which cost some time themselves: for a moment only.
func (m *timers) measure() {
	stop, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		m.nsPerRun = assumedRun
		return
	}
	time.Sleep(20 * time.Millisecond)
	var runs uint64
	var took time.Duration
	for _, p := range []*ebpf.Program{m.cancel, m.start} {
		if s, err := p.Stats(); err == nil {
			runs += s.RunCount
			took += s.Runtime
		}
	}
	_ = stop.Close()
	if runs >= 100 {
		m.nsPerRun = float64(took.Nanoseconds()) / float64(runs)
	}
}

// watchTimers compares what the timer hooks cost with the bound, and gives them up when it is too much.
func (t *Tracer) watchTimers() error {
	m := &t.timers
	if t.tier != TierTimers || m.tooDear {
		return nil
	}
	cancels, starts, err := t.timerRuns()
	if err != nil {
		return err
	}
	runs := cancels + starts
	now := monotonic()
	if m.lastCheck != 0 && now > m.lastCheck {
		perNs := float64(runs-m.runs) / float64(now-m.lastCheck)
		if m.nsPerRun == 0 && perNs*dearestRun > m.most {
			m.measure()
		}
		if perNs*cmp.Or(m.nsPerRun, assumedRun) > m.most {
			m.over++
		} else {
			m.over = 0
		}
	}
	m.runs, m.lastCheck = runs, now
	if m.over < tooDearChecks {
		return nil
	}
	m.tooDear = true
	return m.detach()
}

// timerRuns is how often the two hooks have run.
func (t *Tracer) timerRuns() (cancels, starts uint64, err error) {
	var id uint32
	var c bpfCpu
	it := t.maps.Cpus.Iterate()
	for it.Next(&id, &c) {
		cancels += c.CancelRuns
		starts += c.StartRuns
	}
	if err := it.Err(); err != nil {
		return 0, 0, fmt.Errorf("read state of CPUs: %w", err)
	}
	return cancels, starts, nil
}

// monotonic is CLOCK_MONOTONIC, which the programs use.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0 // cannot be: newClock read the same clock
	}
	return ts.Nano()
}
