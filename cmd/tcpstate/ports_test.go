package main

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// The destinations of these tests. Their ports are outside of the ranges.
var (
	one = netip.AddrPortFrom(testnet.Server, 7001)
	two = netip.AddrPortFrom(testnet.Server2, 7002)
	six = netip.AddrPortFrom(testnet.Server6, 7006)
)

const hundred = "40000 40099" // a range of local ports

// budget is the document's budget of ports toward a destination.
func budget(tb testing.TB, d object, to netip.AddrPort) object {
	tb.Helper()
	ports, _ := d["ports"].(array)
	for _, p := range ports {
		if p := p.(object); get(p, "dst.addr") == to.Addr().String() && get(p, "dst.port") == strconv.Itoa(int(to.Port())) {
			return p
		}
	}
	tb.Fatalf("no budget toward %s: %v", to, d["ports"])
	return nil
}

// found are the document's findings about a destination, as "severity code service", sorted.
func found(d object, to netip.AddrPort) (all []string) {
	for _, f := range d["findings"].(array) {
		if f := f.(object); get(f, "destination") == to.String() {
			all = append(all, get(f, "severity")+" "+get(f, "code")+" "+get(f, "service"))
		}
	}
	slices.Sort(all)
	return all
}

// findings fails the test unless the findings about a destination are these, and none of the others.
func findings(tb testing.TB, d object, to netip.AddrPort, want, others []string) {
	tb.Helper()
	all := found(d, to)
	for _, w := range want {
		if !slices.Contains(all, w) {
			tb.Errorf("no finding %q toward %s: %q", w, to, all)
		}
	}
	for _, f := range all {
		if slices.ContainsFunc(others, func(code string) bool { return strings.Contains(f, " "+code+" ") }) {
			tb.Errorf("finding %q toward %s", f, to)
		}
	}
}

// alarming are the findings that say that ports are about to be missing, or are.
var alarming = []string{"ports-exhausted", "ports-running-out"}

func figure(tb testing.TB, o object, path string) float64 {
	tb.Helper()
	v, err := strconv.ParseFloat(get(o, path), 64)
	if err != nil {
		tb.Fatalf("%s is no number: %v", path, err)
	}
	return v
}

func clock(tb testing.TB, o object, path string) time.Time {
	tb.Helper()
	v, err := time.Parse(time.RFC3339, get(o, path))
	if err != nil {
		tb.Fatalf("%s is no time: %v", path, err)
	}
	return v
}

// watch starts a report of namespaces, which ends by Ctrl-C. Ends of TIME_WAITs are watched whatever that costs.
func watch(tb testing.TB, namespaces ...*testnet.Namespace) *process {
	tb.Helper()
	line := []string{"report", "-o", "json", "--for", "10m", "--timer-cost", "100%"}
	for _, ns := range namespaces {
		line = append(line, "--netns", of(ns))
	}
	return trace(tb, line...)
}

