package tracer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// Tier is how the beginning and the end of timewait sockets are known. No tracepoint shows either.
type Tier int

// The tiers, best first.
const (
	// TierAuto takes the first that this kernel allows and that passes the self-test.
	TierAuto Tier = iota
	// TierFunctions: the kernel's functions that make and remove timewait sockets tell. It takes fentry, which some
	// kernels refuse.
	TierFunctions
	// TierTimers: the new timewait socket is looked up in the kernel's table; its end is told by its timer. For that a
	// program runs for every timer of the host.
	TierTimers
	// TierCensus: the new timewait socket is looked up, its end is found by a census of all sockets.
	TierCensus
)

var tierNames = [...]string{TierAuto: "auto", TierFunctions: "functions", TierTimers: "timers", TierCensus: "census"}

// String returns the name that ParseTier takes.
func (t Tier) String() string { return tierNames[t] }

// TierNames are what ParseTier takes.
func TierNames() []string { return tierNames[:] }

// ParseTier finds a tier by its name.
func ParseTier(name string) (Tier, error) {
	for t, n := range tierNames {
		if n == name {
			return Tier(t), nil
		}
	}
	return 0, fmt.Errorf("unknown way to follow TIME_WAIT %q: want %s", name, strings.Join(tierNames[:], ", "))
}

var errLockdown = errors.New("kernel lockdown=confidentiality lets no program look into the kernel's table")

func tiersToTry(wanted Tier) []Tier {
	if wanted == TierAuto {
		return []Tier{TierFunctions, TierTimers, TierCensus}
	}
	return []Tier{wanted}
}

// functionHooks says why the kernel takes no programs at functions; nil: it does. Loading and attaching the smallest one
// is the only way to know: feature tests say yes where hardened kernels refuse, and arm64 before 6.4 loads what it cannot
// attach.
func functionHooks() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "fentry_probe", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: "inet_twsk_kill",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, License: "GPL",
	})
	if err != nil {
		return fmt.Errorf("the kernel takes no program at its functions: %w", errors.Unwrap(err))
	}
	defer p.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return fmt.Errorf("the kernel attaches no program to its functions: %w", err)
	}
	return l.Close()
}

// attachTier hooks what sees timewait sockets end, then what sees them change, then what sees them begin.
func (t *Tracer) attachTier() error {
	switch t.tier {
	case TierFunctions:
		for _, name := range []string{"timewait_kill", "timewait_schedule", "timewait_alloc"} {
			if err := t.attachOne(t.programs[name]); err != nil {
				return fmt.Errorf("attach %s: %w", name, err)
			}
		}
	case TierTimers:
		return t.timers.attach(t.programs["timewait_timer_cancel"], t.programs["timewait_timer_start"])
	}
	return nil
}

// TimeWaitsKnown reports whether it is known how many timewait sockets are held: not so where neither functions can be
// hooked nor the kernel's memory read.
func (t *Tracer) TimeWaitsKnown() bool { return t.tier == TierFunctions || t.probes }

// Hooks says in words what is attached and what could not be, a line each.
func (t *Tracer) Hooks() []string {
	hooks := []string{fmt.Sprintf("tp_btf/inet_sock_set_state, %d times, so that no interrupted one loses an event: connects, accepts, failures, ends", len(t.copies))}
	for _, why := range t.refused {
		hooks = append(hooks, "not used for TIME_WAIT: "+why)
	}
	hooks = append(hooks, t.timeWaitHooks())
	for _, h := range syscallHooks {
		if t.programs[h.name] != nil {
			hooks = append(hooks, "syscalls:"+h.name)
		}
	}
	hooks = append(hooks, t.absent...)
	if t.untested != "" {
		hooks = append(hooks, "the hooks for TIME_WAIT could not be tested: "+t.untested)
	}
	if !t.probes {
		hooks = append(hooks,
			"no iterator over connections (lockdown): those that stay open are counted, but their traffic is not known",
			"owners of connections older than the trace are known by cgroup only (lockdown)")
	}
	return hooks
}

func (t *Tracer) timeWaitHooks() string {
	switch {
	case t.tier == TierFunctions:
		return "tier 1: fexit/inet_twsk_alloc, fentry/__inet_twsk_schedule, fentry/inet_twsk_kill: each TIME_WAIT is seen when it is made and when it is removed"
	case t.tier == TierTimers && t.timers.tooDear:
		return "tier 2 without timers, for they took more than " + t.timers.bound() + ": each TIME_WAIT is seen when it is made; its end is found by a census"
	case t.tier == TierTimers:
		return "tier 2: ehash walk, tp_btf/timer_cancel, tp_btf/timer_start: each TIME_WAIT is seen when it is made, and when its timer ends"
	case t.probes:
		return "tier 3: ehash walk and a census each second, or as seldom as keeps it within " + t.timers.bound() + ": each TIME_WAIT is seen when it is made; its end is found by the next census"
	default:
		return "no tier: TIME_WAIT entries are inferred from the last state, how many are held is not known"
	}
}

// TimeWaitTier says how entries into TIME_WAIT are known, and their ends.
func (t *Tracer) TimeWaitTier() string {
	switch {
	case t.tier == TierFunctions:
		return "exact: told by the functions that make and remove timewait sockets"
	case t.tier == TierTimers && t.timers.tooDear:
		return "exact entries, looked up in the kernel's table; ends by census, exact at the end of the window"
	case t.tier == TierTimers:
		return "exact: looked up in the kernel's table at the moment of the change; ends told by timers"
	case t.probes:
		return "exact entries, looked up in the kernel's table; ends approximate, by census"
	default:
		return "inferred from the last state"
	}
}

// TimeWaitTierNumber is 1, 2 or 3; 0 when timewait sockets cannot be followed.
func (t *Tracer) TimeWaitTierNumber() int {
	if !t.TimeWaitsKnown() {
		return 0
	}
	return int(t.tier)
}

// HooksAbsent says which optional hooks are not attached, why, and what is not seen without them.
func (t *Tracer) HooksAbsent() []string { return t.absent }
