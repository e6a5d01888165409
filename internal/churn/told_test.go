package churn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
)

// talk is one connection: opened at a time (negative: before the window, as a census told), used every so often.
type talk struct {
	port   uint16
	opened time.Duration
	closed time.Duration // 0: never
	every  time.Duration
	before uint32 // exchanges before the census
}

// by is how often it had been used at a time of its life.
func (k *talk) by(at time.Duration) uint32 {
	return k.before + uint32((at-max(k.opened, 0))/k.every)
}

// at is an event of it.
func (k *talk) at(kind event.Kind, at time.Duration) *event.Event {
	e := out(kind, at)
	e.Local = netip.AddrPortFrom(e.Local.Addr(), k.port)
	e.NewState, e.Idle, e.Counted = event.Established, 0, kind != event.Connect
	if k.opened >= 0 {
		e.Lifetime = at - k.opened
	} else {
		e.Preexisting, e.InCensus = true, true
	}
	if kind == event.Connect {
		e.Lifetime = event.Unknown
	}
	if e.Counted {
		n := k.by(at)
		e.SentDataSegments, e.ReceivedDataSegments = n, n+1
		e.SentBytes, e.ReceivedBytes = 100*uint64(n), 1000*uint64(n)
	}
	return e
}

// events are those of all talks in a window; told are the times of the rounds.
func (w *talks) events(told ...time.Duration) (all []*event.Event) {
	for i := range w.all {
		k := &w.all[i]
		if k.opened < 0 {
			all = append(all, k.at(event.Existing, 0))
		} else {
			all = append(all, k.at(event.Connect, k.opened))
		}
		end := w.length
		if k.closed > 0 {
			end = k.closed
			e := k.at(event.Close, k.closed)
			e.ClosedBy = event.ClosedLocal
			all = append(all, e)
		}
		for _, at := range told {
			if at > k.opened && at < end {
				all = append(all, k.at(event.Progress, at))
			}
		}
	}
	for _, at := range told {
		all = append(all, roundEnd(at))
	}
	slices.SortStableFunc(all, func(a, b *event.Event) int { return int(a.UnixNano - b.UnixNano) })
	return all
}

// roundEnd ends a round that took no time.
func roundEnd(at time.Duration) *event.Event {
	return &event.Event{Kind: event.Progress, UnixNano: epoch + int64(at) + 1, Lifetime: 1}
}

// ends are what a window ends with.
func (w *talks) ends() (all []*event.Event) {
	for i := range w.all {
		if k := &w.all[i]; k.closed == 0 {
			all = append(all, k.at(event.Open, w.length))
		}
	}
	return all
}

type talks struct {
	length time.Duration
	all    []talk
}

func someTalks(rng *rand.Rand, n int) *talks {
	w := &talks{length: 60 * time.Second}
	for i := range n {
		k := talk{port: uint16(40000 + i%(n/2)), every: time.Duration(1+rng.IntN(2000)) * time.Millisecond} // each port twice
		switch {
		case i >= n/2:
			k.opened = 41*time.Second + time.Duration(rng.Int64N(int64(10*time.Second)))
		case rng.IntN(3) == 0:
			k.opened, k.before = -1, uint32(rng.IntN(5000))
		default:
			k.opened = time.Duration(rng.Int64N(int64(30 * time.Second)))
		}
		if i < n/2 {
			k.closed = 31*time.Second + time.Duration(rng.Int64N(int64(10*time.Second)))
		} else if rng.IntN(2) == 0 {
			k.closed = 52*time.Second + time.Duration(rng.Int64N(int64(8*time.Second)))
		}
		w.all = append(w.all, k)
	}
	return w
}

// used are the figures that telling of progress can change.
func used(t *testing.T, table *Table) map[string]any {
	t.Helper()
	r := only(t, table)
	all := map[string]any{
		"sent": r.SentBytes, "received": r.ReceivedBytes, "silent": r.Silent, "still open": r.StillOpen, "opened": r.Opened,
		"closed": r.Closed, "open": r.Open(), "before": r.Preexisting, "earlier": r.EarlierExchanges, "events": table.Counts().Events,
	}
	for name, h := range map[string]*Histogram{
		"exchanges": r.Exchanges, "carried": r.CarriedExchanges, "undated": r.PreexistingExchanges, "lifetimes": r.Lifetimes,
	} {
		all[name] = fmt.Sprint(h.Count(), h.Sum(), h.Quantile(0.1), h.Quantile(0.5), h.Quantile(0.9), h.SumFrom(50))
	}
	all["ages"] = fmt.Sprint(r.Ages.Count(), r.Ages.Sum(), r.Ages.Quantile(0.5)) // their greatest may have ended since
	return all
}

