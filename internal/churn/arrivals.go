package churn

// arrivals counts connections over time in bins that double in width when time runs past the last one.
type arrivals struct {
	origin int64 // Unix nanoseconds
	shift  uint8 // a bin is 2^shift nanoseconds wide
	set    bool
	total  uint32
	bin    [64]uint32
}

// firstShift makes the first bins 67 ms wide: 64 of them last 4.3 s.
const firstShift = 26

func (a *arrivals) add(unixNano int64) {
	if !a.set {
		a.set, a.origin, a.shift = true, unixNano, firstShift
	}
	i := max(unixNano-a.origin, 0) >> a.shift
	for i >= int64(len(a.bin)) {
		a.widen()
		i >>= 1
	}
	a.bin[i] = saturatingAdd(a.bin[i], 1)
	a.total = saturatingAdd(a.total, 1)
}

func (a *arrivals) widen() {
	for i := range len(a.bin) / 2 {
		a.bin[i] = saturatingAdd(a.bin[2*i], a.bin[2*i+1])
	}
	clear(a.bin[len(a.bin)/2:])
	a.shift++
}

// shareAfter is the share of the arrivals after a time; a bin that the time cuts is shared out evenly.
func (a *arrivals) shareAfter(unixNano int64) float64 {
	if a.total == 0 {
		return 0
	}
	after := 0.0
	for i, n := range a.bin {
		if n == 0 {
			continue
		}
		width := float64(int64(1) << a.shift)
		end := float64(a.origin-unixNano) + float64(i+1)*width
		after += float64(n) * min(max(end/width, 0), 1)
	}
	return after / float64(a.total)
}
