package top

import (
	"math"
	"strings"

	"github.com/tcpstate/tcpstate/internal/report"
)

// eighths are a cell filled from below.
var eighths = []rune(" ▁▂▃▄▅▆▇█")

// parts are a cell filled from the left.
var parts = []rune(" ▏▎▍▌▋▊▉█")

// quiet is the scale of a sparkline at least, in connections a second: one or two are no summit.
const quiet = 4

// sparkline draws how many were opened in each second, the newest at the right, in width cells. Each line has its own
// scale.
func sparkline(perSecond []uint32, width int) string {
	values := make([]float64, len(perSecond))
	for i, n := range perSecond {
		values[i] = float64(n)
	}
	return spark(resample(values, width), width, quiet)
}

func spark(values []float64, width int, least float64) string {
	top := least
	for _, v := range values {
		top = max(top, v)
	}
	cells := []rune(strings.Repeat(" ", max(width-len(values), 0)))
	for _, v := range values {
		cells = append(cells, eighth(v, top))
	}
	return string(cells)
}

// eighth is v of top as a cell; what is above 0 is seen.
func eighth(v, top float64) rune {
	if v <= 0 || top <= 0 {
		return ' '
	}
	return eighths[min(max(int(math.Round(v/top*8)), 1), 8)]
}

// resample puts values in n columns at most. Of those that share one the largest counts: a summit must not vanish.
func resample(values []float64, n int) []float64 {
	if len(values) <= n || n < 1 {
		return values
	}
	out := make([]float64, n)
	for i, v := range values {
		c := i * n / len(values)
		out[c] = max(out[c], v)
	}
	return out
}

// stretch is resample, or repeats values so that they fill n columns as evenly as can be.
func stretch(values []float64, n int) []float64 {
	if len(values) >= n || len(values) == 0 {
		return resample(values, n)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = values[i*len(values)/n]
	}
	return out
}

// gauge draws a share of 1 in width cells, with a mark in the middle: taken, and what is left.
func gauge(share float64, width int) (taken, left string) {
	half := width / 2
	width = 2*half + 1
	fill := int(math.Round(min(max(share, 0), 1) * float64(2*half) * 8))
	if share > 0 {
		fill = max(fill, 1)
	}
	if share < 1 {
		fill = min(fill, 2*half*8-1)
	}
	cells := make([]rune, 0, width)
	done := 0
	for i := range 2 * half {
		if i == half {
			cells = append(cells, '│')
		}
		n := min(max(fill-8*i, 0), 8)
		cells = append(cells, parts[n])
		if n > 0 {
			done = len(cells)
		}
	}
	for i := done; i < len(cells); i++ {
		if cells[i] == ' ' {
			cells[i] = '·'
		}
	}
	return string(cells[:done]), string(cells[done:])
}

// mark is a line across a plot.
type mark struct {
	at    float64
	label string
}

// plot draws values as columns under a ceiling, height lines high, with marks across; the labels of the axis stand at
// the left in the first margin cells.
type plot struct {
	values        []float64
	ceiling       float64
	width, height int
	marks         []mark
	top, bottom   string // labels
	tone          tone
}

// margin is how wide the labels of an axis are.
const margin = 8

func (p *plot) lines() []line {
	lines := make([]line, p.height)
	columns := stretch(p.values, p.width)
	for i := range lines {
		low := p.ceiling * float64(p.height-1-i) / float64(p.height)
		label, marked := p.label(i)
		text := make([]rune, 0, p.width)
		for _, v := range columns {
			r := eighth(min(v-low, p.ceiling/float64(p.height)), p.ceiling/float64(p.height))
			if r == ' ' && marked {
				r = '┄'
			}
			text = append(text, r)
		}
		axis := line{{report.Pad(label, margin-2, true) + " ┤", faint}}
		lines[i] = append(axis, split(string(text), '┄', p.tone)...)
	}
	return lines
}

// label is what stands beside line i, and whether there is a mark across it.
func (p *plot) label(i int) (string, bool) {
	for _, m := range p.marks {
		if p.ceiling > 0 && p.row(m.at) == i {
			return m.label, true
		}
	}
	switch i {
	case 0:
		return p.top, false
	case p.height - 1:
		return p.bottom, false
	}
	return "", false
}

// row is the line in which a value ends.
func (p *plot) row(v float64) int {
	return min(max(p.height-int(math.Ceil(v/p.ceiling*float64(p.height))), 0), p.height-1)
}

// split gives the runes of a mark the faint tone and the others t.
func split(text string, of rune, t tone) line {
	var l line
	for len(text) > 0 {
		n := strings.IndexRune(text, of)
		if n < 0 {
			n = len(text)
		}
		if n > 0 {
			l = append(l, piece{text[:n], t})
			text = text[n:]
			continue
		}
		rest := strings.TrimLeft(text, string(of))
		l = append(l, piece{text[:len(text)-len(rest)], faint})
		text = rest
	}
	return l
}

// finest is how many columns of a histogram a doubling has at most: as many as the measurement tells apart.
const finest = 8

// histogram puts buckets, whose limits grow by a factor, on a logarithmic axis of width columns at most.
func histogram(buckets []report.Bucket, width int) (values []float64, least, below float64) {
	if len(buckets) == 0 || width < 1 {
		return nil, 0, 0
	}
	below = float64(buckets[len(buckets)-1].Below)
	least = float64(buckets[0].Least)
	if least <= 0 {
		least = float64(buckets[0].Below) / 2
	}
	octaves := math.Log2(below / least)
	if !(octaves > 0) || math.IsInf(octaves, 0) {
		octaves = 1.0 / finest
	}
	slots := max(int(math.Round(octaves*finest)), 1)
	n := slots
	if n > width {
		n = width
	}
	values = make([]float64, n)
	for _, b := range buckets {
		from := math.Log2(max(float64(b.Least), least)/least) / octaves
		values[min(max(int(from*float64(n)+0.5/finest), 0), n-1)] += float64(b.Count)
	}
	repeat := min(max(width/n, 1), 4)
	return stretch(values, n*repeat), least, below
}
