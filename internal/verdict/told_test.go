package verdict

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

func addrPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

// existing was open before the window, as a census told with what it had done by then; it is still open when the window
// ends, and was told of meanwhile.
func (tr *traffic) existing(port uint16, before, during uint32) {
	at := func(kind event.Kind, when time.Duration, exchanges uint32) {
		e := tr.event(kind, when)
		e.Preexisting, e.InCensus, e.NewState, e.Idle = true, true, event.Established, 0
		e.Local = addrPort(e.Local, port)
		tr.use(e, exchanges, exchanges)
	}
	at(event.Existing, 0, before)
	at(event.Progress, tr.window/2, before+during/2)
	at(event.Open, tr.window, before+during)
}

func TestWhatWasBeforeTheWindowIsNotInIt(t *testing.T) {
	for _, c := range []scene{
		{"a pool at work", func(tr *traffic) {
			for i := range uint16(10) {
				tr.existing(i, 5000, 100)
			}
		}, Pooled, "no new connects: 10 connections carried 1000 exchanges"},
		{"a pool that had worked before", func(tr *traffic) {
			for i := range uint16(10) {
				tr.existing(i, 5000, 1)
			}
		}, Pooled, "no new connects: 10 connections carried 10 exchanges in this window, and 50000 before it"},
		{"a pool that had worked before, and grows", func(tr *traffic) {
			for i := range uint16(10) {
				tr.existing(i, 5000, 1)
			}
			tr.connection(second, time.Hour, 2)
		}, Pooled, "exchanges for each of 1 connect, most of them before this window"},
		{"connections that are hardly used", func(tr *traffic) {
			for i := range uint16(5) {
				tr.existing(i, 1, 1)
			}
		}, TooFewToTell, "0 connects: fewer than 20 are not enough"},
		{"churn beside a pool that had worked before", func(tr *traffic) {
			for i := range uint16(10) {
				tr.existing(i, 500_000, 1)
			}
			tr.workers(4, 2000, time.Millisecond, 1)
		}, Unpooled, "2000 connects though at most"},
		{"churn beside a pool at work", func(tr *traffic) {
			for i := range uint16(10) {
				tr.existing(i, 500_000, 10_000)
			}
			tr.workers(4, 2000, time.Millisecond, 1)
		}, Pooled, "51 exchanges for each of 2000 connects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &traffic{window: 10 * second}
			c.make(tr)
			v := judge(tr.row(t))
			if v.Name != c.want || !strings.HasPrefix(v.Evidence[0], c.evidence) && !strings.HasSuffix(v.Evidence[0], c.evidence) {
				t.Errorf("%s, %q; want %s, %q", v.Name, v.Evidence, c.want, c.evidence)
			}
		})
	}
}

// A verdict that is made while connections are open is the one that is made when the window ends there.
func TestAVerdictInBetween(t *testing.T) {
	for name, fill := range map[string]func(tr *traffic){
		"a pool": func(tr *traffic) {
			for i := range 5 {
				tr.connection(time.Duration(i)*time.Millisecond, time.Hour, 200)
			}
		},
		"an undersized pool": func(tr *traffic) {
			for i := range 2 {
				tr.connection(time.Duration(i)*time.Millisecond, time.Hour, 500)
			}
			tr.workers(20, 1000, time.Millisecond, 1)
		},
		"a leak": func(tr *traffic) {
			for i := range 381 {
				tr.leaked(time.Duration(i)*tr.window/400, 1)
			}
		},
		"unpooled": func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := &traffic{window: 10 * second}
			fill(tr)
			want := judge(tr.row(t))
			for i := range tr.events {
				e := &tr.events[i]
				e.Local = addrPort(e.Local, uint16(i))
				if e.Kind == event.Open {
					e.Kind = event.Progress
				}
			}
			got := judge(tr.row(t))
			if got.Name != want.Name || got.Kind != want.Kind || got.Evidence[0] != want.Evidence[0] {
				t.Errorf("%s, kind %q, %q; at the end of the window %s, kind %q, %q",
					got.Name, got.Kind, got.Evidence, want.Name, want.Kind, want.Evidence)
			}
		})
	}
}
