package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// rowsOf returns the destinations of one direction.
func (d *Document) rowsOf(direction event.Direction) []*Destination {
	var rows []*Destination
	for i := range d.Destinations {
		if d.Destinations[i].Direction == direction.String() {
			rows = append(rows, &d.Destinations[i])
		}
	}
	return rows
}

func (d *Document) writeOutbound(b *strings.Builder, o *Options) {
	rows := d.rowsOf(event.Outbound)
	if len(rows) == 0 {
		return
	}
	t := table{columns: []column{
		{title: "SERVICE", good: 12, least: 8}, {title: "PID", right: true, spare: 1}, {title: "DESTINATION", good: 21, least: 16}, {title: "VERDICT"}, {title: "NEW/S", right: true}, {title: "OPENED", right: true},
		{title: "OPEN", right: true}, {title: "FAILED", right: true}, {title: "CLOSER", spare: 3}, {title: "TIME_WAIT", right: true}, {title: "LIFE", right: true, spare: 2},
	}}
	if o.Wide {
		t.columns = append(t.columns, wideColumns...)
	}
	for _, r := range rows {
		cells := []string{
			whose(r.Host, &r.Service), pidText(r.Service.PID), r.shown(o), value(r.Verdict.Name), rateText(r.OpenedRate), short(r.Opened),
			short(r.Open.Now), short(r.failed()), r.ClosedBy.word(), held(r.TimeWait.Now), durationOf(r.Lifetime.P50),
		}
		if o.Wide {
			cells = append(cells, r.wideCells()...)
		}
		t.add(cells...)
	}
	t.emphasis = verdictColor(rows, o)
	b.WriteString("\nOUTBOUND\n")
	t.write(b, o.width())
}

var wideColumns = []column{
	{title: "TW_ENTERED", right: true}, {title: "CLOSE_WAIT", right: true}, {title: "PEAK", right: true}, {title: "CLOSED", right: true}, {title: "LOCAL/REMOTE/BOTH/RESET"}, {title: "LIFE_P99", right: true}, {title: "CONN_P50", right: true},
	{title: "CONN_P99", right: true}, {title: "SENT", right: true}, {title: "RECEIVED", right: true}, {title: "EXCHANGES", right: true}, {title: "SADDR"}, {title: "NETNS", right: true},
	{title: "UNIT"}, {title: "CONTAINER"}, {title: "EXE"}, {title: "RUNTIME"}, {title: "KIND"}, {title: "SURE"}, {title: "WHY"},
}

func (r *Destination) wideCells() []string {
	c := &r.ClosedBy
	return []string{
		form.Grouped(r.TimeWait.Entered), form.Grouped(r.Open.CloseWait), form.Grouped(r.Open.Peak), form.Grouped(r.Closed), fmt.Sprintf("%d/%d/%d/%d", c.Local, c.Remote, c.Both, c.Reset),
		durationOf(r.Lifetime.P99), durationOf(r.Connect.P50), durationOf(r.Connect.P99), form.Grouped(r.Sent), form.Grouped(r.Received),
		form.Grouped(r.Exchanges.Total), dash(value(r.Local.Addr)), fmt.Sprint(value(r.Netns)), dash(r.Service.Unit),
		dash(r.Service.ContainerID), dash(r.Service.Exe), dash(r.Service.Runtime), dash(value(r.Verdict.Kind)),
		dash(value(r.Verdict.Confidence)), dash(strings.Join(r.Verdict.Evidence, "; ")),
	}
}

func verdictColor(rows []*Destination, o *Options) func(row, col int) string {
	if !o.Color {
		return nil
	}
	return func(row, col int) string {
		if col != 3 {
			return ""
		}
		switch verdict.Name(value(rows[row].Verdict.Name)) {
		case verdict.ConnectFailing:
			return red
		case verdict.Unpooled, verdict.UndersizedPool:
			return yellow
		case verdict.Pooled:
			return green
		}
		return ""
	}
}

