package top

import (
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/report"
)

// column is one figure of a row.
type column struct {
	title string
	width int
	right bool
	cell  func(c *cell) line
}

// cell is what a column is told about a row.
type cell struct {
	row     *report.Destination
	port    *report.Port // nil: none
	numeric bool
	width   int
}

// shape is how much of a row is shown: what fits in the width.
type shape struct {
	service, destination     int
	verdict                  int
	rate, open, wait, failed int // widths; 0: left out
	spark, gauge             int
	percent, left, life      int
	names                    int // of errors; 0: their number only
	gap                      int
	want                     wants
}

// lead is how wide the marks before a row are.
const lead = 3

// The least that is good for names, and what they can be shortened to in the end.
const (
	goodService, goodDestination   = 10, 20
	leastService, leastDestination = 5, 8
	// widestName is what a name takes at most while others want room.
	widestName = 48
)

// wants is how wide the rows' cells are. Three of four destinations are no wider than usual.
type wants struct{ service, destination, usual, verdict, rate, open, wait, failed int }

// wantsOf looks at all rows, so that scrolling moves no column.
func wantsOf(rows []*report.Destination, numeric bool) wants {
	w := wants{
		service: len("SERVICE"), destination: len("DESTINATION"), verdict: len("VERDICT"),
		rate: 5, open: 4, wait: 5, failed: 4,
	}
	var rate float64
	var open, wait, failed uint64
	var places [widestName + 1]int
	for _, r := range rows {
		w.service = max(w.service, report.Cells(r.Who()))
		there := report.Cells(place(r, numeric))
		w.destination = max(w.destination, there)
		places[min(there, widestName)]++
		w.verdict = max(w.verdict, len(verdictOf(r)))
		if r.OpenedRate != nil {
			rate = max(rate, float64(*r.OpenedRate))
		}
		if r.TimeWait.Now != nil {
			wait = max(wait, *r.TimeWait.Now)
		}
		open, failed = max(open, r.Open.Now), max(failed, r.Failures())
	}
	w.rate = max(w.rate, len(report.Number(uint64(rate))))
	w.open, w.wait = max(w.open, len(report.Number(open))), max(w.wait, len(report.Number(wait)))
	w.failed = max(w.failed, len(report.Number(failed)))
	w.service, w.destination = min(w.service, widestName), min(w.destination, widestName)
	for n := places[0]; n < len(rows)-len(rows)/4; n += places[w.usual] {
		w.usual++
	}
	return w
}

// steps make a shape narrower, one after the other, until it fits.
var steps = []func(*shape){
	func(s *shape) { s.spark = 20 },
	func(s *shape) { s.gauge = 11 },
	func(s *shape) { s.gap, s.percent = 1, 4 },
	func(s *shape) { s.spark = 12 },
	func(s *shape) { s.names, s.wait, s.failed = 0, s.want.wait, s.want.failed },
	func(s *shape) { s.life, s.left = 0, 6 },
	func(s *shape) { s.gauge = 7 },
	func(s *shape) { s.spark = 10 },
	func(s *shape) { s.left = 0 },
	func(s *shape) { s.spark = 6 },
	func(s *shape) { s.gauge = 5 },
	func(s *shape) { s.open = 0 },
	func(s *shape) { s.service = min(s.service, 8) },
	func(s *shape) { s.spark = 0 },
	func(s *shape) { s.gauge = 0 },
	func(s *shape) { s.wait = 0 },
	func(s *shape) { s.failed = 0 },
	func(s *shape) { s.service, s.destination = min(s.service, 8), min(s.destination, 13) },
	func(s *shape) { s.percent = 0 },
	func(s *shape) { s.rate = 0 },
	func(s *shape) { s.service, s.destination = leastService, leastDestination },
	func(s *shape) { s.verdict = 0 },
	func(s *shape) { s.service = 0 },
}

