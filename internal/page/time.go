package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// card is a row over time.
type card struct {
	*row
	Charts []chart
	// Missing says which charts there are not, and why.
	Missing []string
	Shared  string // who draws on the budget of ports, where there are several
	Beyond  bool   // more ports are counted than there are
	Columns []string
	Steps   []step
	Step    string
}

// step is a line of the table behind the charts.
type step struct {
	At    string
	Cells []string
}

// patterns is how many kinds of areas can be told apart.
const patterns = 7

// pattern is the class of the area of an errno, the same in all charts of a page where there are not too many of them.
// One that another errno of the chart has is not used again.
func pattern(errors []string, name string, used map[int]bool) string {
	i := slices.Index(errors, name) % patterns
	for used[i] && len(used) < patterns {
		i = (i + 1) % patterns
	}
	used[i] = true
	return fmt.Sprintf("e%d", i)
}

func (v *view) layCards() {
	var charted []*row
	for i := range v.Rows {
		if r := &v.Rows[i]; r.Charts != nil && len(charted) < maxCharted {
			charted = append(charted, r)
		}
	}
	v.Errors = errorsOf(charted)
	for _, r := range charted {
		if c, ok := v.cardOf(r); ok {
			v.Cards = append(v.Cards, c)
		}
	}
}

// errorsOf are the errnos of rows, the most frequent first.
func errorsOf(rows []*row) []string {
	total := make(map[string]uint64)
	for _, r := range rows {
		for name, n := range r.Failed {
			total[name] += n
		}
	}
	return slices.SortedFunc(maps.Keys(total), func(a, b string) int {
		return cmp.Or(cmp.Compare(total[b], total[a]), strings.Compare(a, b))
	})
}

func (v *view) cardOf(r *row) (card, bool) {
	c := r.Charts
	t := courseOf(c.Start, c.StepSeconds, len(c.Opened), &v.Window)
	if t == nil {
		return card{}, false
	}
	one := card{row: r, Step: grouped(float64(c.StepSeconds)) + " s"}
	one.Charts = append(one.Charts, t.opened(r))
	if p := portsOf(r, t, &v.Window); p != nil {
		one.Charts = append(one.Charts, *p)
	} else {
		one.Missing = append(one.Missing, "TIME_WAIT is not drawn: its ends were not observed.")
	}
	if f := t.failed(r, v.Errors); f != nil {
		one.Charts = append(one.Charts, *f)
	} else {
		one.Charts = append(one.Charts, t.open(r))
		if r.Outbound() {
			one.Missing = append(one.Missing, "No connect failed.")
		}
	}
	one.budget()
	one.table(t)
	return one, true
}

// budget says what to know of the ports before the drawing is believed.
func (c *card) budget() {
	p := c.Port
	if p == nil || p.Charts == nil {
		return
	}
	if p.Capacity != nil && len(p.Charts.Used) > 0 {
		c.Beyond = slices.Max(p.Charts.Used) > uint64(max(*p.Capacity, 0))
	}
	if len(p.Services) > 1 {
		c.Shared = clip(strings.Join(p.Services, ", "))
	}
	if c.Shared != "" && p.ServicesOmitted > 0 {
		c.Shared += " and " + form.Count(p.ServicesOmitted, "more service")
	}
}

// opened is how many connections per second.
func (t *course) opened(r *row) chart {
	rates := t.rates(r.Charts.Opened)
	c := chart{Title: "New connections per second"}
	ticks, y := ticksUp(slices.Max(rates), 0)
	c.grow(t, "new", rates, ticks, y)
	c.Peak, c.Words = extremes(c.Title, rates, perSecond)
	return c
}

// open is how many connections were open.
func (t *course) open(r *row) chart {
	values := floats(r.Charts.Open, t.count)
	c := chart{Title: "Open connections as steps end"}
	ticks, y := ticksUp(slices.Max(values), 1)
	c.grow(t, "open", values, ticks, y)
	c.Peak, c.Words = extremes(c.Title, values, whole)
	return c
}

// grow draws one area.
func (c *chart) grow(t *course, class string, values []float64, ticks []tick, y scale) {
	c.YTicks = ticks
	c.Layers = []layer{{class, outline(t.edges(), flat(len(values), plotBottom), heights(values, &y))}}
	t.axis(c)
}

// failed stacks the failed connects of each errno; nil where there are none.
func (t *course) failed(r *row, errors []string) *chart {
	c := chart{Title: "Failed connects per second"}
	lower := make([]float64, t.count)
	type part struct {
		name         string
		lower, upper []float64
	}
	var parts []part
	for _, name := range errors {
		counts := r.Charts.Failed[name]
		if !slices.ContainsFunc(counts, func(n uint64) bool { return n > 0 }) {
			continue
		}
		upper := slices.Clone(lower)
		for i, rate := range t.rates(counts) {
			upper[i] += rate
		}
		parts = append(parts, part{name, lower, upper})
		lower = upper
	}
	if len(parts) == 0 {
		return nil
	}
	ticks, y := ticksUp(slices.Max(lower), 0)
	c.YTicks = ticks
	var words []string
	used := make(map[int]bool)
	for _, p := range parts {
		class := pattern(errors, p.name, used)
		c.Layers = append(c.Layers, layer{class, outline(t.edges(), heights(p.lower, &y), heights(p.upper, &y))})
		c.Legend = append(c.Legend, key{class, p.name, form.Grouped(r.Failed[p.name])})
		words = append(words, form.Grouped(r.Failed[p.name])+" "+p.name)
	}
	t.axis(&c)
	peak, sentence := extremes(c.Title, lower, perSecond)
	c.Peak, c.Words = peak, sentence+" In all: "+strings.Join(words, ", ")+"."
	return &c
}

