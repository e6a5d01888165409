package diff

import (
	"slices"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// line is one figure, side by side.
type line struct {
	name, before, after string
	change              string
	result              Result // "": this figure decides nothing
}

// lines are the row's figures for people. What neither side has is left out.
func (r *Row) lines() []line {
	a, b := r.Before, r.After
	if a == nil {
		a = new(Figures)
	}
	if b == nil {
		b = new(Figures)
	}
	l := lister{row: r, a: a, b: b}
	l.text("verdict", VerdictFigure, func(f *Figures) string { return shorten(value(f.Verdict), 24) })
	decides := ConnectionsFigure
	if a.PerThousand != nil && b.PerThousand != nil {
		decides = ""
	}
	l.number("new connections/s", decides, func(f *Figures) *report.Decimal { return f.OpenedRate })
	l.number("  for 1,000 exchanges", ConnectionsFigure, func(f *Figures) *report.Decimal { return f.PerThousand })
	l.number("exchanges/s", "", func(f *Figures) *report.Decimal { return f.ExchangeRate })
	l.number("exchanges/connection", "", func(f *Figures) *report.Decimal { return f.PerConnection })
	l.text("a pool would save", "", func(f *Figures) string { return share(f.Avoidable) })
	l.text("open at most", "", func(f *Figures) string { return form.Commas(strconv.FormatUint(f.Open.Peak, 10)) })
	l.text("lifetime, median", "", func(f *Figures) string { return length(f.Lifetime.P50) })
	l.number("TIME_WAIT entered/s", TimeWaitFigure, func(f *Figures) *report.Decimal { return f.TimeWait.EnteredRate })
	l.text("TIME_WAIT held", "", func(f *Figures) string { return held(f.TimeWait.Now) })
	l.failures()
	l.text("ports used", PortsUsedFigure, func(f *Figures) string {
		if f.Ports == nil {
			return "-"
		}
		return share(f.Ports.UsedRatio)
	})
	l.text("until no port is left", "", untilExhausted)
	return l.lines
}

// lister collects lines.
type lister struct {
	row   *Row
	a, b  *Figures
	lines []line
}

func (l *lister) text(name, decides string, of func(*Figures) string) {
	l.add(line{name: name, before: of(l.a), after: of(l.b)}, decides)
}

func (l *lister) number(name, decides string, of func(*Figures) *report.Decimal) {
	a, b := of(l.a), of(l.b)
	l.add(line{name: name, before: decimal(a), after: decimal(b), change: percentage(a, b)}, decides)
}

func (l *lister) add(n line, decides string) {
	if l.row.Before == nil {
		n.before = "-"
	}
	if l.row.After == nil {
		n.after = "-"
	}
	if nothing(n.before) && nothing(n.after) {
		return
	}
	if i := slices.IndexFunc(l.row.Changes, func(c Change) bool { return c.Figure == decides }); i >= 0 {
		n.result = l.row.Changes[i].Result
	}
	l.lines = append(l.lines, n)
}

func nothing(s string) bool { return s == "" || s == "-" }

// failures adds a line for each errno, and their sum where there are several beside EADDRNOTAVAIL.
func (l *lister) failures() {
	rate := func(name string) func(*Figures) *report.Decimal {
		return func(f *Figures) *report.Decimal {
			if f.seconds <= 0 {
				return nil
			}
			return ratio(float64(f.Failed[name]), f.seconds)
		}
	}
	names := l.a.errors()
	for _, name := range l.b.errors() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	decides := FailuresFigure
	if len(names) > 1 {
		l.number("failed connects/s", decides, func(f *Figures) *report.Decimal { return f.rate(f.failures()) })
		decides = ""
	}
	for _, name := range names {
		l.number("  "+shorten(name, 20)+"/s", decides, rate(name))
	}
	if l.a.Failed[noPort]+l.b.Failed[noPort] > 0 {
		l.number("  "+noPort+"/s", NoPortFigure, rate(noPort))
	}
}

func held(n *uint64) string {
	if n == nil {
		return "-"
	}
	return form.Commas(strconv.FormatUint(*n, 10))
}

// untilExhausted is "never" where it is known that the ports last.
func untilExhausted(f *Figures) string {
	switch {
	case f.Ports == nil || f.Ports.UsedRatio == nil:
		return "-"
	case f.Ports.Seconds == nil:
		return "never"
	}
	return length(f.Ports.Seconds)
}
