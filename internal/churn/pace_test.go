package churn

import (
	"math"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

func TestGapsBetweenConnects(t *testing.T) {
	for _, c := range []struct {
		name            string
		at              []time.Duration
		n               uint64
		mean, variation float64
	}{
		{"none", nil, 0, 0, 0},
		{"one", []time.Duration{1}, 0, 0, 0},
		{"by the clock", []time.Duration{1, 2, 3, 4}, 3, 1, 0},
		{"irregular", []time.Duration{1, 2, 5, 6}, 3, 5.0 / 3, math.Sqrt(8.0/9) / (5.0 / 3)},
		{"all at once", []time.Duration{1, 1, 1}, 2, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Row
			for _, at := range c.at {
				r.attempt(int64(time.Hour + at*time.Second))
			}
			n, mean, variation := r.Gaps()
			if n != c.n || math.Abs(mean-c.mean) > 1e-9 || math.Abs(variation-c.variation) > 1e-6 {
				t.Errorf("%d gaps of %g s, variation %g; want %d, %g, %g", n, mean, variation, c.n, c.mean, c.variation)
			}
		})
	}
}

func TestFallsOfLongLivedConnections(t *testing.T) {
	const life = 10 * time.Second
	type end struct {
		at, life time.Duration
		by       event.Closer
	}
	together := func(n int, life time.Duration, by event.Closer) []end {
		ends := make([]end, n)
		for i := range ends {
			ends[i] = end{time.Hour + time.Duration(i)*time.Millisecond, life, by}
		}
		return ends
	}
	for _, c := range []struct {
		name string
		open uint64
		ends []end
		want Fall
		ok   bool
	}{
		{"all of them, by the other end", 5, together(5, life, event.ClosedRemote), Fall{Ended: 5, Of: 5, ByOther: 5}, true},
		{"most of them, by this end", 5, together(4, life, event.ClosedLocal), Fall{Ended: 4, Of: 5}, true},
		{"half of them", 10, together(5, life, event.ClosedRemote), Fall{}, false},
		{"two are too few", 2, together(2, life, event.ClosedRemote), Fall{}, false},
		{"short lives come and go", 5, together(5, time.Second, event.ClosedRemote), Fall{}, false},
		{"of unknown age, so from before", 5, together(5, event.Unknown, event.ClosedRemote), Fall{Ended: 5, Of: 5, ByOther: 5}, true},
		{"one by one", 5, []end{
			{time.Hour, life, 0}, {time.Hour + 2*time.Second, life, 0}, {time.Hour + 4*time.Second, life, 0}, {time.Hour + 6*time.Second, life, 0},
		}, Fall{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Row{Preexisting: c.open}
			for _, x := range c.ends {
				r.endOne(&event.Event{
					UnixNano: int64(x.at), Kind: event.Close, Lifetime: x.life, ClosedBy: x.by, Idle: event.Unknown, Preexisting: true, InCensus: true,
				}, new(use))
			}
			r.Opened = 3
			f, ok := r.Fall()
			if c.ok {
				c.want.Since = 3
			}
			if ok != c.ok || ok && f != c.want {
				t.Errorf("%+v, %v; want %+v, %v", f, ok, c.want, c.ok)
			}
		})
	}
}
