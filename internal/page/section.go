package page

import (
	"math"
	"time"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// section is all that the page has of one row.
type section struct {
	*row
	Histogram *chart // nil: the row has no charts, or nothing has ended
	Figures   []fact
}

func (v *view) section(r *row) section {
	s := section{row: r, Figures: r.figures()}
	if r.Charts != nil && len(r.Charts.Lifetimes) > 0 {
		s.Histogram = lifetimes(r)
	}
	return s
}

// figures are the numbers that the table has no room for.
func (r *row) figures() []fact {
	o, w := &r.Open, &r.TimeWait
	return known([]fact{
		{"Opened", form.Grouped(r.Opened)}, {"Closed", form.Grouped(r.Closed)},
		{"Per second", report.Rate(r.OpenedRate)},
		{"Open at the end", form.Grouped(o.Now)}, {"Open at most", form.Grouped(o.Peak)},
		{"Opened before the window", some(o.Preexisting)},
		{"Connects under way", aged(o.Connecting, o.Oldest)}, {"In CLOSE_WAIT", aged(o.CloseWait, o.OldestCloseWait)},
		{"TIME_WAITs made", form.Grouped(w.Entered)}, {"TIME_WAITs held at the end", count(w.Now)},
		{"TIME_WAITs that the kernel refused", some(w.Overflowed)}, {"TIME_WAITs held before the window", some(w.Existing)},
		{"Bytes sent", form.Grouped(r.Sent)}, {"Bytes received", form.Grouped(r.Received)},
		{"Exchanges", form.Grouped(r.Exchanges.Total)}, {"Exchanges of a connection, median", report.Rate(r.Exchanges.P50)},
		{"Events without details", some(r.DetailsLost)},
	})
}

// some leaves a count out that is nothing to talk about.
func some(n uint64) string {
	if n == 0 {
		return ""
	}
	return form.Grouped(n)
}

// aged is a count with the age of the oldest.
func aged(n uint64, oldest *report.Decimal) string {
	if n == 0 || oldest == nil {
		return some(n)
	}
	return form.Grouped(n) + ", the oldest for " + report.Seconds(oldest)
}

// Lives are the quantiles of a row.
func (r *row) Lives() []quantiles {
	return []quantiles{{"Lifetime", r.Lifetime}, {"To connect", r.Connect}}
}

type quantiles struct {
	Name string
	report.Quantiles
}

// lifetimes is a histogram over a logarithmic axis, with the quantiles that the document has.
func lifetimes(r *row) *chart {
	buckets := r.Charts.Lifetimes
	first := least(buckets)
	x := logScale(first, float64(buckets[len(buckets)-1].Below))
	var most, all uint64
	for i := range buckets {
		most, all = max(most, buckets[i].Count), all+buckets[i].Count
	}
	ticks, y := ticksUp(float64(most), 1)
	c := &chart{Title: "Lifetimes", YTicks: ticks}
	c.frame(x.ticks())
	var edges, lower, upper []float64
	at := math.Inf(-1)
	for i := range buckets {
		b := &buckets[i]
		from, to := x.at(max(float64(b.Least), first)), x.at(max(float64(b.Below), first))
		if from > at+0.05 && len(edges) > 0 { // nothing in between
			edges, lower, upper = append(edges, at), append(lower, plotBottom), append(upper, plotBottom)
		}
		edges, lower, upper = append(edges, from), append(lower, plotBottom), append(upper, y.at(float64(b.Count)))
		at = to
	}
	c.Layers = []layer{{"life", outline(append(edges, at), lower, upper)}}
	c.Words = "Lifetimes of connections, on a logarithmic axis."
	for i, q := range []struct {
		name string
		at   *report.Decimal
	}{{"p50", r.Lifetime.P50}, {"p90", r.Lifetime.P90}, {"p99", r.Lifetime.P99}} {
		if q.at == nil {
			continue
		}
		where := x.at(max(float64(*q.at), first))
		m := mark{Class: q.name, At: coordinate(where), Text: q.name + " " + report.Seconds(q.at), Anchor: "start"}
		m.Row = coordinate(plotTop - 10 + 13*float64(i))
		if where > (plotLeft+plotRight)/2 {
			m.Anchor = "end"
		}
		c.Marks = append(c.Marks, m)
		c.Words += " " + q.name + " " + report.Seconds(q.at) + "."
	}
	c.Peak = form.Count(all, "ended connection")
	return c
}

// least is where the axis begins: a tenth of the first bucket's end where that begins with nothing.
func least(buckets []report.Bucket) float64 {
	if b := &buckets[0]; b.Least <= 0 {
		return max(float64(b.Below)/10, 1e-9)
	}
	return float64(buckets[0].Least)
}

// logAxis goes over whole powers of ten where it can.
type logAxis struct{ scale }

// logScale leaves some room at both ends.
func logScale(from, to float64) *logAxis {
	to = max(to, from*1.01)
	low, high := math.Log10(from), math.Log10(to)
	if room := 1 - (high - low); room > 0 { // no less than a factor of ten
		low, high = low-room/2, high+room/2
	}
	return &logAxis{scale{low, high, plotLeft, plotRight}}
}

func (a *logAxis) at(seconds float64) float64 { return a.scale.at(math.Log10(seconds)) }

// ticks are powers of ten, and where there are few of them, their multiples by 2 and 5.
func (a *logAxis) ticks() []tick {
	factors := []float64{1}
	switch decades := a.most - a.least; {
	case decades < 1.5:
		factors = []float64{1, 2, 5}
	case decades < 3:
		factors = []float64{1, 3}
	}
	step := 1
	if a.most-a.least > 7 {
		step = 2
	}
	var ticks []tick
	for power := int(math.Floor(a.least)); power <= int(math.Ceil(a.most)); power += step {
		for _, k := range factors {
			seconds := k * math.Pow10(power)
			if where := a.at(seconds); where >= plotLeft-0.1 && where <= plotRight+0.1 {
				ticks = append(ticks, tick{At: coordinate(where), Text: brief(seconds)})
			}
		}
	}
	return ticks
}

// brief writes a round duration: "2 ms", "50 s", "3 h".
func brief(seconds float64) string {
	d := time.Duration(math.Round(seconds * 1e9))
	switch {
	case d < time.Microsecond:
		return grouped(float64(d)) + " ns"
	case d < time.Millisecond:
		return coordinate(float64(d)/1e3) + " µs"
	case d < time.Second:
		return coordinate(float64(d)/1e6) + " ms"
	}
	return grouped(d.Seconds()) + " s"
}
