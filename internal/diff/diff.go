package diff

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tcpstate/tcpstate/internal/report"
)

// Input is a report, and the name of the file that it comes from.
type Input struct {
	File   string
	Report *report.Document
}

// minWindow is the shortest window that is compared: 5 s, less what a timer may be early.
const minWindow = 4.95

// Compare compares the outbound rows of two reports.
func Compare(before, after Input) *Document {
	d := &Document{Schema: Schema, Notes: []string{}, Before: sourceOf(before), After: sourceOf(after), Rows: []Row{}}
	b, othersBefore := outbound(before.Report)
	a, othersAfter := outbound(after.Report)
	pairs := match(b, a)
	blanket := d.unusable()
	j := newJudge(matched(pairs))
	for _, p := range pairs {
		r := Row{
			Before:  figuresOf(before.Report, p.before, d.Before.EventsMissing),
			After:   figuresOf(after.Report, p.after, d.After.EventsMissing),
			Changes: []Change{},
		}
		if r.Before.idle() && r.After.idle() {
			continue // TIME_WAITs of earlier connections, at most
		}
		r.identify(p)
		r.decide(j, blanket)
		d.Rows = append(d.Rows, r)
	}
	d.moved()
	d.count()
	d.conclude(blanket)
	d.sort()
	d.note(before.Report, after.Report, othersBefore+othersAfter)
	return d
}

func sourceOf(in Input) Source {
	r := in.Report
	return Source{
		File: clean(in.File), Host: clean(r.Host.Name), Kernel: clean(r.Host.Kernel), Window: r.Window,
		Filter: clean(r.Filter.Expression), TotalsExact: r.Loss.TotalsExact, EventsMissing: missing(&r.Loss),
	}
}

// missing is how many events the totals lack, at most; nil: nobody knows.
func missing(l *report.Loss) *uint64 {
	var n uint64
	if l.TotalsExact {
		return &n
	}
	for _, more := range []uint64{
		l.EventsUnassigned, l.SocketsEvicted, l.RecursionLost, l.EndsUnseen, l.EventsRepeated,
	} {
		n = sum(n, more)
	}
	switch c := l.Capture; {
	case c != nil && c.EventsMissing == nil, c == nil && n == 0:
		return nil
	case c != nil:
		n = sum(n, *c.EventsMissing)
	}
	return &n
}

// unusable says why nothing at all can be told, "" when something can.
func (d *Document) unusable() string {
	for _, s := range []struct {
		name string
		*Source
	}{{"BEFORE", &d.Before}, {"AFTER", &d.After}} {
		switch {
		case s.Window.Seconds < minWindow:
			return fmt.Sprintf("the window of %s is %s: less than 5 s is not enough", s.name, length(&s.Window.Seconds))
		case s.EventsMissing == nil:
			return fmt.Sprintf("%s is not whole, and nobody knows how many events are missing", s.name)
		}
	}
	return ""
}

func matched(pairs []pair) (n int) {
	for _, p := range pairs {
		if len(p.before) > 0 && len(p.after) > 0 {
			n++
		}
	}
	return n
}

// identify names the row as the newer report does.
func (r *Row) identify(p pair) {
	rows := p.after
	if len(rows) == 0 {
		rows = p.before
	}
	s, dst := &rows[0].Service, rows[0].Dst
	r.Service = Service{Name: clean(lasting(s)), Kind: clean(s.Kind), Unit: clean(s.Unit)}
	if dst.Addr != nil {
		addr := clean(*dst.Addr)
		dst.Addr = &addr
	}
	dst.Name = clean(dst.Name)
	r.Dst = dst
}

