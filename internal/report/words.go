package report

import (
	"strings"
	"time"
)

// What is below lets other views of a document use the same words for the same figures as columns do.

// Number writes n in at most six characters.
func Number(n uint64) string { return short(n) }

// Known is Number of n, "-" when it was not measured.
func Known(n *uint64) string { return held(n) }

// Rate writes how many there were per second, "-" when that was not measured.
func Rate(perSecond *Decimal) string { return rateText(perSecond) }

// Significant writes v, not negative, in three digits or so.
func Significant(v float64) string { return significant(v) }

// Seconds writes a duration, "-" when it was not measured.
func Seconds(s *Decimal) string { return durationOf(s) }

// Duration writes d in at most six characters: "3.1ms", "3m05s", "5h12m".
func Duration(d time.Duration) string { return duration(d) }

// Cells is how many columns of a terminal s takes.
func Cells(s string) int { return cells(s) }

// Shorten keeps the ends of s, which tell names apart best, in width cells.
func Shorten(s string, width int) string { return shorten(s, width) }

// Pad fills s up to width cells with blanks: behind it, or before it when right.
func Pad(s string, width int, right bool) string { return pad(s, width, right) }

// Wrapped breaks text at blanks, behind first, so that its lines fit in width cells; further lines begin with rest.
func Wrapped(width int, first, rest, text string) []string {
	var b strings.Builder
	wrap(&b, width, first, rest, text)
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// Length is how long the window was.
func (w *Window) Length() string { return w.length() }

// At is t in a place's clock time.
func (t Time) At(place *time.Location) time.Time { return time.Unix(0, int64(t)).In(place) }

// Sentence says what is missing and whether totals are exact. There is always something to say.
func (l *Loss) Sentence() string { return l.sentence() }

// Notes say what the figures rest on, where that is less than it could be.
func (d *Document) Notes() []string { return d.notes() }

// Nothing says why there are no rows.
func (d *Document) Nothing() string { return d.nothing() }

// Who is the service's name, behind its host where the document is of several.
func (d *Destination) Who() string { return whose(d.Host, &d.Service) }

// Where is the remote end, by name when there is one and numeric is not asked for.
func (d *Destination) Where(numeric bool) string { return d.shown(&Options{Numeric: numeric}) }

// Here is this host's end.
func (d *Destination) Here() string { return d.localPlace() }

// Failures counts failed connects, whatever the error.
func (d *Destination) Failures() uint64 { return d.failed() }

// Errors are the names in Failed, most frequent first.
func (d *Destination) Errors() []string { return d.errors() }

// Harm is the severity of what the row does to this host, by which rows are ordered; "" when it does none.
func (d *Destination) Harm() string {
	switch d.harm.level {
	case 4, 3:
		return Critical
	case 2, 1:
		return Warning
	}
	return ""
}

// Word says who closed first in nine of ten cases.
func (c *ClosedBy) Word() string { return c.word() }

// Percent is how much of the range is taken. It never says 100 where a port is left, nor 0 where one is taken.
func (p *Port) Percent() string { return p.percent() }

// Left says when no port will be left: "now", "never", "3m05s"; "-" when that is not known.
func (p *Port) Left() string { return p.exhaustedIn() }

// Need is the severity of how few ports are left; "" when there are enough.
func (p *Port) Need() string {
	switch {
	case p.Exhausted > 0, p.Needed() >= nearlyGoneShare:
		return Critical
	case p.Needed() >= tightShare:
		return Warning
	}
	return ""
}

// States are the names in ByState, most ports first.
func (p *Port) States() []string { return p.states() }

// Compare returns how two rows compare by a field that [Document.SortBy] takes, ascending; nil for another.
func Compare(field string) func(a, b *Destination) int { return fields[field] }
