package agent

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tcpstate/tcpstate/internal/churn"
)

// schema is that of the native histograms: eight buckets to a doubling, as churn.Histogram has.
const schema = 3

// Histogram is a Prometheus native histogram of seconds. Its buckets only ever grow.
type Histogram struct {
	Count, Zeros uint64
	Sum          float64 // seconds
	Buckets      []Bucket
}

// Bucket counts the values above 2^((Index-1)/8) seconds, and up to 2^(Index/8).
type Bucket struct {
	Index int
	Count uint64
}

// growth follows a churn.Histogram: what has been added to it since. That histogram may join neighbouring buckets to make
// room, which a reader of the metrics would take for a restart; here, what was counted stays where it is.
type growth struct {
	count, sum uint64
	buckets    []churn.Bucket
}

// Beyond these a churn.Histogram could overflow, and begins anew.
const (
	maxCount = 1 << 31
	maxSum   = 1 << 62
)

// take adds to h what *from has counted since the last time, and reports whether that is anything.
func (g *growth) take(h *Histogram, from **churn.Histogram) bool {
	now := *from
	if now.Count() == g.count {
		return false
	}
	i := 0
	next := make([]churn.Bucket, 0, len(g.buckets)+1)
	for b := range now.Buckets {
		next = append(next, b)
		added := b.Count
		for ; i < len(g.buckets) && g.buckets[i].Least < b.Below; i++ {
			added -= g.buckets[i].Count
		}
		h.add(b, added)
	}
	h.Count += now.Count() - g.count
	h.Sum += float64(now.Sum()-g.sum) / 1e9
	g.count, g.sum, g.buckets = now.Count(), now.Sum(), next
	if g.count > maxCount || g.sum > maxSum {
		*g, *from = growth{}, nil
	}
	return true
}

// add counts n values of b, which are nanoseconds.
func (h *Histogram) add(b churn.Bucket, n uint64) {
	if n == 0 {
		return
	}
	if b.Least == 0 {
		h.Zeros += n
		return
	}
	index := indexOf(b)
	at, found := slices.BinarySearchFunc(h.Buckets, index, func(b Bucket, index int) int { return b.Index - index })
	if !found {
		h.Buckets = slices.Insert(h.Buckets, at, Bucket{Index: index})
	}
	h.Buckets[at].Count += n
}

// indexOf finds the bucket of the middle of b: a second is no power of two nanoseconds, so that bounds do not meet.
func indexOf(b churn.Bucket) int {
	middle := math.Sqrt(float64(b.Least) * float64(b.Below-1))
	return int(math.Ceil(math.Log2(middle/1e9)*8 - 1e-9))
}

// clone returns a copy that does not change.
func (h *Histogram) clone() *Histogram {
	c := *h
	c.Buckets = slices.Clone(h.Buckets)
	return &c
}

// zeroThreshold is what counts as nothing: less than a nanosecond.
const zeroThreshold = 1e-9

// native writes h as Prometheus has it: runs of buckets that follow on each other, each with its difference from the one
// before.
func (h *Histogram) native(created *timestamppb.Timestamp) *dto.Histogram {
	out := &dto.Histogram{
		SampleCount: proto.Uint64(h.Count), SampleSum: proto.Float64(h.Sum), Schema: proto.Int32(schema),
		ZeroThreshold: proto.Float64(zeroThreshold), ZeroCount: proto.Uint64(h.Zeros), CreatedTimestamp: created,
	}
	last, next := int64(0), 0
	for i, b := range h.Buckets {
		if i == 0 || b.Index != next {
			out.PositiveSpan = append(out.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(b.Index - next)), Length: proto.Uint32(0)})
		}
		*out.PositiveSpan[len(out.PositiveSpan)-1].Length++
		out.PositiveDelta = append(out.PositiveDelta, int64(b.Count)-last)
		last, next = int64(b.Count), b.Index+1
	}
	return out
}
