package agent

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// Connections that were opened while there was no room, and end when there is again, are not open for ever.
func TestWhatIsOpenBeyondTheBoundComesToAnEnd(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	l.windows.SetLength(10 * time.Second)
	var s *Snapshot
	now := time.Duration(0)
	later := func() { // when nothing but what is open is left in the table
		for range 20 {
			now += time.Second
			s = l.Publish(noon+int64(now), true)
		}
	}
	wait := func(from, to int, lifetime time.Duration) {
		for i := from; i < to; i++ {
			e := ended(event.TimeWait, remote(i), now)
			e.Lifetime = lifetime
			observe(l, e)
		}
		later()
	}
	expire := func(from, to int) {
		for i := from; i < to; i++ {
			observe(l, out(event.TimeWaitEnd, remote(i), now))
		}
		later()
	}
	for range 20 {
		for i := range 30 {
			observe(l, out(event.Connect, remote(i), now))
		}
		later()
		wait(0, 10, 20*time.Second)
		expire(0, 10)
		wait(10, 30, 60*time.Second)
		expire(10, 30)
		for i := range 30 {
			observe(l, out(event.Connect, remote(i), now))
		}
		wait(0, 30, time.Second)
		expire(0, 10)
		observe(l, out(event.Connect, remote(10), now), ended(event.Close, remote(10), now)) // it has a row now
		expire(10, 20)
		for i := 20; i < 30; i++ { // this is not seen in detail
			e := out(event.Lost, remote(i), now)
			e.Of, e.Count = event.TimeWaitEnd, 1
			observe(l, e)
		}
	}
	later()
	for _, x := range s.Series {
		if x.Open+x.TimeWait > 0 {
			t.Errorf("%+v: %d open and %d TIME_WAIT, and nothing is there any more", x.Labels, x.Open, x.TimeWait)
		}
	}
}

// A server has more clients than there are rows; its listener is known all the same.
func TestAListenerWithManyClients(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 100})
	for i := range 3000 {
		observe(l, in(event.Accept, netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}).String(), 0))
	}
	now := samples(t, complete(l.Publish(noon+1e9, true)))
	if got := now[`tcpstate_accepts_total{listener="10.0.0.1:80",service="nginx"}`]; got != 3000 {
		t.Errorf("%v of 3000 accepts are the listener's: %v", got, now)
	}
}

// Who calls itself ~other is told apart from all that is beyond the bound, and is bound by it.
func TestAServiceThatCallsItselfOther(t *testing.T) {
	l := newBook(LedgerOptions{Destinations: 10})
	l.windows.SetLength(10 * time.Second)
	var s *Snapshot
	for i := range 200 {
		at := time.Duration(i) * time.Second
		c, e := out(event.Connect, remote(i), at), ended(event.Close, remote(i), at)
		for _, x := range []*event.Event{&c, &e} {
			x.Owner.Comm = [16]byte{}
			copy(x.Owner.Comm[:], Other)
		}
		observe(l, c, e)
		s = l.Publish(noon+int64(at), true)
	}
	if len(s.Series) > 11 || s.Series[0].Service != `\x7eother` || s.Series[10].Labels != (Labels{Service: Other, Destination: Other}) {
		t.Errorf("%d series: %+v", len(s.Series), s.Series[0].Labels)
	}
	table := churn.New(churn.Options{MaxRows: 1, Start: noon})
	for i := range 3 {
		c := out(event.Connect, remote(i), time.Second)
		c.Owner.Comm = [16]byte{'~', 'o', 't', 'h', 'e', 'r'}
		table.Observe(&c)
	}
	var got []string
	for _, v := range Judge(report.Build(report.Input{Table: table}), 10, nil).Verdicts {
		got = append(got, v.Service+" "+v.Destination)
	}
	if want := `[~other ~other \x7eother 10.1.0.0:5432]`; fmt.Sprint(got) != want {
		t.Errorf("verdicts on %v, want %s", got, want)
	}
}
