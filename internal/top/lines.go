package top

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// defaultLines is how many rows [Lines] writes at most.
const defaultLines = 20

// Lines writes an update for a pipe: a line for each of the worst rows, and one of totals. Each is the time and then
// key=value, always the same keys in the same order; a value with a blank, a quote or a = in it is quoted as in Go.
func Lines(w io.Writer, u Update, o Options) error {
	d := u.Document
	if d == nil {
		return nil
	}
	list := newList(o)
	list.use(d)
	limit := o.Limit
	if limit < 1 {
		limit = defaultLines
	}
	rows := list.rows[:min(len(list.rows), limit)]
	var b strings.Builder
	at := "-"
	if d.Window.End != nil {
		at = d.Window.End.At(o.location()).Format(time.RFC3339)
	}
	for _, r := range rows {
		pairs(&b, at, rowPairs(d, r, o.Numeric))
	}
	pairs(&b, at, totalPairs(d, len(rows), &u))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write lines: %w", err)
	}
	return nil
}

// pair is a key and its value, which is padded to width.
type pair struct {
	key, value string
	width      int
}

func rowPairs(d *report.Document, r *report.Destination, numeric bool) []pair {
	used, left := "-", "-"
	if p := d.PortOf(r); p != nil {
		if used, left = p.Percent(), p.Left(); p.UsedRatio != nil {
			used += "%"
		}
	}
	return []pair{
		{"new/s", report.Rate(r.OpenedRate), 6},
		{"open", report.Number(r.Open.Now), 6},
		{"time_wait", report.Known(r.TimeWait.Now), 6},
		{"ports", used, 4},
		{"gone_in", left, 6},
		{"failed", report.Number(r.Failures()), 6},
		{"life", report.Seconds(r.Lifetime.P50), 6},
		{"verdict", verdictOf(r), 15},
		{"direction", r.Direction, 8},
		{"service", r.Who(), 12},
		{"destination", r.Where(numeric), 21},
		{"local", r.Here(), 0},
		{"errors", errorList(r), 0},
	}
}

// errorList names all errors with their numbers, the most frequent first.
func errorList(r *report.Destination) string {
	names := r.Errors()
	if len(names) == 0 {
		return "-"
	}
	for i, n := range names {
		names[i] = n + ":" + strconv.FormatUint(r.Failed[n], 10)
	}
	return strings.Join(names, ",")
}

func totalPairs(d *report.Document, shown int, u *Update) []pair {
	t := totalsOf(d)
	now, kernel := "-", "-"
	if d.TimeWait != nil {
		now, kernel = report.Number(d.TimeWait.Now), report.Known(d.TimeWait.Kernel)
	}
	all := []pair{
		{"total_rows", strconv.Itoa(len(d.Destinations) + d.DestinationsOmitted), 0},
		{"shown", strconv.Itoa(shown), 0},
		{"opened_out", report.Number(t.out), 0},
		{"opened_in", report.Number(t.in), 0},
		{"failed", report.Number(t.failed), 0},
		{"open", report.Number(t.open), 0},
		{"time_wait", now, 0},
		{"kernel_time_wait", kernel, 0},
		{"window", d.Window.Length(), 0},
		{"lost", d.Loss.Sentence(), 0},
	}
	if u.Note != "" {
		all = append(all, pair{"note", event.Printable(u.Note), 0})
	}
	return all
}

func pairs(b *strings.Builder, at string, pairs []pair) {
	var l strings.Builder
	l.WriteString(at)
	for _, p := range pairs {
		l.WriteString(" " + p.key + "=" + report.Pad(quoted(p.value), p.width, false))
	}
	b.WriteString(strings.TrimRight(l.String(), " "))
	b.WriteByte('\n')
}

func quoted(value string) string {
	if value == "" || strings.ContainsAny(value, " \"=") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	return value
}
