package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Defaults and limits of [Options].
const (
	DefaultRingBytes = 8 << 20
	MinRingBytes     = 4096
	MaxRingBytes     = 1 << 30
	// DefaultSockets survives a full port range (28,232 ports, both ends on this host) twice over.
	DefaultSockets = 131072
	// DefaultTimeWaits is twice what the kernel holds at most by default in one namespace (tcp_max_tw_buckets). Each that is
	// held takes 128 bytes of the kernel's memory, none that is not.
	DefaultTimeWaits = 524288
	// DefaultTimerCost is the part of one CPU's time that following timers may take: 20,000 connections a second.
	DefaultTimerCost = 0.02
)

// Options are the tracer's bounds. The zero value means the defaults.
type Options struct {
	RingBytes int // size of the ring buffer, rounded up to a power of two; at least a page
	Sockets   int // how many connections are remembered at once
	TimeWaits int // how many timewait sockets are
	// Tier is how timewait sockets are followed; TierAuto takes the best that works.
	Tier Tier
	// TimerCost is the part of one CPU's time above which timers are followed no longer, and a census finds what has
	// ended (TierTimers only). 0: DefaultTimerCost.
	TimerCost float64
	// Tick is how long records may lie in the ring before they are read, when nothing wakes the reader; 100 ms if 0. Each
	// tick costs some 0.3 ms of CPU.
	Tick time.Duration
	// Listeners are known to listen already: see [Tracer.AddListeners].
	Listeners []event.Listener
	// Syscalls also traces failures that change no socket's state: bind() for want of a port, connect() for want of a route.
	// Each system call of the host then takes some 30 ns longer. Where it cannot be had, [Tracer.HooksAbsent] says why.
	Syscalls bool
	// Drained, if set, is called when all records there were have been handed on: a good moment to flush output.
	Drained func()
}

// Open loads the program and attaches it. An error explains itself and what to do: see [LoadError].
func Open(o Options) (*Tracer, error) {
	t := &Tracer{
		seenLosses: map[bpfLossKey]bpfLoss{}, drained: o.Drained, tick: cmp.Or(o.Tick, defaultTick),
		timers: timers{most: cmp.Or(o.TimerCost, DefaultTimerCost)},
	}
	if err := t.open(o); err != nil {
		_ = t.Close()
		return nil, explain(err)
	}
	return t, nil
}

func (t *Tracer) open(o Options) (err error) {
	if t.clock, err = newClock(); err != nil {
		return err
	}
	// Before 5.11 maps count against RLIMIT_MEMLOCK, root's too. That it cannot be raised matters only if loading fails:
	// whether the kernel needs it is a guess (a map was refused), which is wrong where a capability is missing.
	memlock := rlimit.RemoveMemlock()
	tiers := tiersToTry(o.Tier)
	for i, tier := range tiers {
		if err = t.openTier(o, tier); err == nil {
			return t.startWindow()
		}
		if i == len(tiers)-1 {
			break
		}
		// Whatever it was, it can be that of this tier alone: a hook that the kernel has not, or does not call.
		t.refused = append(t.refused, tier.String()+": "+firstLine(err))
		if err := t.Close(); err != nil {
			return err
		}
	}
	if memlock != nil && len(missingCapabilities()) == 0 {
		return fmt.Errorf("%w; RLIMIT_MEMLOCK could not be raised (it takes CAP_SYS_RESOURCE before Linux 5.11): %w", err, memlock)
	}
	return err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// openTier loads and attaches with one way to follow timewait sockets, and tries whether it works.
func (t *Tracer) openTier(o Options, tier Tier) (err error) {
	t.tier = tier
	if tier == TierFunctions {
		if err := functionHooks(); err != nil {
			return err
		}
	}
	if err := t.load(o); err != nil {
		return err
	}
	if tier == TierTimers && !t.probes {
		return errLockdown
	}
	if t.reader, err = ringbuf.NewReader(t.maps.Events); err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	if err := t.AddListeners(o.Listeners); err != nil {
		return err
	}
	if err := t.attach(); err != nil {
		return err
	}
	return t.selfTest()
}

// load tries the whole program first. Under lockdown=confidentiality the kernel refuses bpf_probe_read_kernel (and
// bpf_probe_read, which cilium/ebpf takes in its place where that is missing); then the
// same program is loaded without the parts that look around in kernel memory.
func (t *Tracer) load(o Options) error {
	t.probes = true
	err := t.loadWith(o, true)
	if err != nil && o.Syscalls { // they are optional: is it they that the kernel refuses?
		without := o
		without.Syscalls = false
		if t.loadWith(without, true) == nil {
			t.syscallsRefused, err = err, nil
		}
	}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) && refusesProbeReads(fmt.Sprintf("%+v", ve)) {
		t.probes = false
		return t.loadWith(o, false)
	}
	return err
}

// refusesProbeReads recognises the verifier's last word on a helper that lockdown has taken away. (Its log names the helper
// wherever it is called, too.)
func refusesProbeReads(log string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "bpf_probe_read") && (strings.Contains(line, "unknown func") || strings.Contains(line, "cannot use helper")) {
			return true
		}
	}
	return false
}

