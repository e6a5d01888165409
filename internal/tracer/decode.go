package tracer

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/tcpstate/tcpstate/internal/event"
)

const recordSize = int(unsafe.Sizeof(bpfEvent{}))

// Bits of struct event, flags, in bpf/tcpstate.bpf.c.
const (
	flagPreexisting       = 1
	flagDirectionInferred = 2
	flagCounted           = 4
	flagInCensus          = 8
	flagAutoPort          = 16
	flagTimestamps        = 32
)

// decode turns one record into an event. It writes every field of ev, so that ev can be reused.
func (t *Tracer) decode(sample []byte, ev *event.Event) error {
	if len(sample) < recordSize {
		return fmt.Errorf("decode record: %d bytes, want %d", len(sample), recordSize)
	}
	var raw bpfEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), recordSize), sample)
	t.convert(&raw, ev)
	return nil
}

// convert sets field by field: a literal would be built beside ev and copied.
func (t *Tracer) convert(raw *bpfEvent, ev *event.Event) {
	ev.UnixNano = t.clock.unixNano(raw.TimeNs)
	ev.Kind, ev.Of, ev.Count = event.Kind(raw.Kind), 0, 0
	ev.Direction, ev.DirectionBasis = event.Direction(raw.Direction), event.Exact
	if raw.Flags&flagDirectionInferred != 0 {
		ev.DirectionBasis = event.Inferred
	}
	ev.Netns = raw.Netns
	ev.Owner.PID, ev.Owner.CgroupID = raw.Owner.Pid, raw.Owner.CgroupId
	ev.Owner.Comm, ev.Owner.Basis = raw.Owner.Comm, event.OwnerBasis(raw.Owner.Basis)
	ev.Local, ev.Remote = addrPort(raw.Src, raw.Sport), addrPort(raw.Dst, raw.Dport)
	if ev.Kind == event.BindFailed {
		ev.Remote = netip.AddrPort{} // bind() names none
	}
	ev.OldState, ev.NewState, ev.Substate = event.State(raw.OldState), event.State(raw.NewState), event.State(raw.Substate)
	ev.ClosedBy = event.Closer(raw.ClosedBy)
	ev.Error, ev.Basis, ev.Cause = event.Error(raw.Error), event.Basis(raw.Basis), event.Cause(raw.Cause)
	ev.Preexisting = raw.Flags&flagPreexisting != 0
	ev.InCensus = raw.Flags&flagInCensus != 0
	ev.AutoPort = raw.Flags&flagAutoPort != 0
	ev.Timestamps = raw.Flags&flagTimestamps != 0
	ev.Counted = raw.Flags&flagCounted != 0
	ev.SentBytes, ev.ReceivedBytes = raw.SentBytes, raw.ReceivedBytes
	ev.SentSegments, ev.ReceivedSegments = raw.SegsOut, raw.SegsIn
	ev.SentDataSegments, ev.ReceivedDataSegments = raw.DataSegsOut, raw.DataSegsIn
	ev.Retransmits = raw.Retransmits
	t.setDurations(raw, ev)
}

// setDurations derives what the three times of a record allow. A connection that began before tracing has none.
func (t *Tracer) setDurations(raw *bpfEvent, ev *event.Event) {
	ev.Lifetime, ev.ConnectTime, ev.Idle, ev.Remaining = event.Unknown, event.Unknown, event.Unknown, event.Unknown
	if ev.Kind == event.Open && ev.NewState == event.TimeWaitState {
		if ev.Counted { // of a timewait socket only its timer is
			ev.Remaining = time.Duration(max(0, raw.Jiffies)) * t.clock.jiffy
		}
		ev.Counted = false
		return
	}
	if ev.Counted && (raw.EstablishedNs != 0 || ev.InCensus) {
		ev.Idle = time.Duration(max(0, raw.Jiffies)) * t.clock.jiffy
	}
	if raw.EstablishedNs != 0 {
		if ev.Kind != event.Connect && ev.Kind != event.Accept {
			ev.Lifetime = time.Duration(raw.TimeNs - raw.EstablishedNs)
		}
		if raw.StartNs != 0 && ev.Direction == event.Outbound {
			ev.ConnectTime = time.Duration(raw.EstablishedNs - raw.StartNs)
		}
		return
	}
	if (ev.Kind == event.ConnectFailed || ev.Kind == event.Open) && raw.StartNs != 0 {
		ev.ConnectTime = time.Duration(raw.TimeNs - raw.StartNs)
	}
}

// addrPort builds an endpoint from the record's form: IPv6, or IPv4 mapped into it.
func addrPort(addr [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port)
}
