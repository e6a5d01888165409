package diff

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// Options choose how columns are written.
type Options struct {
	Width int // of sentences, 0: any
	Color bool
}

// The escape sequences of colours.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	plain  = "\x1b[0m"
)

var colors = map[Result]string{Better: green, Worse: red, CannotTell: yellow}

// WriteColumns writes d for people: the result in one sentence, what to know about it, then the rows side by side.
func WriteColumns(w io.Writer, d *Document, o Options) error {
	var b strings.Builder
	wrap(&b, o.Width, "  ", d.Summary)
	fmt.Fprintf(&b, "  before  %s\n  after   %s\n", &d.Before, &d.After)
	for _, n := range d.Notes {
		wrap(&b, o.Width, "    ", "  note: "+n)
	}
	for i := range d.Rows {
		d.Rows[i].write(&b, &o)
	}
	if text := d.omitted(); text != "" {
		b.WriteByte('\n')
		wrap(&b, o.Width, "  ", text)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// String says what a report is of: "a.tcps: web-1, 10.0 s from 2026-11-22T10:00:00Z".
func (s *Source) String() string {
	seconds := report.Decimal(s.Window.Seconds)
	from := moment(s.Window.Start)
	return fmt.Sprintf("%s: %s, %s from %s", shorten(s.File, 60), shorten(s.Host, 40), length(&seconds), from)
}

func (r *Row) write(b *strings.Builder, o *Options) {
	fmt.Fprintf(b, "\n%s  %s%s\n", paint(o, r.Result, strings.ToUpper(r.Result.words())), r.title(), r.work())
	lines := r.lines()
	head := line{name: "", before: "BEFORE", after: "AFTER", change: "CHANGE"}
	var name, before, after, change int
	for _, l := range append(lines, head) {
		name, before = max(name, cells(l.name)), max(before, cells(l.before))
		after, change = max(after, cells(l.after)), max(change, cells(l.change))
	}
	for i, l := range append([]line{head}, lines...) {
		text := "  " + pad(l.name, name, false) + "  " + pad(l.before, before, true) +
			"  " + pad(l.after, after, true) + "  " + pad(l.change, change, i > 0)
		if l.result != "" {
			text += "  " + paint(o, l.result, l.result.words())
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	if r.Result == CannotTell {
		for _, why := range r.Reasons {
			wrap(b, o.Width, "    ", "  "+why)
		}
	}
}

// work says when there was other work to do, and what that means.
func (r *Row) work() string {
	if r.WorkRatio == nil || *r.WorkRatio <= otherWork && *r.WorkRatio >= 1.0/otherWork {
		return ""
	}
	return fmt.Sprintf(" (%s times the exchanges a second: compared for the same number of them)", decimal(r.WorkRatio))
}

func (r Result) words() string { return strings.ReplaceAll(string(r), "-", " ") }

// omitted counts the rows that are not shown.
func (d *Document) omitted() string {
	if d.RowsOmitted == 0 {
		return ""
	}
	c := &d.Counts
	var all []string
	for _, part := range []struct {
		n    int
		what string
	}{
		{c.Worse, "worse"}, {c.Better, "better"}, {c.Same, "the same"}, {c.CannotTell, "cannot be told"},
		{c.OnlyBefore, "only in BEFORE"}, {c.OnlyAfter, "only in AFTER"},
	} {
		if part.n > 0 {
			all = append(all, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	rows := form.Count(uint64(d.RowsOmitted), "row")
	return rows + " not shown (--all, --limit 0). In all: " + strings.Join(all, ", ") + "."
}

func paint(o *Options, r Result, text string) string {
	if c := colors[r]; o.Color && c != "" {
		return c + text + plain
	}
	return text
}

func cells(s string) int { return utf8.RuneCountInString(s) }

// pad fills s up to width with blanks: behind it, or before it when right.
func pad(s string, width int, right bool) string {
	blanks := strings.Repeat(" ", max(width-cells(s), 0))
	if right {
		return blanks + s
	}
	return s + blanks
}

// wrap writes text in lines of width where it has blanks; those after the first begin with rest.
func wrap(b *strings.Builder, width int, rest, text string) {
	used := 0
	for i, word := range strings.Split(text, " ") {
		n := cells(word)
		switch {
		case i == 0:
		case width > 0 && used+1+n > width:
			b.WriteString("\n" + rest)
			used = cells(rest)
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	b.WriteByte('\n')
}
