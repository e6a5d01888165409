package churn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
)

// with returns a copy of e as f changes it.
func with(e *event.Event, f func(e *event.Event)) *event.Event {
	c := *e
	f(&c)
	return &c
}

func existing(s event.State) *event.Event {
	return with(out(event.Existing, 0), func(e *event.Event) {
		e.NewState, e.Substate, e.Preexisting, e.InCensus = s, event.TimeWaitState, true, true
	})
}

func old(e *event.Event, inCensus bool) *event.Event {
	return with(e, func(e *event.Event) { e.Preexisting, e.InCensus, e.Lifetime = true, inCensus, event.Unknown })
}

func ended(c event.Cause) *event.Event {
	return with(out(event.TimeWaitEnd, 9), func(e *event.Event) { e.Cause = c })
}

// waiting is a timewait socket of the snapshot.
func waiting(substate event.State) *event.Event {
	return with(out(event.Open, 10), func(e *event.Event) {
		e.NewState, e.Substate, e.Remaining = event.TimeWaitState, substate, event.Unknown
	})
}

func TestConnectionsOfTheCensusAreCountedOnce(t *testing.T) {
	still := with(out(event.Open, 9), func(e *event.Event) { e.NewState = event.Established })
	lost := with(old(out(event.Lost, 9), true), func(e *event.Event) { e.Of, e.Count = event.Close, 2 })
	lostCensus := with(existing(event.Established), func(e *event.Event) { e.Kind, e.Of, e.Count = event.Lost, event.Existing, 5 })
	for _, c := range []struct {
		name                    string
		events                  []*event.Event
		preexisting, open, peak uint64
	}{
		{"open all along", []*event.Event{existing(event.Established), existing(event.CloseWait)}, 2, 2, 2},
		{"ended", []*event.Event{existing(event.Established), old(closed(1, 1), true)}, 1, 0, 1},
		{"ended, not in the census", []*event.Event{existing(event.Established), old(closed(1, 1), false)}, 2, 1, 2},
		{"still open", []*event.Event{existing(event.Established), old(still, true)}, 1, 1, 1},
		{"still open, not in the census", []*event.Event{existing(event.Established), old(still, false)}, 2, 2, 2},
		{"beside a new one", []*event.Event{existing(event.Established), out(event.Connect, 1), old(closed(2, 1), true)}, 1, 1, 2},
		{"a connect under way is not open", []*event.Event{existing(event.SynSent), out(event.Connect, 1)}, 0, 1, 1},
		{"a TIME_WAIT is not open", []*event.Event{existing(event.TimeWaitState), old(waiting(event.TimeWaitState), true)}, 0, 0, 0},
		{"their ends are lost", []*event.Event{existing(event.Established), existing(event.Established), lost}, 2, 0, 2},
		{"the census is lost", []*event.Event{lostCensus, old(closed(1, 1), true)}, 5, 4, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := observe(New(Options{}), c.events...)
			r := only(t, table)
			_, peak := r.Peak()
			if r.Preexisting != c.preexisting || r.Open() != c.open || peak != c.peak {
				t.Errorf("preexisting %d, open %d, peak %d; want %d, %d, %d", r.Preexisting, r.Open(), peak, c.preexisting, c.open, c.peak)
			}
			f := table.Budgets()[0].Figures(table.Window())
			if f.ByState[event.Established] != c.open {
				t.Errorf("the budget has %d open, want %d", f.ByState[event.Established], c.open)
			}
		})
	}
}

func TestTheCensusIsNoPartOfTheWindow(t *testing.T) {
	before := with(existing(event.Established), func(e *event.Event) { e.UnixNano -= int64(5 * time.Second) })
	after := with(existing(event.Established), func(e *event.Event) { e.UnixNano += int64(50 * time.Second) })
	table := observe(New(Options{}), before, out(event.Connect, 0), after, out(event.Connect, 2*time.Second))
	r := only(t, table)
	if w := table.Window(); w.Start != epoch || w.Seconds() != 2 || r.BusySeconds() != 2 || r.Opened != 2 {
		t.Errorf("the window is %v s, %d seconds are busy, %d opened; want 2, 2, 2", w.Seconds(), r.BusySeconds(), r.Opened)
	}
}