func (t *Tracer) loadWith(o Options, probeReads bool) error {
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("read BPF object: %w", err)
	}
	ring := ringSize(o.RingBytes)
	spec.Maps["events"].MaxEntries = uint32(ring)
	sockets := uint32(DefaultSockets)
	if o.Sockets > 0 {
		sockets = uint32(o.Sockets)
	}
	// Entries of ended connections may fill a quarter on top, for reuse.
	spec.Maps["conns"].MaxEntries = sockets + sockets/4
	spec.Maps["timewaits"].MaxEntries = uint32(cmp.Or(o.TimeWaits, DefaultTimeWaits))
	if err := spec.Variables["conns_lazy"].Set(sockets / 4); err != nil {
		return fmt.Errorf("set bound of unused entries: %w", err)
	}
	if err := spec.Variables["wake_mark"].Set(uint32(ring / 4)); err != nil {
		return fmt.Errorf("set wake-up mark: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count CPUs: %w", err)
	}
	if err := spec.Variables["wake_window"].Set(uint32(max(cpus, 8) * (recordSize + 8))); err != nil {
		return fmt.Errorf("set wake-up window: %w", err)
	}
	spec.Maps["cpus"].MaxEntries = uint32(cpus)
	if err := spec.Variables["probe_reads"].Set(probeReads); err != nil {
		return fmt.Errorf("set probe reads: %w", err)
	}
	if err := spec.Variables["timewait_alloc_tells"].Set(t.tier == TierFunctions); err != nil {
		return fmt.Errorf("set tier: %w", err)
	}
	if err := spec.Variables["testing_port"].Set(uint32(nothingYet)); err != nil {
		return fmt.Errorf("set port under test: %w", err)
	}
	copies := furtherCopies()
	for name := range spec.Programs {
		if !t.wants(name, copies, o.Syscalls) {
			delete(spec.Programs, name)
		}
	}
	if err := t.loadSpec(spec, copies); err != nil {
		return fmt.Errorf("load BPF program: %w", err)
	}
	return nil
}

// wants reports whether this kernel and tier use the program, syscalls whether the optional ones are asked for.
func (t *Tracer) wants(name string, copies int, syscalls bool) bool {
	switch name {
	case "timewait_alloc", "timewait_schedule", "timewait_kill":
		return t.tier == TierFunctions
	case "timewait_timer_cancel", "timewait_timer_start":
		return t.tier == TierTimers && t.probes
	case "open_connections", "socket_holders", "count_timewaits", "blocked_ports", "walk_sockets":
		return t.probes
	case "sys_exit_bind", "sys_exit_connect":
		return t.probes && syscalls
	}
	for n := copies + 1; n <= maxFurtherCopies; n++ {
		if name == furtherCopy(n) {
			return false
		}
	}
	return true
}

func (t *Tracer) loadSpec(spec *ebpf.CollectionSpec, copies int) error {
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer collection.Close()
	var shared struct {
		bpfMaps
		bpfVariables
	}
	if err := collection.Assign(&shared); err != nil {
		return err
	}
	t.maps, t.variables = shared.bpfMaps, shared.bpfVariables
	t.copies = []*ebpf.Program{collection.DetachProgram("inet_sock_set_state")}
	for n := 1; n <= copies; n++ {
		t.copies = append(t.copies, collection.DetachProgram(furtherCopy(n)))
	}
	t.programs = make(map[string]*ebpf.Program)
	for name := range collection.Programs {
		t.programs[name] = collection.DetachProgram(name)
	}
	return nil
}

const maxFurtherCopies = 4

func furtherCopy(n int) string { return fmt.Sprintf("inet_sock_set_state_%d", n) }

// furtherCopies is how many further copies of the program this kernel asks for: see FURTHER_COPY in bpf/tcpstate.bpf.c.
// Tracepoints can be preempted since 7.0 (include/linux/tracepoint.h, __DECLARE_TRACE); a wrong answer here costs time,
// or events that are counted as lost.
func furtherCopies() int {
	if major, minor := kernelVersion(); major >= 7 || major == 6 && minor >= 19 {
		return maxFurtherCopies
	}
	return 1
}

// ringSize rounds up to what the kernel takes: a power of two, at least a page.
func ringSize(bytes int) int {
	if bytes <= 0 {
		return DefaultRingBytes
	}
	size := max(MinRingBytes, os.Getpagesize())
	for size < bytes && size < MaxRingBytes {
		size *= 2
	}
	return size
}

// attach hooks the programs in the one order that is right: what sees timewait sockets end before what sees them begin,
// lest one is held for ever; then the copies, on all kernels in this order: each handles what those before it have not.
func (t *Tracer) attach() error {
	if err := t.attachTier(); err != nil {
		return err
	}
	for _, p := range t.copies {
		if err := t.attachOne(p); err != nil {
			return fmt.Errorf("attach inet_sock_set_state: %w", err)
		}
	}
	t.absent = t.attachSyscalls()
	return nil
}

func (t *Tracer) attachOne(p *ebpf.Program) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return err
	}
	t.links = append(t.links, l)
	return nil
}