// One destination uses up its ports; another, of another program, has all of them.
func TestPortsRunOutTowardOneDestinationOnly(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	keep(t, ns, "server", two)
	set(t, ns, map[string]string{"ip_local_port_range": hundred})
	greedy, modest := newCaller(t, ns, "greedy"), newCaller(t, ns, "modest")
	at := []string{"--for", "10m", "--netns", of(ns)}
	ps := traceAll(t, append([]string{"report", "-o", "json"}, at...), append([]string{"trace", "-o", "json"}, at...),
		append([]string{"report"}, at...))
	modest.call(t, hold, two, 3, 0, 3)
	greedy.call(t, hold, one, 60, 0, 60)
	for _, p := range ps { // while a fifth of the slow connects is over
		untilPrinted(t, ns, &p.stderr, "half of the ports are taken", 1)
		if said := p.stderr.String(); strings.Contains(said, "out of ports") {
			t.Errorf("it warned too early: %s", said)
		}
	}
	greedy.call(t, hold, one, 80, 0, 40)
	for _, p := range ps {
		untilPrinted(t, ns, &p.stderr, "out of ports: greedy finds no local port from 10.1.0.1 toward "+one.String(), 1)
	}
	stopAll(t, ps)
	for _, p := range ps {
		if said := p.stderr.String(); strings.Count(said, one.String()) != 2 || strings.Contains(said, two.String()) {
			t.Errorf("it warned of %q", said)
		}
	}
	d := ps[0].document(t)
	agrees(t, "full", budget(t, d, one), map[string]string{
		"netns": of(ns), "src": "10.1.0.1", "range": "[40000 40099]", "reserved": "0", "blocked": "0", "capacity": "100",
		"used": "100", "used_ratio": "1.0", "by_state": "map[ESTABLISHED:100]", "seconds_to_exhaustion": "0.0",
		"exhausted": "40", "tuple_in_use": "0", "bound_connects": "0", "opened": "100", "slow_connects": "50",
		"services": "[greedy]", "basis": "exact", "reusable": "0",
	})
	agrees(t, "another destination", budget(t, d, two), map[string]string{
		"capacity": "100", "used": "3", "used_ratio": "0.03", "exhausted": "0", "slow_connects": "0", "services": "[modest]",
	})
	agrees(t, "row", toward(t, d, one.Port()), map[string]string{"failed.EADDRNOTAVAIL": "40", "opened": "100", "open.now": "100"})
	findings(t, d, one, []string{"critical ports-exhausted greedy", "warning connect-slow-half-full greedy"}, []string{"ports-running-out"})
	if all := found(d, two); all != nil {
		t.Errorf("findings toward %s: %q", two, all)
	}
	same(t, "trace", tally(ps[1].jsonLines(t), "kind", "error", "cause", "auto_port"), map[string]int{
		"connect null null true": 103, "accept null null null": 103, "connect_failed EADDRNOTAVAIL ports-exhausted null": 40,
	})
	for _, want := range []string{`10\.1\.0\.2:7001 +100 +100 +100 .* now +40\n`, `10\.1\.0\.3:7002 +3 +100 +3 `} {
		if out := ps[2].stdout.String(); !regexp.MustCompile(`(?m)^10\.1\.0\.1 +` + want).MatchString(out) {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
}

func TestPortsRunOutOverIPv6(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", six)
	set(t, ns, map[string]string{"ip_local_port_range": "40000 40019"})
	client := newCaller(t, ns, "client")
	p := watch(t, ns)
	client.call(t, hold, six, 30, 0, 20)
	d := p.stop(t).document(t)
	agrees(t, "full", budget(t, d, six), map[string]string{
		"src": "fd00:1::2", "capacity": "20", "used": "20", "used_ratio": "1.0", "exhausted": "10", "slow_connects": "10",
	})
	findings(t, d, six, []string{"critical ports-exhausted client"}, nil)
}

// Three clients at a steady pace: one that forgets its connections, one that closes them, and one that is slow enough
// for TIME_WAITs to return in time. When the first two find no port is foretold while ports are left.
func TestTheSecondsToExhaustionAreThoseThatItTakes(t *testing.T) {
	testnet.RequireTracing(t)
	const before, pause, slowly = 20, 125 * time.Millisecond, 900 * time.Millisecond
	leaky, churning := testnet.New(t), testnet.New(t)
	var clients []*caller
	for _, ns := range []*testnet.Namespace{leaky, churning} {
		keep(t, ns, "server", one)
		set(t, ns, map[string]string{"ip_local_port_range": hundred, "tcp_tw_reuse": "0"})
		clients = append(clients, newCaller(t, ns, "client"))
	}
	keep(t, churning, "server", two)
	slow := newCaller(t, churning, "slow")
	clients[0].call(t, hold, one, before, 0, before)
	clients[1].call(t, cycle, one, before, 0, before)
	p := trace(t, "report", "-o", "json", "--for", "5s", "--timer-cost", "100%", "--netns", of(leaky), "--netns", of(churning))
	for i, how := range []string{hold, cycle} {
		clients[i].say(t, "until %s %d %s %s", one, 200, pause, how)
	}
	slow.say(t, "until %s %d %s %s", two, 10, slowly, cycle)
	d := p.wait(t, exitDone).document(t)
	end := clock(t, d, "window.end")
	for i, ns := range []*testnet.Namespace{leaky, churning} {
		b := budgetIn(t, d, ns, one)
		told := figure(t, b, "seconds_to_exhaustion")
		opened, refused, since := clients[i].hear(t)
		if refused != 1 || opened < 100-before || opened > 100-before+3 { // see childKeeper
			t.Fatalf("client %d opened %d and found no port %d times: nothing was tested", i, opened, refused)
		}
		took := since.Sub(end).Seconds()
		if math.Abs(told-took) > took/10+pause.Seconds() {
			t.Errorf("%s: exhaustion was told for in %.2f s, and came in %.2f s", []string{hold, cycle}[i], told, took)
		}
		if rate := figure(t, b, "opened_per_second"); rate < 7 || rate > 9 {
			t.Errorf("%v connects a second, want 8", rate)
		}
	}
	agrees(t, "slow", budgetIn(t, d, churning, two), map[string]string{"seconds_to_exhaustion": "null"})
}

// budgetIn is [budget] in one of several namespaces.
func budgetIn(tb testing.TB, d object, ns *testnet.Namespace, to netip.AddrPort) object {
	tb.Helper()
	ports, _ := d["ports"].(array)
	its := slices.DeleteFunc(slices.Clone(ports), func(p any) bool { return get(p.(object), "netns") != of(ns) })
	return budget(tb, object{"ports": its}, to)
}

func TestTwoDestinationsAtSixtyPercentAreNoAlarm(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	keep(t, ns, "server", two)
	set(t, ns, map[string]string{"ip_local_port_range": hundred})
	client := newCaller(t, ns, "client")
	p := watch(t, ns)
	client.call(t, hold, one, 60, 0, 60)
	client.call(t, hold, two, 60, 0, 60)
	time.Sleep(2500 * time.Millisecond) // until they no longer go on
	d := p.stop(t).document(t)
	for _, to := range []netip.AddrPort{one, two} {
		agrees(t, to.String(), budget(t, d, to), map[string]string{
			"used": "60", "used_ratio": "0.6", "seconds_to_exhaustion": "null", "exhausted": "0", "slow_connects": "10",
		})
		findings(t, d, to, []string{"warning connect-slow-half-full client"}, alarming)
	}
}

// What nobody can have is no capacity: reserved ports, and that of a listener of another address.
func TestCapacityIsWhatAClientCanHave(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	keep(t, ns, "inside", netip.AddrPortFrom(testnet.Server2, 40070))
	set(t, ns, map[string]string{"ip_local_port_range": hundred, "ip_local_reserved_ports": "40000-40049,50000"})
	client := newCaller(t, ns, "client")
	p := watch(t, ns)
	client.call(t, hold, one, 60, 0, 49)
	d := p.stop(t).document(t)
	agrees(t, "budget", budget(t, d, one), map[string]string{
		"range": "[40000 40099]", "reserved": "50", "blocked": "1", "capacity": "49", "used": "49", "used_ratio": "1.0", "exhausted": "11",
	})
}

// Where connect() takes TIME_WAITs over, a range whose ports are all in TIME_WAIT is not a range without ports.
func TestReusableTimeWaitsAreNoAlarm(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	set(t, ns, map[string]string{"ip_local_port_range": hundred, "tcp_tw_reuse": "1", "tcp_timestamps": "1"})
	client := newCaller(t, ns, "client")
	p := watch(t, ns)
	client.call(t, cycle, one, 250, 17*time.Millisecond, 250)
	d := p.stop(t).document(t)
	b := budget(t, d, one)
	agrees(t, "budget", b, map[string]string{"capacity": "100", "exhausted": "0", "opened": "250", "seconds_to_exhaustion": "null"})
	used, reusable := figure(t, b, "used"), figure(t, b, "reusable")
	if used < 40 || reusable < 1 || reusable > used {
		t.Errorf("%v ports are used and %v of them reusable", used, reusable)
	}
	row := toward(t, d, one.Port())
	reused, ended := figure(t, row, "time_wait.ended_by.reused"), figure(t, row, "time_wait.ended")
	if ended != 250-used || figure(t, row, "time_wait.now") != used || ended-reused > 5 { // see childKeeper
		t.Errorf("%v of 250 TIME_WAITs ended and %v are held: %v", ended, used, row["time_wait"])
	}
	findings(t, d, one, nil, alarming)
}

// A port that bind() chose is taken for all destinations, and when none is left, bind() is what fails.
func TestBindBeforeConnectTakesPortsFromAll(t *testing.T) {
	testnet.RequireTracing(t)
	ns, full := testnet.New(t), testnet.New(t)
	for _, n := range []*testnet.Namespace{ns, full} {
		keep(t, n, "server", one)
		keep(t, n, "server", two)
		set(t, n, map[string]string{"ip_local_port_range": hundred})
	}
	binder, plain, filler := newCaller(t, ns, "binder"), newCaller(t, ns, "plain"), newCaller(t, full, "filler")
	p := watch(t, ns, full)
	binder.call(t, bound, one, 30, 0, 30)
	plain.call(t, hold, two, 80, 0, 70)
	filler.call(t, bound, one, 110, 0, 100)
	d := p.stop(t).document(t)

	agrees(t, "bound", budgetIn(t, d, ns, one), map[string]string{
		"bound_connects": "30", "opened": "30", "blocked": "0", "capacity": "100", "used": "30", "bind_exhausted": "0", "slow_connects": "0",
	})
	agrees(t, "others", budgetIn(t, d, ns, two), map[string]string{
		"bound_connects": "0", "blocked": "30", "capacity": "70", "used": "70", "used_ratio": "1.0", "exhausted": "10",
	})
	findings(t, d, one, []string{"warning bind-before-connect binder", "warning bind-before-connect filler"}, []string{"ports-exhausted"})
	findings(t, d, two, []string{"critical ports-exhausted plain"}, nil)
	bindFailuresAgree(t, d, full)
}

func bindFailuresAgree(t *testing.T, d object, full *testnet.Namespace) {
	t.Helper()
	if absent := d["hooks_absent"].(array); len(absent) > 0 {
		testnet.Lacks(t, "optional hooks", unix.ENOENT)
	}
	agrees(t, "filled by bind()", budgetIn(t, d, full, one), map[string]string{
		"bound_connects": "100", "used": "100", "used_ratio": "1.0", "bind_exhausted": "10", "exhausted": "0",
	})
	failures := d["bind_failures"].(array)
	if len(failures) != 1 {
		t.Fatalf("bind_failures: %v", failures)
	}
	agrees(t, "bind_failures", failures[0].(object), map[string]string{
		"service.name": "filler", "netns": of(full), "local.addr": "10.1.0.1", "local.port": "null",
		"exhausted": "10", "taken": "0", "not_local": "0",
	})
	var all []string
	for _, f := range d["findings"].(array) {
		all = append(all, get(f.(object), "severity")+" "+get(f.(object), "code")+" "+get(f.(object), "service"))
	}
	if !slices.Contains(all, "critical bind-before-connect filler") {
		t.Errorf("no finding about bind(): %q", all)
	}
}
