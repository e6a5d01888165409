package top

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// The width that text and charts of a page have at most: longer lines are hard to read.
const (
	textWidth  = 110
	chartWidth = 128
)

// sheet is the text of a page while it is being written.
type sheet struct {
	m     *model
	width int
	lines []string
}

func (s *sheet) add(l line) { s.lines = append(s.lines, s.m.painter.line(l, s.width)) }

// blank separates.
func (s *sheet) blank() {
	if len(s.lines) > 0 {
		s.lines = append(s.lines, "")
	}
}

func (s *sheet) heading(text string, more ...piece) {
	s.blank()
	s.add(append(line{{text, title}}, more...))
}

// text is wrapped.
func (s *sheet) text(first, rest, text string, t tone) {
	for _, l := range report.Wrapped(min(s.width, textWidth), first, rest, plainText(text)) {
		s.add(line{{l, t}})
	}
}

// twoColumns is from which width on charts stand beside the text.
const twoColumns = 150

// detailLines are all that is known of one row.
func (m *model) detailLines() []string { return m.rowLines(&m.detail, m.width) }

func (m *model) rowLines(r *report.Destination, width int) []string {
	text := &sheet{m: m, width: width}
	charts := text
	if width >= twoColumns {
		text.width = min(width*9/20, textWidth)
		charts = &sheet{m: m, width: width - text.width - 3}
	}
	p := m.document().PortOf(r)
	text.who(r)
	text.add(beside(text.width, nil, portItem(r, p), failureWords(r, 3)))
	text.about(r)
	text.judgement(r)
	text.figures(r)
	text.failures(r)
	if !inbound(r) {
		charts.ports(p)
	}
	charts.course(r)
	charts.lifetimes(r)
	if charts == text {
		return text.lines
	}
	return sideBySide(text, charts)
}

// sideBySide puts the lines of b at the right of those of a.
func sideBySide(a, b *sheet) []string {
	lines := make([]string, max(len(a.lines), len(b.lines)))
	for i := range lines {
		if i < len(a.lines) {
			lines[i] = a.lines[i]
		}
		if i < len(b.lines) {
			lines[i] += strings.Repeat(" ", max(a.width-lipgloss.Width(lines[i]), 0)) + " │ " + b.lines[i]
		} else {
			lines[i] += strings.Repeat(" ", max(a.width-lipgloss.Width(lines[i]), 0)) + " │"
		}
	}
	return lines
}

func (s *sheet) who(r *report.Destination) {
	l := line{{plainText(r.Who()), strong}, {" → ", faint}, {plainText(place(r, s.m.options.Numeric)), strong}}
	if r.Dst.Name != "" && !s.m.options.Numeric {
		l = append(l, piece{" (" + plainText(r.Where(true)) + ")", normal})
	}
	if s.m.gone {
		l = append(l, piece{"  not in the newest document", bad})
	}
	s.add(l)
}

// about says what else is known of the service, and where its end is.
func (s *sheet) about(r *report.Destination) {
	var about []string
	for _, a := range []struct{ name, value string }{
		{"", r.Direction}, {"pid ", number(r.Service.PID)}, {"exe ", r.Service.Exe}, {"runtime ", r.Service.Runtime},
		{"library ", r.Service.Library}, {"unit ", r.Service.Unit}, {"container ", r.Service.ContainerID},
		{"pod ", r.Service.Pod}, {"local ", r.Here()}, {"netns ", number(r.Netns)},
	} {
		if a.value != "" {
			about = append(about, a.name+a.value)
		}
	}
	s.text("", "", strings.Join(about, ", "), faint)
}

