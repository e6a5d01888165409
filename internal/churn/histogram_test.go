package churn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// worst is the largest relative error of a quantile at scale 3: half a bucket.
const worst = 0.0434

func TestHistogramQuantilesAreWithinHalfABucket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		draw func() uint64
	}{
		{"lives of microseconds to seconds", func() uint64 { return uint64(math.Exp(r.Float64()*13.8 + 6.9)) }},
		{"small whole numbers", func() uint64 { return r.Uint64N(40) }},
		{"numbers that are powers of two and their neighbours", func() uint64 { return 1<<(3+r.Uint64N(20)) - 1 + r.Uint64N(3) }},
		{"the largest numbers there are", func() uint64 { return math.MaxUint64 - r.Uint64N(1000) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h Histogram
			values := make([]uint64, 10_001)
			for i := range values {
				values[i] = c.draw()
				h.Add(values[i])
			}
			slices.Sort(values)
			for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99, 1} {
				want := float64(values[max(int(math.Ceil(q*float64(len(values))))-1, 0)])
				if got := h.Quantile(q); math.Abs(got-want) > worst*want {
					t.Errorf("quantile %v = %v, want %v within %v", q, got, want, worst)
				}
			}
			if h.Max() != values[len(values)-1] {
				t.Errorf("max = %d, want %d", h.Max(), values[len(values)-1])
			}
		})
	}
}

func TestHistogramIsExactForWholeNumbersUpToTwelve(t *testing.T) {
	for n := range uint64(13) {
		var h Histogram
		h.Add(n)
		h.Add(1000)
		if got := h.Quantile(0.5); got != float64(n) {
			t.Errorf("median of %d and 1000 = %v, want %d", n, got, n)
		}
	}
}

func TestBucketEdgesHoldTheirValues(t *testing.T) {
	for i := 32; i < 512; i++ { // below, some buckets hold no whole number
		v := lowest(i)
		if bucketOf(v) != i || bucketOf(v-1) != i-1 {
			t.Fatalf("bucket %d begins with %d, but that is in %d and the number before in %d", i, v, bucketOf(v), bucketOf(v-1))
		}
	}
}

func TestHistogramMergedEqualsHistogramOfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var a, b, all Histogram
	for i := range 20_000 {
		v := r.Uint64N(1_000_000) + 1
		all.Add(v)
		if i%3 == 0 {
			a.Add(v)
		} else {
			b.Add(v * 1)
		}
	}
	a.Merge(&b)
	a.Merge(nil)
	if a.Count() != all.Count() || a.Sum() != all.Sum() || a.Max() != all.Max() {
		t.Fatalf("merged count, sum, max = %d, %d, %d; want %d, %d, %d", a.Count(), a.Sum(), a.Max(), all.Count(), all.Sum(), all.Max())
	}
	for q := 0.01; q < 1; q += 0.01 {
		if a.Quantile(q) != all.Quantile(q) {
			t.Errorf("quantile %v = %v, want %v", q, a.Quantile(q), all.Quantile(q))
		}
	}
}

func TestHistogramTakesEveryRangeOfValues(t *testing.T) {
	for _, values := range [][]uint64{
		{1, math.MaxUint64}, {math.MaxUint64, 1}, {1, 1 << 10, 1 << 20, 1 << 30, 1 << 40, 1 << 50, 1 << 60}, {1 << 60, 1 << 30, 1, 0},
	} {
		var h, merged Histogram
		for _, v := range values {
			h.Add(v)
			var one Histogram
			one.Add(v)
			merged.Merge(&one)
		}
		total := h.zeros
		for _, n := range h.slot {
			total += uint64(n)
		}
		if total != uint64(len(values)) {
			t.Errorf("%v: %d values are in buckets, want %d", values, total, len(values))
		}
		if h.Quantile(1) > float64(h.Max()) || h.Quantile(0) > h.Quantile(0.5) || h.Quantile(0.5) > h.Quantile(1) {
			t.Errorf("%v: quantiles are not in order: %v %v %v", values, h.Quantile(0), h.Quantile(0.5), h.Quantile(1))
		}
		if merged.Quantile(0.5) != h.Quantile(0.5) {
			t.Errorf("%v: median is %v when merged and %v when added", values, merged.Quantile(0.5), h.Quantile(0.5))
		}
	}
}

func TestHistogramCountsNeitherWrapNorGrow(t *testing.T) {
	if size := unsafe.Sizeof(Histogram{}); size > 800 {
		t.Errorf("a histogram is %d bytes, want 800 at most", size)
	}
	var h, o Histogram
	h.Add(5)
	h.slot[bucketOf(5)-int(h.first)] = math.MaxUint32 - 1
	o.Add(5)
	o.Add(5)
	h.Merge(&o)
	h.Add(5)
	if got := h.slot[bucketOf(5)-int(h.first)]; got != math.MaxUint32 {
		t.Errorf("a full bucket counts %d, want %d", got, uint32(math.MaxUint32))
	}
	h.sum = math.MaxUint64
	h.Add(7)
	if h.Sum() != math.MaxUint64 {
		t.Errorf("the sum wrapped to %d", h.Sum())
	}
}

func TestSumFromAddsUpTheLargeValues(t *testing.T) {
	var h Histogram
	for range 100 {
		h.Add(2)
	}
	h.Add(500)
	if got := h.SumFrom(10); math.Abs(got-500) > worst*500 {
		t.Errorf("sum from 10 = %v, want about 500", got)
	}
	if got := h.SumFrom(2); math.Abs(got-700) > worst*700 {
		t.Errorf("sum from 2 = %v, want about 700", got)
	}
}

func FuzzHistogram(f *testing.F) {
	f.Add(uint64(1), uint64(1<<40), uint64(3))
	f.Fuzz(func(t *testing.T, a, b, c uint64) {
		var h Histogram
		for _, v := range []uint64{a, b, c} {
			h.Add(v)
		}
		n := h.zeros
		for _, k := range h.slot {
			n += uint64(k)
		}
		if n != 3 || h.Quantile(1) > float64(h.Max()) {
			t.Errorf("%d, %d, %d: %d in buckets, quantile 1 is %v of %d", a, b, c, n, h.Quantile(1), h.Max())
		}
	})
}
