package report

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// traceJSON encodes events by appending, for a trace can have 100,000 of them a second.
type traceJSON struct {
	second  int64  // of the last event
	seconds []byte // its text, up to the seconds
}

// append appends e as one JSON object and a newline. src is this host's end and dst the other, in either direction.
func (t *traceJSON) append(b []byte, e *event.Event, s *service.Service) []byte {
	b = append(b, `{"time":`...)
	b = t.time(b, e.UnixNano)
	b = appendName(b, `,"kind":`, e.Kind.String())
	if e.Kind == event.Lost {
		b = appendCount(b, `,"count":`, e.Count, true)
		b = appendName(b, `,"of":`, e.Of.String())
	}
	b = appendName(b, `,"direction":`, e.Direction.String())
	b = appendName(b, `,"direction_basis":`, e.DirectionBasis.String())
	b = appendCount(b, `,"netns":`, uint64(e.Netns), e.Netns != 0)
	b = append(b, `,"service":`...)
	b = appendService(b, e, s)
	b = appendName(b, `,"owner_basis":`, e.Owner.Basis.String())
	b = appendEnd(append(b, `,"src":`...), e.Local, "")
	b = appendEnd(append(b, `,"dst":`...), e.Remote, `,"name":""`)
	b = appendName(b, `,"old_state":`, e.OldState.String())
	b = appendName(b, `,"new_state":`, e.NewState.String())
	b = appendName(b, `,"substate":`, e.Substate.String())
	b = appendName(b, `,"error":`, e.Error.String())
	errorBasis, causeBasis := bases(e)
	b = appendName(b, `,"error_basis":`, errorBasis.String())
	b = appendName(b, `,"cause":`, e.Cause.String())
	b = appendName(b, `,"closed_by":`, e.ClosedBy.String())
	b = append(b, `,"preexisting":`...)
	b = strconv.AppendBool(b, e.Preexisting)
	b = appendMeasures(b, e)
	b = appendName(b, `,"cause_basis":`, causeBasis.String())
	b = append(b, `,"auto_port":`...)
	if e.Kind == event.Connect {
		b = strconv.AppendBool(b, e.AutoPort)
	} else {
		b = append(b, "null"...)
	}
	return append(b, "}\n"...)
}

// bases says of what e.Basis is the basis: of the error, of the cause, or of both.
func bases(e *event.Event) (err, cause event.Basis) {
	if e.Kind != event.TimeWaitEnd {
		err = e.Basis
	}
	if e.Cause != 0 {
		cause = e.Basis
	}
	return err, cause
}

func appendMeasures(b []byte, e *event.Event) []byte {
	// Kinds that are no end of anything have no lifetime; a zero there was not measured.
	ended := e.Kind == event.Close || e.Kind == event.TimeWait || e.Kind == event.Open
	connected := e.Kind == event.Connect || e.Kind == event.ConnectFailed || ended
	b = appendSeconds(b, `,"lifetime_seconds":`, e.Lifetime, ended)
	b = appendSeconds(b, `,"connect_seconds":`, e.ConnectTime, connected && e.Direction == event.Outbound)
	b = appendSeconds(b, `,"idle_seconds":`, e.Idle, ended)
	b = appendCount(b, `,"sent_bytes":`, e.SentBytes, e.Counted)
	b = appendCount(b, `,"received_bytes":`, e.ReceivedBytes, e.Counted)
	single := e.Counted && e.Kind != event.Lost
	b = appendCount(b, `,"sent_segments":`, uint64(e.SentSegments), single)
	b = appendCount(b, `,"received_segments":`, uint64(e.ReceivedSegments), single)
	b = appendCount(b, `,"retransmits":`, uint64(e.Retransmits), single)
	return appendCount(b, `,"exchanges":`, uint64(e.Exchanges()), single)
}

