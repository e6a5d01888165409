package report

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// settings are those of a kernel that nobody has touched, but for two reserved ports and one listener in the range.
func settings() *host.Settings {
	s := &host.Settings{
		Netns: 4026531840, RangeLow: 32768, RangeHigh: 60999, Reserved: new(host.PortSet), Blocked: new(host.PortSet), TimeWaitReuse: 2,
		TimeWaitReuseDelay: time.Second, Timestamps: true, MaxTimeWait: 262144, FinTimeout: time.Minute,
	}
	s.Reserved.Add(40000)
	s.Reserved.Add(40001)
	s.Reserved.Add(9) // outside of the range
	s.Blocked.Add(50000)
	return s
}

// half is a budget of which half is taken by TIME_WAITs, and nothing is wrong.
func half() churn.BudgetFigures {
	return churn.BudgetFigures{
		Settings: settings(), RangeSize: 28232, Reserved: 2, Blocked: 1, Capacity: 28229, Used: 14114, UsedRatio: 0.499982,
		ByState: map[event.State]uint64{event.Established: 14, event.TimeWaitState: 14100, event.SynSent: 0}, OpenedPerSecond: 235,
	}
}

func budgetOf(opened uint64) *churn.Budget {
	return &churn.Budget{
		Netns: 4026531840, Local: netip.MustParseAddr("10.0.0.7"), Remote: netip.MustParseAddrPort("10.2.3.4:5432"), Opened: opened,
	}
}

// portWith is the budget of two services, with figures other than half's.
func portWith(change func(f *churn.BudgetFigures)) Port {
	f := half()
	change(&f)
	p := (&Input{}).portOf(budgetOf(100), f)
	p.name([]string{"pgbench", "java"})
	return p
}

func (p *Port) found() []Finding {
	var d Document
	d.findInPorts(p)
	return d.Findings
}

func use(f *churn.BudgetFigures, used int) {
	f.Used, f.UsedRatio = used, float64(used)/float64(f.Capacity)
	f.ByState = map[event.State]uint64{event.TimeWaitState: uint64(used)}
}

