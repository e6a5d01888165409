package verdict

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/advice"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

const epoch = int64(1_700_000_000_000_000_000)

const second = time.Second

// traffic is what one service does toward one destination in a window, as the tracer would tell it.
type traffic struct {
	window time.Duration
	events []event.Event
}

func (tr *traffic) event(kind event.Kind, at time.Duration) *event.Event {
	tr.events = append(tr.events, event.Event{
		UnixNano: epoch + int64(at), Kind: kind, Direction: event.Outbound,
		Owner: event.Owner{PID: 10, Basis: event.OwnerConnect}, Local: netip.MustParseAddrPort("10.0.0.1:40000"),
		Remote: netip.MustParseAddrPort("10.0.0.2:5432"), Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
	})
	return &tr.events[len(tr.events)-1]
}

// connection is opened at a time and used for so many exchanges; it ends after its life, or is open when the window ends.
func (tr *traffic) connection(at, life time.Duration, exchanges uint32) {
	tr.event(event.Connect, at)
	kind, idle := event.TimeWait, event.Unknown
	if at+life > tr.window {
		kind, life, idle = event.Open, tr.window-at, 0
	}
	e := tr.event(kind, at+life)
	e.Lifetime, e.Idle, e.ClosedBy = life, idle, event.ClosedLocal
	tr.use(e, exchanges, exchanges)
}

func (tr *traffic) use(e *event.Event, sent, received uint32) {
	e.Counted, e.SentDataSegments, e.ReceivedDataSegments = true, sent, received
	e.SentBytes, e.ReceivedBytes = uint64(sent)*100, uint64(received)*100
}

// leaked is used once and stays open.
func (tr *traffic) leaked(at time.Duration, exchanges uint32) {
	tr.event(event.Connect, at)
	e := tr.event(event.Open, tr.window)
	e.Lifetime, e.Idle = tr.window-at, tr.window-at-time.Millisecond
	tr.use(e, exchanges, exchanges)
}

// preexisting was open before the window and is still.
func (tr *traffic) preexisting(exchanges uint32) {
	e := tr.event(event.Open, tr.window)
	e.Preexisting, e.Idle = true, 0
	tr.use(e, exchanges, exchanges)
}

func (tr *traffic) failed(at time.Duration, err event.Error) {
	e := tr.event(event.ConnectFailed, at)
	if e.Error = err; err == event.EADDRNOTAVAIL {
		e.Cause = event.PortsExhausted
	}
}

