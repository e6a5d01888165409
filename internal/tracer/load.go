package tracer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
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
	// Drained, if set, is called when all records there were have been handed on: a good moment to flush output.
	Drained func()
}

// Open loads the program and attaches it. An error explains itself and what to do: see [LoadError].
func Open(o Options) (*Tracer, error) {
	t := &Tracer{seenLosses: map[bpfLossKey]bpfLoss{}, drained: o.Drained}
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
	if t.reader, err = ringbuf.NewReader(t.objects.Events); err != nil {
		return fmt.Errorf("open ring buffer: %w", err)
	}
	return t.attach()
}

// load tries the whole program first. Under lockdown=confidentiality the kernel refuses bpf_probe_read_kernel; then the
// same program is loaded without the parts that look around in kernel memory.
func (t *Tracer) load(o Options) error {
	err := t.loadWith(o, true)
	if err == nil {
		t.exact = true
		return nil
	}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) && strings.Contains(fmt.Sprintf("%+v", ve), "probe_read_kernel") {
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
	if err := spec.Variables["probe_reads"].Set(probeReads); err != nil {
		return fmt.Errorf("set probe reads: %w", err)
	}
	if probeReads {
		err = spec.LoadAndAssign(&t.objects, nil)
	} else {
		err = t.loadWithoutIterator(spec)
	}
	if err != nil {
		return fmt.Errorf("load BPF program: %w", err)
	}
	return nil
}

func (t *Tracer) loadWithoutIterator(spec *ebpf.CollectionSpec) error {
	delete(spec.Programs, "open_connections")
	var programs struct {
		State *ebpf.Program `ebpf:"inet_sock_set_state"`
		Again *ebpf.Program `ebpf:"inet_sock_set_state_again"`
		bpfMaps
	}
	if err := spec.LoadAndAssign(&programs, nil); err != nil {
		return err
	}
	t.objects.bpfMaps = programs.bpfMaps
	t.objects.InetSockSetState, t.objects.InetSockSetStateAgain = programs.State, programs.Again
	return nil
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

// attach hooks both copies in the one order that is right on all kernels: see inet_sock_set_state_again.
func (t *Tracer) attach() error {
	for _, p := range []*ebpf.Program{t.objects.InetSockSetState, t.objects.InetSockSetStateAgain} {
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
	hooks := []string{"tp_btf/inet_sock_set_state and its second copy: connects, accepts, failures, ends"}
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