func TestTimeWaitsHeldAreBeginningsLessEnds(t *testing.T) {
	tw := with(closed(1, event.ClosedLocal), func(e *event.Event) { e.Kind = event.TimeWait })
	lost := func(of event.Kind, n uint64, cause event.Cause) *event.Event {
		return with(out(event.Lost, 9), func(e *event.Event) { e.Of, e.Count, e.Cause = of, n, cause })
	}
	table := observe(New(Options{}), existing(event.TimeWaitState), existing(event.TimeWaitState), tw, tw, tw, tw, tw,
		ended(event.Expired), ended(event.Reused), ended(event.Killed), ended(0), old(ended(event.Expired), true),
		old(ended(event.Expired), false), lost(event.TimeWait, 10, 0), lost(event.TimeWaitEnd, 3, event.Reused))
	r := only(t, table)
	got := []uint64{r.TimeWaitExisting, r.TimeWaitEntered, r.TimeWaitEnded, r.TimeWaitNow(), r.EndedBy[event.Expired],
		r.EndedBy[event.Reused], r.EndedBy[event.Killed], r.EndedBy[0], table.Budgets()[0].Figures(table.Window()).ByState[event.TimeWaitState]}
	if diff := cmp.Diff([]uint64{3, 15, 9, 9, 3, 4, 1, 1, 9}, got); diff != "" {
		t.Errorf("existing, entered, ended, now, expired, reused, killed, unknown, in the budget (-want +got):\n%s", diff)
	}
	if _, known := r.TimeWaitFinWait2(); known {
		t.Error("the substates are known without a snapshot")
	}
	if observe(table, lost(event.TimeWaitEnd, 100, 0)); r.TimeWaitNow() != 0 {
		t.Errorf("%d held after more ends than beginnings", r.TimeWaitNow())
	}
}

func TestTheSnapshotIsTheTruth(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool // told before the events
	}{{"told before", true}, {"told after", false}} {
		t.Run(c.name, func(t *testing.T) {
			table := New(Options{})
			if c.before {
				table.Snapshot(true)
			}
			table = observe(table, existing(event.TimeWaitState), existing(event.TimeWaitState), existing(event.TimeWaitState),
				old(waiting(event.TimeWaitState), true), old(waiting(event.FinWait2), true),
				in(event.TimeWait, 1, event.Owner{}), in(event.TimeWait, 1, event.Owner{}))
			if !c.before {
				if now := table.Rows()[0].TimeWaitNow(); now != 3 || table.Repaired() != 0 {
					t.Errorf("%d held, %d repaired without a snapshot; want 3, 0", now, table.Repaired())
				}
				table.Snapshot(true)
			}
			r := table.Rows()[0]
			if n, known := r.TimeWaitFinWait2(); r.TimeWaitNow() != 2 || n != 1 || !known {
				t.Errorf("%d held, %d of them in FIN_WAIT2 (%v); want 2, 1", r.TimeWaitNow(), n, known)
			}
			if r.TimeWaitRepaired() != -1 || table.Repaired() != 3 {
				t.Errorf("repaired %d, in all rows %d; want -1, 3", r.TimeWaitRepaired(), table.Repaired())
			}
		})
	}
}

func TestASnapshotAnnouncesWhatTheCensusDidNot(t *testing.T) {
	table := observe(New(Options{}), existing(event.TimeWaitState), old(waiting(event.TimeWaitState), true), old(waiting(event.TimeWaitState), false))
	table.Snapshot(true)
	if r := only(t, table); r.TimeWaitExisting != 2 || r.TimeWaitRepaired() != 0 {
		t.Errorf("%d existed, %d repaired; want 2, 0", r.TimeWaitExisting, r.TimeWaitRepaired())
	}
}

func TestStatesAreThoseAtTheEnd(t *testing.T) {
	at := func(s event.State, idle time.Duration) *event.Event {
		return with(out(event.Open, 9), func(e *event.Event) { e.NewState, e.Idle = s, idle })
	}
	r := only(t, observe(New(Options{}), out(event.Connect, 0)))
	if r.States().Count(event.CloseWait) != 0 || r.States().OldestIdle(event.CloseWait) != 0 {
		t.Error("states before the end")
	}
	r = only(t, observe(New(Options{}), at(event.CloseWait, time.Second), at(event.CloseWait, time.Hour), at(event.CloseWait, event.Unknown),
		at(event.Established, event.Unknown), waiting(event.TimeWaitState)))
	s := r.States()
	if s.Count(event.CloseWait) != 3 || s.OldestIdle(event.CloseWait) != time.Hour {
		t.Errorf("%d in CLOSE_WAIT, idle for %s; want 3, 1h", s.Count(event.CloseWait), s.OldestIdle(event.CloseWait))
	}
	if s.Count(event.Established) != 1 || s.OldestIdle(event.Established) != 0 || s.Count(event.TimeWaitState) != 0 || s.Count(200) != 0 {
		t.Errorf("%d ESTABLISHED, %d TIME_WAIT; want 1, 0", s.Count(event.Established), s.Count(event.TimeWaitState))
	}
}
