package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// totals are sums over the rows of a document.
type totals struct {
	out, in, failed, open uint64
	// urgent and warnings are how many rows harm this host.
	urgent, warnings int
}

func totalsOf(d *report.Document) totals {
	var t totals
	for i := range d.Destinations {
		r := &d.Destinations[i]
		if inbound(r) {
			t.in += r.Opened
		} else {
			t.out += r.Opened
		}
		t.failed += r.Failures()
		t.open += r.Open.Now
		switch r.Harm() {
		case report.Critical:
			t.urgent++
		case report.Warning:
			t.warnings++
		}
	}
	return t
}

// block is lines that are shown or left out together: of several, the one of the highest rank first. Rank 0 stays.
type block struct {
	lines []string
	rank  int
}

// room leaves blocks out until the others leave least lines of height, and returns what they leave.
func room(blocks []*block, height, least int) int {
	for {
		used, drop := 0, (*block)(nil)
		for _, b := range blocks {
			used += len(b.lines)
			if len(b.lines) > 0 && b.rank > 0 && (drop == nil || b.rank > drop.rank) {
				drop = b
			}
		}
		if used+least <= height || drop == nil {
			return max(height-used, 0)
		}
		drop.lines = nil
	}
}

// beside writes as many of items as fit, with dots between them, and right at the right edge.
func beside(width int, right line, items ...line) line {
	keep := right.cells()
	if keep > 0 {
		keep += 2
	}
	var l line
	used := 0
	for i, item := range items {
		n := item.cells()
		if n == 0 {
			continue
		}
		if i > 0 && used > 0 {
			n += 3
		}
		if used > 0 && used+n+keep > width {
			break
		}
		if used > 0 {
			l = append(l, piece{" · ", faint})
		}
		l = append(l, item...)
		used += n
	}
	if keep > 0 && used+keep <= width {
		l = append(l, piece{strings.Repeat(" ", width-used-right.cells()), normal})
		l = append(l, right...)
	}
	return l
}

// header are the lines above the table: where this is, what there is in all, what is missing.
func (m *model) header() []*block {
	d := m.document()
	if d == nil {
		return []*block{m.one(0, beside(m.width, m.state(), line{{"tcpstate top", strong}}))}
	}
	loss, rank := m.lossLine(d), 8
	if lossy(d) {
		rank = 2
	}
	blocks := []*block{m.one(1, m.placeLine(d)), m.one(5, m.totalsLine(d))}
	if p := m.playback(); p != nil {
		blocks = append(blocks, m.one(3, m.playLine(p)))
	}
	return append(blocks, m.one(rank, beside(m.width, m.own(), loss)))
}

// narrow terminals get shorter words.
const narrow = 100

func (m *model) grouped(n uint64) string {
	if m.width < narrow {
		return report.Number(n)
	}
	return form.Grouped(n)
}

func (m *model) one(rank int, l line) *block {
	return &block{lines: []string{m.painter.line(l, m.width)}, rank: rank}
}

// state is the badge at the right edge: nothing while all is as usual.
func (m *model) state() line {
	switch {
	case m.latest != nil && m.latest.Final && m.latest.Playback != nil:
		return line{{" END OF THE CAPTURE ", badge}}
	case m.latest != nil && m.latest.Final:
		return line{{" TRACING HAS ENDED ", badge}}
	case m.paused:
		return line{{" PAUSED: counting goes on ", badge}}
	case m.latest != nil && m.latest.Playback != nil && m.latest.Playback.Paused:
		return line{{" PAUSED ", badge}}
	}
	return nil
}