func (r *Row) decide(j judge, blanket string) {
	r.Result = CannotTell
	switch {
	case r.Before == nil:
		r.Reasons = []string{"only in AFTER: " + verdictText(r.After)}
	case r.After == nil:
		r.Reasons = []string{"only in BEFORE: " + verdictText(r.Before)}
	case blanket != "":
		r.Reasons = []string{blanket}
	case r.After.idle():
		r.Reasons = []string{"idle after: nothing was connected and nothing used"}
	case r.Before.idle():
		r.Reasons = []string{"idle before: nothing was connected and nothing used"}
	default:
		r.Changes = j.changes(r.Before, r.After)
		r.Result, r.Reasons = outcomeOf(r.Changes)
		r.WorkRatio = workRatio(r.Before, r.After)
	}
}

// otherWork is how many times as much work is no longer the same.
const otherWork = 2

// workRatio compares the exchanges a second.
func workRatio(a, b *Figures) *report.Decimal {
	if a.ExchangeRate == nil || b.ExchangeRate == nil {
		return nil
	}
	return ratio(float64(*b.ExchangeRate), float64(*a.ExchangeRate))
}

// moved says of a row that is gone where its service connects now and did not before.
func (d *Document) moved() {
	fresh := make(map[string]string)
	for i := range d.Rows {
		if r := &d.Rows[i]; r.Before == nil && fresh[r.Service.Name] == "" {
			fresh[r.Service.Name] = place(&r.Dst)
		}
	}
	for i := range d.Rows {
		r := &d.Rows[i]
		if to := fresh[r.Service.Name]; r.After == nil && to != "" {
			r.Reasons = append(r.Reasons, r.Service.Name+" connects to "+to+" now, and did not before: has it moved?")
		}
	}
}

func (d *Document) count() {
	for i := range d.Rows {
		switch r := &d.Rows[i]; {
		case r.After == nil:
			d.Counts.OnlyBefore++
		case r.Before == nil:
			d.Counts.OnlyAfter++
		case r.Result == Better:
			d.Counts.Better++
		case r.Result == Worse:
			d.Counts.Worse++
		case r.Result == Same:
			d.Counts.Same++
		default:
			d.Counts.CannotTell++
		}
	}
}

// compared is how many rows both reports have.
func (c *Counts) compared() int { return c.Better + c.Worse + c.Same + c.CannotTell }

// conclude finds the result of all.
func (d *Document) conclude(blanket string) {
	c := &d.Counts
	switch {
	case blanket != "":
		d.Result = CannotTell
	case c.Worse > 0:
		d.Result = Worse
	case c.Better > 0:
		d.Result = Better
	case c.Same > 0:
		d.Result = Same
	default:
		d.Result = CannotTell
	}
	d.ExitCode = d.Result.ExitCode()
	d.Summary = d.summary(blanket)
}

// order of the rows: what should be looked at first.
func (r *Row) order() int {
	switch {
	case r.Result == Worse:
		return 0
	case r.Result == Better:
		return 1
	case r.alarming():
		return 2
	case r.Result == Same:
		return 3
	case r.Before != nil && r.After != nil:
		return 4
	case r.After != nil:
		return 5
	}
	return 6
}

// busy is how much there was to see of the row.
func (r *Row) busy() uint64 { return max(r.Before.busy(), r.After.busy()) }

// alarming: the row is new, and it should not be as it is.
func (r *Row) alarming() bool {
	return r.Before == nil && (rank[value(r.After.Verdict)] == 1 || r.After.Failed[noPort] > 0)
}

func (d *Document) sort() {
	slices.SortStableFunc(d.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.order(), b.order()), cmp.Compare(b.busy(), a.busy()))
	})
}

// Select keeps the rows that are to be shown: those that changed, or that are new and alarming, or all; and where none
// did, the busiest that was compared. Of these the first limit, 0: all.
func (d *Document) Select(all bool, limit int) {
	n := len(d.Rows)
	if !all {
		n = 0
		for n < len(d.Rows) && d.Rows[n].order() <= 2 {
			n++
		}
		if n == 0 && d.Counts.compared() > 0 {
			n = 1 // what is the same or cannot be told comes before what is in one report only
		}
	}
	if limit > 0 {
		n = min(n, limit)
	}
	d.RowsOmitted = len(d.Rows) - n
	d.Rows = d.Rows[:n]
}
