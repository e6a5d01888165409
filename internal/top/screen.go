package top

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// listLines is the screen with the table.
func (m *model) listLines() []string {
	d := m.document()
	blocks := m.header()
	if d != nil {
		blocks = append(blocks, m.findings(d)...)
	}
	var s shape
	titles, strip := &block{rank: 4}, &block{rank: 11}
	if len(m.list.rows) > 0 {
		var whole bool
		s, whole = shapeFor(m.width, wantsOf(m.list.rows, m.options.Numeric))
		titles.lines = []string{m.painter.line(m.titleLine(&s), m.width)}
		if !whole {
			strip.lines = m.strip(d)
		}
	}
	foot := m.one(3, m.footLine())
	if m.list.typing || m.note != "" && m.noteLeft > 0 {
		foot.rank = 0
	}
	space := room(append(blocks, titles, strip, foot), m.height, m.leastRows())
	var lines []string
	for _, b := range append(blocks, titles) {
		lines = append(lines, b.lines...)
	}
	lines = append(lines, m.rows(&s, space, strip)...)
	lines = append(lines, strip.lines...)
	m.placeCursor(len(lines), foot)
	return append(lines, foot.lines...)
}

// leastRows is how many lines the table keeps while other things can be left out.
func (m *model) leastRows() int {
	return max(min(max(len(m.list.rows), 1), m.height*2/5), 1)
}

// rows are the visible part of the table, in n lines; more when there is room for a preview, which makes the strip
// part of it.
func (m *model) rows(s *shape, n int, strip *block) []string {
	lines := make([]string, 0, n)
	if len(m.list.rows) == 0 {
		for _, text := range report.Wrapped(max(m.width, 1), " ", " ", m.nothing()) {
			lines = append(lines, m.painter.line(line{{text, normal}}, m.width))
		}
	} else {
		columns := s.columns()
		for _, r := range m.list.window(n) {
			lines = append(lines, m.painter.line(m.rowLine(s, columns, r), m.width))
		}
	}
	if m.height >= tall && n-len(lines) >= leastPreview && m.list.row() != nil {
		n += len(strip.lines)
		m.previewed = true
		lines = append(lines, m.preview(n-len(lines), strip)...)
	}
	for len(lines) < n {
		lines = append(lines, "")
	}
	return lines[:n]
}

// A terminal at least so tall shows below a short table what the detail would, if there are so many lines for it.
const (
	tall         = 30
	leastPreview = 9
)

// about is where in the text of a row that begins which a strip does not say.
const about = 2

// preview is what n spare lines below a short table are for: the chosen row. It takes the lines of the strip.
func (m *model) preview(n int, strip *block) []string {
	text := m.rowLines(m.list.row(), m.width)
	lines := []string{""}
	if len(strip.lines) > 0 {
		lines = append(append(lines, strip.lines...), text[about:]...)
	} else {
		lines = append(append(lines, m.rule()), text...)
	}
	strip.lines = nil
	return lines[:min(n, len(lines))]
}

func (m *model) rule() string {
	return m.painter.line(line{{strings.Repeat("─", m.width), faint}}, m.width)
}

// nothing says what is being waited for.
func (m *model) nothing() string {
	d := m.document()
	switch {
	case d == nil:
		return "Waiting for the first figures …"
	case len(d.Destinations) > 0:
		all := form.Count(len(d.Destinations), "row")
		return fmt.Sprintf("None of %s matches \"%s\". Esc shows all.", all, plainText(m.list.filter))
	case m.latest.Final, d.Filter.Excluded > 0, d.Loss.EventsLost > 0:
		return d.Nothing()
	case m.latest.Playback != nil:
		return "Nothing has connected up to here in the capture."
	}
	return "Tracing: nothing has connected yet."
}

// strip says of the chosen row what the columns have no room for.
func (m *model) strip(d *report.Document) []string {
	r := m.list.row()
	if r == nil {
		return nil
	}
	name := verdictOf(r)
	first := beside(m.width, nil,
		line{{plainText(r.Who()), strong}, {" → ", faint}, {plainText(place(r, m.options.Numeric)), strong}},
		line{{name, verdictTone(name)}},
		line{{report.Rate(r.OpenedRate) + "/s ", strong}, {sparkline(r.Recent, min(20, max(m.width/8, 1))), bar}},
		line{{"open ", faint}, {report.Number(r.Open.Now), normal}},
		line{{"life p50 ", faint}, {report.Seconds(r.Lifetime.P50), normal}},
	)
	wait := line{{"TIME_WAIT ", faint}, {report.Known(r.TimeWait.Now), normal}}
	second := beside(m.width, nil, portItem(r, d.PortOf(r)), failureWords(r, 3), wait)
	return []string{m.rule(), m.painter.line(first, m.width), m.painter.line(second, m.width)}
}

