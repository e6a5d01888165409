package report

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// traceColumns lays out events in columns of fixed width, since the lines to come are not known.
type traceColumns struct {
	o       Options
	columns []column
	widths  []int
}

func newTraceColumns(o Options) *traceColumns {
	t := &traceColumns{o: o}
	t.column("TIME", 12)
	t.column("EVENT", 9)
	t.right("PID", 7)
	t.column("COMM", 11)
	t.column("LADDR:LPORT", 21)
	t.column("RADDR:RPORT", 21)
	t.column("RESULT", 13)
	if w := o.width(); w > 0 && w < 100 {
		t.narrow(100 - w)
	}
	if o.Wide {
		t.widths[0], t.widths[3], t.widths[4], t.widths[5] = 27, 15, 47, 47
		t.column("DIRECTION", 9)
		t.column("OLDSTATE", 11)
		t.column("NEWSTATE", 11)
		t.right("CONNECT", 7)
		t.right("TX_BYTES", 10)
		t.right("RX_BYTES", 10)
		t.right("RETRANS", 7)
		t.right("NETNS", 10)
		t.column("OWNER", 7)
		t.column("CAUSE", 18) // of a lost event: what it was
		t.column("EXE", 0)
	}
	return t
}

// narrow takes n columns of the terminal away, where least is lost: from the addresses, the result, the name.
func (t *traceColumns) narrow(n int) {
	for _, give := range []struct{ column, most int }{{4, 6}, {5, 6}, {6, 4}, {3, 4}} {
		take := min(n, give.most)
		t.widths[give.column] -= take
		n -= take
	}
}

func (t *traceColumns) column(title string, width int) {
	t.columns, t.widths = append(t.columns, column{title: title}), append(t.widths, width)
}

func (t *traceColumns) right(title string, width int) {
	t.column(title, width)
	t.columns[len(t.columns)-1].right = true
}

func (t *traceColumns) titles(b []byte) []byte {
	cells := make([]string, len(t.columns))
	for i, c := range t.columns {
		cells[i] = c.title
	}
	return t.line(b, cells)
}

func (t *traceColumns) append(b []byte, e *event.Event, s *service.Service) []byte {
	comm, exe := e.Owner.Comm.String(), ""
	if s != nil {
		comm, exe = event.Printable(s.Name), event.Printable(s.Exe)
	}
	cells := []string{
		t.time(e.UnixNano), word(e.Kind), number(uint64(e.Owner.PID)), dash(comm), place(e.Local), place(e.Remote), t.result(e),
	}
	if t.o.Wide {
		cells = append(cells, dash(e.Direction.String()), dash(e.OldState.String()), dash(e.NewState.String()), connectTime(e),
			counted(e, e.SentBytes), counted(e, e.ReceivedBytes), counted(e, uint64(e.Retransmits)), number(uint64(e.Netns)),
			e.Owner.Basis.String(), dash(e.Cause.String()+e.Of.String()), dash(exe))
	}
	return t.line(b, cells)
}

// line appends cells; wide ones are shortened only where that is asked for.
func (t *traceColumns) line(b []byte, cells []string) []byte {
	var line strings.Builder
	for i, cell := range cells {
		if i > 0 {
			line.WriteByte(' ')
		}
		if !t.o.Wide {
			cell = shorten(cell, t.widths[i])
		}
		line.WriteString(pad(cell, t.widths[i], t.columns[i].right))
	}
	b = append(b, strings.TrimRight(line.String(), " ")...)
	return append(b, '\n')
}

func (t *traceColumns) time(unixNano int64) string {
	if unixNano == 0 {
		return "-"
	}
	at := time.Unix(0, unixNano)
	if t.o.Wide {
		return at.UTC().Format(timeLayout)
	}
	if t.o.Location != nil {
		at = at.In(t.o.Location)
	}
	return at.Format("15:04:05.000")
}

// word is the event's kind in nine characters or less.
func word(k event.Kind) string {
	switch k {
	case event.ConnectFailed:
		return "failed"
	case event.BindFailed:
		return "bind_fail"
	case event.TimeWaitEnd:
		return "tw_end"
	}
	return k.String()
}

// result is what there is to say about the event: why it failed, how long it took or lived, who closed first.
func (t *traceColumns) result(e *event.Event) string {
	switch e.Kind {
	case event.ConnectFailed, event.BindFailed:
		return e.Error.String()
	case event.TimeWaitEnd:
		return e.Cause.String()
	case event.Connect, event.Accept:
		if e.Direction == event.Inbound || e.ConnectTime < 0 {
			return ""
		}
		return duration(e.ConnectTime)
	case event.Lost:
		return short(e.Count) + " events"
	case event.Open:
		return duration(e.Lifetime)
	}
	if e.Cause == event.TimeWaitOverflow {
		return "overflow"
	}
	if e.Lifetime < 0 {
		return e.ClosedBy.String()
	}
	return strings.TrimSpace(e.ClosedBy.String() + " " + duration(e.Lifetime))
}

func connectTime(e *event.Event) string {
	if e.Direction != event.Outbound {
		return "-"
	}
	return duration(e.ConnectTime)
}

func counted(e *event.Event, n uint64) string {
	if !e.Counted {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

func number(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

// place writes one end of a connection, "*" for a port that was never chosen, as ss does.
func place(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return "-"
	}
	if a.Port() == 0 {
		if a.Addr().Is6() {
			return "[" + a.Addr().String() + "]:*"
		}
		return a.Addr().String() + ":*"
	}
	return a.String()
}
