package verdict

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/advice"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// ended changes how the connections that tr has made so far ended.
func (tr *traffic) ended(by event.Closer, idle time.Duration) {
	for i := range tr.events {
		if e := &tr.events[i]; e.Kind == event.TimeWait {
			e.Kind, e.ClosedBy, e.Idle = event.Close, by, idle
		}
	}
}

// pool is open until at and closed then by one end; again, a second later, it is open for good.
func (tr *traffic) pool(size int, at time.Duration, by event.Closer) {
	for i := range size {
		e := tr.event(event.Close, at+time.Duration(i)*time.Millisecond)
		e.Preexisting, e.InCensus, e.ClosedBy = true, true, by
		tr.use(e, 300, 300)
		existing := tr.event(event.Existing, 0)
		existing.Preexisting, existing.NewState = true, event.Established
		tr.connection(at+second+time.Duration(i)*time.Millisecond, 60*second, 300)
	}
}

func TestWhatIsRecognisedBesideTheVerdict(t *testing.T) {
	for _, c := range []struct {
		name     string
		make     func(tr *traffic)
		comm     string
		verdict  Name
		want     Kind
		evidence string
	}{
		{"leaked and never closed", func(tr *traffic) {
			for i := range 381 {
				tr.leaked(time.Duration(i)*tr.window/400, 1)
			}
		}, "app", Unpooled, Leak, "of 381 new connections were silent for the second half of their life; 381 are open"},
		{"leaked in CLOSE_WAIT", func(tr *traffic) {
			for i := range 200 {
				tr.leaked(time.Duration(i)*tr.window/210, 1)
			}
			for i := range tr.events {
				if tr.events[i].Kind == event.Open {
					tr.events[i].NewState = event.CloseWait
				}
			}
		}, "app", Unpooled, Leak, "the other end has closed 200 of the 200 that are open"},
		{"retries as fast as they can", func(tr *traffic) {
			for i := range 400 {
				tr.failed(time.Duration(i)*20*time.Millisecond, 111)
			}
		}, "app", ConnectFailing, RetryStorm, "50 failed connects per second, about 37% of them in the second half"},
		{"retries that wait longer each time", func(tr *traffic) {
			for i := range 60 {
				tr.failed(time.Duration(i*i)*tr.window/3600/2, 111)
			}
		}, "app", ConnectFailing, "", ""},
		{"a single burst of failures", func(tr *traffic) {
			for i := range 60 {
				tr.failed(time.Duration(i)*time.Millisecond, 111)
			}
		}, "app", ConnectFailing, "", ""},
		{"a recycled pool", func(tr *traffic) {
			for i := range 42 {
				tr.connection(time.Duration(i/7)*1600*time.Millisecond, 1500*time.Millisecond, 81)
			}
		}, "app", Pooled, RecycledPool, "live about 1.45 s in the median and are replaced: 42 connects though at most 7 were open"},
		{"a pool that is left alone", func(tr *traffic) {
			for range 30 {
				tr.connection(0, 20*second, 5000)
			}
		}, "app", Pooled, "", ""},
		{"a server that closes after each request", func(tr *traffic) {
			tr.workers(4, 2000, time.Millisecond, 1)
			tr.ended(event.ClosedRemote, 0)
		}, "app", Unpooled, ServerCloses, "the other end closes each connection after its use"},
		{"a client that closes after each request", func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) }, "app", Unpooled, "", ""},
		{"a server that allows 100 requests", func(tr *traffic) {
			tr.workers(4, 400, 90*time.Millisecond, 100)
			tr.ended(event.ClosedRemote, 0)
		}, "app", Pooled, KeepAliveLimit, "after about 100 exchanges"},
		{"a server whose patience ends before the pauses do", func(tr *traffic) {
			for i := range 8 {
				tr.connection(time.Duration(i)*900*time.Millisecond, 2*second, 4)
			}
			tr.ended(event.ClosedRemote, 2*second)
		}, "app", TooFewToTell, IdleTimeout, "after about 2 s without use each"},
		{"a server that closes at odd times", func(tr *traffic) {
			for i := range 8 {
				tr.connection(time.Duration(i)*900*time.Millisecond, second, 4)
			}
			tr.ended(event.ClosedRemote, time.Second)
			for i := range tr.events {
				if e := &tr.events[i]; e.Kind == event.Close {
					e.Idle += time.Duration(i) * 300 * time.Millisecond
				}
			}
		}, "app", TooFewToTell, "", ""},
		{"a health check", func(tr *traffic) { tr.workers(1, 9, time.Millisecond, 1) }, "app", TooFewToTell, HealthCheck, "a connect every 1 s"},
		{"a person who tries now and then", func(tr *traffic) {
			for _, at := range []time.Duration{100, 900, 1500, 4000, 8000} {
				tr.connection(at*time.Millisecond, time.Millisecond, 1)
			}
		}, "app", TooFewToTell, "", ""},
		{"a load generator", func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) }, "ab", Unpooled, LoadGenerator, "ab makes load"},
		{"a load generator whose name the kernel cuts", func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) },
			"redis-benchmark", Unpooled, LoadGenerator, "redis-benchmark makes load"},
		{"a load generator that pools", func(tr *traffic) {
			for range 30 {
				tr.connection(0, 20*second, 5000)
			}
		}, "wrk", Pooled, "", ""},
		{"a destination that restarts", func(tr *traffic) { tr.pool(8, 4*second, event.ClosedRemote) }, "app", Pooled, Restart,
			"8 of 8 connections ended within one second (the other end closed them, as when the destination restarts), and 8 were opened since"},
		{"a service that restarts", func(tr *traffic) { tr.pool(8, 4*second, event.ClosedLocal) }, "app", Pooled, Restart,
			"this end closed them, as when the service restarts"},
		{"a pool that shrinks", func(tr *traffic) {
			tr.pool(8, 4*second, event.ClosedLocal)
			for range 20 {
				existing := tr.event(event.Existing, 0)
				existing.Preexisting, existing.NewState = true, event.Established
			}
		}, "app", Pooled, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &traffic{window: 10 * second}
			c.make(tr)
			r, w := tr.row(t)
			v := NewSurvey([]*churn.Row{r}).Judge(r, w, Program{Comm: c.comm})
			if v.Name != c.verdict || v.Kind != c.want {
				t.Errorf("%s, kind %q; want %s, %q; evidence %q", v.Name, v.Kind, c.verdict, c.want, v.Evidence)
			}
			if !strings.Contains(strings.Join(v.Evidence, "\n"), c.evidence) {
				t.Errorf("evidence %q, want one with %q", v.Evidence, c.evidence)
			}
		})
	}
}