func (m *model) placeLine(d *report.Document) line {
	items := []line{{{"tcpstate top", strong}}}
	if d.Host.Name != "" {
		items = append(items, line{{plainText(d.Host.Name), strong}})
	}
	if d.Filter.Expression != "" {
		items = append(items, line{{"only " + report.Shorten(plainText(d.Filter.Expression), max(m.width/4, 12)), bad}})
	}
	if d.Host.Kernel != "" {
		items = append(items, line{{"Linux " + plainText(d.Host.Kernel), normal}})
	}
	items = append(items, namespacesOf(d), m.tierOf(d))
	if d.Host.Source != "" && d.Host.Source != "live" {
		items = append(items, line{{plainText(d.Host.Source), normal}})
	}
	right := m.state()
	if right == nil {
		right = line{{d.Window.Length(), strong}}
	} else {
		right = append(line{{d.Window.Length() + " ", strong}}, right...)
	}
	return beside(m.width, right, items...)
}

func namespacesOf(d *report.Document) line {
	all := len(d.Namespaces) + d.NamespacesOmitted
	if all == 0 {
		return nil
	}
	l := line{{form.Count(all, "namespace"), normal}}
	unseen := 0
	for i := range d.Namespaces {
		if !d.Namespaces[i].Seen {
			unseen++
		}
	}
	if unseen > 0 {
		l = append(l, piece{fmt.Sprintf(" (%d not entered)", unseen), bad})
	}
	return l
}

// tierOf says how TIME_WAIT is observed.
func (m *model) tierOf(d *report.Document) line {
	what := "TIME_WAIT "
	if m.width < narrow {
		what = ""
	}
	switch t := d.TimeWait; {
	case t == nil:
		return line{{"TIME_WAIT not observed", bad}}
	case !t.Exact:
		return line{{fmt.Sprintf("%stier %d, approximate", what, t.Tier), bad}}
	default:
		return line{{fmt.Sprintf("%stier %d", what, t.Tier), normal}}
	}
}

func (m *model) totalsLine(d *report.Document) line {
	t := &m.totals
	opened := line{
		{"opened ", faint}, {m.grouped(t.out), strong}, {" out ", faint}, {m.grouped(t.in), strong}, {" in", faint},
	}
	failed := line{{"failed ", faint}, {m.grouped(t.failed), strong}}
	if t.failed > 0 {
		failed[1].tone = worst
	}
	items := []line{opened, failed, m.timeWaitOf(d), {{"open ", faint}, {m.grouped(t.open), strong}}}
	if n := d.DestinationsOmitted; n > 0 {
		items = append(items, line{{form.Count(n, "row") + " left out", bad}})
	}
	return beside(m.width, nil, items...)
}

// timeWaitOf is how many TIME_WAITs there are, and whether the kernel's own count is the same: now, or when the two were
// last compared, each second.
func (m *model) timeWaitOf(d *report.Document) line {
	if d.TimeWait == nil {
		return line{{"TIME_WAIT ", faint}, {"-", strong}}
	}
	l := line{{"TIME_WAIT ", faint}, {m.grouped(d.TimeWait.Now), strong}}
	switch t := d.TimeWait; {
	case t.Kernel != nil && *t.Kernel != t.Now:
		l = append(l, piece{" (kernel " + m.grouped(*t.Kernel) + ")", faint})
	case t.Kernel != nil || t.Exact && t.Checks > 0 && d.Filter.Expression == "":
		l = append(l, piece{" (= kernel)", faint})
	case !t.Exact && t.Checks > 0:
		l = append(l, piece{" (≠ kernel)", bad})
	}
	return l
}

// own is what tcpstate itself takes.
func (m *model) own() line {
	if m.latest == nil || m.latest.Own == nil {
		return nil
	}
	o := m.latest.Own
	cpu := report.Significant(max(o.CPURatio, 0) * 100)
	return line{{fmt.Sprintf("self %s%% cpu %d MB", cpu, o.MemoryBytes/1e6), faint}}
}

