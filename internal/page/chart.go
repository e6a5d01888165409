package page

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// Where a chart has its plot, in the units of its drawing.
const (
	plotLeft   = 46.0
	plotRight  = 378.0
	plotTop    = 20.0
	plotBottom = 148.0
)

// chart is one drawing, laid out.
type chart struct {
	Title, Peak string
	Words       string // the figures in words, for those who do not see it
	Layers      []layer
	YTicks      []tick
	XTicks      []tick
	Grid, Frame string // lines behind the layers, and the axis with its ticks
	Lines       []mark // labelled lines across the plot
	Marks       []mark // labelled lines up the plot
	Legend      []key
	Zone        string // what stands below the axis of time; "" for another axis
	// Local: the script may write the ticks in the reader's zone.
	Local bool
}

// layer is an area.
type layer struct{ Class, Path string }

type tick struct {
	At, Text string
	Unix     int64 // seconds; for the script
}

type mark struct{ Class, At, Text, Row, Anchor string }

// key is a line of the legend.
type key struct {
	Class, Name string
	Count       string
}

// coordinate writes v with a tenth.
func coordinate(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10+0, 'f', -1, 64)
}

// scale is linear from a range of values to the plot.
type scale struct{ least, most, from, to float64 }

func (s *scale) at(v float64) float64 {
	if s.most <= s.least {
		return s.from
	}
	return s.from + (s.to-s.from)*(v-s.least)/(s.most-s.least)
}

func upTo(most float64) scale { return scale{0, most, plotBottom, plotTop} }

// outline draws areas between two lines that go in steps; edges has one more than they have.
func outline(edges, lower, upper []float64) string {
	var b strings.Builder
	for i := 0; i < len(upper); {
		if coordinate(upper[i]) == coordinate(lower[i]) {
			i++
			continue
		}
		end := i
		for end < len(upper) && coordinate(upper[end]) != coordinate(lower[end]) {
			end++
		}
		writeArea(&b, edges[i:end+1], lower[i:end], upper[i:end])
		i = end
	}
	return b.String()
}

// writeArea goes to the right on the upper line and back on the lower one.
func writeArea(b *strings.Builder, edges, lower, upper []float64) {
	n := len(upper)
	b.WriteString("M" + coordinate(edges[0]) + " " + coordinate(lower[0]))
	for i := range n {
		if i == 0 || coordinate(upper[i]) != coordinate(upper[i-1]) {
			b.WriteString("V" + coordinate(upper[i]))
		}
		if i == n-1 || coordinate(upper[i]) != coordinate(upper[i+1]) {
			b.WriteString("H" + coordinate(edges[i+1]))
		}
	}
	for i := n - 1; i >= 0; i-- {
		if i == n-1 || coordinate(lower[i]) != coordinate(lower[i+1]) {
			b.WriteString("V" + coordinate(lower[i]))
		}
		if i == 0 || coordinate(lower[i-1]) != coordinate(lower[i]) {
			b.WriteString("H" + coordinate(edges[i]))
		}
	}
	b.WriteString("Z")
}

// niceStep is 1, 2 or 5 times a power of ten, so that some four of them reach most.
func niceStep(most float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, k := range []float64{1, 2, 5} {
		if k*power >= most/4 {
			return k * power
		}
	}
	return 10 * power
}

// ticksUp are those of a count or a rate, and the scale that ends with one of them. They are least apart, or more.
func ticksUp(most, least float64) ([]tick, scale) {
	if most <= 0 {
		most = 1
	}
	step := max(niceStep(most), least)
	s := upTo(step * math.Ceil(most/step-1e-9))
	var ticks []tick
	for i := 0; float64(i)*step <= s.most*1.0001; i++ {
		ticks = append(ticks, tick{At: coordinate(s.at(float64(i) * step)), Text: short(float64(i) * step)})
	}
	return ticks, s
}

