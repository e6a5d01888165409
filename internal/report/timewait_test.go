package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// census is how TIME_WAIT is observed where no hook can be attached.
func census() *TimeWaitInput {
	return &TimeWaitInput{
		Tier: 3, How: "a census every 5 s", Kernel: pointer(uint64(2000)), Checks: 10, Differences: 3, Censuses: 1, Repaired: 1700,
	}
}

// end removes the TIME_WAIT of a connection that connect told of.
func (c *client) end(at time.Duration, cause event.Cause) {
	e := c.event(event.TimeWaitEnd, at)
	e.Cause, e.Basis = cause, event.Exact
	c.to.add(e)
}

func TestTimeWaitOfADestination(t *testing.T) {
	var h happenings
	c := connecting(&h, "curl", 1, "192.0.2.1:80")
	for range 9 {
		c.connect(0, time.Millisecond, 1)
	}
	for _, cause := range []event.Cause{event.Expired, event.Expired, event.Expired, event.Reused, event.Reused, event.Killed, 0} {
		c.end(time.Second, cause)
	}
	existing := c.event(event.Existing, 0)
	existing.NewState, existing.Substate, existing.Preexisting, existing.InCensus = event.TimeWaitState, event.TimeWaitState, true, true
	h.add(existing)
	table := h.table(churn.Options{})
	d := Build(Input{Table: table, Facts: Facts{TimeWait: census()}})
	got, err := json.Marshal(d.Destinations[0].TimeWait)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"entered":9,"now":3,"overflowed":0,"fin_wait2":null,"existing":1,"ended":7,"ended_by":{"expired":3,"reused":2,"killed":1,"unknown":1}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("time_wait (-want +got):\n%s", diff)
	}
	if d := Build(Input{Table: table}); d.TimeWait != nil || d.Destinations[0].TimeWait.Now != nil {
		t.Error("nobody watched TIME_WAITs end, and yet it is told how many there are")
	}
}

func TestTimeWaitOfTheHost(t *testing.T) {
	var h happenings
	connecting(&h, "curl", 1, "192.0.2.1:80").connect(0, time.Millisecond, 1)
	connecting(&h, "curl", 1, "192.0.2.2:80").connect(0, time.Millisecond, 1)
	in := Input{Table: h.table(churn.Options{}), Facts: Facts{TimeWait: census()}}
	d := Build(in)
	got, err := json.Marshal(d.TimeWait)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"tier":3,"how":"a census every 5 s","exact":false,"now":2,"kernel":2000,"checks":10,"differences":3,"censuses":1,"repaired":1700}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("time_wait (-want +got):\n%s", diff)
	}
	if len(d.Findings) != 1 || d.Findings[0].Code != CodeTimeWaitInexact || d.Findings[0].Severity != Info {
		t.Fatalf("findings %v, want one of %s", d.Findings, CodeTimeWaitInexact)
	}
	f := d.Findings[0]
	if f.Summary != "TIME_WAIT figures are approximate: 2 counted, 2,000 held by the kernel." ||
		f.Evidence[1] != "compared with the kernel's count 10 times: 3 differences; 1 census; 1,700 put right" {
		t.Errorf("summary %q, evidence %q", f.Summary, f.Evidence)
	}
	if text := columnsOf(t, d, Options{}); !strings.Contains(text, "\nTIME_WAIT is approximate (tier 3: a census every 5 s): 2 counted, 2,000 held by the kernel.\n") {
		t.Errorf("columns do not say that TIME_WAIT is approximate:\n%s", text)
	}
	in.TimeWait.Exact = true
	if d = Build(in); len(d.Findings) != 0 || strings.Contains(columnsOf(t, d, Options{}), "approximate") {
		t.Errorf("exact figures are called approximate: %v", d.Findings)
	}
}

func TestNamespaces(t *testing.T) {
	var h happenings
	connecting(&h, "curl", 1, "192.0.2.1:80").connect(0, time.Millisecond, 1)
	in := Input{Table: h.table(churn.Options{}), Facts: Facts{TimeWait: census(), HooksAbsent: []string{"sys_exit_bind: no BTF; bind() that fails is not seen"}}}
	in.Namespaces = []NamespaceInput{
		{Netns: 4026531840, Seen: true, TimeWait: pointer(uint64(1)), Settings: settings()},
		{Netns: 4026532000, Why: "setns: operation not permitted"},
		{Why: "no more than 1024 are looked into"},
	}
	d := Build(in)
	got, err := json.Marshal(d.Namespaces)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"netns":4026531840,"seen":true,"why_unseen":"","time_wait":{"now":1,"kernel":1},"port_range":[32768,60999],"reserved":2,` +
		`"tcp_tw_reuse":2,"tcp_tw_reuse_delay_seconds":1.0,"tcp_timestamps":true,"tcp_max_tw_buckets":262144,"tcp_fin_timeout_seconds":60.0},` +
		`{"netns":4026532000,"seen":false,"why_unseen":"setns: operation not permitted","time_wait":{"now":null,"kernel":null},"port_range":null,"reserved":null,` +
		`"tcp_tw_reuse":null,"tcp_tw_reuse_delay_seconds":null,"tcp_timestamps":null,"tcp_max_tw_buckets":null,"tcp_fin_timeout_seconds":null},` +
		`{"netns":null,"seen":false,"why_unseen":"no more than 1024 are looked into","time_wait":{"now":null,"kernel":null},"port_range":null,"reserved":null,` +
		`"tcp_tw_reuse":null,"tcp_tw_reuse_delay_seconds":null,"tcp_timestamps":null,"tcp_max_tw_buckets":null,"tcp_fin_timeout_seconds":null}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	text := columnsOf(t, d, Options{Wide: true})
	for _, want := range []string{
		"2 network namespaces were not entered: no settings, and perhaps not all that was there before tracing, are known: 4026532000 (setns: operation not permitted); unknown (no more than 1024 are looked into).",
		"Not attached: sys_exit_bind: no BTF; bind() that fails is not seen",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("columns do not say %q:\n%s", want, text)
		}
	}
	in.Namespaces = make([]NamespaceInput, 300)
	if d := Build(in); len(d.Namespaces) != 256 || d.NamespacesOmitted != 44 {
		t.Errorf("%d namespaces and %d omitted, want 256 and 44", len(d.Namespaces), d.NamespacesOmitted)
	}
}

