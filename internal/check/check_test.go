package check

import (
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/report"
)

func of[T any](v T) *T { return &v }

// port is a budget of 1000 ports.
func port(used, reusable uint64, change ...func(*report.Port)) report.Port {
	p := report.Port{
		Src: of("10.0.0.7"), Dst: report.Remote{Addr: of("10.2.3.4"), Port: of(uint16(5432))}, Capacity: of(1000), Used: used, Reusable: reusable,
		UsedRatio: of(report.Decimal(float64(used) / 1000)), Services: []string{"pgbench"},
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func document(ports ...report.Port) *report.Document {
	return &report.Document{
		Window: report.Window{Seconds: 10}, Loss: report.Loss{TotalsExact: true}, Ports: append([]report.Port{}, ports...),
		TimeWait: &report.TimeWaitTotal{Now: 690},
		Destinations: []report.Destination{
			{Direction: "outbound", Opened: 4660, Failed: map[string]uint64{"EADDRNOTAVAIL": 3, "ECONNREFUSED": 4}},
			{Direction: "inbound", Opened: 9999, Failed: map[string]uint64{}},
		},
		Findings: []report.Finding{{Severity: report.Warning, Code: report.CodeUnpooled, Summary: "pgbench connects to 10.2.3.4:5432 without a pool: 4,660 new connections in 10.0 s.", Runbook: report.Runbook(report.CodeUnpooled)}},
	}
}

func TestStatus(t *testing.T) {
	soon := func(p *report.Port) { p.Seconds = of(report.Decimal(42)) }
	exhausted := func(p *report.Port) { p.Exhausted = 3 }
	for _, c := range []struct {
		name   string
		doc    *report.Document
		limits Limits
		want   Status
		says   string
	}{
		{"below both limits", document(port(699, 0)), Limits{}, OK, "699 of 1,000 ports taken from 10.0.0.7 toward 10.2.3.4:5432 by pgbench (69.9%)"},
		{"at the first limit", document(port(700, 0)), Limits{}, Warning, "(70%)"},
		{"below the second", document(port(849, 0)), Limits{}, Warning, "(84.9%)"},
		{"at the second", document(port(850, 0)), Limits{}, Critical, "(85%)"},
		{"what connect() takes over does not count", document(port(990, 900)), Limits{}, OK, "990 of 1,000 ports taken from 10.0.0.7 toward 10.2.3.4:5432 by pgbench (9%: connect() takes over 900 of them)"},
		{"a connect that found no port, whatever is taken now", document(port(1, 0, exhausted)), Limits{}, Critical, "3 connects found no port: "},
		{"the worst of all destinations", document(port(10, 0), port(20, 0, exhausted), port(840, 0)), Limits{}, Critical, "20 of 1,000"},
		{"soon, and nobody asked", document(port(300, 0, soon)), Limits{}, OK, "all of them in 42 s"},
		{"soon", document(port(300, 0, soon)), Limits{Within: 60}, Warning, "all of them in 42 s"},
		{"later than asked for", document(port(300, 0, soon)), Limits{Within: 42}, OK, ""},
		{"one of several hosts", document(port(1, 0), port(900, 0, func(p *report.Port) { p.Host = "db-7" })), Limits{}, Critical, "CRITICAL - db-7: 900 of"},
		{"a finding of one of several hosts", func() *report.Document { d := document(port(1, 0)); d.Findings[0].Host = "db-7"; return d }(),
			Limits{Findings: map[string]Status{"unpooled": Warning}}, Warning, "WARNING - db-7: pgbench connects"},
		{"nothing connected", document(), Limits{}, OK, "nothing was connected in 10 s"},
		{"a finding that counts", document(port(1, 0)), Limits{Findings: map[string]Status{"unpooled": Critical}}, Critical, "in 10.0 s (https://github.com/tcpstate/tcpstate/blob/main/docs/runbook/unpooled.md) |"},
		{"a finding that is not worse", document(port(999, 0)), Limits{Findings: map[string]Status{"unpooled": Warning}}, Critical, "(99.9%)"},
		{"a finding that nobody asked for", document(port(1, 0)), Limits{Findings: map[string]Status{"restart": Warning}}, OK, ""},
		{"ends not observed", func() *report.Document { d := document(); d.Ports = nil; return d }(), Limits{}, Unknown, "not known"},
		{"settings not known", document(port(5, 0, func(p *report.Port) { p.UsedRatio, p.Capacity = nil, nil })), Limits{}, Unknown, "the port range is not known: 5 ports taken"},
		{"exhausted with settings not known", document(port(5, 0, exhausted, func(p *report.Port) { p.UsedRatio, p.Capacity = nil, nil })), Limits{}, Critical, "found no port"},
		{"bind() found no port", func() *report.Document {
			d := document(port(5, 0))
			d.BindFailures = []report.BindFailure{{Exhausted: 2}}
			return d
		}(), Limits{}, Critical, "2 bind() calls found no port: "},
		{"bind() failed for another reason", func() *report.Document {
			d := document(port(5, 0))
			d.BindFailures = []report.BindFailure{{Taken: 2, NotLocal: 1}}
			return d
		}(), Limits{}, OK, ""},
		{"inexact totals are said", func() *report.Document {
			d := document(port(5, 0))
			d.Loss.TotalsExact = false
			return d
		}(), Limits{}, OK, "; totals are not exact |"},
	} {
		c.limits.Warning, c.limits.Critical = 70, 85
		r := Examine(c.doc, c.limits)
		if line := r.Line(); r.Status != c.want || !strings.HasPrefix(line, "TCPSTATE "+c.want.String()+" - ") || !strings.Contains(line, c.says) {
			t.Errorf("%s: %s; want %s and %q", c.name, line, c.want, c.says)
		}
	}
}

func TestPerformanceData(t *testing.T) {
	r := Examine(document(port(690, 0, func(p *report.Port) { p.Seconds = of(report.Decimal(0.5)) })), Limits{Warning: 70, Critical: 85})
	_, data, _ := strings.Cut(r.Line(), " | ")
	want := "ports_used=69%;70;85;0;100 ports_held=690;;;0;1000 seconds_to_exhaustion=0.5s;;;0 exhausted=0;;;0 failed=7;;;0 connects_per_second=466;;;0 time_wait=690;;;0"
	if data != want {
		t.Errorf("data\n%s\nwant\n%s", data, want)
	}
	d := document()
	d.Ports, d.TimeWait = nil, nil
	r = Examine(d, Limits{Warning: 70, Critical: 85})
	if line := r.Line(); !strings.Contains(line, "ports_used=U;70;85;0;100 ports_held=U;;;0 seconds_to_exhaustion=U;;;0") || !strings.HasSuffix(line, "time_wait=U;;;0") {
		t.Errorf("what is not known: %s", line)
	}
}

// What a process is called cannot begin performance data, or another line, nor fill the line.
func TestHostileNames(t *testing.T) {
	p := port(5, 0)
	p.Services = []string{"a | ports_used=0%;;\nOK", strings.Repeat("ж", 4000)}
	r := Examine(document(p), Limits{Warning: 70, Critical: 85})
	line := r.Line()
	if strings.Count(line, "|") != 1 || strings.ContainsAny(line, "\n\r") || len(line) > 1024 {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}
