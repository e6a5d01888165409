package tracer

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Loss is what tracing could not see or keep, counted by the kernel side. All counts are since [Open].
type Loss struct {
	// RingFull is how many records found the ring buffer full. Each was counted under its destination and kind instead,
	// and came as a Lost event, so totals include them; only their details are gone.
	RingFull uint64
	// Unassigned is how many of those found no room in that table either.
	Unassigned uint64
	// Recursion is how many transitions the kernel did not show at all because a BPF program was interrupted on the same
	// CPU and its further copies were busy, too.
	Recursion uint64
	// Sockets is how many connections could not be remembered because Options.Sockets were open already: their events
	// come without an owner and start.
	Sockets uint64
	// Unseen is how many connections were found to have ended although no program was called for it, and the kernel
	// counted no miss. Some kernels call none while a thread of a certain process is current (seen: those of pid 1, on a
	// vendor's build of Linux 6.18), not even for what a softirq does that interrupts it. It is the least that
	// was missed: a start that was not shown looks like a connection from before.
	Unseen uint64
	// Repeated is how many transitions may have been handled twice: rescued, although the kernel had refused none.
	Repeated uint64
	// ChainCut is how many searches for a timewait socket were given up in a long hash chain.
	ChainCut uint64
	// TimeWaits is how many timewait sockets could not be remembered because Options.TimeWaits were held already.
	TimeWaits uint64
	// Calls is how many calls of bind() and connect() ended unseen. Connections are seen by other means: only calls that
	// failed without a change of state can be missing, and most calls are none of these.
	Calls uint64
	// Rescued is how many transitions a further copy of the program handled: not lost, but worth knowing.
	Rescued uint64
}

// TotalsExact reports whether all totals, of every destination and service, are exact in spite of what was lost. A
// connection that could not be remembered is counted, but nobody knows for whom.
func (l Loss) TotalsExact() bool {
	return l.Unassigned == 0 && l.Recursion == 0 && l.ChainCut == 0 && l.Sockets == 0 && l.Unseen == 0 && l.Repeated == 0 &&
		l.TimeWaits == 0
}

// Loss reads the counters.
func (t *Tracer) Loss() (Loss, error) {
	c, err := t.counters()
	if err != nil {
		return Loss{}, err
	}
	l := Loss{
		RingFull: c.RingFull, Unassigned: c.LossesFull, Sockets: c.ConnsFull, Unseen: c.Unseen, ChainCut: c.ChainCut,
		Rescued: c.Rescued, TimeWaits: c.TimewaitsFull,
	}
	stats, err := t.copies[0].Stats()
	if err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
		return Loss{}, fmt.Errorf("read program statistics: %w", err)
	}
	var misses uint64 // kernels that refuse nothing count nothing
	if err == nil {
		misses = stats.RecursionMisses
	}
	if l.Calls, err = t.missedCalls(); err != nil {
		return Loss{}, err
	}
	l.Recursion = misses - min(misses, l.Rescued)
	l.Repeated = l.Rescued - min(misses, l.Rescued)
	return l, nil
}

// counters reads what the programs count, summed over the CPUs.
func (t *Tracer) counters() (sum bpfCounters, err error) {
	var perCPU []bpfCounters
	if err := t.maps.Counts.Lookup(uint32(0), &perCPU); err != nil {
		return sum, fmt.Errorf("read counters: %w", err)
	}
	for _, c := range perCPU {
		sum.RingFull += c.RingFull
		sum.LossesFull += c.LossesFull
		sum.ConnsFull += c.ConnsFull
		sum.Unseen += c.Unseen
		sum.Rescued += c.Rescued
		sum.ChainCut += c.ChainCut
		sum.TimewaitsFound += c.TimewaitsFound
		sum.TimewaitsMissed += c.TimewaitsMissed
		sum.TimewaitsFull += c.TimewaitsFull
		sum.NamespacesFull += c.NamespacesFull
	}
	return sum, nil
}

// emitLosses turns what was added to map losses since the last call into Lost events. Entries are never deleted, for an
// addition may be under way: differences are exact. The last call looks in any case, for the count comes first.
func (t *Tracer) emitLosses(emit func(*event.Event), last bool) error {
	l, err := t.Loss()
	if err != nil {
		return err
	}
	if l.RingFull == t.lossCount && !last {
		return nil
	}
	var key bpfLossKey
	var now bpfLoss
	it := t.maps.Losses.Iterate()
	for it.Next(&key, &now) {
		if before := t.seenLosses[key]; now != before {
			t.seenLosses[key] = now
			t.emitLoss(&key, now, before, emit)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read losses: %w", err)
	}
	if n := l.Unassigned - t.unassigned; n > 0 {
		emit(&event.Event{Kind: event.Lost, UnixNano: t.clock.now(), Count: n, Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown})
	}
	t.lossCount, t.unassigned = l.RingFull, l.Unassigned
	return nil
}

func (t *Tracer) emitLoss(key *bpfLossKey, now, before bpfLoss, emit func(*event.Event)) {
	ev := event.Event{
		UnixNano:       t.clock.now(),
		Kind:           event.Lost,
		Of:             event.Kind(key.Kind),
		Count:          now.Count - before.Count,
		Direction:      event.Direction(key.Direction),
		DirectionBasis: event.Exact,
		Netns:          key.Netns,
		Owner:          event.Owner{CgroupID: key.CgroupId, Comm: key.Comm},
		Local:          addrPort(key.Src, key.Sport),
		Remote:         addrPort(key.Dst, key.Dport),
		ClosedBy:       event.Closer(key.ClosedBy),
		Error:          event.Error(key.Error),
		Basis:          event.Basis(key.Basis),
		Cause:          event.Cause(key.Cause),
		Preexisting:    key.Flags&flagPreexisting != 0,
		InCensus:       key.Flags&flagInCensus != 0,
		Counted:        key.Flags&flagCounted != 0,
		SentBytes:      now.SentBytes - before.SentBytes,
		ReceivedBytes:  now.ReceivedBytes - before.ReceivedBytes,
		Lifetime:       event.Unknown,
		ConnectTime:    event.Unknown,
		Idle:           event.Unknown,
		Remaining:      event.Unknown,
	}
	if ev.Of == event.BindFailed {
		ev.Remote = netip.AddrPort{}
	}
	if key.Flags&flagDirectionInferred != 0 {
		ev.DirectionBasis = event.Inferred
	}
	emit(&ev)
}
