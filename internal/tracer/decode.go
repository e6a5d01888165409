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

func (t *Tracer) convert(raw *bpfEvent, ev *event.Event) {
	*ev = event.Event{
		UnixNano:             t.clock.unixNano(raw.TimeNs),
		Kind:                 event.Kind(raw.Kind),
		Direction:            event.Direction(raw.Direction),
		DirectionBasis:       event.Exact,
		Netns:                raw.Netns,
		Owner:                event.Owner{PID: raw.Owner.Pid, CgroupID: raw.Owner.CgroupId, Comm: raw.Owner.Comm, Basis: event.OwnerBasis(raw.Owner.Basis)},
		Local:                addrPort(raw.Src, raw.Sport),
		Remote:               addrPort(raw.Dst, raw.Dport),
		OldState:             event.State(raw.OldState),
		NewState:             event.State(raw.NewState),
		Substate:             event.State(raw.Substate),
		ClosedBy:             event.Closer(raw.ClosedBy),
		Error:                event.Error(raw.Error),
		Basis:                event.Basis(raw.Basis),
		Cause:                event.Cause(raw.Cause),
		Preexisting:          raw.Flags&flagPreexisting != 0,
		Counted:              raw.Flags&flagCounted != 0,
		Lifetime:             event.Unknown,
		ConnectTime:          event.Unknown,
		Idle:                 event.Unknown,
		SentBytes:            raw.SentBytes,
		ReceivedBytes:        raw.ReceivedBytes,
		SentSegments:         raw.SegsOut,
		ReceivedSegments:     raw.SegsIn,
		SentDataSegments:     raw.DataSegsOut,
		ReceivedDataSegments: raw.DataSegsIn,
		Retransmits:          raw.Retransmits,
	}
	if raw.Flags&flagDirectionInferred != 0 {
		ev.DirectionBasis = event.Inferred
	}
	if ev.Counted && raw.EstablishedNs != 0 {
		ev.Idle = time.Duration(raw.IdleJiffies) * t.clock.jiffy
	}
	setDurations(raw, ev)
}

// setDurations derives what the three times of a record allow. A connection that began before tracing has none.
func setDurations(raw *bpfEvent, ev *event.Event) {
	if raw.EstablishedNs != 0 {
		if ev.Kind != event.Connect && ev.Kind != event.Accept {
			ev.Lifetime = time.Duration(raw.TimeNs - raw.EstablishedNs)
		}
		if raw.StartNs != 0 && ev.Direction == event.Outbound {
			ev.ConnectTime = time.Duration(raw.EstablishedNs - raw.StartNs)
		}
		return
	}
	if ev.Kind == event.ConnectFailed && raw.StartNs != 0 {
		ev.ConnectTime = time.Duration(raw.TimeNs - raw.StartNs)
	}
}

// addrPort builds an endpoint from the record's form: IPv6, or IPv4 mapped into it.
func addrPort(addr [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port)
}
