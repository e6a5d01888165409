package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// shownMarkdown is how many rows of a table are written: what is longer is read by nobody in a ticket, and GitHub takes
// no more than 65,536 characters.
const shownMarkdown = 20

// WriteMarkdown writes d for a ticket or a chat: the worst finding as a headline, the findings, the tables, the
// settings, and what was lost. Times are UTC, for its readers are elsewhere.
func WriteMarkdown(w io.Writer, d *Document, o Options) error {
	m := markdown{d: d, o: &o}
	m.head()
	m.findings()
	m.outbound()
	m.failures()
	m.bindFailures()
	m.ports()
	m.inbound()
	if n := d.DestinationsOmitted; n > 0 {
		m.paragraph("%s not shown.", form.Count(uint64(n), "more destination"))
	}
	m.settings()
	m.last()
	if _, err := io.WriteString(w, m.b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// markdown is a document on its way into Markdown.
type markdown struct {
	d *Document
	o *Options
	b strings.Builder
}

// paragraph writes a text that is Markdown already.
func (m *markdown) paragraph(format string, args ...any) {
	fmt.Fprintf(&m.b, "\n"+format+"\n", args...)
}

// head says the worst first, then where and when.
func (m *markdown) head() {
	d := m.d
	headline := "No findings"
	if len(d.Findings) > 0 {
		f := &d.Findings[0]
		headline = title(f.Severity) + ": " + f.prose(f.Summary)
	}
	m.b.WriteString("## " + headline + "\n")
	m.paragraph("%s.", strings.Join(m.about(), ", "))
	if len(d.Destinations) == 0 {
		m.paragraph("%s", prose(d.nothing()))
	}
}

// about is the host, what was read, the window and the events.
func (m *markdown) about() []string {
	d := m.d
	var parts []string
	if d.Host.Name != "" {
		parts = append(parts, "Host "+code(d.Host.Name))
	}
	if d.Host.Kernel != "" {
		parts = append(parts, "Linux "+code(d.Host.Kernel))
	}
	if d.Host.Source != "" {
		parts = append(parts, prose(d.Host.Source))
	}
	if d.Window.Start != nil && d.Window.End != nil {
		parts = append(parts, fmt.Sprintf("%s from %s", d.Window.length(), period(*d.Window.Start, *d.Window.End)))
	}
	events := form.Count(d.Filter.Matched, "event")
	if d.Filter.Expression != "" {
		events += " matched " + code(d.Filter.Expression)
	}
	if d.Filter.Excluded > 0 {
		events += ", " + form.Grouped(d.Filter.Excluded) + " did not match"
	}
	return append(parts, events)
}

// period is the time in UTC, with the date once where that is enough.
func period(start, end Time) string {
	a, b := time.Unix(0, int64(start)).UTC(), time.Unix(0, int64(end)).UTC()
	layout := time.DateTime
	if a.Format(time.DateOnly) == b.Format(time.DateOnly) {
		layout = time.TimeOnly
	}
	return a.Format(time.DateTime) + " to " + b.Format(layout) + " UTC"
}

// title is a severity at the beginning of a line: "Critical".
func title(severity string) string {
	if severity == "" {
		return ""
	}
	return strings.ToUpper(severity[:1]) + severity[1:]
}

func (m *markdown) findings() {
	if len(m.d.Findings) == 0 {
		return // the headline says so
	}
	m.paragraph("### Findings\n")
	shown := m.d.Findings[:min(len(m.d.Findings), shownFindings)]
	for i := range shown {
		f := &shown[i]
		fmt.Fprintf(&m.b, "- **%s:** %s [%s](%s)\n", title(f.Severity), f.prose(f.Summary), f.Code, f.Runbook)
		for _, e := range f.Evidence {
			fmt.Fprintf(&m.b, "  - %s\n", f.prose(e))
		}
		for _, a := range f.Advice {
			fmt.Fprintf(&m.b, "  - **Advice:** %s\n", f.prose(a))
		}
	}
	if n := len(m.d.Findings) - len(shown) + m.d.FindingsOmitted; n > 0 {
		fmt.Fprintf(&m.b, "- and %s\n", form.Count(uint64(n), "more finding"))
	}
}

func (f *Finding) prose(text string) string { return prose(text, f.Service, f.Destination, f.Host) }

func (m *markdown) outbound() {
	t := grid{columns: []gridColumn{
		{"Service", false}, {"PID", true}, {"Destination", false}, {"Verdict", false}, {"New/s", true}, {"Opened", true},
		{"Open", true}, {"Failed", true}, {"TIME_WAIT", true}, {"Ports used", true}, {"Lifetime p50", true},
	}}
	for _, r := range m.d.rowsOf(event.Outbound) {
		t.add(
			name(whose(r.Host, &r.Service)), pidText(r.Service.PID), name(r.shown(m.o)), dash(value(r.Verdict.Name)),
			rateText(r.OpenedRate), form.Grouped(r.Opened), form.Grouped(r.Open.Now), form.Grouped(r.failed()),
			groupedOf(r.TimeWait.Now), m.d.PortOf(r).share(), durationOf(r.Lifetime.P50))
	}
	t.write(&m.b, "Outbound", shownMarkdown)
}

// share is how much of the budget is used, "-" when nobody knows.
func (p *Port) share() string {
	switch {
	case p == nil:
		return "-"
	case p.Capacity == nil:
		return form.Grouped(p.Used)
	}
	return fmt.Sprintf("%s of %s, %s", form.Grouped(p.Used), form.Grouped(uint64(max(*p.Capacity, 0))), p.percentage())
}

// percentage is percent with its sign.
func (p *Port) percentage() string {
	if p.UsedRatio == nil {
		return "-"
	}
	return strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(p.percent()) + "%"
}

func (m *markdown) failures() {
	t := grid{columns: []gridColumn{{"Service", false}, {"Destination", false}, {"Error", false}, {"Failed", true}}}
	for _, r := range m.d.rowsOf(event.Outbound) {
		for _, e := range r.errors() {
			t.add(name(whose(r.Host, &r.Service)), name(r.shown(m.o)), name(e), form.Grouped(r.Failed[e]))
		}
	}
	t.write(&m.b, "Failed connects", shownMarkdown)
}

func (m *markdown) bindFailures() {
	t := grid{columns: []gridColumn{{"Service", false}, {"Address", false}, {"Error", false}, {"Cause", false}, {"Failed", true}}}
	for i := range m.d.BindFailures {
		f := &m.d.BindFailures[i]
		for _, c := range f.causes() {
			t.add(name(whose(f.Host, &f.Service)), name(f.place()), name(c.err.String()), c.cause.String(),
				form.Grouped(c.n))
		}
	}
	t.more = m.d.BindFailuresOmitted
	t.write(&m.b, "Failed binds", shownMarkdown)
}

func (m *markdown) ports() {
	t := grid{columns: []gridColumn{
		{"Source", false}, {"Destination", false}, {"Used", true}, {"Capacity", true}, {"Used %", true}, {"TIME_WAIT", true},
		{"New/s", true}, {"Exhausted in", true}, {"Failed", true},
	}}
	for i := range m.d.Ports {
		p := &m.d.Ports[i]
		if !p.inUse() {
			continue
		}
		t.add(
			name(at(p.Host, value(p.Src))), name(p.shown(m.o)), form.Grouped(p.Used), groupedOf(p.Capacity),
			p.percentage(), form.Grouped(p.ByState[event.TimeWaitState.String()]), rateText(p.OpenedRate),
			p.exhaustedIn(), form.Grouped(p.Exhausted))
	}
	t.more = m.d.PortsOmitted
	t.write(&m.b, "Ports", shownPorts)
	if len(t.rows) > 0 && m.d.Filter.Expression != "" {
		m.paragraph("Only ports of what the filter matched are counted.")
	}
}

// at is what, behind its host where there are several.
func at(host, what string) string {
	if host == "" {
		return what
	}
	return host + "/" + what
}

// groupedOf is how many there are, "-" when that is not known.
func groupedOf[N int | uint64](n *N) string {
	if n == nil {
		return "-"
	}
	return form.Grouped(*n)
}

func (m *markdown) inbound() {
	t := grid{columns: []gridColumn{
		{"Service", false}, {"PID", true}, {"Local", false}, {"From", false}, {"New/s", true}, {"Opened", true},
		{"Open", true}, {"Closer", false}, {"TIME_WAIT", true}, {"Lifetime p50", true},
	}}
	for _, r := range m.d.rowsOf(event.Inbound) {
		t.add(
			name(whose(r.Host, &r.Service)), pidText(r.Service.PID), name(r.localPlace()), name(r.shown(m.o)),
			rateText(r.OpenedRate), form.Grouped(r.Opened), form.Grouped(r.Open.Now), r.ClosedBy.word(),
			groupedOf(r.TimeWait.Now), durationOf(r.Lifetime.P50))
	}
	t.write(&m.b, "Inbound", shownInbound)
}

// shownNamespaces is how many namespaces' settings are written.
const shownNamespaces = 10

func (m *markdown) settings() {
	t := grid{columns: []gridColumn{
		{"Network namespace", false}, {"Port range", false}, {"Reserved", true}, {"tcp_tw_reuse", true},
		{"tcp_timestamps", false}, {"tcp_max_tw_buckets", true}, {"tcp_fin_timeout", true}, {"TIME_WAIT held", true},
	}}
	for i := range m.d.Namespaces {
		n := &m.d.Namespaces[i]
		if n.Range == nil {
			continue // notes name it
		}
		t.add(
			name(at(n.Host, orDash(n.Netns))), fmt.Sprintf("%d-%d", n.Range[0], n.Range[1]), groupedOf(n.Reserved),
			orDash(n.Reuse), onOff(n.Stamps), groupedOf(n.Buckets), durationOf(n.Fin), groupedOf(n.TimeWait.Kernel))
	}
	t.more = uint64(m.d.NamespacesOmitted)
	t.write(&m.b, "Host settings", shownNamespaces)
}

func orDash[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func onOff(b *bool) string {
	switch {
	case b == nil:
		return "-"
	case *b:
		return "on"
	}
	return "off"
}

// last says what the figures rest on, and what was lost.
func (m *markdown) last() {
	for _, n := range m.d.notes() {
		m.paragraph("%s", prose(n))
	}
	m.paragraph("%s", prose(m.d.Loss.sentence()))
}

// grid is a table of GitHub's Markdown. Cells are Markdown already.
type grid struct {
	columns []gridColumn
	rows    [][]string
	more    uint64 // rows that the document itself leaves out
}

type gridColumn struct {
	title string
	right bool
}

func (t *grid) add(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the first rows under a heading, and how many more there are. Without a row there is no table.
func (t *grid) write(b *strings.Builder, heading string, most int) {
	if len(t.rows) == 0 {
		return
	}
	titles, rules := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i], rules[i] = c.title, "---"
		if c.right {
			rules[i] = "--:"
		}
	}
	fmt.Fprintf(b, "\n### %s\n\n", heading)
	for _, row := range append([][]string{titles, rules}, t.rows[:min(len(t.rows), most)]...) {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	if n := uint64(len(t.rows)-min(len(t.rows), most)) + t.more; n > 0 {
		fmt.Fprintf(b, "\nand %s\n", form.Grouped(n)+" more.")
	}
}