func (t *traceJSON) time(b []byte, unixNano int64) []byte {
	if unixNano == 0 {
		return append(b, "null"...)
	}
	second, micro := unixNano/1e9, unixNano%1e9/1e3
	if second != t.second || t.seconds == nil {
		t.second = second
		t.seconds = time.Unix(second, 0).UTC().AppendFormat(t.seconds[:0], "2006-01-02T15:04:05")
	}
	b = append(b, '"')
	b = append(b, t.seconds...)
	b = append(b, '.')
	b = appendSix(b, micro)
	return append(b, 'Z', '"')
}

// appendSix appends n with six digits.
func appendSix(b []byte, n int64) []byte {
	for div := int64(100_000); div > 0; div /= 10 {
		b = append(b, byte('0'+n/div%10))
	}
	return b
}

func appendService(b []byte, e *event.Event, s *service.Service) []byte {
	var unnamed service.Service
	if s == nil {
		unnamed = *stranger(&e.Owner)
		s = &unnamed
	}
	pid := e.Owner.PID
	if pid == 0 {
		pid = s.PID
	}
	b = append(b, `{"name":`...)
	b = appendString(b, s.Name)
	b = appendText(b, `,"kind":`, s.Kind)
	b = appendCount(b, `,"pid":`, uint64(pid), pid != 0)
	b = appendText(b, `,"comm":`, s.Comm)
	b = appendText(b, `,"exe":`, s.Exe)
	b = appendText(b, `,"unit":`, s.Unit)
	b = appendText(b, `,"container_id":`, s.ContainerID)
	b = appendText(b, `,"pod":`, s.Pod)
	b = appendCount(b, `,"cgroup_id":`, s.CgroupID, s.CgroupID != 0)
	b = appendText(b, `,"cgroup":`, s.Cgroup)
	return append(b, '}')
}

func appendEnd(b []byte, a netip.AddrPort, more string) []byte {
	b = append(b, `{"addr":`...)
	if a.Addr().IsValid() {
		b = append(b, '"')
		b = a.Addr().AppendTo(b)
		b = append(b, '"')
	} else {
		b = append(b, "null"...)
	}
	b = appendCount(b, `,"port":`, uint64(a.Port()), a.Port() != 0)
	b = append(b, more...)
	return append(b, '}')
}

// appendName appends, behind a key, a name of this program's own, null when there is none.
func appendName(b []byte, key, name string) []byte {
	b = append(b, key...)
	if name == "" {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

func appendText(b []byte, key, text string) []byte { return appendString(append(b, key...), text) }

func appendCount(b []byte, key string, n uint64, measured bool) []byte {
	b = append(b, key...)
	if !measured {
		return append(b, "null"...)
	}
	return strconv.AppendUint(b, n, 10)
}

// appendSeconds appends d in seconds, down to microseconds, with one digit after the point at least.
func appendSeconds(b []byte, key string, d time.Duration, measured bool) []byte {
	b = append(b, key...)
	if !measured || d < 0 {
		return append(b, "null"...)
	}
	micro := int64(d/1000) + int64(d%1000+500)/1000
	b = strconv.AppendInt(b, micro/1e6, 10)
	b = append(b, '.')
	b = appendSix(b, micro%1e6)
	for b[len(b)-1] == '0' && b[len(b)-2] != '.' {
		b = b[:len(b)-1]
	}
	return b
}

// appendString appends text from outside: made printable, then quoted as JSON.
func appendString(b []byte, s string) []byte {
	if !harmless(s) {
		s = event.Printable(s)
	}
	b = append(b, '"')
	for {
		i := 0
		for i < len(s) && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[:i]...)
		if i == len(s) {
			return append(b, '"')
		}
		b = append(b, '\\', s[i])
		s = s[i+1:]
	}
}

// harmless reports whether s is printable ASCII, which is nearly always so and quick to see.
func harmless(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf || s[i] == 0x7f {
			return false
		}
	}
	return true
}