func number(n *uint32) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// judgement is the verdict, why, and what to do first; and what was found about the row besides.
func (s *sheet) judgement(r *report.Destination) {
	name := verdictOf(r)
	head := []piece{{"  " + name, verdictTone(name)}}
	if r.Verdict.Kind != nil {
		head = append(head, piece{", " + *r.Verdict.Kind, normal})
	}
	if r.Verdict.Confidence != nil {
		head = append(head, piece{", " + *r.Verdict.Confidence + " confidence", faint})
	}
	s.heading("VERDICT", head...)
	if inbound(r) {
		s.text("  ", "  ", "whether to pool is up to the host that connects", faint)
	}
	for _, e := range r.Verdict.Evidence {
		s.text("  - ", "    ", e, normal)
	}
	for _, a := range r.Verdict.Advice {
		s.text("  > ", "    ", a, good)
	}
	for _, f := range s.m.findingsOf(r) {
		s.text("  ! ", "    ", strings.ToUpper(f.Severity)+" "+f.Summary+" ["+f.Code+"]", toneOf(f.Severity))
		for _, e := range f.Evidence {
			if !slices.Contains(r.Verdict.Evidence, e) {
				s.text("    - ", "      ", e, normal)
			}
		}
		for _, a := range f.Advice {
			if !slices.Contains(r.Verdict.Advice, a) {
				s.text("    > ", "      ", a, good)
			}
		}
	}
}

// findingsOf are the findings that name the row's service and destination.
func (m *model) findingsOf(r *report.Destination) []*report.Finding {
	d := m.document()
	if d == nil || r.Service.Name == "" {
		return nil
	}
	var all []*report.Finding
	for i := range d.Findings {
		f := &d.Findings[i]
		there := f.Destination == r.Where(true) || f.Destination == r.Where(false)
		if there && f.Service == r.Service.Name && f.Host == r.Host {
			all = append(all, f)
		}
	}
	return all
}

func (s *sheet) figures(r *report.Destination) {
	s.heading("CONNECTIONS")
	s.add(line{
		{"  new ", faint}, {report.Rate(r.OpenedRate) + "/s", strong},
		{"   opened ", faint}, {form.Grouped(r.Opened), normal},
		{"   closed ", faint}, {form.Grouped(r.Closed), normal},
		{"   open ", faint}, {form.Grouped(r.Open.Now), normal}, {" at most ", faint}, {form.Grouped(r.Open.Peak), normal},
		{"   failed ", faint}, {form.Grouped(r.Failures()), failedTone(r)},
	})
	s.add(line{
		{"  TIME_WAIT ", faint}, {report.Known(r.TimeWait.Now), strong},
		{"   entered ", faint}, {form.Grouped(r.TimeWait.Entered), normal},
	})
	if c := &r.ClosedBy; c.Local+c.Remote+c.Both+c.Reset > 0 {
		parts := fmt.Sprintf(" (local %s, remote %s, both %s, reset %s)",
			form.Grouped(c.Local), form.Grouped(c.Remote), form.Grouped(c.Both), form.Grouped(c.Reset))
		s.add(line{{"  closed first ", faint}, {c.Word(), strong}, {parts, faint}})
	}
	if n := r.Open.CloseWait; n > 0 {
		idle := report.Seconds(r.Open.OldestCloseWait)
		s.add(line{{"  CLOSE_WAIT ", faint}, {form.Grouped(n), bad}, {"   idle for ", faint}, {idle, normal}})
	}
	if n := r.Open.Connecting; n > 0 {
		oldest := report.Seconds(r.Open.Oldest)
		s.add(line{{"  connecting ", faint}, {form.Grouped(n), normal}, {"   the oldest for ", faint}, {oldest, normal}})
	}
	s.add(append(line{{"  connect time", faint}}, quantiles(&r.Connect)...))
	if r.DetailsLost > 0 {
		s.add(line{{"  ! " + form.Count(r.DetailsLost, "event") + " of this row lost in detail", bad}})
	}
}

func failedTone(r *report.Destination) tone {
	if r.Failures() == 0 {
		return normal
	}
	return failureTone(r)
}

func quantiles(q *report.Quantiles) line {
	var l line
	for _, x := range []struct {
		name string
		of   *report.Decimal
	}{{"p50", q.P50}, {"p90", q.P90}, {"p99", q.P99}, {"max", q.Max}} {
		l = append(l, piece{" " + x.name + " ", faint}, piece{report.Seconds(x.of), normal}, piece{" ", normal})
	}
	return l
}

