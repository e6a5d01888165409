package churn

import "math"

// pace is how regularly connects come: what is needed for the mean and the deviation of the gaps between them.
type pace struct {
	last         int64 // Unix nanoseconds of the latest; 0: none yet
	gaps         uint32
	sum, squares float64 // of the gaps, seconds
}

func (p *pace) add(unixNano int64) {
	if p.last != 0 {
		gap := float64(max(unixNano-p.last, 0)) / 1e9
		p.gaps = saturatingAdd(p.gaps, 1)
		p.sum += gap
		p.squares += gap * gap
	}
	p.last = max(p.last, unixNano)
}

// Gaps are the times between one connect and the next: how many, their mean in seconds, and by how much of the mean
// they vary (coefficient of variation: 0 for a clock, 1 for chance). Lost connects have no time and are left out.
func (r *Row) Gaps() (n uint64, mean, variation float64) {
	p := &r.pace
	if p.gaps == 0 || p.sum == 0 {
		return uint64(p.gaps), 0, 0
	}
	mean = p.sum / float64(p.gaps)
	variance := max(p.squares/float64(p.gaps)-mean*mean, 0)
	return uint64(p.gaps), mean, math.Sqrt(variance) / mean
}