// short writes an axis's number: "0.5", "2,000", "20k".
func short(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= 10*unit.of || v >= unit.of && unit.of > 1e3 {
			return strconv.FormatFloat(v/unit.of, 'f', -1, 64) + unit.name
		}
	}
	return grouped(math.Round(v*1e6) / 1e6)
}

// grouped writes v with commas, and with what is behind the point.
func grouped(v float64) string {
	whole, rest, broken := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	if broken {
		return form.Commas(whole) + "." + rest
	}
	return form.Commas(whole)
}

// course is the steps of a row or of a budget in time.
type course struct {
	start time.Time
	step  float64 // seconds
	ends  float64 // of the last step, from start
	count int
}

// courseOf lays steps out; the last one ends with the window.
func courseOf(start *report.Time, step report.Decimal, steps int, window *report.Window) *course {
	if start == nil || steps == 0 || step <= 0 {
		return nil
	}
	c := &course{start: start.At(time.UTC), step: float64(step), count: steps}
	c.ends = c.step * float64(steps)
	if window.End != nil {
		left := float64(*window.End-*start) / float64(time.Second)
		if left > c.ends-c.step && left < c.ends {
			c.ends = left
		}
	}
	return c
}

// edges are where the steps begin, and where the last one ends.
func (c *course) edges() []float64 {
	x := c.x()
	edges := make([]float64, c.count+1)
	for i := range c.count {
		edges[i] = x.at(float64(i) * c.step)
	}
	edges[c.count] = x.at(c.ends)
	return edges
}

func (c *course) x() scale { return scale{0, c.ends, plotLeft, plotRight} }

// rates are counts per second. A last step of which less than half lies in the window is shown with the one before: so
// few seconds tell no rate.
func (c *course) rates(counts []uint64) []float64 {
	rates := make([]float64, c.count)
	for i := range min(len(counts), c.count) {
		rates[i] = float64(counts[i]) / c.step
	}
	last := c.ends - c.step*float64(c.count-1)
	switch {
	case len(counts) < c.count || last >= c.step:
	case last >= c.step/2 || c.count == 1:
		rates[c.count-1] = float64(counts[c.count-1]) / last
	default:
		both := float64(counts[c.count-1]+counts[c.count-2]) / (c.step + last)
		rates[c.count-2], rates[c.count-1] = both, both
	}
	return rates
}

// timeSteps are what an axis of time may be divided by, in seconds.
var timeSteps = []float64{
	1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400,
	14 * 86400, 28 * 86400, 91 * 86400, 364 * 86400,
}

// mostTimeTicks is how many labels stand beside each other.
const mostTimeTicks = 5

// ticks are at round clock times.
func (c *course) ticks() (ticks []tick, layout string) {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if c.ends/s <= mostTimeTicks {
			step = s
			break
		}
	}
	switch layout = "15:04"; {
	case step < 60:
		layout = "15:04:05"
	case step >= 86400:
		layout = "Jan 2"
	}
	x := c.x()
	first := math.Ceil(float64(c.start.UnixMilli())/1000/step) * step
	for at := first; ; at += step {
		offset := at - float64(c.start.UnixMilli())/1000
		if offset > c.ends+1e-9 {
			return ticks, layout
		}
		unix := int64(at)
		ticks = append(ticks, tick{coordinate(x.at(offset)), time.Unix(unix, 0).UTC().Format(layout), unix})
	}
}

// axis gives a chart its axis of time.
func (c *course) axis(ch *chart) {
	ticks, layout := c.ticks()
	ch.Zone, ch.Local = "UTC", layout != "Jan 2"
	ch.frame(ticks)
}

// frame draws the lines of both axes.
func (c *chart) frame(ticks []tick) {
	c.XTicks = ticks
	for _, t := range c.YTicks {
		c.Grid += "M46 " + t.At + "H378"
	}
	c.Frame = "M46 148H378"
	for _, t := range c.XTicks {
		c.Frame += "M" + t.At + " 148v4"
	}
}
