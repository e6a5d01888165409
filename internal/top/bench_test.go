package top

import (
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// BenchmarkView draws 4,096 rows on 200x50, a new document each time.
func BenchmarkView(b *testing.B) {
	d := many(b, 4096)
	for _, size := range []tea.WindowSizeMsg{{Width: 200, Height: 50}, {Width: 80, Height: 24}} {
		b.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(b *testing.B) {
			v := opened(b, size.Width, size.Height, Options{Color: true}, live(d))
			b.ReportAllocs()
			for b.Loop() {
				v.send(live(d))
			}
		})
	}
	b.Run("unchanged", func(b *testing.B) {
		v := opened(b, 200, 50, Options{Color: true}, live(d))
		for b.Loop() {
			v.View()
		}
	})
}

// BenchmarkArrange filters and orders 4,096 rows.
func BenchmarkArrange(b *testing.B) {
	d := many(b, 4096)
	for i, o := range orders {
		b.Run(o.name, func(b *testing.B) {
			l := newList(Options{})
			l.order, l.filter = i, "service-1"
			for b.Loop() {
				l.use(d)
			}
		})
	}
}

// TestDrawingIsCheap holds the bound of the view with a wide margin: 50 ms is 5 % of a core at an update each second.
func TestDrawingIsCheap(t *testing.T) {
	d := many(t, 4096)
	v := opened(t, 200, 50, Options{Color: true}, live(d)).keys("/", "s", "e", "r", "enter", "s")
	best := time.Hour
	for range 5 {
		start := time.Now()
		v.send(live(d))
		best = min(best, time.Since(start))
	}
	if best > 50*time.Millisecond {
		t.Errorf("a frame of 4,096 rows takes %s, want less than 50ms", best)
	}
}
