package report

import (
	"fmt"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// shownPorts is how many budgets are written unless all are asked for.
const shownPorts = 10

// inUse reports whether there is something to say about the budget to people.
func (p *Port) inUse() bool { return p.Used > 0 || p.Exhausted > 0 }

func (d *Document) writePorts(b *strings.Builder, o *Options) {
	var rows []*Port
	for i := range d.Ports {
		if d.Ports[i].inUse() {
			rows = append(rows, &d.Ports[i])
		}
	}
	if len(rows) == 0 {
		return
	}
	all := len(rows)
	if !o.Wide {
		rows = rows[:min(all, shownPorts)]
	}
	t := table{columns: []column{
		{title: "SOURCE", good: 12, least: 8, spare: 1}, {title: "DESTINATION", good: 21, least: 16}, {title: "USED", right: true},
		{title: "CAPACITY", right: true}, {title: "USED%", right: true}, {title: "TIME_WAIT", right: true, spare: 2},
		{title: "NEW/S", right: true, spare: 3}, {title: "EXHAUSTED IN", right: true}, {title: "FAILED", right: true},
	}}
	if o.Wide {
		t.columns = append(t.columns, widePorts...)
	}
	for _, p := range rows {
		cells := p.cells(o)
		if o.Wide {
			cells = append(cells, p.wideCells()...)
		}
		t.add(cells...)
	}
	t.emphasis = needColor(rows, o)
	b.WriteString("\nPORTS\n")
	t.write(b, o.width())
	if n := all - len(rows); n > 0 {
		fmt.Fprintf(b, "%s in -o wide and json.\n", form.Count(uint64(n), "more row"))
	}
	if d.Filter.Expression != "" {
		b.WriteString("Only ports of what the filter matched are counted.\n")
	}
}

func (p *Port) cells(o *Options) []string {
	return []string{
		value(p.Src), p.shown(o), short(p.Used), optional(p.Capacity), p.percent(), short(p.ByState[event.TimeWaitState.String()]),
		rateText(p.OpenedRate), p.exhaustedIn(), short(p.Exhausted),
	}
}

var widePorts = []column{
	{title: "REUSABLE", right: true}, {title: "RANGE"}, {title: "RESERVED", right: true}, {title: "BLOCKED", right: true},
	{title: "SLOW", right: true}, {title: "CONN_BEFORE", right: true}, {title: "CONN_SLOW", right: true}, {title: "BOUND", right: true},
	{title: "TUPLE_IN_USE", right: true}, {title: "STATES"}, {title: "BASIS"}, {title: "NETNS", right: true}, {title: "SERVICES"},
}

func (p *Port) wideCells() []string {
	width, states := "-", make([]string, 0, len(p.ByState))
	if p.Range != nil {
		width = fmt.Sprintf("%d-%d", p.Range[0], p.Range[1])
	}
	for _, name := range p.states() {
		states = append(states, fmt.Sprintf("%s:%d", name, p.ByState[name]))
	}
	services := strings.Join(p.Services, ",")
	if p.ServicesOmitted > 0 {
		services += fmt.Sprintf(",+%d", p.ServicesOmitted)
	}
	return []string{
		form.Grouped(p.Reusable), width, optional(p.Reserved), optional(p.Blocked), form.Grouped(p.SlowConnects), medianOf(p.ConnectFast),
		medianOf(p.ConnectSlow), form.Grouped(p.BoundConnects), form.Grouped(p.TupleInUse), dash(strings.Join(states, ",")), p.Basis,
		fmt.Sprint(value(p.Netns)), dash(services),
	}
}

func needColor(rows []*Port, o *Options) func(row, col int) string {
	if !o.Color {
		return nil
	}
	return func(row, col int) string {
		switch p := rows[row]; {
		case col != 4:
			return ""
		case p.Exhausted > 0, p.Needed() >= nearlyGoneShare:
			return red
		case p.Needed() >= tightShare:
			return yellow
		}
		return ""
	}
}

// shown is the destination as people want it: by name when there is one.
func (p *Port) shown(o *Options) string {
	if p.Dst.Name != "" && !o.Numeric {
		return joinPlace(&p.Dst.Name, p.Dst.Port)
	}
	return p.place()
}

// percent never says 100 where a port is left, nor 0 where one is taken.
func (p *Port) percent() string {
	if p.UsedRatio == nil {
		return "-"
	}
	r := float64(*p.UsedRatio)
	switch n := fmt.Sprintf("%.0f", r*100); {
	case n == "100" && r < 1:
		return ">99"
	case n == "0" && r > 0:
		return "<1"
	default:
		return n
	}
}

// exhaustedIn says when no port will be left.
func (p *Port) exhaustedIn() string {
	switch {
	case p.Range == nil:
		return "-"
	case p.Seconds == nil:
		return "never"
	case *p.Seconds == 0:
		return "now"
	}
	return remaining(*p.Seconds)
}

func optional(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func medianOf(q *Quantiles) string {
	if q == nil {
		return "-"
	}
	return durationOf(q.P50)
}

// shownUnseen is how many namespaces are named that could not be looked into.
const shownUnseen = 3

// writeNotes says below the tables what they rest on, where that is less than it could be.
func (d *Document) writeNotes(b *strings.Builder, o *Options) {
	notes := d.notes()
	if len(notes) > 0 {
		b.WriteByte('\n')
	}
	for _, n := range notes {
		wrap(b, o.width(), "", "  ", n)
	}
}

func (d *Document) notes() []string {
	var notes []string
	if t := d.TimeWait; t != nil && !t.Exact {
		notes = append(notes, "TIME_WAIT is approximate ("+t.tier()+"): "+t.difference()+".")
	}
	var unseen []string
	for i := range d.Namespaces {
		if n := &d.Namespaces[i]; !n.Seen {
			unseen = append(unseen, n.unseen())
		}
	}
	if n := len(unseen); n > 0 {
		more := ""
		if n > shownUnseen {
			unseen, more = unseen[:shownUnseen], "; …"
		}
		notes = append(notes, were(uint64(n), "network namespace")+" not entered: no settings, and perhaps not all that was there before tracing, are known: "+
			strings.Join(unseen, "; ")+more+".")
	}
	for _, h := range d.HooksAbsent {
		notes = append(notes, "Not attached: "+h)
	}
	return notes
}

func (n *Namespace) unseen() string {
	s := "unknown"
	if n.Netns != nil {
		s = fmt.Sprint(*n.Netns)
	}
	if n.WhyUnseen != "" {
		s += " (" + n.WhyUnseen + ")"
	}
	return s
}