// row feeds the events to a table in the order of time.
func (tr *traffic) row(t *testing.T) (*churn.Row, churn.Window) {
	t.Helper()
	slices.SortStableFunc(tr.events, func(a, b event.Event) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	table := churn.New(churn.Options{Start: epoch})
	for i := range tr.events {
		table.Observe(&tr.events[i])
	}
	table.Close(epoch + int64(tr.window))
	rows := table.Rows()
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	return rows[0], table.Window()
}

// workers connect one after the other each, n connections in all, spread over the window.
func (tr *traffic) workers(workers, n int, life time.Duration, exchanges uint32) {
	step := tr.window / time.Duration(n/workers+1)
	for i := range n {
		at := step*time.Duration(i/workers) + time.Duration(i%workers)*time.Microsecond
		tr.connection(at, min(life, step-time.Millisecond/100), exchanges)
	}
}

// judge judges a row that is alone in its window, of a program of which nothing is known.
func judge(r *churn.Row, w churn.Window) Verdict {
	return NewSurvey([]*churn.Row{r}).Judge(r, w, Program{})
}

type scene struct {
	name     string
	make     func(tr *traffic)
	want     Name
	evidence string
}

// scenes resemble the recorded cases.
var scenes = []scene{
	{"a log-in protocol whose connections are thrown away", func(tr *traffic) {
		tr.workers(5, 755, 3*time.Millisecond, 5)
	}, Unpooled, "755 connects though at most 5 were open at once: a pool of 5 would have saved 99%"},
	{"an HTTP client without keep-alive", func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) }, Unpooled, "a pool of 4"},
	{"a pool opened at the start and used throughout", func(tr *traffic) {
		for range 10 {
			tr.connection(0, 20*second, 5000)
		}
	}, Pooled, "5000 exchanges for each of 10 connects"},
	{"a pool opened before the window", func(tr *traffic) {
		for range 10 {
			tr.preexisting(400)
		}
	}, Pooled, "no new connects: 10 connections carried 4000 exchanges"},
	{"a pool from before the window that replaces some connections", func(tr *traffic) {
		for range 20 {
			tr.preexisting(3000)
		}
		tr.workers(1, 30, 300*time.Millisecond, 90)
	}, Pooled, "exchanges for each of 30 connects"},
	{"a long history behind connections that churn", func(tr *traffic) {
		tr.preexisting(1_000_000)
		tr.workers(5, 755, 3*time.Millisecond, 5)
	}, TooFewToTell, "the new ones alone look unpooled"},
	{"a short history behind connections that churn", func(tr *traffic) {
		tr.preexisting(3)
		tr.workers(5, 755, 3*time.Millisecond, 5)
	}, Unpooled, "at most 6 were open at once"},
	{"a recycled pool", func(tr *traffic) {
		for i := range 42 {
			tr.connection(time.Duration(i/7)*1600*time.Millisecond, 1500*time.Millisecond, 81)
		}
	}, Pooled, "81 exchanges for each of 42 connects"},
	{"a pool of 2 idle connections under 50 workers", func(tr *traffic) {
		for range 2 {
			tr.connection(0, 20*second, 60)
		}
		tr.workers(48, 1112, 2*time.Millisecond, 1)
	}, UndersizedPool, "1114 connects, 50 open at once at most; some connections are reused and most are not"},
	{"a leak", func(tr *traffic) {
		for i := range 381 {
			tr.leaked(time.Duration(i)*tr.window/400, 1)
		}
	}, Unpooled, "381 connects, none used twice, none closed"},
	{"a leak behind a log-in", func(tr *traffic) {
		for i := range 200 {
			tr.leaked(time.Duration(i)*tr.window/210, 5)
		}
	}, Unpooled, "silent after their first use, none closed"},
	{"slow calls, each on a connection of its own", func(tr *traffic) {
		tr.workers(20, 200, 500*time.Millisecond, 1)
	}, Unpooled, "200 connects though at most 20 were open at once"},
	{"many queries a page, then thrown away", func(tr *traffic) {
		tr.workers(3, 300, 2*time.Millisecond, 42)
	}, Unpooled, "300 connects though at most 3 were open at once"},
	{"uploads", func(tr *traffic) {
		for i := range 200 {
			at := time.Duration(i) * 45 * time.Millisecond
			tr.event(event.Connect, at)
			e := tr.event(event.Close, at+40*time.Millisecond)
			e.Lifetime, e.ClosedBy = 40*time.Millisecond, event.ClosedRemote
			tr.use(e, 5000, 1)
		}
	}, Unpooled, "200 connects though at most 1 was open at once"},
	{"a refused storm", func(tr *traffic) {
		for i := range 400 {
			tr.failed(time.Duration(i)*20*time.Millisecond, 111)
		}
	}, ConnectFailing, "400 of 400 connects failed: ECONNREFUSED"},
	{"a destination that fails in several ways and sometimes works", func(tr *traffic) {
		tr.workers(1, 15, time.Millisecond, 1)
		for i := range 30 {
			tr.failed(time.Duration(i)*100*time.Millisecond, 111)
			if i%3 == 0 {
				tr.failed(time.Duration(i)*100*time.Millisecond, 110)
			}
		}
	}, ConnectFailing, "40 of 55 connects failed: ECONNREFUSED 30 times, ETIMEDOUT 10 times"},
	{"ports that run out under a service without a pool", func(tr *traffic) {
		tr.workers(2, 600, time.Millisecond, 1)
		for i := range 800 {
			tr.failed(8*second+time.Duration(i)*time.Millisecond, event.EADDRNOTAVAIL)
		}
	}, Unpooled, "800 connects failed for want of a local port (EADDRNOTAVAIL)"},
	{"ports that had run out before the window", func(tr *traffic) {
		for i := range 500 {
			tr.failed(time.Duration(i)*10*time.Millisecond, event.EADDRNOTAVAIL)
		}
	}, TooFewToTell, "none of 500 connects was established"},
	{"a health check once a second", func(tr *traffic) { tr.workers(1, 9, time.Millisecond, 1) }, TooFewToTell, "9 connects: fewer than 20"},
	{"a health check twice a second for long", func(tr *traffic) {
		tr.window = 30 * second
		tr.workers(1, 59, time.Millisecond, 1)
	}, TooFewToTell, "connects per second: fewer than 3"},
	{"a single burst", func(tr *traffic) {
		for i := range 100 {
			tr.connection(time.Duration(i)*time.Millisecond, 300*time.Millisecond, 1)
		}
	}, TooFewToTell, "a single burst: 100 connects, 100 open at once at most"},
	{"a warm-up of a pool that is hardly used yet", func(tr *traffic) {
		for i := range 50 {
			tr.leaked(time.Duration(i)*10*time.Millisecond, 2)
		}
	}, TooFewToTell, "a single burst"},
	{"a warm-up of a pool that is used a little", func(tr *traffic) {
		for i := range 50 {
			tr.connection(time.Duration(i)*10*time.Millisecond, 30*second, 8)
		}
	}, Pooled, "8 exchanges for each of 50 connects"},
	{"websockets that come and stay", func(tr *traffic) {
		for i := range 60 {
			tr.connection(time.Duration(i)*150*time.Millisecond, 30*second, 40)
		}
	}, Pooled, "40 exchanges for each of 60 connects"},
	{"a batch that is over in a third of a second", func(tr *traffic) {
		for i := range 100 {
			tr.connection(time.Duration(i)*3*time.Millisecond, time.Millisecond, 1)
		}
	}, Unpooled, "100 connects though at most 1 was open at once"},
}

