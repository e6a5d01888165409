package report

import (
	"bytes"
	stdcmp "cmp"
	"encoding/json"
	"flag"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/service"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

const epoch = int64(1_700_000_000_123_456_789)

func comm(s string) (c event.Comm) {
	copy(c[:15], s)
	return c
}

// happenings are events that are told to a table in the order of time.
type happenings struct{ events []event.Event }

func (h *happenings) add(e event.Event) { h.events = append(h.events, e) }

// snapshot tells of every TIME_WAIT that it is still held when the window ends.
func (h *happenings) snapshot() {
	for _, e := range h.events {
		if e.Kind == event.TimeWait {
			left := time.Minute - 10*time.Second + time.Duration(e.UnixNano-epoch)
			e.Kind, e.UnixNano, e.Remaining, e.Timestamps = event.Open, epoch+int64(10*time.Second), left, true
			h.add(e)
		}
	}
}

func (h *happenings) table(o churn.Options) *churn.Table {
	slices.SortStableFunc(h.events, func(a, b event.Event) int { return stdcmp.Compare(a.UnixNano, b.UnixNano) })
	o.Start = epoch
	t := churn.New(o)
	for i := range h.events {
		t.Observe(&h.events[i])
	}
	t.Close(epoch + int64(10*time.Second))
	return t
}

// client is a process that connects from 10.0.0.7 to one destination.
type client struct {
	to     *happenings
	owner  event.Owner
	local  netip.AddrPort
	remote netip.AddrPort
	netns  uint32
	// ports is how many of the range from low on the client has used, in the order in which connect() chooses them.
	low, size, ports uint16
}

func connecting(h *happenings, name string, pid uint32, remote string) *client {
	c := &client{
		to: h, owner: event.Owner{PID: pid, CgroupID: 77, Comm: comm(name), Basis: event.OwnerConnect},
		remote: netip.MustParseAddrPort(remote), local: netip.MustParseAddrPort("10.0.0.7:40000"), netns: 4026531840,
		low: 32768, size: 28232,
	}
	if c.remote.Addr().Is6() {
		c.local = netip.MustParseAddrPort("[2001:db8::7]:40000")
	}
	return c
}

func (c *client) event(kind event.Kind, at time.Duration) event.Event {
	return event.Event{
		UnixNano: epoch + int64(at), Kind: kind, Direction: event.Outbound, DirectionBasis: event.Exact, Netns: c.netns,
		Owner: c.owner, Local: c.local, Remote: c.remote,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
	}
}

func (c *client) connect(at, life time.Duration, exchanges uint32) {
	e := c.event(event.Connect, at)
	e.Local, e.AutoPort = netip.AddrPortFrom(c.local.Addr(), c.port()), true
	if e.ConnectTime = 40 * time.Microsecond; e.Local.Port()%2 != c.low%2 {
		e.ConnectTime = 2 * time.Millisecond
	}
	local := e.Local
	c.to.add(e)
	e = c.event(event.TimeWait, at+life)
	e.Local, e.Substate = local, event.TimeWaitState
	e.OldState, e.NewState, e.ClosedBy, e.Lifetime, e.Counted = event.FinWait2, event.TimeWaitState, event.ClosedLocal, life, true
	e.SentDataSegments, e.ReceivedDataSegments = exchanges, exchanges
	e.SentBytes, e.ReceivedBytes = uint64(exchanges)*80, uint64(exchanges)*200
	c.to.add(e)
}

// port chooses as connect() does: all ports of the first one's parity, then the others.
func (c *client) port() uint16 {
	n := c.ports % c.size
	c.ports++
	if half := (c.size + 1) / 2; n >= half {
		return c.low + 2*(n-half) + 1
	}
	return c.low + 2*n
}

func (c *client) fail(at time.Duration, err event.Error, cause event.Cause) {
	e := c.event(event.ConnectFailed, at)
	e.Error, e.Cause, e.Basis = err, cause, event.Exact
	c.to.add(e)
}

func accepted(h *happenings, name, local, remote string, n int) {
	c := connecting(h, name, 900, remote)
	c.local, c.owner.Basis = netip.MustParseAddrPort(local), event.OwnerListener
	for i := range n {
		for _, kind := range []event.Kind{event.Accept, event.Close} {
			e := c.event(kind, time.Duration(i)*10*time.Millisecond)
			if e.Direction = event.Inbound; kind == event.Close {
				e.Lifetime, e.ClosedBy, e.Counted = time.Millisecond, event.ClosedRemote, true
				e.SentDataSegments, e.ReceivedDataSegments, e.SentBytes, e.ReceivedBytes = 1, 1, 300, 60
			}
			h.add(e)
		}
	}
}

// busyHost has one destination of every kind.
func busyHost() Input {
	var t happenings
	unpooled := connecting(&t, "pgbench", 812, "10.2.3.4:5432")
	for i := range 400 {
		unpooled.connect(time.Duration(i)*20*time.Millisecond, 3*time.Millisecond, 5)
	}
	exhausted := connecting(&t, "load-generator-worker", 4194303, "10.2.3.9:8080")
	exhausted.netns, exhausted.low, exhausted.size = 4026532001, 40000, 300
	for i := range 300 {
		exhausted.connect(time.Duration(i)*10*time.Millisecond, time.Millisecond, 1)
		exhausted.fail(time.Duration(i)*10*time.Millisecond+4*time.Second, event.EADDRNOTAVAIL, event.PortsExhausted)
	}
	failing := connecting(&t, "php-fpm8.2", 33, "[2001:db8:85a3:1234:5678:8a2e:370:7334]:6379")
	for i := range 120 {
		failing.fail(time.Duration(i)*50*time.Millisecond, 111, 0)
		if i%10 == 0 {
			failing.fail(time.Duration(i)*50*time.Millisecond, event.Canceled, 0)
		}
	}
	pooled := connecting(&t, "java", 5001, "10.2.3.4:9092")
	for i := range 10 {
		pooled.connect(time.Duration(i)*time.Millisecond, 9*time.Second, 700)
	}
	small := connecting(&t, "gateway", 700, "10.2.3.5:443")
	small.connect(0, 9*time.Second, 90)
	small.connect(0, 9*time.Second, 90)
	for i := range 500 {
		small.connect(time.Duration(i)*15*time.Millisecond, 2*time.Millisecond, 1)
	}
	connecting(&t, "curl", 64000, "192.0.2.1:80").connect(time.Second, 30*time.Millisecond, 1)
	accepted(&t, "nginx", "10.0.0.7:443", "10.9.9.9:55000", 350)
	accepted(&t, "nginx", "10.0.0.7:443", "10.9.9.10:55001", 3)
	bind := pooled.event(event.BindFailed, time.Second)
	bind.Local, bind.Remote, bind.Error, bind.Cause = netip.MustParseAddrPort("10.0.0.7:0"), netip.AddrPort{}, event.EADDRINUSE, event.PortsExhausted
	t.add(bind)
	bind.Local, bind.Error, bind.Cause = netip.MustParseAddrPort("192.0.2.9:8080"), event.EADDRNOTAVAIL, event.NotLocal
	t.add(bind)
	t.snapshot()
	table := t.table(churn.Options{Steps: true, Recent: true})
	table.Snapshot(true)
	small300 := settings()
	small300.Netns, small300.RangeLow, small300.RangeHigh, small300.Blocked = 4026532001, 40000, 40299, new(host.PortSet)
	small300.Reserved = new(host.PortSet)
	table.SetHost(settings())
	table.SetHost(small300)
	return Input{
		Table: table, Service: known77, Charted: 2, Facts: Facts{
			Host: "web1", Kernel: "6.1.0-18-amd64", Source: "live",
			TimeWaitTier: "tier 2 (tracepoints)", Hooks: []string{"tp_btf/inet_sock_set_state", "tp_btf/timer_start: not attached, permission denied"},
			TimeWait: &TimeWaitInput{Tier: 2, How: "tracepoints", Exact: true, Kernel: pointer(uint64(1213)), Checks: 10},
			Namespaces: []NamespaceInput{
				{Netns: 4026531840, Seen: true, TimeWait: pointer(uint64(913)), Settings: settings()},
				{Netns: 4026532001, Seen: true, TimeWait: pointer(uint64(300)), Settings: small300},
				{Netns: 4026532002, Why: "setns: operation not permitted"},
			},
			HooksAbsent: []string{"sys_exit_connect: this kernel has no such tracepoint; connects that fail for want of a route are not seen"},
		}}
}

// known77 resolves owners as if the php pool ran in a unit.
func known77(o *event.Owner) *service.Service {
	name := o.Comm.String()
	s := &service.Service{Name: name, Kind: service.KindProcess, PID: o.PID, Processes: 1, Comm: name, Exe: "/usr/bin/" + name, CgroupID: o.CgroupID, Cgroup: "/"}
	if strings.HasPrefix(name, "php") {
		s.Kind, s.Unit, s.Cgroup = service.KindUnit, "php8.2-fpm.service", "/system.slice/php8.2-fpm.service"
	}
	return s
}

func quietHost() Input {
	t := churn.New(churn.Options{Start: epoch})
	t.Close(epoch + int64(10*time.Second))
	return Input{
		Table: t, Facts: Facts{
			Host: "web1", Kernel: "6.1.0", Source: "live",
			TimeWait: &TimeWaitInput{Tier: 1, How: "kernel functions", Exact: true, Kernel: pointer(uint64(0)), Checks: 10},
		}}
}

func filteredHost() Input {
	in := quietHost()
	in.Filter, in.Excluded = "dst.port==5432", 412
	return in
}

func lossyHost() Input {
	in := busyHost()
	c := connecting(nil, "pgbench", 812, "10.2.3.4:5432")
	for of, n := range map[event.Kind]uint64{event.Connect: 50, event.TimeWait: 50} {
		e := c.event(event.Lost, 0)
		e.Of, e.Count, e.ClosedBy = of, n, event.ClosedLocal
		in.Table.Observe(&e)
	}
	in.Table.Observe(&event.Event{Kind: event.Lost, Count: 3})
	in.Losses = Losses{SocketsEvicted: 12, ServicesRefused: 2}
	return in
}

func exactLossHost() Input {
	in := busyHost()
	e := connecting(nil, "curl", 64000, "192.0.2.1:80").event(event.Lost, 0)
	e.Of, e.Count = event.Connect, 1
	in.Table.Observe(&e)
	return in
}

func columnsOf(t *testing.T, d *Document, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if o.Location == nil {
		o.Location = time.UTC
	}
	if err := WriteColumns(&b, d, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func jsonOf(t *testing.T, d *Document, indent bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteJSON(&b, d, indent); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func markdownOf(t *testing.T, d *Document) string {
	t.Helper()
	var b strings.Builder
	if err := WriteMarkdown(&b, d, Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func csvOf(t *testing.T, d *Document) string {
	t.Helper()
	var b strings.Builder
	if err := WriteCSV(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReportForms(t *testing.T) {
	for name, in := range map[string]func() Input{
		"busy": busyHost, "quiet": quietHost, "filtered": filteredHost, "lossy": lossyHost, "exactloss": exactLossHost,
	} {
		t.Run(name, func(t *testing.T) {
			d := Build(in())
			golden(t, name+".columns", []byte(columnsOf(t, d, Options{})))
			golden(t, name+".wide", []byte(columnsOf(t, d, Options{Wide: true, Verbose: true})))
			golden(t, name+".jsonpretty", jsonOf(t, d, true))
			golden(t, name+".md", []byte(markdownOf(t, d)))
			golden(t, name+".csv", []byte(csvOf(t, d)))
		})
	}
	d := Build(hostileHost())
	golden(t, "hostile.md", []byte(markdownOf(t, d)))
	golden(t, "hostile.csv", []byte(csvOf(t, d)))
	d = Build(busyHost())
	golden(t, "busy.columns.color", []byte(columnsOf(t, d, Options{Color: true})))
	if err := d.SortBy("-opened"); err != nil {
		t.Fatal(err)
	}
	d.Limit(3)
	golden(t, "busy.columns.sort=-opened.limit=3", []byte(columnsOf(t, d, Options{})))
}

func TestColumnsFitInTheirWidth(t *testing.T) {
	for name, in := range map[string]Input{"busy": busyHost(), "lossy": lossyHost(), "filtered": filteredHost(), "hostile": hostileHost()} {
		for _, width := range []int{100, 120} {
			for line := range strings.Lines(columnsOf(t, Build(in), Options{Width: width, Verbose: true})) {
				if n := cells(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: a line is %d cells wide, want %d at most:\n%s", name, n, width, line)
				}
			}
		}
	}
}

func TestJSONKeepsItsPromises(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(jsonOf(t, Build(busyHost()), false), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["schema"] != "tcpstate.report/v1" {
		t.Errorf("schema %v", doc["schema"])
	}
	if got := doc["window"]; !cmp.Equal(got, any(map[string]any{
		"start": "2023-11-14T22:13:20.123456Z", "end": "2023-11-14T22:13:30.123456Z", "seconds": 10.0,
	})) {
		t.Errorf("window %v", got)
	}
	for _, row := range doc["ports"].([]any) {
		p := row.(map[string]any)
		for _, key := range []string{
			"netns", "src", "dst", "range", "reserved", "capacity", "used", "used_ratio", "by_state", "opened_per_second",
			"seconds_to_exhaustion", "exhausted",
		} {
			if _, ok := p[key]; !ok {
				t.Errorf("a budget of ports has no %q", key)
			}
		}
	}
	for _, row := range doc["destinations"].([]any) {
		r := row.(map[string]any)
		if tw := r["time_wait"].(map[string]any); tw["now"] != tw["entered"] {
			t.Errorf("time_wait.now is %v, want %v, for none has ended", tw["now"], tw["entered"])
		}
		for _, key := range []string{
			"service", "direction", "netns", "local", "dst", "opened", "closed", "failed", "closed_by", "open", "opened_per_second",
			"time_wait", "lifetime_seconds", "connect_seconds", "sent_bytes", "received_bytes", "verdict",
		} {
			if _, ok := r[key]; !ok {
				t.Errorf("a row has no %q", key)
			}
		}
		local, dst := r["local"].(map[string]any), r["dst"].(map[string]any)
		switch r["direction"] {
		case "outbound":
			if local["port"] != nil || dst["port"] == nil {
				t.Errorf("outbound: local port %v, dst port %v", local["port"], dst["port"])
			}
		case "inbound":
			if name := r["verdict"].(map[string]any)["name"]; local["port"] == nil || dst["port"] != nil || name != nil {
				t.Errorf("inbound: local port %v, dst port %v, verdict %v", local["port"], dst["port"], name)
			}
		}
		attempts := r["opened"].(float64)
		for _, n := range r["failed"].(map[string]any) {
			attempts += n.(float64)
		}
		if attempts == 0 {
			t.Error("a row without anything")
		}
	}
}

func TestJSONIsReadBackAsItWas(t *testing.T) {
	first := jsonOf(t, Build(lossyHost()), false)
	var d Document
	if err := json.Unmarshal(first, &d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(jsonOf(t, &d, false))); diff != "" {
		t.Errorf("read and written again (-first +second):\n%s", diff)
	}
}

func TestNumbersAreNeverNaNInfinityOrExponents(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want string
	}{
		{10, "10.0"}, {0.00004, "0.00004"}, {1e-9, "0.0"}, {-1e-9, "0.0"}, {1e21, "1000000000000000000000.0"}, {466.1234567, "466.123457"},
		{math.NaN(), "null"}, {math.Inf(1), "null"}, {math.Inf(-1), "null"},
	} {
		if got, err := json.Marshal(Decimal(c.in)); err != nil || string(got) != c.want {
			t.Errorf("%v is written %s (%v), want %s", c.in, got, err, c.want)
		}
	}
	d := Build(Input{Table: churn.New(churn.Options{})}) // no window at all
	if text := jsonOf(t, d, false); !json.Valid(text) || bytes.Contains(text, []byte("e+")) {
		t.Errorf("an empty document is %s", text)
	}
}

func TestRowsAreOrderedByHarm(t *testing.T) {
	var got []string
	for _, r := range Build(busyHost()).Destinations {
		got = append(got, r.Service.Name+" "+value(r.Verdict.Name))
	}
	want := []string{
		"load-generator- unpooled", "php-fpm8.2 connect-failing", "pgbench unpooled", "gateway undersized-pool", "nginx ",
		"java pooled", "nginx ", "curl too-few-to-tell",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFindingsSayWhoAndWhere(t *testing.T) {
	var got []string
	for _, f := range Build(lossyHost()).Findings {
		got = append(got, f.Severity+" "+f.Code+" "+f.Service+" "+f.Destination)
		if f.Summary == "" || len(f.Evidence) == 0 {
			t.Errorf("%s: summary %q, evidence %q", f.Code, f.Summary, f.Evidence)
		}
	}
	want := []string{
		"critical ports-exhausted load-generator- 10.2.3.9:8080",
		"critical connect-failing php-fpm8.2 [2001:db8:85a3:1234:5678:8a2e:370:7334]:6379",
		"critical bind-before-connect java ",
		"warning unpooled load-generator- 10.2.3.9:8080", "warning unpooled pgbench 10.2.3.4:5432",
		"warning undersized-pool gateway 10.2.3.5:443", "warning connect-slow-half-full load-generator- 10.2.3.9:8080",
		"warning bind-not-local java ", "warning events-lost  ", "info inbound-churn  10.0.0.7:443",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestTimeWaitOverflowIsFound(t *testing.T) {
	var h happenings
	e := connecting(&h, "curl", 1, "192.0.2.1:80").event(event.Close, 0)
	e.Cause = event.TimeWaitOverflow
	h.add(e)
	d := Build(Input{Table: h.table(churn.Options{})})
	if len(d.Findings) != 1 || d.Findings[0].Code != CodeTimeWaitOverflow {
		t.Errorf("findings %v, want one of %s", d.Findings, CodeTimeWaitOverflow)
	}
}

func TestFindingsAreBoundedAndTheRestCounted(t *testing.T) {
	var h happenings
	for port := range uint16(150) {
		c := connecting(&h, "client", 1, "10.0.0.1:80")
		c.remote = netip.AddrPortFrom(c.remote.Addr(), 1000+port)
		c.fail(0, event.EADDRNOTAVAIL, event.PortsExhausted)
	}
	d := Build(Input{Table: h.table(churn.Options{})})
	if len(d.Findings) != 100 || d.FindingsOmitted != 50 {
		t.Errorf("%d findings and %d omitted, want 100 and 50", len(d.Findings), d.FindingsOmitted)
	}
	if text := columnsOf(t, d, Options{}); !strings.Contains(text, "and 140 more findings") {
		t.Errorf("columns do not say how many findings are missing:\n%s", text)
	}
}

func TestAFullTableIsShownAsOther(t *testing.T) {
	var h happenings
	for _, to := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
		connecting(&h, "client", 1, to).connect(0, time.Millisecond, 1)
	}
	d := Build(Input{Table: h.table(churn.Options{MaxRows: 1})})
	r := d.Destinations[0]
	if value(r.Dst.Addr) != "~other" || r.Opened != 2 || d.Loss.EventsMerged != 4 || d.Loss.ServicesUnknown != 0 {
		t.Errorf("dst %q opened %d, merged %d, services unknown %d", value(r.Dst.Addr), r.Opened, d.Loss.EventsMerged, d.Loss.ServicesUnknown)
	}
	if text := columnsOf(t, d, Options{}); !strings.Contains(text, "4 events counted under ~other") {
		t.Errorf("columns do not say what was merged:\n%s", text)
	}
}

func TestUnknownOwnersAreCounted(t *testing.T) {
	var h happenings
	c := connecting(&h, "", 0, "10.0.0.1:80")
	c.owner = event.Owner{}
	c.connect(0, time.Millisecond, 1)
	c.fail(0, 111, 0)
	d := Build(Input{Table: h.table(churn.Options{})})
	if s := d.Destinations[0].Service; s.Name != "unknown" || s.PID != nil || d.Loss.ServicesUnknown != 2 {
		t.Errorf("service %q, pid %v, %d unknown; want unknown, null, 2", s.Name, s.PID, d.Loss.ServicesUnknown)
	}
}

func TestSortingByEveryField(t *testing.T) {
	for _, f := range SortFields() {
		up, down := Build(busyHost()), Build(busyHost())
		if err := up.SortBy(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if err := down.SortBy("-" + f); err != nil {
			t.Errorf("-%s: %v", f, err)
		}
		compare := fields[f]
		for i := 1; i < len(up.Destinations); i++ {
			if compare(&up.Destinations[i-1], &up.Destinations[i]) > 0 {
				t.Errorf("%s: row %d comes before a lesser one", f, i-1)
			}
			if compare(&down.Destinations[i-1], &down.Destinations[i]) < 0 {
				t.Errorf("-%s: row %d comes before a greater one", f, i-1)
			}
		}
	}
}

func TestAWrongSortFieldNamesTheRightOnes(t *testing.T) {
	err := Build(busyHost()).SortBy("-opned\x1b[2J")
	if err == nil || !strings.Contains(err.Error(), `opned\`) || !strings.Contains(err.Error(), "opened, opened_per_second, peak") {
		t.Fatalf("error %v does not name the word and the valid fields", err)
	}
	assertTame(t, "error", []byte(err.Error()))
}

// A terminal of 80 columns: what can be spared is left out, and nothing is cut in the middle of a title.
func TestColumnsFitNarrowTerminals(t *testing.T) {
	for _, width := range []int{80, 90, 100} {
		d := Build(lossyHost())
		var b strings.Builder
		if err := WriteColumns(&b, d, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := cells(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns at width %d: %s", n, width, line)
			}
		}
		if !strings.Contains(b.String(), " VERDICT") || !strings.Contains(b.String(), " TIME_WAIT") {
			t.Errorf("titles are missing at width %d:\n%s", width, b.String())
		}
	}
}