// portItem is the budget of a row that connects.
func portItem(r *report.Destination, p *report.Port) line {
	if inbound(r) {
		return nil
	}
	return append(line{{"ports ", faint}}, portWords(p, 21)...)
}

// portWords say how many ports a row can still have.
func portWords(p *report.Port, width int) line {
	if p == nil || p.UsedRatio == nil {
		return line{{"-", faint}}
	}
	taken, left := gauge(float64(*p.UsedRatio), width)
	look := toneOf(p.Need())
	fill := look
	if fill == normal {
		fill = bar
	}
	l := line{
		{taken, fill}, {left, faint},
		{fmt.Sprintf(" %s%% of %s", p.Percent(), capacity(p)), look},
	}
	switch when := p.Left(); when {
	case "never", "-":
	case "now":
		l = append(l, piece{", none left", worst})
	default:
		l = append(l, piece{", gone in " + when, look})
	}
	return l
}

func capacity(p *report.Port) string {
	if p.Capacity == nil {
		return "-"
	}
	return form.Grouped(*p.Capacity)
}

// failureWords name up to n errors, the most frequent first.
func failureWords(r *report.Destination, n int) line {
	names := r.Errors()
	if len(names) == 0 {
		return line{{"failed 0", faint}}
	}
	l := line{{"failed ", faint}}
	for i, name := range names[:min(n, len(names))] {
		if i > 0 {
			l = append(l, piece{", ", faint})
		}
		l = append(l, piece{form.Grouped(r.Failed[name]) + " " + name, failureTone(r)})
	}
	if more := len(names) - n; more > 0 {
		l = append(l, piece{fmt.Sprintf(", %d more", more), faint})
	}
	return l
}

// footLine is where one types, what was said, or which keys there are.
func (m *model) footLine() line {
	l := &m.list
	count := fmt.Sprintf("%s of %s", form.Grouped(len(l.rows)), form.Count(m.allRows(), "row"))
	if l.typing {
		typed := line{{"/" + tail(plainText(l.filter), m.width-2), strong}}
		return beside(m.width, line{{count + "  Enter keeps, Esc clears", faint}}, typed)
	}
	if m.note != "" && m.noteLeft > 0 {
		return line{{m.note, strong}}
	}
	right := line{{"sort " + l.sortWords(), normal}}
	if l.filter != "" {
		right = line{{"filter " + report.Shorten(plainText(l.filter), max(m.width/4, 4)) + ": " + count, bad}}
	}
	return beside(m.width, right, m.hints()...)
}

func (m *model) allRows() int {
	if d := m.document(); d != nil {
		return len(d.Destinations)
	}
	return 0
}

// tail is the end of s in width cells: what is being typed stays in sight.
func tail(s string, width int) string {
	for report.Cells(s) > max(width, 0) && s != "" {
		r := []rune(s)
		s = string(r[1:])
	}
	return s
}

// hints are the keys worth knowing, the most useful first.
func (m *model) hints() []line {
	hints := []line{
		key("?", "help"), key("q", "quit"), key("Enter", "detail"), key("/", "filter"), key("s", "sort"), key("p", "pause"),
	}
	if m.playback() != nil {
		return append(hints, key("←→", "10 s"), key("+-", "speed"))
	}
	return append(hints, key("w", "write"), key("↑↓", "choose"))
}

func key(name, what string) line { return line{{name, strong}, {" " + what, faint}} }

// placeCursor shows the terminal's cursor where one types.
func (m *model) placeCursor(y int, foot *block) {
	if !m.list.typing || len(foot.lines) == 0 {
		return
	}
	x := 1 + report.Cells(tail(plainText(m.list.filter), m.width-2))
	m.cursor = tea.NewCursor(min(x, m.width-1), min(y, m.height-1))
}

// page is a screen of text that can be scrolled, under the first lines of the header.
func (m *model) page(name string, text []string) []string {
	head := m.header()
	foot := m.one(1, m.pageFoot(name))
	if m.note != "" && m.noteLeft > 0 {
		foot = m.one(0, line{{m.note, strong}})
	}
	n := room(append(head, foot), m.height, max(m.height*3/5, 1))
	m.most = max(len(text)-n, 0)
	m.scroll = min(m.scroll, m.most)
	var lines []string
	for _, b := range head {
		lines = append(lines, b.lines...)
	}
	lines = append(lines, text[m.scroll:min(m.scroll+n, len(text))]...)
	for i := len(text) - m.scroll; i < n; i++ {
		lines = append(lines, "")
	}
	return append(lines, foot.lines...)
}

func (m *model) pageFoot(name string) line {
	where := name
	if m.most > 0 {
		where = fmt.Sprintf("%s %d%%", name, m.scroll*100/m.most)
	}
	return beside(m.width, line{{where, normal}},
		key("Esc", "back"), key("↑↓ PgDn", "scroll"), key("?", "help"), key("q", "quit"))
}
