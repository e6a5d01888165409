package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// Options choose how columns are written.
type Options struct {
	// Width is what lines must fit in, 100 when 0. Wide: nothing is shortened or left out.
	Width int
	Wide  bool
	// Color uses the terminal's colours. Numeric shows addresses instead of their names.
	Color, Numeric bool
	// Verbose adds what was attached.
	Verbose bool
	// Location is the time zone of clock times; nil: the local one.
	Location *time.Location
}

const defaultWidth = 100

// width is 0 for no limit.
func (o *Options) width() int {
	switch {
	case o.Wide:
		return 0
	case o.Width <= 0:
		return defaultWidth
	}
	return o.Width
}

// The escape sequences of colours.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// WriteColumns writes d for people: what was traced, the findings, the tables, and what was lost.
func WriteColumns(w io.Writer, d *Document, o Options) error {
	var b strings.Builder
	d.writeHead(&b, &o)
	if len(d.Destinations) == 0 {
		wrap(&b, o.width(), "", "", d.nothing())
	} else {
		d.writeFindings(&b, &o)
		d.writeOutbound(&b, &o)
		d.writeFailures(&b, &o)
		d.writeInbound(&b, &o)
	}
	if n := d.DestinationsOmitted; n > 0 {
		fmt.Fprintf(&b, "\n%s not shown.\n", count(uint64(n), "more row"))
	}
	b.WriteByte('\n')
	wrap(&b, o.width(), "", "", d.Loss.sentence())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (d *Document) writeHead(b *strings.Builder, o *Options) {
	head := "tcpstate report"
	if d.Host.Name != "" {
		head += ": " + d.Host.Name
	}
	if d.Host.Kernel != "" {
		head += ", Linux " + d.Host.Kernel
	}
	if d.Host.Source != "" {
		head += ", " + d.Host.Source
	}
	if d.Window.Start != nil {
		head += fmt.Sprintf(", %s from %s", d.Window.length(), clock(*d.Window.Start, o))
	}
	wrap(b, o.width(), "", "  ", head)
	events := count(d.Filter.Matched, "event")
	if d.Filter.Expression != "" {
		events += " matched " + d.Filter.Expression
	}
	if d.Filter.Excluded > 0 {
		events += ", " + grouped(d.Filter.Excluded) + " did not match"
	}
	wrap(b, o.width(), "", "  ", events)
	if o.Verbose {
		if d.Host.TimeWaitTier != "" {
			wrap(b, o.width(), "", "  ", "TIME_WAIT: "+d.Host.TimeWaitTier)
		}
		for _, h := range d.Host.Hooks {
			wrap(b, o.width(), "  ", "    ", h)
		}
	}
}

func clock(t Time, o *Options) string {
	at := time.Unix(0, int64(t))
	if o.Location != nil {
		return at.In(o.Location).Format("2006-01-02 15:04:05 MST")
	}
	return at.Format("2006-01-02 15:04:05 MST")
}

// nothing says why there are no rows, so that a filter never looks like a quiet host.
func (d *Document) nothing() string {
	switch {
	case d.Filter.Excluded > 0:
		return fmt.Sprintf("No connection matched the filter; %s did not match.", count(d.Filter.Excluded, "event"))
	case d.Loss.EventsLost > 0:
		return fmt.Sprintf("No connection was seen, and %s lost.", were(d.Loss.EventsLost, "event"))
	}
	return fmt.Sprintf("No connection was opened, closed or failed in %s.", d.Window.length())
}

func were(n uint64, noun string) string {
	if n == 1 {
		return count(n, noun) + " was"
	}
	return count(n, noun) + " were"
}

// shownFindings is how many findings are written out unless all are asked for.
const shownFindings = 10

func (d *Document) writeFindings(b *strings.Builder, o *Options) {
	b.WriteString("\nFINDINGS\n")
	if len(d.Findings) == 0 {
		b.WriteString("  none\n")
		return
	}
	shown := d.Findings
	if !o.Wide {
		shown = shown[:min(len(shown), shownFindings)]
	}
	for i := range shown {
		shown[i].write(b, o)
	}
	if n := len(d.Findings) - len(shown) + d.FindingsOmitted; n > 0 {
		fmt.Fprintf(b, "  and %s\n", count(uint64(n), "more finding"))
	}
}

func (f *Finding) write(b *strings.Builder, o *Options) {
	mark := pad(strings.ToUpper(f.Severity), 8, false)
	var text strings.Builder
	wrap(&text, o.width(), "  "+mark+"  ", strings.Repeat(" ", 12), f.Summary)
	for _, e := range f.Evidence {
		wrap(&text, o.width(), strings.Repeat(" ", 12)+"- ", strings.Repeat(" ", 14), e)
	}
	for _, a := range f.Advice {
		wrap(&text, o.width(), strings.Repeat(" ", 12)+"> ", strings.Repeat(" ", 14), a)
	}
	if o.Color {
		color := map[string]string{Critical: red, Warning: yellow}[f.Severity]
		b.WriteString(strings.Replace(text.String(), mark, color+mark+plain, 1))
		return
	}
	b.WriteString(text.String())
}

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
		{title: "SERVICE", good: 10, least: 8}, {title: "PID", right: true}, {title: "DESTINATION", good: 21, least: 16}, {title: "VERDICT"}, {title: "NEW/S", right: true}, {title: "OPENED", right: true},
		{title: "OPEN", right: true}, {title: "FAILED", right: true}, {title: "CLOSER"}, {title: "TIME_WAIT", right: true}, {title: "LIFE", right: true},
	}}
	if o.Wide {
		t.columns = append(t.columns, wideColumns...)
	}
	for _, r := range rows {
		cells := []string{
			r.Service.Name, pidText(r.Service.PID), r.shown(o), value(r.Verdict.Name), rateText(r.OpenedRate), short(r.Opened),
			short(r.Open.Now), short(r.failed()), r.ClosedBy.word(), short(r.TimeWait.Entered), durationOf(r.Lifetime.P50),
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
	{title: "PEAK", right: true}, {title: "CLOSED", right: true}, {title: "LOCAL/REMOTE/BOTH/RESET"}, {title: "LIFE_P99", right: true}, {title: "CONN_P50", right: true},
	{title: "CONN_P99", right: true}, {title: "SENT", right: true}, {title: "RECEIVED", right: true}, {title: "EXCHANGES", right: true}, {title: "SADDR"}, {title: "NETNS", right: true},
	{title: "UNIT"}, {title: "CONTAINER"}, {title: "EXE"},
}

func (r *Destination) wideCells() []string {
	c := &r.ClosedBy
	return []string{
		grouped(r.Open.Peak), grouped(r.Closed), fmt.Sprintf("%d/%d/%d/%d", c.Local, c.Remote, c.Both, c.Reset),
		durationOf(r.Lifetime.P99), durationOf(r.Connect.P50), durationOf(r.Connect.P99), grouped(r.Sent), grouped(r.Received),
		grouped(r.Exchanges.Total), dash(value(r.Local.Addr)), fmt.Sprint(value(r.Netns)), dash(r.Service.Unit),
		dash(r.Service.ContainerID), dash(r.Service.Exe),
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
			t.add(r.Service.Name, r.shown(o), grouped(r.Failed[name]), name)
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
		{title: "SERVICE", good: 10, least: 8}, {title: "PID", right: true}, {title: "LOCAL", good: 21, least: 16}, {title: "FROM", good: 21, least: 16}, {title: "NEW/S", right: true}, {title: "OPENED", right: true},
		{title: "OPEN", right: true}, {title: "CLOSER"}, {title: "TIME_WAIT", right: true}, {title: "LIFE", right: true},
	}}
	if o.Wide {
		t.columns = append(t.columns, wideColumns...)
	}
	for _, r := range rows {
		cells := []string{
			r.Service.Name, pidText(r.Service.PID), r.localPlace(), r.shown(o), rateText(r.OpenedRate), short(r.Opened),
			short(r.Open.Now), r.ClosedBy.word(), short(r.TimeWait.Entered), durationOf(r.Lifetime.P50),
		}
		if o.Wide {
			cells = append(cells, r.wideCells()...)
		}
		t.add(cells...)
	}
	b.WriteString("\nINBOUND\n")
	t.write(b, o.width())
	if n := all - len(rows); n > 0 {
		fmt.Fprintf(b, "%s in -o wide and json.\n", count(uint64(n), "more row"))
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