// course is how connections were opened over the window, and over the last minute.
func (s *sheet) course(r *report.Destination) {
	c := r.Charts
	if c == nil || len(c.Opened) == 0 {
		s.heading("NEW/S", piece{"  last 60 s  ", faint}, piece{sparkline(r.Recent, min(60, max(s.width-20, 1))), bar})
		s.text("  ", "  ", s.noCharts(), faint)
		return
	}
	if slices.Max(c.Opened) > 0 {
		s.heading("NEW/S", piece{"  over the window", faint})
		s.plot(s.perSecond(c), 0, 5, bar, nil)
		s.axis(c.Start, c.StepSeconds, len(c.Opened))
	}
	s.small("open", c.Open, r.Open.Now, r.Open.Peak)
	if c.TimeWait != nil && r.TimeWait.Now != nil {
		s.small("TIME_WAIT", c.TimeWait, *r.TimeWait.Now, *r.TimeWait.Now)
	}
}

// noCharts says why there are none.
func (s *sheet) noCharts() string {
	if s.m.paused {
		return "The course over the window is not in the document that is shown. It comes when the view goes on."
	}
	return "The course over the window comes with the next update."
}

// perSecond are the connections opened in each step; the last step is as long as the window lets it be.
func (s *sheet) perSecond(c *report.Charts) []float64 {
	step, end := float64(c.StepSeconds), s.m.document().Window.End
	values := numbers(c.Opened)
	for i := range values {
		seconds := step
		if i == len(values)-1 && c.Start != nil && end != nil {
			seconds = min(max(float64(*end-*c.Start)/1e9-float64(i)*step, step/2), step)
		}
		values[i] /= max(seconds, 1e-9)
	}
	return values
}

func numbers(counts []uint64) []float64 {
	values := make([]float64, len(counts))
	for i, n := range counts {
		values[i] = float64(n)
	}
	return values
}

func (s *sheet) chartWidth() int { return min(max(s.width-margin-2, 1), chartWidth) }

// plot draws values; the ceiling is the largest of them unless there is a higher one.
func (s *sheet) plot(values []float64, ceiling float64, height int, t tone, marks []mark) {
	for _, v := range values {
		ceiling = max(ceiling, v)
	}
	if ceiling <= 0 {
		ceiling = 1
	}
	p := plot{
		values: values, ceiling: ceiling, width: s.chartWidth(), height: height, marks: marks, tone: t,
		top: amount(ceiling), bottom: "0",
	}
	for _, l := range p.lines() {
		s.add(l)
	}
}

// amount is a number at an axis.
func amount(v float64) string {
	if v >= 100 {
		return report.Number(uint64(v + 0.5))
	}
	return report.Significant(v)
}

// axis says below a plot from when to when it goes.
func (s *sheet) axis(start *report.Time, step report.Decimal, steps int) {
	if start == nil {
		return
	}
	place := s.m.options.location()
	from := start.At(place)
	to := from.Add(time.Duration(float64(step) * float64(steps) * 1e9))
	left, right := from.Format("15:04:05"), to.Format("15:04:05")+" "+to.Format("MST")
	middle := fmt.Sprintf("steps of %s", report.Duration(time.Duration(float64(step)*1e9)))
	text := strings.Repeat(" ", margin) + left
	if blanks := s.chartWidth() - len(left) - len(right) - len(middle); blanks >= 2 {
		text += strings.Repeat(" ", blanks/2) + middle + strings.Repeat(" ", blanks-blanks/2) + right
	}
	s.add(line{{text, faint}})
}

