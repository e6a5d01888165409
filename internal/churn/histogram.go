package churn

import "math/bits"

// slots is how many buckets a Histogram holds: 23 octaves at scale 3.
const slots = 184

// Histogram counts values in base-2 exponential buckets of scale 3, eight to a doubling, the shape of Prometheus native
// and OpenTelemetry histograms. A quantile is at most 4.4 % away from a value that was counted; whole numbers up to 12
// and the largest value are exact. When the values span more than 23 octaves, neighbouring buckets are joined (scale 2,
// then 1, …) and the error doubles. It does not allocate. The zero value is ready to use.
type Histogram struct {
	count, zeros, sum, max uint64

	first int16 // index of the bucket in slot 0
	shift uint8 // the scale is 3 - shift
	slot  [slots]uint32
}

// Add counts v once.
func (h *Histogram) Add(v uint64) {
	h.count++
	h.max = max(h.max, v)
	if h.sum += v; h.sum < v {
		h.sum = ^uint64(0)
	}
	if v == 0 {
		h.zeros++
		return
	}
	i := bucketOf(v) >> h.shift
	if s := i - int(h.first); uint(s) < slots && h.slot[s] != 0 {
		if h.slot[s] != ^uint32(0) {
			h.slot[s]++
		}
		return
	}
	h.place(bucketOf(v), 1)
}

// Remove takes back one Add of v. The largest value stays what it was.
func (h *Histogram) Remove(v uint64) {
	if h == nil || h.count == 0 {
		return
	}
	h.count--
	if h.sum != ^uint64(0) {
		h.sum -= min(h.sum, v)
	}
	if v == 0 {
		h.zeros -= min(h.zeros, 1)
		return
	}
	if s := bucketOf(v)>>h.shift - int(h.first); uint(s) < slots && h.slot[s] != 0 && h.slot[s] != ^uint32(0) {
		h.slot[s]--
	}
}

// Merge adds everything counted by o.
func (h *Histogram) Merge(o *Histogram) {
	if o == nil || o.count == 0 {
		return
	}
	for h.shift < o.shift {
		h.halve()
	}
	for s, n := range o.slot {
		if n != 0 {
			h.place((int(o.first)+s)<<o.shift, n)
		}
	}
	h.count += o.count
	h.zeros += o.zeros
	h.max = max(h.max, o.max)
	if h.sum += o.sum; h.sum < o.sum {
		h.sum = ^uint64(0)
	}
}

// Count is how many values were counted. A nil Histogram has none.
func (h *Histogram) Count() uint64 {
	if h == nil {
		return 0
	}
	return h.count
}

// Sum is the exact sum of the values.
func (h *Histogram) Sum() uint64 {
	if h == nil {
		return 0
	}
	return h.sum
}

// Max is the largest value, exact.
func (h *Histogram) Max() uint64 {
	if h == nil {
		return 0
	}
	return h.max
}

// Quantile returns the value below which q (0 to 1) of the values are, 0 when there are none.
func (h *Histogram) Quantile(q float64) float64 {
	if h == nil || h.count == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.count)+0.999999), 1) // rounded up, but for what floating point adds
	seen := h.zeros
	if seen >= rank {
		return 0
	}
	for s, n := range h.slot {
		if seen += uint64(n); n != 0 && seen >= rank {
			return min(h.middle(s), float64(h.max))
		}
	}
	return float64(h.max)
}

// Bucket counts the values from Least to below Below.
type Bucket struct{ Least, Below, Count uint64 }

// Buckets calls yield for the buckets in which there is something, the smallest values first. A nil Histogram has none.
func (h *Histogram) Buckets(yield func(Bucket) bool) {
	if h == nil || h.zeros > 0 && !yield(Bucket{0, 1, h.zeros}) {
		return
	}
	for s, n := range h.slot {
		i := (int(h.first) + s) << h.shift
		if n > 0 && !yield(Bucket{lowest(i), lowest(i + 1<<h.shift), uint64(n)}) {
			return
		}
	}
}