func TestCloseWaitLeak(t *testing.T) {
	for _, c := range []struct {
		name string
		n    uint64
		idle Decimal
		want bool
	}{
		{"ten for ten seconds", 10, 10, true}, {"nine", 9, 100, false}, {"ten for more than half the window", 10, 5.1, true},
		{"ten for half of it: they may be closing", 10, 5, false}, {"none", 0, 0, false},
	} {
		d := Document{Window: Window{Seconds: 10}}
		r := Destination{Service: Service{Name: "java"}, Open: Open{CloseWait: c.n, OldestCloseWait: &c.idle}}
		d.findLeaks(&r)
		if got := len(d.Findings) == 1 && d.Findings[0].Code == CodeCloseWaitLeak && d.Findings[0].Severity == Warning; got != c.want {
			t.Errorf("%s: findings %v, want one: %v", c.name, d.Findings, c.want)
		}
	}
}

func TestCloseWaitIsCounted(t *testing.T) {
	var h happenings
	c := connecting(&h, "java", 1, "10.0.0.1:80")
	for i := range 12 {
		e := c.event(event.Open, 10*time.Second)
		e.NewState, e.Preexisting, e.Idle = event.CloseWait, true, time.Duration(i)*time.Second
		h.add(e)
	}
	e := c.event(event.Open, 10*time.Second)
	e.NewState, e.Preexisting, e.Idle = event.Established, true, time.Hour
	h.add(e)
	d := Build(Input{Table: h.table(churn.Options{})})
	if o := d.Destinations[0].Open; o.Now != 13 || o.CloseWait != 12 || *o.OldestCloseWait != 11 {
		t.Errorf("open %d, close_wait %d, the oldest for %v s; want 13, 12, 11", o.Now, o.CloseWait, *o.OldestCloseWait)
	}
	if len(d.Findings) != 1 || d.Findings[0].Code != CodeCloseWaitLeak {
		t.Errorf("findings %v, want one of %s", d.Findings, CodeCloseWaitLeak)
	}
}

func TestEstablishedLeak(t *testing.T) {
	for _, c := range []struct {
		name                  string
		opened, closed, quiet int
		over                  time.Duration // from the first to the last
		change                func(e *event.Event)
		want                  bool
	}{
		{"opened, used once, forgotten", 40, 0, 40, 9 * time.Second, nil, true},
		{"a few are closed", 40, 3, 30, 9 * time.Second, nil, true},
		{"a tenth is closed", 40, 4, 36, 9 * time.Second, nil, false},
		{"too few", 19, 0, 19, 9 * time.Second, nil, false},
		{"half of them in use", 40, 0, 20, 9 * time.Second, nil, false},
		{"a pool that was filled at once", 40, 0, 40, time.Second, nil, false},
		{"inbound: the other end opens them", 40, 0, 40, 9 * time.Second, func(e *event.Event) { e.Direction = event.Inbound }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h happenings
			client := connecting(&h, "java", 1, "10.0.0.1:80")
			for i := range c.opened {
				at := time.Duration(i) * c.over / time.Duration(c.opened)
				h.add(client.event(event.Connect, at))
				e := client.event(event.Open, 10*time.Second)
				if e.Lifetime, e.Idle, e.NewState = 10*time.Second-at, 0, event.Established; i < c.quiet {
					e.Idle = e.Lifetime
				}
				if i >= c.opened-c.closed {
					e.Kind, e.Idle = event.Close, 0
				}
				h.add(e)
			}
			for i := range h.events {
				if c.change != nil {
					c.change(&h.events[i])
				}
			}
			var found []Finding
			for _, f := range Build(Input{Table: h.table(churn.Options{})}).Findings {
				if f.Code == CodeEstablishedLeak {
					found = append(found, f)
				}
			}
			if len(found) == 1 != c.want {
				t.Errorf("findings %v, want one: %v", found, c.want)
			}
		})
	}
}