func TestFindingsOfABudget(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *churn.BudgetFigures)
		want   string
	}{
		{"half full", func(*churn.BudgetFigures) {}, ""},
		{"60 % and steady", func(f *churn.BudgetFigures) { use(f, 16938) }, ""},
		{"79 %", func(f *churn.BudgetFigures) { use(f, 22300) }, ""},
		{"80 %", func(f *churn.BudgetFigures) { use(f, 22584) }, "warning ports-running-out"},
		{"94 %", func(f *churn.BudgetFigures) { use(f, 26800) }, "warning ports-running-out"},
		{"95 %", func(f *churn.BudgetFigures) { use(f, 26818) }, "critical ports-running-out"},
		{"all taken and nobody failed yet", func(f *churn.BudgetFigures) { use(f, 28229); f.Comes = true }, "critical ports-running-out"},
		{"exhausted already", func(f *churn.BudgetFigures) { use(f, 28229); f.Comes, f.Exhausted = true, 1 }, ""},
		{"none left in 121 s", func(f *churn.BudgetFigures) { f.Comes, f.SecondsToExhaustion = true, 121 }, ""},
		{"none left in 120 s", func(f *churn.BudgetFigures) { f.Comes, f.SecondsToExhaustion = true, 120 }, "warning ports-running-out"},
		{"none left in 30 s", func(f *churn.BudgetFigures) { f.Comes, f.SecondsToExhaustion = true, 30 }, "critical ports-running-out"},
		{"seconds that do not come", func(f *churn.BudgetFigures) { f.SecondsToExhaustion = 1 }, ""},
		{"a trend from next to nothing", func(f *churn.BudgetFigures) { use(f, 1400); f.Comes, f.SecondsToExhaustion = true, 10 }, ""},
		{"all of them reusable", func(f *churn.BudgetFigures) { use(f, 28229); f.Reusable, f.Comes = 28000, true }, ""},
		{"some of them reusable", func(f *churn.BudgetFigures) { use(f, 28229); f.Reusable = 5000 }, "warning ports-running-out"},
		{"unknown settings", func(f *churn.BudgetFigures) { *f = churn.BudgetFigures{Used: 60000, SlowOpened: 5} }, ""},
		{"nothing used of nothing", func(f *churn.BudgetFigures) { use(f, 0); f.Capacity, f.UsedRatio = 0, 1 }, ""},
		{"slow connects", func(f *churn.BudgetFigures) { f.SlowOpened = 1 }, "warning connect-slow-half-full"},
		{"slow connects, and nearly gone", func(f *churn.BudgetFigures) { use(f, 28000); f.SlowOpened = 9 },
			"critical ports-running-out, warning connect-slow-half-full"},
		{"half of the connects bound", func(f *churn.BudgetFigures) { f.Bound = 50 }, "warning bind-before-connect"},
		{"less than half of them", func(f *churn.BudgetFigures) { f.Bound = 49 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := portWith(c.change)
			var got []string
			for _, f := range p.found() {
				got = append(got, f.Severity+" "+f.Code)
				if f.Service != "pgbench" || f.Destination != "10.2.3.4:5432" || f.Summary == "" || len(f.Evidence) == 0 || len(f.Advice) == 0 {
					t.Errorf("an incomplete finding: %+v", f)
				}
			}
			if got := strings.Join(got, ", "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestFewBoundConnectsAreNoHabit(t *testing.T) {
	f := half()
	f.Bound = 19
	p := (&Input{}).portOf(budgetOf(19), f)
	if got := p.found(); len(got) != 0 {
		t.Errorf("found %v, want nothing for 19 connects", got)
	}
}

// What findings say must be what ss and /proc/sys say.
func TestEvidenceOfABudget(t *testing.T) {
	p := portWith(func(f *churn.BudgetFigures) {
		use(f, 27000)
		f.ByState = map[event.State]uint64{event.Established: 150, event.TimeWaitState: 26850}
		f.Comes, f.SecondsToExhaustion, f.OpenedPerSecond, f.SlowOpened, f.SlowSince = true, 2.64, 466, 300, epoch
		f.ConnectFast, f.ConnectSlow = new(churn.Histogram), new(churn.Histogram)
		f.ConnectFast.Add(17_000)
		f.ConnectSlow.Add(2_000_000)
	})
	want := []Finding{{
		Severity: Critical, Code: CodePortsRunningOut, Service: "pgbench", Destination: "10.2.3.4:5432",
		Summary: "pgbench is running out of local ports toward 10.2.3.4:5432: 27,000 of 28,229 are taken, the last in 2.6 s.",
		Evidence: []string{
			"27,000 of 28,229 ports from 10.0.0.7 are taken: TIME_WAIT 26,850, ESTABLISHED 150",
			"net.ipv4.ip_local_port_range is 32768 60999: 28,232 ports, 2 reserved, 1 held by bind() or listen()",
			"net.ipv4.tcp_tw_reuse is 2, net.ipv4.tcp_timestamps 1: connect() can take over 0 of 26,850 TIME_WAITs",
			"the ports are shared by pgbench, java",
			"466 connects per second: at this rate no port is left in 2.6 s",
		},
		Advice: []string{
			"reuse connections first: a wider port range only delays the exhaustion.",
			"net.ipv4.tcp_tw_reuse=1 would let connect() take over TIME_WAITs after a second, where the other end uses timestamps, too.",
		},
	}, {
		Severity: Warning, Code: CodeConnectSlow, Service: "pgbench", Destination: "10.2.3.4:5432",
		Summary: "pgbench connects slowly to 10.2.3.4:5432: more than half of the local ports were taken, and each connect() searches 14,116 or more of them.",
		Evidence: []string{
			"300 connects got a port of the second half, an odd one, the first at 2023-11-14T22:13:20.123456Z",
			"median time of a connect: 17µs before, 2.0ms since",
		},
	}}
	want[0].Runbook, want[1].Runbook = Runbook(want[0].Code), Runbook(want[1].Code)
	want[1].Evidence, want[1].Advice = append(want[1].Evidence, want[0].Evidence[:4]...), want[0].Advice
	if diff := cmp.Diff(want, p.found()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestAdviceOnSettingsOnlyWhereItHelps(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *churn.BudgetFigures)
		local  string
		want   string
	}{
		{"reuse for loopback only", func(*churn.BudgetFigures) {}, "10.0.0.7", "net.ipv4.tcp_tw_reuse=1"},
		{"loopback, where that is enough", func(*churn.BudgetFigures) {}, "127.0.0.1", ""},
		{"no reuse", func(f *churn.BudgetFigures) { f.Settings.TimeWaitReuse = 0 }, "127.0.0.1", "net.ipv4.tcp_tw_reuse=1"},
		{"reuse is on", func(f *churn.BudgetFigures) { f.Settings.TimeWaitReuse = 1 }, "10.0.0.7", ""},
		{"no timestamps", func(f *churn.BudgetFigures) { f.Settings.Timestamps = false }, "10.0.0.7", "net.ipv4.tcp_timestamps=1"},
		{"hardly any TIME_WAIT", func(f *churn.BudgetFigures) { f.ByState = map[event.State]uint64{event.Established: uint64(f.Used)} }, "10.0.0.7", ""},
		{"unknown settings", func(f *churn.BudgetFigures) { f.Settings = nil }, "10.0.0.7", ""},
	} {
		f := half()
		c.change(&f)
		b := budgetOf(1)
		b.Local = netip.MustParseAddr(c.local)
		p := (&Input{}).portOf(b, f)
		got := strings.Join(p.settingAdvice(), "\n")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: advice %q, want %q", c.name, got, c.want)
		}
	}
}

func TestJSONOfABudget(t *testing.T) {
	unknown := churn.BudgetFigures{Used: 3, ByState: map[event.State]uint64{event.Established: 3}, Exhausted: 4}
	for _, c := range []struct {
		name    string
		figures churn.BudgetFigures
		want    string
	}{
		{"known settings", half(), `{"netns":4026531840,"src":"10.0.0.7","dst":{"addr":"10.2.3.4","port":5432,"name":""},"range":[32768,60999],
			"reserved":2,"capacity":28229,"used":14114,"used_ratio":0.499982,"by_state":{"ESTABLISHED":14,"TIME_WAIT":14100},"opened_per_second":235.0,
			"seconds_to_exhaustion":null,"exhausted":0,"exhausted_since":null,"opened":100,"blocked":1,"reusable":0,"slow_connects":0,"slow_since":null,
			"connect_seconds_before_half":null,"connect_seconds_past_half":null,"tuple_in_use":0,"bound_connects":0,"bind_exhausted":0,"services":[],"services_omitted":0,
			"basis":"inferred","charts":null}`},
		{"unknown settings", unknown, `{"netns":4026531840,"src":"10.0.0.7","dst":{"addr":"10.2.3.4","port":5432,"name":""},"range":null,
			"reserved":null,"capacity":null,"used":3,"used_ratio":null,"by_state":{"ESTABLISHED":3},"opened_per_second":0.0,
			"seconds_to_exhaustion":null,"exhausted":4,"exhausted_since":null,"opened":100,"blocked":null,"reusable":0,"slow_connects":0,"slow_since":null,
			"connect_seconds_before_half":null,"connect_seconds_past_half":null,"tuple_in_use":0,"bound_connects":0,"bind_exhausted":0,"services":[],"services_omitted":0,
			"basis":"inferred","charts":null}`},
	} {
		p := (&Input{}).portOf(budgetOf(100), c.figures)
		text, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestSecondsToExhaustion(t *testing.T) {
	for _, c := range []struct {
		name    string
		comes   bool
		seconds float64
		json    string
		columns string
	}{
		{"never", false, 0, "null", "never"}, {"now", true, 0, "0.0", "now"}, {"below now", true, -3, "0.0", "now"},
		{"soon", true, 0.26, "0.26", "0.3 s"}, {"later", true, 41.2, "41.2", "41 s"}, {"in minutes", true, 185, "185.0", "3m05s"},
		{"not in our time", true, 1e15, "1000000000000000.0", "11574d"},
	} {
		p := portWith(func(f *churn.BudgetFigures) { f.Comes, f.SecondsToExhaustion = c.comes, c.seconds })
		text, err := json.Marshal(p.Seconds)
		if err != nil || string(text) != c.json || p.exhaustedIn() != c.columns {
			t.Errorf("%s: json %s (%v), columns %q; want %s and %q", c.name, text, err, p.exhaustedIn(), c.json, c.columns)
		}
	}
	p := portWith(func(f *churn.BudgetFigures) { f.Settings = nil })
	if got := p.exhaustedIn() + p.percent(); got != "--" {
		t.Errorf("unknown settings are shown as %q", got)
	}
}

func TestSharesAreNotRoundedToFullOrEmpty(t *testing.T) {
	for used, want := range map[int]string{0: "0", 1: "<1", 28228: ">99", 28229: "100", 14114: "50"} {
		p := portWith(func(f *churn.BudgetFigures) { use(f, used) })
		if got := p.percent(); got != want {
			t.Errorf("%d of 28229 are %s %%, want %s", used, got, want)
		}
	}
}

func TestPortsAreOrderedByNeed(t *testing.T) {
	ports := []Port{
		portWith(func(f *churn.BudgetFigures) { use(f, 10) }), portWith(func(f *churn.BudgetFigures) { use(f, 28229) }),
		portWith(func(f *churn.BudgetFigures) { use(f, 28229); f.Exhausted = 4 }),
		portWith(func(f *churn.BudgetFigures) { f.Settings = nil; f.Exhausted = 9 }),
	}
	sortByNeed(ports)
	var got []string
	for i := range ports {
		got = append(got, fmt.Sprintf("%d/%d", ports[i].Used, ports[i].Exhausted))
	}
	if diff := cmp.Diff([]string{"28229/4", "28229/0", "10/0", "14114/9"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestServicesOfABudgetAreBounded(t *testing.T) {
	var users []string
	for i := range 10 {
		users = append(users, fmt.Sprint("s", i))
	}
	p := portWith(func(*churn.BudgetFigures) {})
	p.Services = nil
	p.name(users)
	if len(p.Services) != 8 || p.ServicesOmitted != 2 || !strings.HasSuffix(p.shared(), "s7 and 2 more services") {
		t.Errorf("%d services and %d omitted; %s", len(p.Services), p.ServicesOmitted, p.shared())
	}
}

func TestUsersOfABudget(t *testing.T) {
	row := func(service string, b *churn.Budget, opened uint64) Destination {
		return Destination{Service: Service{Name: service}, Opened: opened, budget: b}
	}
	one, two := new(churn.Budget), new(churn.Budget)
	users := usersOf([]Destination{row("java", one, 5), row("curl", one, 9), row("java", one, 6), row("php", two, 99), row("nginx", nil, 99)})
	if diff := cmp.Diff([]string{"java", "curl"}, users[one]); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestLimitCutsPorts(t *testing.T) {
	d := Document{Ports: make([]Port, 5), Destinations: make([]Destination, 2), PortsOmitted: 1}
	d.Limit(3)
	if len(d.Ports) != 3 || d.PortsOmitted != 3 || len(d.Destinations) != 2 || d.DestinationsOmitted != 0 {
		t.Errorf("%d ports, %d omitted, %d destinations, %d omitted", len(d.Ports), d.PortsOmitted, len(d.Destinations), d.DestinationsOmitted)
	}
}

// full is a document whose ports table is as wide as it can be.
func full() *Document {
	d := Build(quietHost())
	for i := range 12 {
		f := half()
		f.Exhausted, f.Comes, f.SecondsToExhaustion = 812, true, 185
		b := budgetOf(1)
		b.Local, b.Remote = netip.MustParseAddr("2001:db8:85a3:1234:5678:8a2e:370:7334"), netip.AddrPortFrom(netip.MustParseAddr("2001:db8:85a3:1234:5678:8a2e:370:7335"), uint16(65535-i))
		p := (&Input{}).portOf(b, f)
		p.name([]string{"pgbench"})
		d.Ports = append(d.Ports, p)
	}
	d.Destinations = []Destination{{Direction: "outbound"}}
	return d
}

func TestPortsFitTheTerminal(t *testing.T) {
	for _, width := range []int{80, 90, 100, 120} {
		text := columnsOf(t, full(), Options{Width: width})
		for line := range strings.Lines(text) {
			if n := cells(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d cells at width %d: %s", n, width, line)
			}
		}
		for _, want := range []string{"\nPORTS\n", "CAPACITY", "USED%", "EXHAUSTED IN", "3m05s", " 812", "2 more rows in -o wide and json."} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q at width %d:\n%s", want, width, text)
			}
		}
	}
	if wide := columnsOf(t, full(), Options{Wide: true}); strings.Count(wide, "2001:db8:85a3:1234:5678:8a2e:370:7335]") != 12 || !strings.Contains(wide, "REUSABLE") {
		t.Errorf("not all is there in wide form:\n%s", wide)
	}
}

func TestBudgetsThatNobodyUsesAreNotShown(t *testing.T) {
	d := full()
	for i := range d.Ports {
		d.Ports[i].Used, d.Ports[i].Exhausted = 0, 0
	}
	if text := columnsOf(t, d, Options{}); strings.Contains(text, "PORTS") {
		t.Errorf("a table of unused budgets:\n%s", text)
	}
}

// bind() that fails leaves no connection: it must be told all the same, and kept apart from an address that is wrong.
func TestFailedBindsAreFound(t *testing.T) {
	var h happenings
	c := connecting(&h, "java", 5001, "10.0.0.1:80")
	for i, cause := range []event.Cause{event.PortsExhausted, event.PortsExhausted, event.NotLocal, event.PortTaken} {
		e := c.event(event.BindFailed, time.Duration(i)*time.Second)
		e.Local, e.Remote, e.Error, e.Cause = netip.MustParseAddrPort("10.0.0.7:0"), netip.AddrPort{}, event.EADDRINUSE, cause
		h.add(e)
	}
	table := h.table(churn.Options{})
	table.SetHost(settings())
	d := Build(Input{Table: table})
	if d.Ports != nil {
		t.Errorf("ports %v, though nobody watched TIME_WAITs end", d.Ports)
	}
	var got []string
	for _, f := range d.Findings {
		got = append(got, f.Severity+" "+f.Code+" "+f.Service+": "+f.Evidence[0])
	}
	want := []string{
		"critical bind-before-connect java: bind() to port 0 failed 2 times, the first time at 2023-11-14T22:13:20.123456Z",
		"warning bind-not-local java: bind() failed 1 time, the first time at 2023-11-14T22:13:20.123456Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	text := columnsOf(t, d, Options{})
	for _, want := range []string{
		"java gets no port from bind()", "FAILED BINDS", "      2 EADDRINUSE    ports-exhausted", "      1 EADDRINUSE    port-taken", "      1 EADDRNOTAVAIL not-local",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	f := (&BindFailure{Service: Service{Name: "java"}, Local: Local{Addr: pointer("0.0.0.0")}})
	if got := f.address(); got != "any address" {
		t.Errorf("0.0.0.0 is called %q", got)
	}
}

// small is a namespace of 100 ports in which connects begin at even times, and all TIME_WAITs are held to the end.
func small(h *happenings, reuse int) *Document {
	h.snapshot()
	table := h.table(churn.Options{})
	table.Snapshot(true)
	s := settings()
	s.RangeLow, s.RangeHigh, s.TimeWaitReuse, s.Blocked, s.Reserved = 40000, 40099, reuse, new(host.PortSet), new(host.PortSet)
	table.SetHost(s)
	return Build(Input{Table: table, Service: known77, Facts: Facts{TimeWait: &TimeWaitInput{Tier: 1, Exact: true}}})
}

func (h *happenings) small(name, remote string, n int) {
	c := connecting(h, name, 7, remote)
	c.low, c.size = 40000, 100
	for i := range n {
		c.connect(time.Duration(i)*time.Second/10, time.Millisecond, 1)
	}
}

func (d *Document) codes() string {
	var all []string
	for _, f := range d.Findings {
		if f.Code != CodeUnpooled {
			all = append(all, f.Code+" "+f.Destination)
		}
	}
	return strings.Join(all, ", ")
}

func TestPortsOfASmallNamespace(t *testing.T) {
	t.Run("two destinations at 60 % each are told to be slow, and no more", func(t *testing.T) {
		var h happenings
		h.small("one", "10.0.0.1:80", 60)
		h.small("one", "10.0.0.2:80", 60)
		d := small(&h, 0)
		if got := d.codes(); got != "connect-slow-half-full 10.0.0.1:80, connect-slow-half-full 10.0.0.2:80" {
			t.Errorf("found %s", got)
		}
		if p := d.Ports[0]; p.Used != 60 || *p.Capacity != 100 || p.SlowConnects != 10 || p.Basis != "exact" {
			t.Errorf("used %d of %d, %d slow, %s", p.Used, *p.Capacity, p.SlowConnects, p.Basis)
		}
	})
	t.Run("50 are the first half", func(t *testing.T) {
		var h happenings
		h.small("one", "10.0.0.1:80", 50)
		if got := small(&h, 0).codes(); got != "" {
			t.Errorf("found %s", got)
		}
	})
	t.Run("99 that connect() would take over", func(t *testing.T) {
		var h happenings
		h.small("one", "10.0.0.1:80", 50)
		h.small("two", "10.0.0.1:80", 49)
		d := small(&h, 1)
		if got := d.codes(); strings.Contains(got, CodePortsRunningOut) {
			t.Errorf("found %s", got)
		}
		if p := d.Ports[0]; len(p.Services) != 2 || p.Reusable == 0 {
			t.Errorf("services %v, %d reusable", p.Services, p.Reusable)
		}
	})
	t.Run("99 that it would not", func(t *testing.T) {
		var h happenings
		h.small("one", "10.0.0.1:80", 50)
		h.small("two", "10.0.0.1:80", 49)
		if got := small(&h, 0).codes(); got != "ports-running-out 10.0.0.1:80" {
			t.Errorf("found %s", got)
		}
	})
	t.Run("a destination nobody exhausts stays out of it", func(t *testing.T) {
		var h happenings
		h.small("one", "10.0.0.1:80", 100)
		connecting(&h, "one", 7, "10.0.0.1:80").fail(9*time.Second, event.EADDRNOTAVAIL, event.PortsExhausted)
		h.small("one", "10.0.0.2:80", 1)
		d := small(&h, 0)
		if got := d.codes(); got != "ports-exhausted 10.0.0.1:80, connect-slow-half-full 10.0.0.1:80" {
			t.Errorf("found %s", got)
		}
		want := []string{"the first connect that found no port was at 2023-11-14T22:13:29.123456Z", "100 of 100 ports from 10.0.0.7 are taken: TIME_WAIT 100"}
		if diff := cmp.Diff(want, d.Findings[0].Evidence[:2]); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
	})
}