// A connection of which was told any number of times counts as it does by its end alone.
func TestWhatIsToldAgainAndAgainCountsOnce(t *testing.T) {
	for seed := range uint64(30) {
		w := someTalks(rand.New(rand.NewPCG(seed, 3)), 40)
		var rounds []time.Duration
		for at := 5 * time.Second; at < w.length; at += time.Duration(1+seed%7) * time.Second {
			rounds = append(rounds, at)
		}
		alone := observe(observe(New(Options{Start: epoch}), w.events()...), w.ends()...)
		told := observe(observe(New(Options{Start: epoch}), w.events(rounds...)...), w.ends()...)
		if diff := cmp.Diff(used(t, alone), used(t, told)); diff != "" {
			t.Fatalf("seed %d, told %d times (-by the end alone +told):\n%s", seed, len(rounds), diff)
		}
		if n := len(told.told.uses); n != 0 {
			t.Errorf("seed %d: %d connections are remembered that are over", seed, n)
		}
	}
}

// Between two rounds a table knows what a window that ended with the last round would.
func TestARoundTellsWhatTheEndOfAWindowWould(t *testing.T) {
	w := someTalks(rand.New(rand.NewPCG(1, 1)), 40)
	w.length = 30 * time.Second // nothing has ended by then
	for i := range w.all {
		w.all[i].closed = 0
	}
	w.all = w.all[:20]
	alone := observe(observe(New(Options{Start: epoch}), w.events()...), w.ends()...)
	told := observe(New(Options{Start: epoch}), w.events(7*time.Second, 14*time.Second)...)
	for i := range w.all {
		told.Observe(w.all[i].at(event.Progress, w.length))
	}
	want, got := used(t, alone), used(t, told)
	delete(want, "events") // Open events are, progress is not
	delete(got, "events")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-the end of the window +the round):\n%s", diff)
	}
}

// Of a connection that goes on, a window counts what happened in it: since the last round before it.
func TestTheNextWindowCountsWhatHappensInIt(t *testing.T) {
	k := talk{port: 1, opened: time.Second, every: 100 * time.Millisecond}
	short := talk{port: 2, opened: 19 * time.Second, every: 100 * time.Millisecond} // of which was not told before
	first := observe(New(Options{Start: epoch}), k.at(event.Connect, k.opened), k.at(event.Progress, 10*time.Second),
		k.at(event.Progress, 20*time.Second), short.at(event.Connect, short.opened))
	next := first.Next(epoch + int64(20*time.Second))
	r := only(t, next)
	for _, at := range []time.Duration{30 * time.Second, 40 * time.Second} {
		observe(next, k.at(event.Progress, at), short.at(event.Progress, at))
		want := uint64(at-20*time.Second) / uint64(k.every)
		if got := r.CarriedExchanges; got.Count() != 1 || got.Sum() != want || r.EarlierExchanges != 190 {
			t.Errorf("at %v: %d connections with %d exchanges after %d, want 1 with %d after 190", at, got.Count(), got.Sum(), r.EarlierExchanges, want)
		}
		if got, all := r.PreexistingExchanges.Sum(), uint64(at-short.opened)/uint64(k.every); got != all {
			t.Errorf("at %v: the other has %d, want all of its %d", at, got, all)
		}
	}
	end := k.at(event.TimeWait, 50*time.Second)
	observe(next, end, short.at(event.Close, 50*time.Second))
	if r.CarriedExchanges.Sum() != 300 || r.SentBytes != 100*300+100*310 || r.ReceivedBytes != 10*r.SentBytes {
		t.Errorf("at the end %d exchanges, %d and %d bytes; want 300, %d and %d", r.CarriedExchanges.Sum(), r.SentBytes, r.ReceivedBytes, 61000, 610000)
	}
	if was := only(t, first); was.Exchanges.Sum() != 190 || was.SentBytes != 19000 {
		t.Errorf("the window before has %d exchanges, %d bytes; want 190, 19000", was.Exchanges.Sum(), was.SentBytes)
	}
	if end.Preexisting || end.InCensus {
		t.Error("the event was changed")
	}
}

