package churn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// connections makes the events of n connections with random times, some of them older than the window, in the order of time;
// half of the ends become TIME_WAITs, and some of the events are told as lost.
func connections(rng *rand.Rand, n int) []*event.Event {
	var all []*event.Event
	at := func(e *event.Event, when time.Duration) *event.Event {
		e.UnixNano = noon + int64(when)
		all = append(all, e)
		return e
	}
	for range n {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(rng.IntN(6))}), 80)
		name := comm(fmt.Sprint("s", rng.IntN(2)))
		begin, life := time.Duration(rng.Int64N(int64(60*time.Second))), time.Duration(rng.Int64N(int64(40*time.Second)))
		own := func(e *event.Event) *event.Event { e.Remote, e.Owner.Comm = remote, name; return e }
		end := own(closed(0, event.ClosedLocal))
		end.Lifetime = life
		switch rng.IntN(10) {
		case 0: // was there before, as the census told
			own(at(out(event.Existing, 0), 0)).NewState = event.Established
			end.Preexisting, end.InCensus, end.Lifetime = true, true, life+begin
		case 1: // was there before, and nobody knew
			end.Preexisting, end.Lifetime = true, life+begin
		default:
			own(at(out(event.Connect, 0), begin))
		}
		if rng.IntN(2) == 0 {
			end.Kind = event.TimeWait
			gone := own(at(out(event.TimeWaitEnd, 0), begin+life+20*time.Second))
			gone.Cause = event.Expired
		}
		at(end, begin+life)
	}
	sortByTime(all)
	return all
}

func sortByTime(all []*event.Event) {
	for i := range all {
		for k := i; k > 0 && all[k].UnixNano < all[k-1].UnixNano; k-- {
			all[k], all[k-1] = all[k-1], all[k]
		}
	}
}

type place struct {
	comm   event.Comm
	remote netip.AddrPort
}

func byPlace(t *Table) map[place]*Row {
	rows := make(map[place]*Row)
	for _, r := range t.Rows() {
		rows[place{r.Owner.Comm, r.Remote}] = r
	}
	return rows
}

// A table that goes on from another one knows what there is as well as the one that saw all of it, and of what happens
// only what happened in its own window.
func TestNextGoesOnFromWhatThereIs(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		events := connections(rng, 200)
		cut := noon + rng.Int64N(int64(70*time.Second))
		whole := New(Options{Start: noon, Steps: true, Recent: true})
		var part *Table
		opened, ended := make(map[place]uint64), make(map[place]uint64)
		for _, e := range events {
			if part == nil && e.UnixNano >= cut {
				whole.Advance(cut)
				part = whole.Next(cut)
			}
			before := *e
			whole.Observe(e)
			if part == nil {
				continue
			}
			part.Observe(e)
			if *e != before {
				t.Fatalf("the event was changed: %+v", e)
			}
			switch p := (place{e.Owner.Comm, e.Remote}); e.Kind {
			case event.Connect:
				opened[p]++
			case event.Close, event.TimeWait:
				ended[p]++
			}
		}
		if part == nil {
			continue
		}
		rows := byPlace(part)
		for p, w := range byPlace(whole) {
			r := rows[p]
			if r == nil {
				if w.Open()+w.TimeWaitNow() > 0 || opened[p]+ended[p] > 0 {
					t.Errorf("seed %d: %v was forgotten with %d open, %d TIME_WAITs", seed, p, w.Open(), w.TimeWaitNow())
				}
				continue
			}
			if r.Open() != w.Open() || r.TimeWaitNow() != w.TimeWaitNow() || r.Opened != opened[p] || r.Closed != ended[p] {
				t.Errorf("seed %d: %v: %d open, %d TIME_WAITs, %d opened, %d closed; want %d, %d, %d, %d", seed, p,
					r.Open(), r.TimeWaitNow(), r.Opened, r.Closed, w.Open(), w.TimeWaitNow(), opened[p], ended[p])
			}
			if c := part.Course(r); c != nil && (c.Open[len(c.Open)-1] != r.Open() || c.TimeWait[len(c.TimeWait)-1] != r.TimeWaitNow()) {
				t.Errorf("seed %d: %v: the course ends with %v and %v", seed, p, c.Open, c.TimeWait)
			}
			if r.Budget() != nil && (r.Budget().openNow() != w.Budget().openNow() || r.Budget().waitsNow() != w.Budget().waitsNow()) {
				t.Errorf("seed %d: %v: the budget holds %d and %d ports, want %d and %d", seed, p,
					r.Budget().openNow(), r.Budget().waitsNow(), w.Budget().openNow(), w.Budget().waitsNow())
			}
		}
	}
}

func TestNextForgetsWhatIsNoMore(t *testing.T) {
	table := New(Options{Start: noon, MaxRows: 2, Steps: true})
	gone := out(event.Connect, 0)
	gone.Remote = gone.Local
	over := closed(1, event.ClosedRemote)
	over.Remote = gone.Remote
	other := out(event.Connect, 0)
	other.Owner.Comm = comm("third")
	observe(table, when(out(event.Connect, 0), 0), when(gone, 0), when(other, 0), when(over, time.Second))
	id := table.Rows()[0].ID
	next := table.Next(noon + int64(2*time.Second))
	rows := next.Rows()
	if len(rows) != 2 || rows[0].ID != id || rows[0].Preexisting != 1 || !rows[1].Other || rows[1].Preexisting != 1 || len(next.Budgets()) != 1 {
		t.Fatalf("%d rows, %d budgets: %+v", len(rows), len(next.Budgets()), rows[0])
	}
	if c := next.Counts(); c != (Counts{}) || next.Window() != (Window{Start: noon + int64(2*time.Second), End: noon + int64(2*time.Second)}) {
		t.Errorf("counts %+v, window %+v", c, next.Window())
	}
	observe(next, when(gone, 3*time.Second)) // there is room again
	if rows := next.Rows(); len(rows) != 3 || rows[1].Other || rows[1].ID == id {
		t.Errorf("%d rows, the new one has ID %d", len(rows), rows[1].ID)
	}
}

// The forecast goes on with what was known about the last seconds and the TIME_WAITs held.
func TestNextKeepsTheForecast(t *testing.T) {
	table := New(Options{Start: noon})
	s := &host.Settings{Netns: 1, RangeLow: 40000, RangeHigh: 40999}
	table.SetHost(s)
	for i := range 500 {
		at := time.Duration(i) * 20 * time.Millisecond
		tw := closed(0, event.ClosedLocal)
		tw.Kind, tw.Lifetime = event.TimeWait, time.Millisecond
		observe(table, when(out(event.Connect, 0), at), when(tw, at+time.Millisecond))
	}
	end := noon + int64(10*time.Second)
	table.Advance(end)
	was := table.Budgets()[0].Figures(table.Window())
	next := table.Next(end)
	next.Advance(end + int64(time.Second))
	is := next.Budgets()[0].Figures(next.Window())
	if !was.Comes || !is.Comes || is.Used != was.Used || is.Capacity != 1000 || is.SecondsToExhaustion < was.SecondsToExhaustion-3 || is.SecondsToExhaustion > was.SecondsToExhaustion+3 {
		t.Errorf("%d of %d used, all in %.1f s (%v); before: %d, %.1f s (%v)", is.Used, is.Capacity, is.SecondsToExhaustion, is.Comes, was.Used, was.SecondsToExhaustion, was.Comes)
	}
}
