package diff

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// summary is the result in one sentence.
func (d *Document) summary(blanket string) string {
	c := &d.Counts
	switch d.Result {
	case Better:
		return "better: " + d.first(Better) + andOthers(c.Better-1, "is better", "are better") + "; nothing is worse"
	case Worse:
		return "worse: " + d.first(Worse) + andOthers(c.Worse-1, "is worse", "are worse") +
			andOthers(c.Better, "is better", "are better")
	case Same:
		return fmt.Sprintf("no change: nothing differs beyond noise in %s", compared(c.Same)) +
			andOthers(c.CannotTell, "cannot be told", "cannot be told")
	}
	switch {
	case blanket != "":
		return "cannot tell: " + blanket
	case c.compared() == 0:
		return "cannot tell: no service connects to the same destination in both"
	}
	return "cannot tell: " + d.first(CannotTell) + andOthers(c.CannotTell-1, "cannot be told", "cannot be told")
}

func compared(n int) string {
	if n == 1 {
		return "the one service and destination that was compared"
	}
	return fmt.Sprintf("%d services and destinations", n)
}

func andOthers(n int, one, many string) string {
	switch {
	case n <= 0:
		return ""
	case n == 1:
		return "; 1 more " + one
	}
	return fmt.Sprintf("; %d more %s", n, many)
}

// first describes the busiest row that came out so.
func (d *Document) first(result Result) string {
	var first *Row
	for i := range d.Rows {
		r := &d.Rows[i]
		if r.Result != result || r.Before == nil || r.After == nil {
			continue
		}
		if first == nil || r.busy() > first.busy() {
			first = r
		}
	}
	return first.title() + ": " + first.Reasons[0]
}

// title is "pgbench → 10.2.3.4:5432".
func (r *Row) title() string {
	name := shorten(r.Service.Name, 40)
	if r.Service.Unit != "" && r.Service.Unit != r.Service.Name {
		name += " (" + shorten(r.Service.Unit, 40) + ")"
	}
	return name + " → " + shorten(place(&r.Dst), 60)
}

// note writes down what to know before believing the result.
func (d *Document) note(before, after *report.Document, others int) {
	add := func(format string, args ...any) { d.Notes = append(d.Notes, fmt.Sprintf(format, args...)) }
	b, a := &d.Before, &d.After
	if s, e := b.Window.Start, a.Window.Start; s != nil && e != nil && *s > *e {
		add("BEFORE begins later than AFTER: are the two swapped?")
	}
	if b.Host != a.Host {
		add("the hosts differ: %q and %q", b.Host, a.Host)
	}
	if b.Filter != a.Filter {
		add("the filters differ: %q and %q", b.Filter, a.Filter)
	}
	for _, s := range []struct {
		name   string
		source *Source
		report *report.Document
	}{{"BEFORE", b, before}, {"AFTER", a, after}} {
		if n := s.source.EventsMissing; !s.source.TotalsExact && n != nil {
			add("%s lacks %s at most: what they could explain is called the same", s.name, form.Count(*n, "event"))
		}
		if n := s.report.DestinationsOmitted; n > 0 {
			add("%s leaves out %s (--limit)", s.name, form.Count(uint64(n), "row"))
		}
	}
	if others > 0 {
		add("what a full table counted together as %s is not compared", other)
	}
	d.noteRows(add)
}

// maxNoted is how many rows are noted by name.
const maxNoted = 5

func (d *Document) noteRows(add func(format string, args ...any)) {
	alarming, added, short := 0, false, false
	for i := range d.Rows {
		r := &d.Rows[i]
		if r.alarming() {
			if alarming++; alarming <= maxNoted {
				add("%s is new: %s", r.title(), verdictText(r.After))
			}
		}
		for _, f := range []*Figures{r.Before, r.After} {
			added = added || f != nil && f.Rows > 1
			short = short || f != nil && f.Ports != nil && f.seconds < timeWait
		}
	}
	if alarming > maxNoted {
		add("%d more are new and alarming", alarming-maxNoted)
	}
	if added {
		add("rows of one service were added up: the worst verdict stands, peaks are summed, lifetimes are not known together")
	}
	if short {
		add("ports and TIME_WAITs held at the end can be from before a window shorter than %d s: shown, not judged", timeWait)
	}
}

func verdictText(f *Figures) string {
	if f.Verdict == nil {
		return "no verdict"
	}
	return shorten(*f.Verdict, 24)
}

// maxText bounds what comes from a file.
const maxText = 200

// clean makes a text from a file harmless and bounded.
func clean(s string) string { return shorten(event.Printable(shorten(s, maxText)), maxText) }

// shorten keeps both ends of s, which tell names apart best.
func shorten(s string, width int) string {
	if len(s) <= width {
		return s
	}
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:(width-1)/2]) + "…" + string(r[len(r)-width/2:])
}

// number writes v, not negative, in three digits or so.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v >= 1e15:
		return strconv.FormatFloat(v, 'e', 2, 64)
	case v >= 99.95:
		return form.Commas(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.005:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v > 0:
		return "<0.01"
	}
	return "0"
}

func decimal(d *report.Decimal) string {
	if d == nil {
		return "-"
	}
	return number(float64(*d))
}

// share writes a ratio as a percentage.
func share(d *report.Decimal) string {
	if d == nil {
		return "-"
	}
	return number(100*float64(*d)) + " %"
}

// percentage is how b differs from a: "-99.9 %", "× 14"; "" where that says nothing.
func percentage(a, b *report.Decimal) string {
	if a == nil || b == nil || *a <= 0 {
		return ""
	}
	switch r := float64(*b) / float64(*a); {
	case r >= 10:
		return "× " + number(r)
	case r > 1:
		return "+" + number(100*(r-1)) + " %"
	case r < 1 && r > 0.99:
		return "-" + number(100*(1-r)) + " %"
	case r < 1:
		less := math.Floor(1000*(1-r)) / 10 // not 100 while anything is left
		return "-" + strings.TrimSuffix(strconv.FormatFloat(less, 'f', 1, 64), ".0") + " %"
	}
	return ""
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// length writes so many seconds.
func length(seconds *report.Decimal) string {
	if seconds == nil {
		return "-"
	}
	s := float64(*seconds)
	switch {
	case s < 0.001:
		return number(s*1e6) + " µs"
	case s < 1:
		return number(s*1e3) + " ms"
	}
	return number(s) + " s"
}

// moment writes when a window began.
func moment(t *report.Time) string {
	if t == nil {
		return "an unknown time"
	}
	return time.Unix(0, int64(*t)).UTC().Format(time.RFC3339)
}