// small draws a level over the window on one line. Between the ends of two steps it can have been higher: most.
func (s *sheet) small(name string, levels []uint64, now, most uint64) {
	if len(levels) == 0 || slices.Max(levels) == 0 && now == 0 {
		return
	}
	width := max(min(s.chartWidth()-24, 60), 1)
	words := fmt.Sprintf(" %s, at most %s", form.Grouped(now), form.Grouped(max(slices.Max(levels), most)))
	course := spark(stretch(numbers(levels), width), width, quiet)
	s.add(line{{report.Pad(name, margin+2, false), faint}, {course, bar}, {words, faint}})
}

// lifetimes is the histogram of how long connections lived.
func (s *sheet) lifetimes(r *report.Destination) {
	if r.Lifetime.Max == nil {
		return
	}
	s.heading("LIFETIME ", quantiles(&r.Lifetime)...)
	if r.Charts == nil || len(r.Charts.Lifetimes) == 0 {
		return
	}
	values, least, below := histogram(r.Charts.Lifetimes, s.chartWidth())
	most := slices.Max(values)
	p := plot{values: values, ceiling: most, width: len(values), height: 5, tone: bar, top: amount(most), bottom: "0"}
	for _, l := range p.lines() {
		s.add(l)
	}
	left, right := short(least), short(below)
	blanks := max(len(values)-report.Cells(left)-report.Cells(right), 1)
	s.add(line{{strings.Repeat(" ", margin) + left + strings.Repeat(" ", blanks) + right, faint}})
}

func short(seconds float64) string { return report.Duration(time.Duration(seconds * 1e9)) }

func (s *sheet) failures(r *report.Destination) {
	names := r.Errors()
	if len(names) == 0 {
		return
	}
	s.heading("FAILED CONNECTS")
	for _, name := range names {
		text := report.Pad(form.Grouped(r.Failed[name]), 11, true) + " " + report.Pad(name, 14, false)
		l := line{{text, failureTone(r)}}
		if r.Charts != nil && len(r.Charts.Failed[name]) > 0 {
			width := min(max(s.width-30, 1), 60)
			l = append(l, piece{spark(stretch(numbers(r.Charts.Failed[name]), width), width, quiet), failureTone(r)})
		}
		s.add(l)
	}
}

// ports is the budget that the row draws on, and who else does.
func (s *sheet) ports(p *report.Port) {
	if p == nil {
		s.heading("PORTS", piece{"  no budget of local ports is known for this row", faint})
		return
	}
	s.heading("PORTS ", portWords(p, 41)...)
	facts := []string{form.Grouped(p.Used) + " used"}
	for _, name := range p.States() {
		facts = append(facts, name+" "+form.Grouped(p.ByState[name]))
	}
	if p.Src != nil {
		facts = append(facts, "from "+*p.Src)
	}
	if p.Range != nil {
		facts = append(facts, fmt.Sprintf("range %d–%d", p.Range[0], p.Range[1]))
	}
	facts = append(facts, p.Basis)
	s.text("  ", "  ", strings.Join(facts, ", "), normal)
	if p.Exhausted > 0 {
		s.text("  ! ", "    ", form.Count(p.Exhausted, "connect")+" found no port", worst)
	}
	if len(p.Services) > 0 {
		who := strings.Join(p.Services, ", ")
		if p.ServicesOmitted > 0 {
			who += fmt.Sprintf(" and %d more", p.ServicesOmitted)
		}
		s.text("  services on this budget: ", "    ", who, normal)
	}
	s.portCourse(p)
}

func (s *sheet) portCourse(p *report.Port) {
	c := p.Charts
	if c == nil || len(c.Used) == 0 {
		return
	}
	ceiling, marks := 0.0, []mark(nil)
	if p.Capacity != nil && *p.Capacity > 0 {
		ceiling = float64(*p.Capacity)
		marks = []mark{{ceiling, "100%"}, {ceiling / 2, "50%"}}
	}
	s.add(line{{"  over the window, as counted from events", faint}})
	look := toneOf(p.Need())
	if look == normal {
		look = bar
	}
	s.plot(numbers(c.Used), ceiling, 8, look, marks)
	s.axis(c.Start, c.StepSeconds, len(c.Used))
}
