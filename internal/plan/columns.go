package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
)

// WriteColumns writes d for people: what was asked, the answers, the remedies side by side, and what to know about them.
func WriteColumns(w io.Writer, d *Document) error {
	var b strings.Builder
	b.WriteString("tcpstate plan: " + d.Given.load() + "\n")
	b.WriteString(d.Given.budget(d.Capacity) + "\n\n")
	d.writeAnswers(&b)
	b.WriteString("\nREMEDIES\n")
	d.writeTable(&b)
	b.WriteByte('\n')
	for _, r := range d.Remedies {
		fmt.Fprintf(&b, "  %-17s %s\n", r.Name, r.How)
	}
	b.WriteByte('\n')
	for _, n := range d.Notes {
		b.WriteString(n + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// load says what the ports have to carry.
func (g *given) load() string {
	switch {
	case g.Rate == nil && g.Reuse == 0:
		return "requests each over a new connection, at no particular rate (--rate)"
	case g.Rate == nil:
		return fmt.Sprintf("requests of which %s reuse a connection, at no particular rate (--rate)", percent(float64(g.Reuse)))
	case g.Reuse == 0:
		return perSecond(*g.Rate, "request") + ", each over a new connection"
	}
	return fmt.Sprintf("%s, of which %s reuse a connection: %s",
		perSecond(*g.Rate, "request"), percent(float64(g.Reuse)), perSecond(*g.Opened, "new connection"))
}

// perSecond writes "1 request a second", "0.5 requests a second".
func perSecond(f figure, noun string) string {
	if f != 1 {
		noun += "s"
	}
	return exactly(float64(f)) + " " + noun + " a second"
}

// budget says what there is to carry it.
func (g *given) budget(capacity int64) string {
	text := form.Count(int64(g.Ports.Count), "port")
	if pairs := int64(g.Sources) * int64(g.Destinations); pairs > 1 {
		text += fmt.Sprintf(" × %s × %s = %s", form.Count(int64(g.Sources), "source address"),
			form.Count(int64(g.Destinations), "destination"), exactly(float64(capacity)))
	}
	held := fmt.Sprintf("%s s of TIME_WAIT", exactly(float64(g.TimeWait)))
	if g.Lifetime > 0 {
		held = fmt.Sprintf("%s s open and ", exactly(float64(g.Lifetime))) + held
	}
	return text + ", each held for " + held
}

func (d *Document) writeAnswers(b *strings.Builder) {
	answer := func(name, text string) { fmt.Fprintf(b, "  %-16s %s\n", name, text) }
	answer("rate that lasts", rate(d.Lasting)+" a second")
	if d.Lasts != nil {
		answer("ports needed", fmt.Sprintf("%s of %s", exactly(float64(*d.PortsNeeded)), exactly(float64(d.Capacity))))
		answer("first failure", d.failure())
	}
	if d.SlowHalf != nil {
		answer("slow half", d.SlowHalf.sentence())
	}
}

func (d *Document) failure() string {
	if d.Exhaustion == nil {
		return "never: ports come back as fast as they are taken"
	}
	return fmt.Sprintf("%s after the start: no port is left", seconds(*d.Exhaustion))
}

func (h *SlowHalf) sentence() string {
	text := "begins past " + form.Count(h.Ports, "port") + " in use toward one destination: "
	switch {
	case h.Reached == nil:
		return text + "above " + rate(h.Fast) + " a second"
	case *h.Reached:
		return text + seconds(*h.Seconds) + " after the start"
	}
	return text + "not reached"
}

func (d *Document) writeTable(b *strings.Builder) {
	rows := [][]string{{"", "", "LASTS/S", "NEEDED", "OF", "FIRST FAILURE", "LASTS"}, d.cells("none", "")}
	if d.SlowHalf != nil {
		rows[0] = slices.Insert(rows[0], slowColumn, "SLOW HALF")
	}
	for i := range d.Remedies {
		rows = append(rows, d.Remedies[i].cells(d.Remedies[i].Name, d.Remedies[i].Setting))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("  %-*s %-*s", widths[0], row[0], widths[1], row[1])
		for i, cell := range row[2:] {
			line += fmt.Sprintf(" %*s", widths[2+i], cell)
		}
		b.WriteString(line + "\n")
	}
}

// slowColumn is which column says when the slow half begins, where there is one.
const slowColumn = 5

func (o *Outcome) cells(name, setting string) []string {
	needed, slow, failure, lasts := "-", "-", "-", "-"
	if o.Lasts != nil {
		needed, failure, lasts = exactly(float64(*o.PortsNeeded)), when(o.Exhaustion), "no"
		if *o.Lasts {
			lasts = "yes"
		}
		if o.SlowHalf != nil {
			slow = when(o.SlowHalf.Seconds)
		}
	}
	row := []string{name, setting, rate(o.Lasting), needed, exactly(float64(o.Capacity)), failure, lasts}
	if o.SlowHalf != nil {
		row = slices.Insert(row, slowColumn, slow)
	}
	return row
}

// when writes the moment that something happens.
func when(f *figure) string {
	if f == nil {
		return "never"
	}
	return seconds(*f)
}