func (d *Document) writeFailures(b *strings.Builder, o *Options) {
	t := table{columns: []column{{title: "SERVICE", good: 10, least: 8}, {title: "DESTINATION", good: 21, least: 16}, {title: "FAILED", right: true}, {title: "ERROR"}}}
	for _, r := range d.rowsOf(event.Outbound) {
		for _, name := range r.errors() {
			t.add(whose(r.Host, &r.Service), r.shown(o), form.Grouped(r.Failed[name]), name)
		}
	}
	if len(t.rows) == 0 {
		return
	}
	b.WriteString("\nFAILED CONNECTS\n")
	t.write(b, o.width())
}

// errors are the row's errors, most frequent first.
func (r *Destination) errors() []string {
	names := make([]string, 0, len(r.Failed))
	for n := range r.Failed {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if r.Failed[a] != r.Failed[b] {
			if r.Failed[a] > r.Failed[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

// shownInbound is how many inbound rows are written unless all are asked for.
const shownInbound = 10

func (d *Document) writeInbound(b *strings.Builder, o *Options) {
	rows := d.rowsOf(event.Inbound)
	if len(rows) == 0 {
		return
	}
	all := len(rows)
	if !o.Wide {
		rows = rows[:min(all, shownInbound)]
	}
	t := table{columns: []column{
		{title: "SERVICE", good: 12, least: 8}, {title: "PID", right: true, spare: 1}, {title: "LOCAL", good: 21, least: 16}, {title: "FROM", good: 21, least: 16}, {title: "NEW/S", right: true}, {title: "OPENED", right: true},
		{title: "OPEN", right: true}, {title: "CLOSER", spare: 3}, {title: "TIME_WAIT", right: true}, {title: "LIFE", right: true, spare: 2},
	}}
	if o.Wide {
		t.columns = append(t.columns, wideColumns...)
	}
	for _, r := range rows {
		cells := []string{
			whose(r.Host, &r.Service), pidText(r.Service.PID), r.localPlace(), r.shown(o), rateText(r.OpenedRate), short(r.Opened),
			short(r.Open.Now), r.ClosedBy.word(), held(r.TimeWait.Now), durationOf(r.Lifetime.P50),
		}
		if o.Wide {
			cells = append(cells, r.wideCells()...)
		}
		t.add(cells...)
	}
	b.WriteString("\nINBOUND\n")
	t.write(b, o.width())
	if n := all - len(rows); n > 0 {
		fmt.Fprintf(b, "%s in -o wide and json.\n", form.Count(uint64(n), "more row"))
	}
}

// shown is the destination as people want it: by name when there is one.
func (r *Destination) shown(o *Options) string {
	if r.Dst.Name != "" && !o.Numeric {
		return joinPlace(&r.Dst.Name, r.Dst.Port)
	}
	return r.place()
}

// word says who closed first in nine of ten cases.
func (c *ClosedBy) word() string {
	all := c.Local + c.Remote + c.Both + c.Reset
	if all == 0 {
		return "-"
	}
	for _, x := range []struct {
		n    uint64
		name string
	}{{c.Local, "local"}, {c.Remote, "remote"}, {c.Both, "both"}, {c.Reset, "reset"}} {
		if float64(x.n) >= 0.9*float64(all) {
			return x.name
		}
	}
	return "mixed"
}

// held is how many TIME_WAITs there are now, "-" when that is not known.
func held(n *uint64) string {
	if n == nil {
		return "-"
	}
	return short(*n)
}

func pidText(pid *uint32) string {
	if pid == nil {
		return "-"
	}
	return fmt.Sprint(*pid)
}

func rateText(r *Decimal) string {
	if r == nil {
		return "-"
	}
	if *r >= 1000 {
		return short(uint64(*r + 0.5))
	}
	return significant(float64(*r))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