// An end that comes without details has the bytes of the whole connection: those that were told are among them.
func TestWhatWasToldOfAConnectionWhoseEndWasLost(t *testing.T) {
	k := talk{port: 1, opened: 0, every: 100 * time.Millisecond}
	kept := talk{port: 2, opened: 0, every: 100 * time.Millisecond}
	table := observe(New(Options{Start: epoch}), k.at(event.Connect, 0), kept.at(event.Connect, 0),
		k.at(event.Progress, 10*time.Second), kept.at(event.Progress, 10*time.Second), roundEnd(10*time.Second))
	lost := k.at(event.Lost, 15*time.Second)
	lost.Of, lost.Count = event.Close, 1
	observe(table, lost)
	for i := range time.Duration(gone) {
		at := (20 + 10*i) * time.Second
		observe(table, kept.at(event.Progress, at), roundEnd(at))
	}
	r := only(t, table)
	if want := uint64(100*150 + 100*400); r.SentBytes != want || r.Exchanges.Sum() != 400 || r.StillOpen != 1 {
		t.Errorf("%d bytes, %d exchanges, %d open; want %d, 400, 1", r.SentBytes, r.Exchanges.Sum(), r.StillOpen, want)
	}
	if n := len(table.told.uses); n != 1 {
		t.Errorf("%d connections are remembered, want the one that is open", n)
	}
}

// One that was not told of in one round is still open: a round can miss it.
func TestARoundCanMissAConnection(t *testing.T) {
	k := talk{port: 1, opened: 0, every: 100 * time.Millisecond}
	table := observe(New(Options{Start: epoch}), k.at(event.Connect, 0), k.at(event.Progress, 10*time.Second),
		roundEnd(20*time.Second), roundEnd(30*time.Second), k.at(event.Close, 40*time.Second))
	if r := only(t, table); r.SentBytes != 40000 || r.Exchanges.Sum() != 400 || r.Exchanges.Count() != 1 {
		t.Errorf("%d bytes, %d exchanges; want 40000, 400", r.SentBytes, r.Exchanges.Sum())
	}
}

// Any number of connections, as hostile captures have, takes bounded memory; the others count when they end.
func TestConnectionsThatAreRememberedAreBounded(t *testing.T) {
	table := New(Options{Start: epoch})
	e := (&talk{opened: 0, every: time.Second}).at(event.Progress, time.Second)
	for i := range maxTold + 1000 {
		e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(i))
		e.Lifetime = time.Duration(i >> 16)
		table.Observe(e)
	}
	r := only(t, table)
	if n := len(table.told.uses); n != maxTold || r.StillOpen != maxTold {
		t.Errorf("%d remembered, %d counted, want %d", n, r.StillOpen, maxTold)
	}
	sent := r.SentBytes
	e.Kind = event.Close
	if table.Observe(e); r.SentBytes != sent+e.SentBytes {
		t.Errorf("the end of one that is not remembered added %d bytes, want %d", r.SentBytes-sent, e.SentBytes)
	}
}

func TestMemoryOfAConnectionThatIsRemembered(t *testing.T) {
	const n = 100_000
	table := New(Options{Start: epoch})
	e := (&talk{opened: 0, every: time.Second}).at(event.Progress, time.Second)
	table.Observe(e)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 16), 1}), uint16(i))
		table.Observe(e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (after.HeapAlloc - before.HeapAlloc) / n; per > 192 {
		t.Errorf("%d bytes each, want 192 at most", per)
	}
	runtime.KeepAlive(table)
}

func TestWhatIsRemovedFromAHistogramWasNeverThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var with, without Histogram
	for range 1000 {
		v := rng.Uint64N(1 << (1 + rng.IntN(20)))
		with.Add(v)
		without.Add(v)
		x := rng.Uint64N(1 << (1 + rng.IntN(20)))
		with.Add(x)
		with.Remove(x)
	}
	for _, q := range []float64{0, 0.1, 0.5, 0.9, 0.99} {
		if a, b := with.Quantile(q), without.Quantile(q); a != b {
			t.Errorf("quantile %v: %v, want %v", q, a, b)
		}
	}
	if with.Count() != without.Count() || with.Sum() != without.Sum() || with.SumFrom(100) != without.SumFrom(100) {
		t.Errorf("%d values of %d, want %d of %d", with.Count(), with.Sum(), without.Count(), without.Sum())
	}
	var none *Histogram
	none.Remove(1) // nothing was counted
	new(Histogram).Remove(0)
}

func BenchmarkProgress(b *testing.B) {
	const n = 100_000
	table := New(Options{Start: epoch})
	e := (&talk{opened: 0, every: time.Second}).at(event.Progress, time.Second)
	i := 0
	for b.Loop() {
		e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 16), 1}), uint16(i))
		table.Observe(e)
		if i++; i == n {
			i = 0
		}
	}
}