// lossLine says what is missing; totals that are not exact stand out.
func (m *model) lossLine(d *report.Document) line {
	sentence := plainText(d.Loss.Sentence())
	switch {
	case !d.Loss.TotalsExact:
		return line{{"! TOTALS ARE NOT EXACT ", badge}, {" " + sentence, worst}}
	case d.Loss.EventsLost > 0:
		return line{{"! ", bad}, {sentence, bad}}
	}
	return line{{sentence, faint}}
}

func lossy(d *report.Document) bool { return !d.Loss.TotalsExact || d.Loss.EventsLost > 0 }

// playLine is where in the capture this is.
func (m *model) playLine(p *Playback) line {
	place := m.options.location()
	clock := func(t time.Time) string { return t.In(place).Format("15:04:05") }
	sign, speed := "▶ ", speedWords(p.Speed)
	switch {
	case m.latest.Final:
		sign = "■ "
	case p.Paused:
		sign = "‖ "
	}
	left := line{{sign, strong}, {p.Now.In(place).Format("2006-01-02 15:04:05"), strong}, {" " + speed + " ", normal}}
	right := line{{" " + clock(p.Start) + "–" + clock(p.End), faint}}
	width := m.width - left.cells() - right.cells()
	if width < 10 {
		return append(left, right...)
	}
	done := 0
	if length := p.End.Sub(p.Start); length > 0 {
		done = int(float64(width) * min(max(float64(p.Now.Sub(p.Start))/float64(length), 0), 1))
	}
	l := append(left, piece{strings.Repeat("━", done), bar}, piece{strings.Repeat("─", width-done), faint})
	return append(l, right...)
}

func speedWords(factor float64) string {
	if math.IsInf(factor, 1) {
		return "as fast as can be"
	}
	return "×" + strconv.FormatFloat(max(factor, 0), 'g', 3, 64)
}

// besidesRows is how many lines all else takes when two findings are written in full.
const besidesRows = 12

// findings are the worst that was found, in words: the first in two lines, and the others when there is room.
func (m *model) findings(d *report.Document) []*block {
	shown, height := 2, 2
	if m.height >= 40 {
		shown = 4
	}
	lots := m.height-len(m.list.rows) > besidesRows
	var blocks []*block
	rest := 0
	for i := range d.Findings {
		f := &d.Findings[i]
		switch {
		case f.Severity != report.Critical && f.Severity != report.Warning:
		case len(blocks) >= shown:
			rest++
		default:
			if len(blocks) > 0 && !lots {
				height = 1
			}
			blocks = append(blocks, m.finding(f, height, 2+2*len(blocks)))
		}
	}
	if len(blocks) == 0 {
		return []*block{m.one(9, line{{"ok ", good}, {"nothing critical, no warning", faint}})}
	}
	if rest += d.FindingsOmitted; rest > 0 && m.height >= 30 {
		text := strings.Repeat(" ", severityWidth) + " and " + form.Count(rest, "more finding") + ": see report"
		blocks = append(blocks, m.one(10, line{{text, faint}}))
	}
	return blocks
}

const severityWidth = len(report.Critical)

func (m *model) finding(f *report.Finding, height, rank int) *block {
	word := report.Pad(strings.ToUpper(f.Severity), severityWidth, false)
	lines := report.Wrapped(m.width, word+" ", strings.Repeat(" ", severityWidth+1), plainText(f.Summary))
	if len(lines) > height {
		last := lines[height-1]
		for _, more := range lines[height:] {
			last += " " + strings.TrimLeft(more, " ")
		}
		lines = append(lines[:height-1], ansi.Truncate(last, m.width, "…"))
	}
	b := &block{rank: rank}
	for i, text := range lines {
		l := line{{text, strong}}
		if rest, ok := strings.CutPrefix(text, word); ok && i == 0 {
			l = line{{word, toneOf(f.Severity)}, {rest, strong}}
		}
		b.lines = append(b.lines, m.painter.line(l, m.width))
	}
	return b
}

func inbound(r *report.Destination) bool { return r.Direction == "inbound" }