// SumFrom returns about the sum of those values that are at least v.
func (h *Histogram) SumFrom(v float64) float64 {
	if h == nil {
		return 0
	}
	sum := 0.0
	for s, n := range h.slot {
		if n == 0 {
			continue
		}
		if m := h.middle(s); m >= v {
			sum += float64(n) * m
		}
	}
	return min(sum, float64(h.sum))
}

// middle is the value that errs least for the whole numbers in slot s.
func (h *Histogram) middle(s int) float64 {
	i := (int(h.first) + s) << h.shift
	a, b := float64(lowest(i)), float64(lowest(i+1<<h.shift)-1)
	return 2 * a * b / (a + b)
}

// place counts n values of the scale-3 bucket i, making room when it lies outside the slots.
func (h *Histogram) place(i int, n uint32) {
	for {
		lo, hi, any := h.span()
		b := i >> h.shift
		if !any {
			h.first = int16(b - slots/2)
		}
		if s := b - int(h.first); uint(s) < slots {
			h.slot[s] = saturatingAdd(h.slot[s], n)
			return
		}
		if lo, hi = min(lo, b), max(hi, b); hi-lo < slots {
			h.rebase(lo - (slots-1-(hi-lo))/2)
		} else {
			h.halve()
		}
	}
}

// span returns the lowest and the highest bucket in use.
func (h *Histogram) span() (lo, hi int, any bool) {
	for s, n := range h.slot {
		if n == 0 {
			continue
		}
		if !any {
			lo, any = int(h.first)+s, true
		}
		hi = int(h.first) + s
	}
	return lo, hi, any
}

// rebase moves the buckets so that bucket first is in slot 0.
func (h *Histogram) rebase(first int) {
	var moved [slots]uint32
	for s, n := range h.slot {
		if n != 0 {
			moved[int(h.first)+s-first] = n
		}
	}
	h.slot, h.first = moved, int16(first)
}

// halve joins neighbouring buckets: one scale coarser.
func (h *Histogram) halve() {
	var joined [slots]uint32
	lo, _, _ := h.span()
	first := lo >> 1
	for s, n := range h.slot {
		if n != 0 {
			to := (int(h.first)+s)>>1 - first
			joined[to] = saturatingAdd(joined[to], n)
		}
	}
	h.slot, h.first, h.shift = joined, int16(first), h.shift+1
}

func saturatingAdd(a, b uint32) uint32 {
	if s := a + b; s >= a {
		return s
	}
	return ^uint32(0)
}

// edges are 2^(k/8) for k = 0 to 7 in units of 2^-63.
var edges = [8]uint64{
	0x8000000000000000, 0x8b95c1e3ea8bd6e7, 0x9837f0518db8a96f, 0xa5fed6a9b15138ea,
	0xb504f333f9de6485, 0xc5672a115506dadd, 0xd744fccad69d6af4, 0xeac0c6e7dd24392f,
}

// eighths maps the five bits after the leading one to the eighth of the octave in which their range begins.
var eighths = func() (t [32]uint8) {
	for j := range t {
		for k, e := range edges {
			if uint64(32+j)<<58 >= e {
				t[j] = uint8(k)
			}
		}
	}
	return t
}()

// bucketOf returns the scale-3 bucket of v, which is not 0: bucket i holds the values from 2^(i/8) to below 2^((i+1)/8).
func bucketOf(v uint64) int {
	exp := bits.Len64(v) - 1
	norm := v << (63 - exp)
	k := int(eighths[norm>>58&31])
	if k < 7 && norm >= edges[k+1] {
		k++
	}
	return exp<<3 | k
}

// lowest returns the smallest whole number in bucket i or above.
func lowest(i int) uint64 {
	if i < 0 {
		return 1
	}
	if i >= 512 {
		return ^uint64(0)
	}
	drop := 63 - i>>3
	e := edges[i&7]
	v := e >> drop
	if v<<drop != e {
		v++
	}
	return v
}