func (s *scene) judge(t *testing.T) Verdict {
	t.Helper()
	tr := &traffic{window: 10 * second}
	s.make(tr)
	return judge(tr.row(t))
}

func TestVerdictOfEachKindOfTraffic(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			v := s.judge(t)
			if v.Name != s.want {
				t.Errorf("verdict %q, want %q; evidence %q", v.Name, s.want, v.Evidence)
			}
			if !strings.Contains(strings.Join(v.Evidence, "\n"), s.evidence) {
				t.Errorf("evidence %q, want one with %q", v.Evidence, s.evidence)
			}
			if needsAdvice := v.Name == Unpooled || v.Name == UndersizedPool || v.Name == ConnectFailing; needsAdvice && len(v.Advice) == 0 {
				t.Error("no advice")
			}
		})
	}
}

func TestVerdictsHoldWithinTheRecordedMargins(t *testing.T) {
	saved := rule
	t.Cleanup(func() { rule = saved })
	for _, m := range []struct {
		name      string
		threshold *float64
		ends      [2]float64
	}{
		{"avoidable", &rule.avoidable, [2]float64{0.2, 0.7}},
		{"exchanges of a pool", &rule.exchangesPool, [2]float64{8.1, 20}}, // 3 in the records; the warm-up here has 8
		{"very many exchanges", &rule.exchangesMany, [2]float64{45, 300}},
		{"long life", &rule.longLife, [2]float64{0.1, 1.2}},
		{"beyond base", &rule.beyondBase, [2]float64{0.7, 0.95}},
		{"heavy share", &rule.heavyShare, [2]float64{0.005, 0.06}},
		{"silent share", &rule.silentShare, [2]float64{0.2, 0.9}},
		{"attempts", &rule.attempts, [2]float64{10, 40}},
		{"rate", &rule.rate, [2]float64{2.5, 8}},
	} {
		for _, end := range m.ends {
			rule = saved
			*m.threshold = end
			for _, s := range scenes {
				if v := s.judge(t); v.Name != s.want {
					t.Errorf("%s at %v, %s: verdict %q, want %q", m.name, end, s.name, v.Name, s.want)
				}
			}
		}
	}
}

