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
)

// Options are the tracer's bounds. The zero value means the defaults.
type Options struct {
	RingBytes int // size of the ring buffer, rounded up to a power of two; at least a page
	Sockets   int // how many connections are remembered at once
	// Tick is how long records may lie in the ring before they are read, when nothing wakes the reader; 100 ms if 0. Each
	// tick costs some 0.3 ms of CPU.
	Tick time.Duration
	// Listeners are known to listen already: see [Tracer.AddListeners].
	Listeners []event.Listener
	// Drained, if set, is called when all records there were have been handed on: a good moment to flush output.
	Drained func()
}

// Open loads the program and attaches it. An error explains itself and what to do: see [LoadError].
func Open(o Options) (*Tracer, error) {
	t := &Tracer{seenLosses: map[bpfLossKey]bpfLoss{}, drained: o.Drained, tick: cmp.Or(o.Tick, defaultTick)}
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
	if err := t.load(o); err != nil {
		if memlock != nil && len(missingCapabilities()) == 0 {
			return fmt.Errorf("%w; RLIMIT_MEMLOCK could not be raised (it takes CAP_SYS_RESOURCE before Linux 5.11): %w", err, memlock)
		}
		return err
	}
	if t.reader, err = ringbuf.NewReader(t.maps.Events); err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	if err := t.AddListeners(o.Listeners); err != nil {
		return err
	}
	return t.attach()
}

// load tries the whole program first. Under lockdown=confidentiality the kernel refuses bpf_probe_read_kernel (and
// bpf_probe_read, which cilium/ebpf takes in its place where that is missing); then the
// same program is loaded without the parts that look around in kernel memory.
func (t *Tracer) load(o Options) error {
	err := t.loadWith(o, true)
	if err == nil {
		t.exact = true
		return nil
	}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) && strings.Contains(fmt.Sprintf("%+v", ve), "bpf_probe_read") {
		return t.loadWith(o, false)
	}
	return err
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
	if err := spec.Variables["probe_reads"].Set(probeReads); err != nil {
		return fmt.Errorf("set probe reads: %w", err)
	}
	copies := furtherCopies()
	for n := copies + 1; n <= maxFurtherCopies; n++ {
		delete(spec.Programs, furtherCopy(n))
	}
	if !probeReads {
		delete(spec.Programs, "open_connections")
	}
	if err := t.loadSpec(spec, copies); err != nil {
		return fmt.Errorf("load BPF program: %w", err)
	}
	return nil
}

func (t *Tracer) loadSpec(spec *ebpf.CollectionSpec, copies int) error {
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer collection.Close()
	var shared struct {
		bpfMaps
		Stopping *ebpf.Variable `ebpf:"stopping"`
	}
	if err := collection.Assign(&shared); err != nil {
		return err
	}
	t.maps, t.stopping = shared.bpfMaps, shared.Stopping
	t.programs = []*ebpf.Program{collection.DetachProgram("inet_sock_set_state")}
	for n := 1; n <= copies; n++ {
		t.programs = append(t.programs, collection.DetachProgram(furtherCopy(n)))
	}
	t.openConnections = collection.DetachProgram("open_connections")
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

// attach hooks the copies in the one order that is right on all kernels: each handles what those before it have not.
func (t *Tracer) attach() error {
	for _, p := range t.programs {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach inet_sock_set_state: %w", err)
		}
		t.links = append(t.links, l)
	}
	t.window.Start = t.clock.now()
	return nil
}

// Hooks says in words what is attached and what could not be, a line each.
func (t *Tracer) Hooks() []string {
	hooks := []string{fmt.Sprintf("tp_btf/inet_sock_set_state, %d times, so that no interrupted one loses an event: connects, accepts, failures, ends", len(t.programs))}
	if t.exact {
		return append(hooks, "ehash walk at FIN_WAIT2 and CLOSING: a TIME_WAIT is reported where the kernel made one")
	}
	return append(hooks,
		"no ehash walk (kernel lockdown=confidentiality refuses it): TIME_WAIT entries are inferred from the last state",
		"no iterator (lockdown): connections that stay open are counted, but their traffic is not known")
}

// TimeWaitTier says how entries into TIME_WAIT are known.
func (t *Tracer) TimeWaitTier() string {
	if t.exact {
		return "exact: looked up in the kernel's table at the moment of the change"
	}
	return "inferred from the last state"
}
