package filter

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// class is what kind of value a field has.
type class uint8

const (
	number class = iota + 1
	duration
	text
	address
	names // one of a few names, numbered
)

// field is one name of the language and how its value is found.
type field struct {
	name  string
	class class
	max   uint64   // number: the greatest value that makes sense
	names []string // names: the i-th is called names[i], "" where there is none

	value   func(*event.Event, *service.Service) (v uint64, ok bool) // number, duration (nanoseconds), names; !ok is null
	text    func(*event.Event, *service.Service) string
	address func(*event.Event) netip.Addr

	// known reports whether a Lost event says what the field was; nil: never.
	known func(*event.Event) bool
}

// aliases are the short names.
var aliases = map[string]string{
	"comm": "service.comm", "pid": "service.pid", "exe": "service.exe", "unit": "service.unit",
	"container_id": "service.container_id", "pod": "service.pod",
}

// unfiltered are names of the JSON that cannot be compared, and what to use.
var unfiltered = map[string]string{
	"time":     "events are shown as they happen; --for ends a trace",
	"dst.name": "no names are looked up; use dst.addr",
	"src":      "use src.addr or src.port",
	"dst":      "use dst.addr or dst.port",
	"service":  "use service.name or another of its fields",
}

const (
	maxPort = math.MaxUint16
	maxPID  = 1 << 22 // PID_MAX_LIMIT
)

// fields are the names of trace's JSON.
var fields = []*field{
	kindField,
	{name: "direction", class: names, names: enum(event.Direction.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Direction) },
		known: func(e *event.Event) bool { return e.Direction != 0 }},
	{name: "netns", class: number, max: math.MaxUint32,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Netns) },
		known: func(e *event.Event) bool { return e.Netns != 0 }},

	nameField, commField, pidField, unitField, containerField,
	{name: "service.kind", class: names, names: service.Kinds(), value: serviceKind, known: ownerKnown},
	serviceText("service.exe", func(s *service.Service) string { return s.Exe }),
	serviceText("service.pod", func(s *service.Service) string { return s.Pod }),

	dstAddrField, dstPortField,
	{name: "src.addr", class: address, address: func(e *event.Event) netip.Addr { return e.Local.Addr() },
		known: func(e *event.Event) bool { return e.Local.Addr().IsValid() }},
	{name: "src.port", class: number, max: maxPort,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Local.Port()) },
		known: func(e *event.Event) bool { return e.Local.Port() != 0 }},

	state("old_state", func(e *event.Event) event.State { return e.OldState }),
	state("new_state", func(e *event.Event) event.State { return e.NewState }),
	{name: "error", class: names, names: errorNames(), value: errorValue, known: errorKnown},
	{name: "error_basis", class: names, names: enum(event.Basis.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) {
			return uint64(e.Basis), e.Basis != 0 && e.Error != event.NoError
		}},
	{name: "closed_by", class: names, names: enum(event.Closer.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.ClosedBy) },
		known: func(e *event.Event) bool { return e.ClosedBy != 0 || begins(e.Of) }},

	{name: "cause", class: names, names: enum(event.Cause.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Cause) },
		known: func(e *event.Event) bool { return e.Of != 0 }}, // losses are counted by cause
	{name: "owner_basis", class: names, names: ownerBases(),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return uint64(e.Owner.Basis), true }},

	measured("lifetime_seconds", func(e *event.Event) time.Duration { return e.Lifetime }),
	measured("connect_seconds", func(e *event.Event) time.Duration { return e.ConnectTime }),
	counter("sent_bytes", math.MaxUint64, func(e *event.Event) uint64 { return e.SentBytes }),
	counter("received_bytes", math.MaxUint64, func(e *event.Event) uint64 { return e.ReceivedBytes }),
	counter("sent_segments", math.MaxUint32, func(e *event.Event) uint64 { return uint64(e.SentSegments) }),
	counter("received_segments", math.MaxUint32, func(e *event.Event) uint64 { return uint64(e.ReceivedSegments) }),
	counter("retransmits", math.MaxUint32, func(e *event.Event) uint64 { return uint64(e.Retransmits) }),
	{name: "count", class: number, max: math.MaxUint64,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return e.Count, e.Kind == event.Lost },
		known: func(*event.Event) bool { return true }},
}

// Fields that the short forms and Lost events need by name.
var (
	kindField = &field{name: "kind", class: names, names: enum(event.Kind.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Kind) }}
	pidField = &field{name: "service.pid", class: number, max: maxPID,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Owner.PID) }}

	nameField      = ownerText("service.name", func(s *service.Service) string { return s.Name })
	commField      = ownerText("service.comm", func(s *service.Service) string { return s.Comm })
	unitField      = serviceText("service.unit", func(s *service.Service) string { return s.Unit })
	containerField = serviceText("service.container_id", func(s *service.Service) string { return s.ContainerID })

	dstAddrField = &field{name: "dst.addr", class: address,
		address: func(e *event.Event) netip.Addr { return e.Remote.Addr() },
		known:   func(e *event.Event) bool { return e.Remote.Addr().IsValid() }}
	dstPortField = &field{name: "dst.port", class: number, max: maxPort,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(e.Remote.Port()) },
		known: func(e *event.Event) bool { return e.Remote.Port() != 0 }}
)