// churning are figures of a service without a pool.
func churning() figures {
	return figures{
		window: 10, attempts: 100, opened: 100, rate: 10, peak: 5, exchanges: 100, base: 1, medianLife: 0.001, busySeconds: 10, later: 0.5,
	}
}

func TestEachTestOfTheRuleAtItsThreshold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *figures)
		want   conclusion
	}{
		{"9 failures are not enough", func(f *figures) { f.attempts, f.opened, f.failedElsewhere = 18, 9, 9 }, tooFew},
		{"10 failures of 20", func(f *figures) { f.attempts, f.opened, f.failedElsewhere = 20, 10, 10 }, failing},
		{"10 failures of 21 are less than half", func(f *figures) { f.attempts, f.opened, f.failedElsewhere = 21, 11, 10 }, thrownAway},
		{"19 attempts", func(f *figures) { f.attempts, f.opened, f.exchanges = 19, 19, 19 }, tooFew},
		{"20 attempts", func(f *figures) { f.attempts, f.opened, f.exchanges = 20, 20, 20 }, thrownAway},
		{"2.9 a second", func(f *figures) { f.rate = 2.9 }, tooFew},
		{"3 a second", func(f *figures) { f.rate = 3 }, thrownAway},
		{"49 % avoidable", func(f *figures) { f.peak = 51 }, burst},
		{"50 % avoidable", func(f *figures) { f.peak = 50 }, thrownAway},
		{"20 exchanges each and long lives", func(f *figures) { f.exchanges, f.base, f.medianLife = 2000, 20, 1 }, reused},
		{"20 exchanges each and lives of 0.99 s", func(f *figures) { f.exchanges, f.base, f.medianLife = 2000, 20, 0.99 }, thrownAway},
		{"19 exchanges each and long lives", func(f *figures) { f.exchanges, f.base, f.medianLife = 1900, 19, 1 }, thrownAway},
		{"80 exchanges each and short lives", func(f *figures) { f.exchanges, f.base = 8000, 80 }, reused},
		{"79 exchanges each and short lives", func(f *figures) { f.exchanges, f.base = 7900, 79 }, thrownAway},
		{"95 % of the exchanges beyond the base", func(f *figures) { f.exchanges, f.base = 4000, 2 }, reused},
		{"94 % of the exchanges beyond the base", func(f *figures) { f.exchanges, f.base = 4000, 2.4 }, thrownAway},
		{"heavy connections carry 3 %", func(f *figures) { f.heavy = 3 }, undersized},
		{"heavy connections carry 2.9 %", func(f *figures) { f.heavy = 2.9 }, thrownAway},
		{"no exchanges at all", func(f *figures) { f.exchanges = 0 }, thrownAway},
		{"60 % silent", func(f *figures) { f.peak, f.silent = 100, 60 }, leak},
		{"59 % silent", func(f *figures) { f.peak, f.silent = 100, 59 }, burst},
		{"silent, 29 % in the second half", func(f *figures) { f.peak, f.silent, f.later = 100, 100, 0.29 }, burst},
		{"silent, in 2 busy seconds", func(f *figures) { f.peak, f.silent, f.busySeconds = 100, 100, 2 }, burst},
		{"3 exchanges each, all open at once", func(f *figures) { f.peak, f.exchanges = 100, 300 }, kept},
		{"2 exchanges each, all open at once", func(f *figures) { f.peak, f.exchanges = 100, 200 }, burst},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := churning()
			c.change(&f)
			if got := rule.apply(&f); got != c.want {
				t.Errorf("test %d decided, want %d", got, c.want)
			}
		})
	}
}

