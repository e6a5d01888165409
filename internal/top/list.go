package top

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// list is the rows of a document as the table shows them: which of them, in which order, and the one that is chosen.
type list struct {
	options  Options
	document *report.Document
	rows     []*report.Destination // those that pass the filter, in order

	orders   []order
	order    int // in use
	reversed bool

	filter string
	typing bool

	// chosen is the row at index at. Unless it is pinned, the first row is chosen whichever that is.
	chosen, at int
	pinned     bool
	first      int // the row at the top of the table
}

// order is a way to order rows: by a figure, the largest first, and rows that have none last.
type order struct {
	name   string
	column string // the title of the column that shows it
	figure func(*report.Document, *report.Destination) (float64, bool)
	// field is of report, for an order that the command line asked for. Both nil and "": as the document has it.
	field string
}

// orders are what the key goes through.
var orders = []order{
	{name: "harm"},
	{name: "new/s", column: "NEW/S", figure: func(_ *report.Document, r *report.Destination) (float64, bool) {
		return decimal(r.OpenedRate)
	}},
	{name: "open", column: "OPEN", figure: func(_ *report.Document, r *report.Destination) (float64, bool) {
		return float64(r.Open.Now), true
	}},
	{name: "TIME_WAIT", column: "TIME_WAIT", figure: func(_ *report.Document, r *report.Destination) (float64, bool) {
		if r.TimeWait.Now == nil {
			return 0, false
		}
		return float64(*r.TimeWait.Now), true
	}},
	{name: "ports", column: "PORTS", figure: func(d *report.Document, r *report.Destination) (float64, bool) {
		if p := d.PortOf(r); p != nil {
			return decimal(p.UsedRatio)
		}
		return 0, false
	}},
	{name: "failed", column: "FAILED", figure: func(_ *report.Document, r *report.Destination) (float64, bool) {
		return float64(r.Failures()), true
	}},
	{name: "lifetime", column: "LIFE", figure: func(_ *report.Document, r *report.Destination) (float64, bool) {
		return decimal(r.Lifetime.P50)
	}},
}

func decimal(d *report.Decimal) (float64, bool) {
	if d == nil {
		return 0, false
	}
	return float64(*d), true
}

func newList(o Options) list {
	l := list{options: o, orders: orders}
	if o.Sort != "" {
		name := strings.TrimPrefix(o.Sort, "-")
		l.orders = append([]order{{name: name, field: name}}, orders...)
		l.reversed = name == o.Sort
	}
	return l
}

// use takes the rows of another document.
func (l *list) use(d *report.Document) {
	l.document = d
	l.arrange()
}

// arrange filters and orders the rows, and finds the chosen one again.
func (l *list) arrange() {
	if l.document == nil {
		return
	}
	words := strings.ToLower(l.filter)
	l.rows = l.rows[:0]
	for i := range l.document.Destinations {
		if r := &l.document.Destinations[i]; words == "" || strings.Contains(l.haystack(r), words) {
			l.rows = append(l.rows, r)
		}
	}
	l.sort(&l.orders[l.order])
	if l.options.Limit > 0 {
		l.rows = l.rows[:min(len(l.rows), l.options.Limit)]
	}
	l.find()
}

// haystack is what the filter is looked for in.
func (l *list) haystack(r *report.Destination) string {
	var b strings.Builder
	for _, s := range []string{
		r.Who(), r.Where(false), r.Where(true), r.Here(), verdictOf(r), r.Direction, r.Service.Comm, r.Service.Unit,
		r.Service.ContainerID, r.Service.Pod,
	} {
		b.WriteString(s)
		b.WriteByte('\n')
	}
	for name := range r.Failed {
		b.WriteString(name)
		b.WriteByte('\n')
	}
	return strings.ToLower(b.String())
}

func (l *list) sort(o *order) {
	switch {
	case o.figure != nil:
		l.sortByFigure(o)
	case o.field != "":
		compare := report.Compare(o.field)
		slices.SortStableFunc(l.rows, func(a, b *report.Destination) int {
			if l.reversed {
				return compare(a, b)
			}
			return compare(b, a)
		})
	case l.reversed:
		slices.Reverse(l.rows)
	}
}

func (l *list) sortByFigure(o *order) {
	type figured struct {
		row   *report.Destination
		of    float64
		known bool
	}
	all := make([]figured, len(l.rows))
	for i, r := range l.rows {
		all[i].row = r
		all[i].of, all[i].known = o.figure(l.document, r)
	}
	slices.SortStableFunc(all, func(a, b figured) int {
		switch {
		case a.known != b.known && a.known:
			return -1
		case a.known != b.known:
			return 1
		case l.reversed:
			return cmp.Compare(a.of, b.of)
		}
		return cmp.Compare(b.of, a.of)
	})
	for i := range all {
		l.rows[i] = all[i].row
	}
}

// find chooses the row that was chosen, or what stands at its place now.
func (l *list) find() {
	if !l.pinned {
		l.at = 0
	}
	if i := slices.IndexFunc(l.rows, func(r *report.Destination) bool { return r.ID == l.chosen }); l.pinned && i >= 0 {
		l.at = i
		return
	}
	l.at = min(max(l.at, 0), max(len(l.rows)-1, 0))
	if len(l.rows) > 0 {
		l.chosen = l.rows[l.at].ID
	}
}

// row is the chosen one; nil: there are none.
func (l *list) row() *report.Destination {
	if l.at >= len(l.rows) {
		return nil
	}
	return l.rows[l.at]
}

// move goes by rows down, or up. Whoever goes to the top sees what is worst from then on, whichever row that is.
func (l *list) move(by int) {
	if len(l.rows) == 0 {
		return
	}
	l.at = min(max(l.at+by, 0), len(l.rows)-1)
	l.chosen, l.pinned = l.rows[l.at].ID, l.at > 0
}

// window is the part of the rows that n lines show, with the chosen one in it.
func (l *list) window(n int) []*report.Destination {
	l.first = min(l.first, max(len(l.rows)-n, 0))
	if l.at < l.first {
		l.first = l.at
	}
	if l.at >= l.first+n {
		l.first = l.at - n + 1
	}
	return l.rows[l.first:min(l.first+n, len(l.rows))]
}

func (l *list) next() {
	l.order, l.reversed = (l.order+1)%len(l.orders), false
	l.arrange()
}

func (l *list) reverse() {
	l.reversed = !l.reversed
	l.arrange()
}

// sortWords say how the rows are ordered.
func (l *list) sortWords() string {
	if l.reversed {
		return l.orders[l.order].name + " ↑"
	}
	return l.orders[l.order].name + " ↓"
}

// maxFilter bounds what can be typed, in bytes.
const maxFilter = 200

// write adds typed text to the filter.
func (l *list) write(text string) {
	text = strings.Map(func(r rune) rune {
		if event.Printable(string(r)) != string(r) {
			return -1
		}
		return r
	}, text)
	if len(l.filter)+len(text) <= maxFilter {
		l.set(l.filter + text)
	}
}

func (l *list) set(filter string) {
	l.filter = filter
	l.arrange()
}

// erase takes the last character away.
func (l *list) erase() {
	_, n := utf8.DecodeLastRuneInString(l.filter)
	l.set(l.filter[:len(l.filter)-n])
}

func verdictOf(r *report.Destination) string {
	if r.Verdict.Name == nil {
		return "-"
	}
	return *r.Verdict.Name
}