// ofConnection reports whether all events of a connection have the same value: who, where, which way.
func (f *field) ofConnection() bool {
	return f == portField || f == familyField || f.name == "direction" || f.name == "netns" ||
		strings.HasPrefix(f.name, "service.") || strings.HasPrefix(f.name, "src.") || strings.HasPrefix(f.name, "dst.")
}

func lookUp(name string) *field {
	if full, ok := aliases[name]; ok {
		name = full
	}
	i := slices.IndexFunc(fields, func(f *field) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return fields[i]
}

// state is a field with a TCP state in it.
func state(name string, of func(*event.Event) event.State) *field {
	return &field{name: name, class: names, names: enum(event.State.String),
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(of(e)) }}
}

// measured is a field with a duration that may not have been measured.
func measured(name string, of func(*event.Event) time.Duration) *field {
	return &field{name: name, class: duration, max: math.MaxInt64,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) {
			d := of(e)
			return uint64(d), d >= 0
		}}
}

// counter is a field that is known when the socket's counters were read.
func counter(name string, limit uint64, of func(*event.Event) uint64) *field {
	return &field{name: name, class: number, max: limit,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return of(e), e.Counted }}
}

// serviceText is a text that only the service has.
func serviceText(name string, of func(*service.Service) string) *field {
	return &field{name: name, class: text, known: ownerKnown,
		text: func(_ *event.Event, s *service.Service) string {
			if s == nil {
				return ""
			}
			return of(s)
		}}
}

// ownerText is a text that the event has, too, though not in printable form.
func ownerText(name string, of func(*service.Service) string) *field {
	return &field{name: name, class: text, known: ownerKnown,
		text: func(e *event.Event, s *service.Service) string {
			if s == nil {
				return e.Owner.Comm.String()
			}
			return of(s)
		}}
}

func serviceKind(_ *event.Event, s *service.Service) (uint64, bool) {
	kind := service.KindUnknown
	if s != nil {
		kind = s.Kind
	}
	i := slices.Index(service.Kinds(), kind)
	return uint64(i), i >= 0
}

// ownerKnown: an outbound row's owner is part of its key, so there "unknown" is what is known.
func ownerKnown(e *event.Event) bool {
	return e.Owner.Identity() != event.Identity{} || (e.Direction == event.Outbound && e.Remote.Addr().IsValid())
}

// errorKnown: a lost close without an error may have been a reset, whose reason is not kept.
func errorKnown(e *event.Event) bool {
	return e.Error != event.NoError || e.Of == event.ConnectFailed || begins(e.Of) ||
		(e.Of != 0 && e.ClosedBy != 0 && e.ClosedBy != event.ClosedReset)
}

// ownerBases are the only names of which the first stands for something: nobody is known.
func ownerBases() []string {
	all := enum(event.OwnerBasis.String)
	all[event.OwnerUnknown] = event.OwnerUnknown.String()
	return all
}

// begins reports whether k is about a connection's beginning, when nobody has closed it yet.
func begins(k event.Kind) bool {
	return k == event.Connect || k == event.Accept || k == event.ConnectFailed || k == event.BindFailed
}

func nonzero[T ~uint8 | ~uint16 | ~uint32](v T) (uint64, bool) { return uint64(v), v != 0 }

// enum lists the names of a numbered type of package event: those numbers that have a name.
func enum[T ~uint8](name func(T) string) []string {
	all := []string{""} // 0 is "not known" everywhere
	for i := 1; i < setSize && name(T(i)) != strconv.Itoa(i); i++ {
		all = append(all, name(T(i)))
	}
	return all
}

// The places of the two errors that are no errno, among the names of errors; a place below is the errno.
const (
	unknownErrorPlace = setSize - 2
	canceledPlace     = setSize - 1
)

func errorValue(e *event.Event, _ *service.Service) (v uint64, ok bool) {
	switch e.Error {
	case event.UnknownError:
		return unknownErrorPlace, true
	case event.Canceled:
		return canceledPlace, true
	}
	return min(uint64(e.Error), unknownErrorPlace-1), e.Error != event.NoError
}

func errorNames() []string {
	all := make([]string, setSize)
	for i := range unknownErrorPlace {
		if n := event.Error(i).String(); !strings.HasPrefix(n, "errno ") {
			all[i] = n
		}
	}
	all[unknownErrorPlace], all[canceledPlace] = event.UnknownError.String(), event.Canceled.String()
	return all
}

// setSize is above every errno that Linux has.
const setSize = 256

// set is a set of names, by their places.
type set [setSize / 64]uint64

func (s *set) has(i uint64) bool { return i < setSize && s[i/64]&(1<<(i%64)) != 0 }
func (s *set) add(i uint64)      { s[i/64] |= 1 << (i % 64) }

func (s *set) invert() {
	for i := range s {
		s[i] = ^s[i]
	}
}