func TestNoVerdictOnLessThanFiveSeconds(t *testing.T) {
	for _, s := range []scene{scenes[0], scenes[14]} {
		tr := &traffic{window: 10 * second}
		s.make(tr)
		r, w := tr.row(t)
		w.End = w.Start + int64(4900*time.Millisecond)
		v := judge(r, w)
		if v.Name != TooFewToTell || v.Evidence[0] != "the window is 4.9 s: less than 5 s is not enough for a verdict" {
			t.Errorf("%s: verdict %q, %q", s.name, v.Name, v.Evidence)
		}
		w.End = w.Start + int64(4999*time.Millisecond) // a timer that was early
		if v := judge(r, w); v.Name != s.want {
			t.Errorf("%s in 5 s: verdict %q, want %q", s.name, v.Name, s.want)
		}
	}
}

func TestTheSameTrafficGivesTheSameVerdictInWindowsOf5To60Seconds(t *testing.T) {
	for _, window := range []time.Duration{5 * second, 20 * second, 60 * second} {
		for _, c := range []struct {
			want Name
			make func(tr *traffic, seconds int)
		}{
			{Unpooled, func(tr *traffic, s int) { tr.workers(5, 75*s, 3*time.Millisecond, 5) }},
			{UndersizedPool, func(tr *traffic, s int) {
				tr.connection(0, 100*second, uint32(10*s))
				tr.connection(0, 100*second, uint32(10*s))
				tr.workers(20, 40*s, 2*time.Millisecond, 1)
			}},
			{Pooled, func(tr *traffic, s int) {
				for range 10 {
					tr.connection(0, 100*second, uint32(100*s))
				}
			}},
		} {
			tr := &traffic{window: window}
			c.make(tr, int(window/second))
			if v := judge(tr.row(t)); v.Name != c.want {
				t.Errorf("%v: verdict %q, want %q; evidence %q", window, v.Name, c.want, v.Evidence)
			}
		}
	}
}

func TestInboundRowsAreNeverBlamed(t *testing.T) {
	for _, s := range scenes {
		tr := &traffic{window: 10 * second}
		s.make(tr)
		for i := range tr.events {
			e := &tr.events[i]
			e.Direction, e.Local, e.Remote = event.Inbound, netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.9:1")
		}
		v := judge(tr.row(t))
		if v.Name != None {
			t.Errorf("%s: verdict %q, want none", s.name, v.Name)
		}
		churns := s.want == Unpooled || s.want == UndersizedPool
		if named := slices.ContainsFunc(v.Advice, func(a advice.Advice) bool { return strings.HasPrefix(a.Text, "the remote client") }); named != churns {
			t.Errorf("%s: advice %q", s.name, v.Advice)
		}
		if got := strings.Contains(strings.Join(v.Evidence, ""), "the remote host does not reuse"); got != churns {
			t.Errorf("%s: evidence %q", s.name, v.Evidence)
		}
	}
}

// lose replaces every connect and end of which keep says no by one lost event of each kind, as the kernel counts them.
func (tr *traffic) lose(bytes uint64, keep func(i int) bool) {
	var kept []event.Event
	lost := map[event.Kind]uint64{}
	for i := range tr.events {
		if e := &tr.events[i]; keep(i) {
			kept = append(kept, *e)
		} else {
			lost[e.Kind]++
		}
	}
	tr.events = kept
	for of, n := range lost {
		e := tr.event(event.Lost, tr.window)
		e.Of, e.Count = of, n
		if of == event.TimeWait {
			e.ClosedBy, e.Counted, e.SentBytes, e.ReceivedBytes = event.ClosedLocal, true, n*bytes, n*bytes
		}
	}
}