// portsOf draws the ports of the row's budget against all that there are; without a budget the row's own TIME_WAITs.
func portsOf(r *row, t *course, w *report.Window) *chart {
	p := r.Port
	if p == nil || p.Charts == nil || len(p.Charts.Used) == 0 {
		return t.timeWait(r)
	}
	pt := courseOf(p.Charts.Start, p.Charts.StepSeconds, len(p.Charts.Used), w)
	if pt == nil {
		return t.timeWait(r)
	}
	c := &chart{Title: "Local ports used"}
	used := floats(p.Charts.Used, pt.count)
	y := c.against(p.Capacity, slices.Max(used))
	edges, bottom := pt.edges(), flat(pt.count, plotBottom)
	c.Layers = []layer{{"used", outline(edges, bottom, heights(used, &y))}}
	c.Legend = []key{{"used", "ports used", ""}}
	if p.Charts.TimeWait != nil {
		held := floats(p.Charts.TimeWait, pt.count)
		c.Layers = append(c.Layers, layer{"tw", outline(edges, bottom, heights(held, &y))})
		c.Legend = append(c.Legend, key{"tw", "of them by TIME_WAITs", ""})
	}
	pt.axis(c)
	c.Peak, c.Words = extremes(c.Title, used, whole)
	c.of(p.Capacity)
	if p.Charts.TimeWait != nil {
		_, held := extremes("By TIME_WAITs", floats(p.Charts.TimeWait, pt.count), whole)
		c.Words += " " + held
	}
	return c
}

// timeWait is the row's own TIME_WAITs; nil where they were not observed.
func (t *course) timeWait(r *row) *chart {
	if r.Charts.TimeWait == nil {
		return nil
	}
	c := &chart{Title: "TIME_WAITs held here"}
	held := floats(r.Charts.TimeWait, t.count)
	var capacity *int
	if r.Port != nil {
		capacity = r.Port.Capacity
	}
	y := c.against(capacity, slices.Max(held))
	c.Layers = []layer{{"tw", outline(t.edges(), flat(t.count, plotBottom), heights(held, &y))}}
	t.axis(c)
	c.Peak, c.Words = extremes(c.Title, held, whole)
	c.of(capacity)
	return c
}

// against scales a chart to the ports there are, with lines at all and at half of them; where that is not known, to
// what there is.
func (c *chart) against(capacity *int, most float64) scale {
	if capacity == nil || *capacity <= 0 {
		ticks, y := ticksUp(most, 1)
		c.YTicks = ticks
		return y
	}
	all := float64(*capacity)
	y := upTo(max(all, most) * 1.02)
	half, full := coordinate(y.at(all/2)), coordinate(y.at(all))
	c.YTicks = []tick{
		{At: coordinate(y.at(0)), Text: "0"}, {At: half, Text: grouped(all / 2)},
		{At: full, Text: form.Grouped(*capacity)},
	}
	c.Lines = []mark{{Class: "half", At: half, Text: "50 %"}, {Class: "full", At: full, Text: "100 %"}}
	return y
}

// of says what the peak is to be compared with.
func (c *chart) of(capacity *int) {
	if capacity == nil {
		c.Words += " How many there are is not known."
		return
	}
	c.Peak += " of " + form.Grouped(*capacity)
	c.Words += " There are " + form.Grouped(*capacity) + "."
}

// whole writes a count, perSecond a rate.
func whole(v float64) string { return form.Grouped(uint64(v)) }

func perSecond(v float64) string {
	rate := report.Decimal(v)
	return report.Rate(&rate)
}

// extremes says the largest value, and the least, the largest and the last one in a sentence.
func extremes(what string, values []float64, write func(float64) string) (peak, words string) {
	most := write(slices.Max(values))
	words = fmt.Sprintf("%s: at least %s, at most %s, %s at the end.", what, write(slices.Min(values)), most,
		write(values[len(values)-1]))
	return "at most " + most, words
}

// table lays the numbers behind the charts out, as the document has them.
func (c *card) table(t *course) {
	layout := "15:04:05"
	if t.ends > 86400 {
		layout = "01-02 15:04:05"
	}
	type series struct {
		name   string
		values []uint64
	}
	ch := c.row.Charts
	all := []series{{"Opened", ch.Opened}, {"Closed", ch.Closed}, {"Open", ch.Open}, {"TIME_WAIT", ch.TimeWait}}
	for _, name := range c.Errors() {
		all = append(all, series{name, ch.Failed[name]})
	}
	if p := c.Port; p != nil && p.Charts != nil && len(p.Charts.Used) == t.count {
		all = append(all, series{"Ports used", p.Charts.Used})
	}
	all = slices.DeleteFunc(all, func(s series) bool { return len(s.values) != t.count || slices.Max(s.values) == 0 })
	for _, s := range all {
		c.Columns = append(c.Columns, s.name)
	}
	for i := range t.count {
		at := t.start.Add(time.Duration(float64(i) * t.step * float64(time.Second)))
		line := step{At: at.Format(layout), Cells: make([]string, len(all))}
		for j, s := range all {
			line.Cells[j] = form.Grouped(s.values[i])
		}
		c.Steps = append(c.Steps, line)
	}
}

func floats(values []uint64, n int) []float64 {
	all := make([]float64, n)
	for i := range min(n, len(values)) {
		all[i] = float64(values[i])
	}
	return all
}

func flat(n int, v float64) []float64 {
	return slices.Repeat([]float64{v}, n)
}

func heights(values []float64, y *scale) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = y.at(v)
	}
	return all
}
