package churn

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
)

const noon = int64(1_790_000_000_250_000_000)

// when returns e at a time after noon.
func when(e *event.Event, at time.Duration) *event.Event {
	e.UnixNano = noon + int64(at)
	return e
}

func TestCourseSaysWhatHappenedInEachSecond(t *testing.T) {
	entered := closed(0, event.ClosedLocal)
	entered.Kind = event.TimeWait
	ended := out(event.TimeWaitEnd, 0)
	ended.Cause = event.Expired
	refused, exhausted := out(event.ConnectFailed, 0), out(event.ConnectFailed, 0)
	refused.Error, exhausted.Error = event.Error(111), event.EADDRNOTAVAIL
	existing := out(event.Existing, 0)
	existing.NewState = event.Established
	lost := *out(event.Lost, 0)
	lost.Of, lost.Count = event.Connect, 40
	table := New(Options{Start: noon, Steps: true})
	observe(table, when(existing, 0), when(out(event.Connect, 0), 0), when(out(event.Connect, 0), 999*time.Millisecond), when(refused, time.Second),
		when(entered, 2*time.Second), when(exhausted, 3*time.Second), when(&lost, 3500*time.Millisecond), when(ended, 4*time.Second))
	table.Close(noon + int64(4500*time.Millisecond))
	r := only(t, table)
	want := &Course{
		Start: noon, Step: time.Second,
		Opened: []uint64{2, 0, 0, 40, 0}, Closed: []uint64{0, 0, 1, 0, 0}, Open: []uint64{3, 3, 2, 42, 42}, TimeWait: []uint64{0, 0, 1, 1, 0},
		Failed: map[event.Error][]uint64{111: {0, 1, 0, 0, 0}, event.EADDRNOTAVAIL: {0, 0, 0, 1, 0}},
	}
	if diff := cmp.Diff(want, table.Course(r)); diff != "" {
		t.Errorf("course (-want +got):\n%s", diff)
	}
	if c := table.Course(r); c.Open[4] != r.Open() || c.TimeWait[4] != r.TimeWaitNow() {
		t.Errorf("at the end %d are open and %d held, the row says %d and %d", c.Open[4], c.TimeWait[4], r.Open(), r.TimeWaitNow())
	}
	if New(Options{}).Course(r) != nil {
		t.Error("a table that was not asked to keep it has a course")
	}
}

// However long the window gets, and in whatever order the events come, the sums stay and the steps stay few.
func TestCourseOfLongWindows(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 90 * time.Second, 128 * time.Second, 129 * time.Second, time.Hour, 400 * 24 * time.Hour, 200 * 365 * 24 * time.Hour} {
		rng := rand.New(rand.NewPCG(1, uint64(length)))
		table := New(Options{Start: noon, Steps: true})
		const n = 2000
		later := uint64(0)
		for range n {
			at := time.Duration(rng.Int64N(int64(length)))
			if at >= length/2 {
				later++
			}
			observe(table, when(out(event.Connect, 0), at))
		}
		observe(table, when(out(event.Connect, 0), -time.Hour)) // what comes before the window belongs to its first step
		table.Close(noon + int64(length))
		c := table.Course(only(t, table))
		sum, second := uint64(0), uint64(0)
		for i, k := range c.Opened {
			if sum += k; time.Duration(i)*c.Step >= length/2 {
				second += k
			}
		}
		steps := len(c.Opened)
		if sum != n+1 || c.Open[steps-1] != n+1 {
			t.Errorf("%s: %d opened, %d open; want %d", length, sum, c.Open[steps-1], n+1)
		}
		if steps > maxSteps || length > maxSteps*time.Second && steps <= maxSteps/2 || time.Duration(steps)*c.Step < length || time.Duration(steps-1)*c.Step >= length {
			t.Errorf("%s: %d steps of %s", length, steps, c.Step)
		}
		if off := int64(later) - int64(second); steps > 10 && (off > n/20 || off < -n/20) {
			t.Errorf("%s: %d in the second half, want about %d", length, second, later)
		}
	}
}