func TestLostDetailsWithholdAVerdictTheyCouldTurn(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes uint64 // of each lost connection; those seen have 500
		keep  func(i int) bool
		want  Name
	}{
		{"a tenth is lost", 500, func(i int) bool { return i%20 > 1 }, Unpooled},
		{"most is lost, and its payload is like the others'", 500, func(i int) bool { return i%20 < 4 }, Unpooled},
		{"most is lost, and its payload is that of a pool", 500_000, func(i int) bool { return i%20 < 4 }, TooFewToTell},
		{"all details are lost", 500, func(int) bool { return false }, TooFewToTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &traffic{window: 10 * second}
			tr.workers(5, 2000, time.Millisecond, 5)
			tr.lose(c.bytes, c.keep)
			r, w := tr.row(t)
			v := judge(r, w)
			if v.Name != c.want {
				t.Errorf("verdict %q, want %q; evidence %q", v.Name, c.want, v.Evidence)
			}
			if r.Opened != 2000 || r.Closed != 2000 {
				t.Errorf("opened %d, closed %d; want 2000 each", r.Opened, r.Closed)
			}
			if !strings.Contains(strings.Join(v.Evidence, "\n"), "were lost") {
				t.Errorf("evidence %q does not speak of the loss", v.Evidence)
			}
		})
	}
}

func TestManyDestinationsTogetherGetNoVerdict(t *testing.T) {
	tr := &traffic{window: 10 * second}
	tr.workers(5, 755, 3*time.Millisecond, 5)
	r, w := tr.row(t)
	r.Other = true
	if v := judge(r, w); v.Name != TooFewToTell || len(v.Evidence) == 0 {
		t.Errorf("verdict %q, evidence %q", v.Name, v.Evidence)
	}
}

func TestWhoClosedFirstStandsBesideTheVerdict(t *testing.T) {
	for _, c := range []struct {
		closer event.Closer
		want   string
	}{
		{event.ClosedLocal, "this host closed first in 100% of 200 ends: TIME_WAIT is held here"},
		{event.ClosedRemote, "the other end closed first in 100% of 200 ends: TIME_WAIT is held at its end"},
		{event.ClosedReset, "100% of 200 ends were resets: they leave no TIME_WAIT"},
		{0, "closed first by this host 100, by the other end 100, by both at once 0, by reset 0 times"},
	} {
		tr := &traffic{window: 10 * second}
		tr.workers(2, 200, time.Millisecond, 1)
		n := 0
		for i := range tr.events {
			e := &tr.events[i]
			if e.Kind == event.Connect {
				continue
			}
			if e.ClosedBy = c.closer; c.closer == 0 {
				e.ClosedBy = event.Closer(n%2 + 1)
				n++
			}
		}
		if v := judge(tr.row(t)); !slices.Contains(v.Evidence, c.want) || v.Name != Unpooled {
			t.Errorf("closer %q: verdict %q, evidence %q, want %q", c.closer, v.Name, v.Evidence, c.want)
		}
	}
}

func TestPercentNeverRoundsToAllOrNothing(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{1, "100%"}, {0.9999, "over 99%"}, {0.5, "50%"}, {0.0001, "under 1%"}, {0, "0%"}} {
		if got := percent(c.share); got != c.want {
			t.Errorf("percent(%v) = %q, want %q", c.share, got, c.want)
		}
	}
}

func TestNothingIsJudgedInAWindowThatShowsTooLittle(t *testing.T) {
	const s = int64(1e9)
	for _, c := range []struct {
		name   string
		window churn.Window
		want   string
	}{
		{"long enough", churn.Window{Start: 0, End: 10 * s}, ""},
		{"too short", churn.Window{Start: 0, End: 3 * s}, "less than 5 s"},
		{"filtered by what happened", churn.Window{Start: 0, End: 10 * s, Partial: true}, "the filter leaves out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Withheld(c.window); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
