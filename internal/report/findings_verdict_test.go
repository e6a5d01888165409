package report

import (
	"fmt"
	"testing"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// judged is a row with a verdict.
func judged(name verdict.Name, kind verdict.Kind) *Destination {
	return &Destination{
		Service: Service{Name: "app"}, Direction: event.Outbound.String(), Opened: 400,
		Dst:     Remote{Addr: pointer("10.0.0.2"), Port: pointer(uint16(5432))},
		Verdict: Verdict{Name: known(string(name)), Kind: known(string(kind))},
	}
}

func TestFindingOfEachVerdictAndKind(t *testing.T) {
	for _, c := range []struct {
		name   verdict.Name
		kind   verdict.Kind
		failed uint64
		want   string // "": none
	}{
		{verdict.Unpooled, "", 0, "warning unpooled: app connects to 10.0.0.2:5432 without a pool: 400 new connections in 10 s."},
		{verdict.Unpooled, verdict.Leak, 0, "warning unpooled: app connects to 10.0.0.2:5432 without a pool: 400 new connections in 10 s."},
		{verdict.Unpooled, verdict.LoadGenerator, 0, "warning unpooled: app, a load generator, connects to 10.0.0.2:5432 without a pool: 400 new connections in 10 s."},
		{verdict.Unpooled, verdict.Relay, 0, "warning unpooled: app connects to 10.0.0.2:5432 for each connection that it accepts: 400 new connections in 10 s."},
		{verdict.UndersizedPool, "", 0, "warning undersized-pool: app has a pool toward 10.0.0.2:5432 that is too small: 400 new connections in 10 s."},
		{verdict.ConnectFailing, "", 500, "critical connect-failing: app cannot connect to 10.0.0.2:5432: 500 connects failed in 10 s."},
		{verdict.ConnectFailing, verdict.RetryStorm, 500, "critical connect-failing: app cannot connect to 10.0.0.2:5432: 500 connects failed in 10 s."},
		{verdict.ConnectFailing, verdict.DualStack, 500, "warning connect-failing: app tries 10.0.0.2:5432 in vain and then another address: 500 connects failed in 10 s."},
		{verdict.Pooled, "", 0, ""},
		{verdict.Pooled, "", 9, ""},
		{verdict.Pooled, "", 21, ""},
		{verdict.Pooled, "", 22, "warning connect-failing-partly: app cannot always connect to 10.0.0.2:5432: 22 of 422 connects failed in 10 s."},
		{verdict.Pooled, verdict.Restart, 0, "info restart: the connections of app to 10.0.0.2:5432 ended together and were opened anew."},
		{verdict.Pooled, verdict.RecycledPool, 0, "info pool-not-spared: app reuses its connections to 10.0.0.2:5432, and replaces them more often than it has to: 400 new connections in 10 s."},
		{verdict.TooFewToTell, verdict.IdleTimeout, 0, "info pool-not-spared: 10.0.0.2:5432 closes the connections of app when they are not used for a while: 400 new connections in 10 s."},
		{verdict.TooFewToTell, verdict.HealthCheck, 0, ""},
	} {
		r := judged(c.name, c.kind)
		r.harm.failed, r.harm.failedElsewhere = c.failed, c.failed
		got := ""
		if f := r.verdictFinding("10 s"); f.say != nil {
			got = fmt.Sprintf("%s %s: %s", f.severity, f.code, f.say())
		}
		if got != c.want {
			t.Errorf("%s, %q, %d failed:\n got %s\nwant %s", c.name, c.kind, c.failed, got, c.want)
		}
	}
}

// A server with thousands of clients that churn gets three findings about them.
func TestTheBusiestRemoteHostsAreNamed(t *testing.T) {
	d := &Document{}
	for i := range 10 {
		d.Destinations = append(d.Destinations, Destination{
			Service: Service{Name: "nginx"}, Direction: event.Inbound.String(), Opened: uint64(100 + i),
			Local: Local{Addr: pointer("10.0.0.1"), Port: pointer(uint16(443))}, Dst: Remote{Addr: pointer(fmt.Sprintf("10.9.9.%d", i))},
			Verdict: Verdict{Evidence: []string{"does not reuse"}},
		})
	}
	// The last one is on this host, and its own row says so.
	d.Destinations = append(d.Destinations, Destination{
		Direction: event.Outbound.String(), Local: Local{Addr: pointer("10.9.9.9")},
		Dst: Remote{Addr: pointer("10.0.0.1"), Port: pointer(uint16(443))},
	})
	d.findInboundChurn()
	var got []string
	for _, f := range d.Findings {
		got = append(got, f.Summary)
	}
	want := []string{"10.9.9.8", "10.9.9.7", "10.9.9.6"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %d", got, len(want))
	}
	for i := range want {
		if w := want[i] + " connects to 10.0.0.1:443 (nginx) without reusing"; len(got[i]) < len(w) || got[i][:len(w)] != w {
			t.Errorf("%q, want %q…", got[i], w)
		}
	}
	if e := d.Findings[2].Evidence; e[len(e)-1] != "6 more remote hosts like it in the table of inbound connections" {
		t.Errorf("evidence %q", e)
	}
}

// What is beyond the first hundred is counted, and what is worse is never among it.
func TestFindingsBeyondTheFirstHundredAreCounted(t *testing.T) {
	d := &Document{Loss: Loss{TotalsExact: true}}
	for i := range 300 {
		r := judged(verdict.Unpooled, "")
		if i%3 == 1 {
			r = judged(verdict.Pooled, verdict.Restart) // info
		}
		if r.Dst.Port = pointer(uint16(i)); i%100 == 99 {
			r.harm.portsExhausted = 1 // critical, and unpooled besides
		}
		d.Destinations = append(d.Destinations, *r)
	}
	d.find(churn.Window{End: 10e9})
	counts := make(map[string]int)
	for _, f := range d.Findings {
		counts[f.Severity]++
	}
	if counts[Critical] != 3 || counts[Warning] != 97 || counts[Info] != 0 || d.FindingsOmitted != 103+100 {
		t.Errorf("%v, %d omitted; want 3 critical, 97 warnings, 203 omitted", counts, d.FindingsOmitted)
	}
	if f := d.Findings[3+96]; f.Destination != "10.0.0.2:144" { // the first ones, in the order of rows
		t.Errorf("the last warning is about %s", f.Destination)
	}
}