// A window that is silent at its end still has all its steps.
func TestCourseReachesTheEndOfTheWindow(t *testing.T) {
	table := New(Options{Start: noon, Steps: true})
	observe(table, when(out(event.Connect, 0), 0))
	table.Advance(noon + int64(1000*time.Second))
	table.Advance(noon + int64(10*time.Second)) // never back
	if c := table.Course(only(t, table)); len(c.Opened) != 125 || c.Step != 8*time.Second || c.Open[124] != 1 {
		t.Errorf("%d steps of %s", len(c.Opened), c.Step)
	}
}

func TestBudgetCourseIsTheSumOfItsRows(t *testing.T) {
	table := New(Options{Start: noon, Steps: true})
	other := out(event.Connect, 0)
	other.Owner.Comm = comm("other")
	elsewhere := out(event.Connect, 0)
	elsewhere.Remote = elsewhere.Local
	entered := closed(0, event.ClosedLocal)
	entered.Kind = event.TimeWait
	observe(table, when(out(event.Connect, 0), 0), when(other, time.Second), when(elsewhere, time.Second), when(entered, 2*time.Second))
	table.Close(noon + int64(3*time.Second))
	if len(table.Budgets()) != 2 {
		t.Fatalf("%d budgets, want 2", len(table.Budgets()))
	}
	c := table.BudgetCourse(table.Rows()[0].Budget())
	if diff := cmp.Diff([][]uint64{{1, 1, 0}, {1, 2, 1}, {0, 0, 1}}, [][]uint64{c.Opened, c.Open, c.TimeWait}); diff != "" {
		t.Errorf("opened, open, TIME_WAIT (-want +got):\n%s", diff)
	}
	if c := table.Course(table.Rows()[0]); c.Open[1] != 1 {
		t.Error("summing up changed the row")
	}
}

func TestRecentIsTheLastMinuteBySeconds(t *testing.T) {
	table := New(Options{Start: noon, Recent: true})
	for _, at := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second, 59 * time.Second, 58 * time.Second} {
		observe(table, when(out(event.Connect, 0), at))
	}
	r := only(t, table)
	sum := func(counts []uint32) (n uint32) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	// noon is a quarter into its second, so that one is over 0.75 s later
	for _, c := range []struct {
		at      time.Duration
		sum     uint32
		newest  uint32
		seconds int
	}{{0, 0, 0, 60}, {time.Second, 2, 2, 60}, {4 * time.Second, 3, 1, 60}, {60 * time.Second, 5, 1, 60}, {61 * time.Second, 3, 0, 60}, {120 * time.Second, 0, 0, 60}} {
		got := r.Recent(noon + int64(c.at))
		if len(got) != c.seconds || sum(got) != c.sum || got[59] != c.newest {
			t.Errorf("after %s: %d in %d seconds, %d in the newest; want %d, %d, %d", c.at, sum(got), len(got), got[59], c.sum, c.seconds, c.newest)
		}
	}
	if only(t, observe(New(Options{}), out(event.Connect, 0))).Recent(noon) != nil {
		t.Error("kept although nobody asked")
	}
}

func TestBucketsAreWhatWasCounted(t *testing.T) {
	var h Histogram
	rng := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		h.Add(uint64(1) << rng.IntN(60)) // wide, so that neighbours are joined
	}
	h.Add(0)
	var sum, last uint64
	for b := range h.Buckets {
		if b.Least < last || b.Below <= b.Least || b.Count == 0 {
			t.Errorf("bucket %+v after one that ended at %d", b, last)
		}
		last = b.Below
		sum += b.Count
	}
	if sum != h.Count() {
		t.Errorf("%d in the buckets, %d counted", sum, h.Count())
	}
	var none *Histogram
	for range none.Buckets {
		t.Error("nil has a bucket")
	}
}