// shapeFor chooses what is shown in width cells. whole: nothing had to be left out.
func shapeFor(width int, w wants) (s shape, whole bool) {
	s = shape{
		service: min(w.service, goodService), destination: min(max(w.usual, len("DESTINATION")), goodDestination), verdict: w.verdict,
		rate: w.rate, open: w.open, wait: max(w.wait, len("TIME_WAIT")), failed: max(w.failed, len("FAILED")),
		spark: 30, gauge: 21, percent: 5, left: 7, life: 6, names: 14, gap: 2, want: w,
	}
	for _, step := range steps {
		if s.total() <= width {
			break
		}
		step(&s)
	}
	s.grow(width-s.total(), w)
	return s, s.names > 0
}

// grow gives what is left over to names.
func (s *shape) grow(spare int, w wants) {
	for spare > 0 && (s.service > 0 && s.service < w.service || s.destination < w.destination) {
		if s.destination < w.destination {
			s.destination++
			spare--
		}
		if spare > 0 && s.service > 0 && s.service < w.service {
			s.service++
			spare--
		}
	}
}

func (s *shape) total() int {
	n := lead - s.gap
	for _, c := range s.columns() {
		n += c.width + s.gap
	}
	return n
}

// columns are those of the shape, from left to right.
func (s *shape) columns() []column {
	all := []column{
		{title: "SERVICE", width: s.service, cell: serviceCell},
		{title: "DESTINATION", width: s.destination, cell: destinationCell},
		{title: "VERDICT", width: s.verdict, cell: verdictCell},
		{title: "NEW/S", width: s.rate, right: true, cell: rateCell},
		{title: "LAST 60 S", width: s.spark, cell: sparkCell},
		{title: "OPEN", width: s.open, right: true, cell: openCell},
		{title: "TIME_WAIT", width: s.wait, right: true, cell: waitCell},
		{title: "PORTS", width: s.gauge, cell: gaugeCell},
		{title: "USED%", width: s.percent, right: true, cell: percentCell},
		{title: "GONE IN", width: s.left, right: true, cell: leftCell},
		{title: "FAILED", width: s.failed, right: true, cell: failedCell},
		{title: "ERROR", width: s.names, cell: errorCell},
		{title: "LIFE", width: s.life, right: true, cell: lifeCell},
	}
	kept := all[:0]
	for _, c := range all {
		if c.width > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

// narrowTitles are for columns that are narrower than their titles.
var narrowTitles = map[string]string{
	"TIME_WAIT": "TWAIT", "FAILED": "FAIL", "LAST 60 S": "LAST60", "GONE IN": "GONE", "USED%": "USE%",
	"DESTINATION": "DEST",
}

func (m *model) titleLine(s *shape) line {
	column := m.list.orders[m.list.order].column
	l := line{{strings.Repeat(" ", min(lead, m.width)), normal}}
	for i, c := range s.columns() {
		if i > 0 {
			l = append(l, piece{strings.Repeat(" ", s.gap), normal})
		}
		text := c.title
		if len(text) > c.width && narrowTitles[text] != "" {
			text = narrowTitles[text]
		}
		look := title
		if c.title == column {
			look = sorted
		}
		text = text[:min(len(text), c.width)]
		blanks := piece{strings.Repeat(" ", c.width-len(text)), normal}
		if c.right {
			l = append(l, blanks, piece{text, look})
		} else {
			l = append(l, piece{text, look}, blanks)
		}
	}
	return l
}

func (m *model) rowLine(s *shape, columns []column, r *report.Destination) line {
	l := make(line, 0, 3*len(columns))
	l = append(l, m.leadOf(r))
	c := cell{row: r, port: m.document().PortOf(r), numeric: m.options.Numeric}
	for i, col := range columns {
		if i > 0 {
			l = append(l, piece{strings.Repeat(" ", s.gap), normal})
		}
		c.width = col.width
		content := col.cell(&c)
		n := content.cells()
		if n > col.width {
			content = line{{report.Shorten(content[0].text, col.width), content[0].tone}}
			n = content.cells()
		}
		blanks := piece{strings.Repeat(" ", max(col.width-n, 0)), normal}
		if col.right {
			l = append(append(l, blanks), content...)
		} else {
			l = append(append(l, content...), blanks)
		}
		if col.title == "DESTINATION" && r.ID == m.list.chosen {
			choose(l)
		}
	}
	return l
}

// choose marks what a row's name is made of; its figures keep their own looks, for the worst row is chosen at first.
func choose(l line) {
	for i := range l {
		l[i].tone = chosen
	}
}

// leadOf marks how much harm a row does, and which one is chosen.
func (m *model) leadOf(r *report.Destination) piece {
	cursor := " "
	if r.ID == m.list.chosen {
		cursor = "›"
	}
	switch severity := r.Harm(); severity {
	case report.Critical:
		return piece{"!!" + cursor, worst}
	case report.Warning:
		return piece{" !" + cursor, bad}
	}
	return piece{"  " + cursor, normal}
}

func serviceCell(c *cell) line {
	return line{{report.Shorten(plainText(c.row.Who()), c.width), strong}}
}

func destinationCell(c *cell) line {
	return line{{report.Shorten(plainText(place(c.row, c.numeric)), c.width), normal}}
}

// place is where a row connects to; inbound, who connects to which of this host's ports.
func place(r *report.Destination, numeric bool) string {
	if inbound(r) {
		return r.Where(numeric) + "→" + portOf(r)
	}
	return r.Where(numeric)
}

// portOf is the port that a row accepts at.
func portOf(r *report.Destination) string {
	if r.Local.Port == nil {
		return r.Here()
	}
	return ":" + strconv.Itoa(int(*r.Local.Port))
}

func verdictCell(c *cell) line {
	name := verdictOf(c.row)
	return line{{name, verdictTone(name)}}
}

func verdictTone(name string) tone {
	switch name {
	case "connect-failing":
		return worst
	case "unpooled", "undersized-pool":
		return bad
	case "pooled":
		return good
	case "too-few-to-tell", "-":
		return faint
	}
	return normal
}

func rateCell(c *cell) line { return line{{report.Rate(c.row.OpenedRate), strong}} }

func sparkCell(c *cell) line { return line{{sparkline(c.row.Recent, c.width), bar}} }

func openCell(c *cell) line { return line{{report.Number(c.row.Open.Now), normal}} }

func waitCell(c *cell) line { return line{{report.Known(c.row.TimeWait.Now), normal}} }

func gaugeCell(c *cell) line {
	if c.port == nil || c.port.UsedRatio == nil {
		return line{{"-", faint}}
	}
	taken, left := gauge(float64(*c.port.UsedRatio), c.width)
	look := toneOf(c.port.Need())
	if look == normal {
		look = bar
	}
	return line{{taken, look}, {left, faint}}
}

func percentCell(c *cell) line {
	if c.port == nil || c.port.UsedRatio == nil {
		return line{{"-", faint}}
	}
	return line{{c.port.Percent() + "%", toneOf(c.port.Need())}}
}

func leftCell(c *cell) line {
	if c.port == nil {
		return line{{"-", faint}}
	}
	switch text := c.port.Left(); text {
	case "never", "-":
		return line{{text, faint}}
	case "now":
		return line{{text, worst}}
	default:
		return line{{text, toneOf(c.port.Need())}}
	}
}

func failedCell(c *cell) line {
	n := c.row.Failures()
	if n == 0 {
		return line{{"0", faint}}
	}
	return line{{report.Number(n), failureTone(c.row)}}
}

func failureTone(r *report.Destination) tone {
	if r.Harm() == report.Critical {
		return worst
	}
	return bad
}

// errorCell names the most frequent error, and says how many others there are.
func errorCell(c *cell) line {
	names := c.row.Errors()
	if len(names) == 0 {
		return nil
	}
	text := names[0]
	if more := len(names) - 1; more > 0 {
		text += "+" + strconv.Itoa(more)
	}
	return line{{text, failureTone(c.row)}}
}

func lifeCell(c *cell) line { return line{{report.Seconds(c.row.Lifetime.P50), normal}} }