// surveyed feeds all traffic to one table and judges its first row.
func surveyed(t *testing.T, all ...*traffic) Verdict {
	t.Helper()
	table := churn.New(churn.Options{Start: epoch})
	for _, tr := range all {
		for i := range tr.events {
			table.Observe(&tr.events[i])
		}
	}
	table.Close(epoch + int64(10*second))
	rows := table.Rows()
	return NewSurvey(rows).Judge(rows[0], table.Window(), Program{})
}

// inbound turns tr into what the service accepts from others, with so many bytes more each way.
func (tr *traffic) inbound(more uint64) *traffic {
	for i := range tr.events {
		e := &tr.events[i]
		if e.Kind == event.Connect {
			e.Kind = event.Accept
		}
		e.Direction, e.Local, e.Remote = event.Inbound, netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.9:40000")
		e.SentBytes, e.ReceivedBytes = e.ReceivedBytes+more, e.SentBytes+more
	}
	return tr
}

func TestARelayIsToldFromAServerThatConnectsForEachRequest(t *testing.T) {
	churning := func() *traffic {
		tr := &traffic{window: 10 * second}
		tr.workers(4, 2000, time.Millisecond, 1)
		return tr
	}
	if v := surveyed(t, churning(), churning().inbound(0)); v.Kind != Relay || v.Name != Unpooled ||
		!strings.Contains(strings.Join(v.Evidence, "\n"), "it accepted 2000 connections and opened 2000, with the same number of bytes") {
		t.Errorf("%s, kind %q, %q", v.Name, v.Kind, v.Evidence)
	}
	if v := surveyed(t, churning(), churning().inbound(50)); v.Kind != "" {
		t.Errorf("bytes differ: kind %q, want none", v.Kind)
	}
}

func TestOneAddressFamilyOfANameThatIsRefused(t *testing.T) {
	failing, working := &traffic{window: 10 * second}, &traffic{window: 10 * second}
	for i := range 200 {
		failing.failed(time.Duration(i)*40*time.Millisecond, 111)
	}
	for i := range failing.events {
		failing.events[i].Remote = netip.MustParseAddrPort("[::1]:5432")
	}
	working.workers(1, 200, time.Millisecond, 1)
	v := surveyed(t, failing, working)
	if want := "the same service reached 10.0.0.2:5432 200 times, as often as this failed: probably one name with an address of each family"; v.Kind != DualStack ||
		v.Name != ConnectFailing || v.Evidence[1] != want {
		t.Errorf("%s, kind %q, %q, want %q", v.Name, v.Kind, v.Evidence, want)
	}
	for i := range working.events {
		working.events[i].Remote = netip.MustParseAddrPort("10.0.0.2:5433")
	}
	if v := surveyed(t, failing, working); v.Kind == DualStack {
		t.Error("another port of another service is taken for the same one")
	}
}

func TestHowSureAVerdictIs(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(tr *traffic)
		want Confidence
		why  string
	}{
		{"thousands without need", func(tr *traffic) { tr.workers(4, 2000, time.Millisecond, 1) }, High, ""},
		{"just enough connects", func(tr *traffic) {
			for i := range 25 {
				tr.connection(time.Duration(i)*50*time.Millisecond, time.Millisecond, 1)
			}
		}, Medium, "with a limit of 30 (not 20) for connects it would be too-few-to-tell"},
		{"half of the connects were needed", func(tr *traffic) {
			for i := range 80 {
				tr.connection(time.Duration(i/40)*5*second, 2*second, 3)
			}
		}, Medium, "for avoidable connects it would be"},
		{"few to tell", func(tr *traffic) { tr.workers(1, 9, time.Millisecond, 1) }, "", ""},
		{"some details were lost", func(tr *traffic) {
			tr.workers(4, 2000, time.Millisecond, 1)
			lost := tr.event(event.Lost, 9*second)
			lost.Of, lost.Count = event.Connect, 200
		}, Medium, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &traffic{window: 10 * second}
			c.make(tr)
			v := judge(tr.row(t))
			if v.Confidence != c.want || !strings.Contains(strings.Join(v.Evidence, "\n"), c.why) {
				t.Errorf("%s, %q sure, %q; want %q, %q", v.Name, v.Confidence, v.Evidence, c.want, c.why)
			}
		})
	}
}

// A kind without advice of its own would be told what to do about something else.
func TestEachKindHasAdvice(t *testing.T) {
	for _, k := range Kinds() {
		name := Unpooled
		if k == RetryStorm || k == DualStack {
			name = ConnectFailing
		}
		plain := advice.For(advice.Case{Verdict: string(name)})
		if got := advice.For(advice.Case{Verdict: string(name), Kind: string(k)}); len(got) == 0 || got[0] == plain[0] {
			t.Errorf("%s: advice %q, which is that without a kind", k, got)
		}
	}
}
