package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// What was there before tracing began is in the first report: every TIME_WAIT, and every connection with its owner.
func TestAReportThatStartsInTheMiddleOfTheIncidentHasAllOfIt(t *testing.T) {
	testnet.RequireTracing(t)
	const waits, open = 2000, 50
	ns := testnet.New(t)
	server := startKeeper(t, ns, "server", one, closes)
	client := newCaller(t, ns, "client")
	client.call(t, cycle, one, waits, 0, waits)
	client.call(t, hold, one, open, 0, open)
	p := trace(t, "report", "-o", "json", "--for", "1s", "--timer-cost", "100%", "--netns", of(ns))
	d := p.wait(t, exitDone).document(t)
	var held int
	ns.Do(t, func() { held = testnet.ReadSockstat().TimeWait })
	if held < waits*95/100 { // see childKeeper
		t.Fatalf("the kernel holds %d TIME_WAITs of %d: the machine is too slow", held, waits)
	}

	sums := map[string]int{}
	for _, r := range rows(d, "outbound") {
		for _, path := range []string{"time_wait.existing", "time_wait.now", "time_wait.entered", "opened"} {
			sums[path] += int(figure(t, r, path))
		}
	}
	same(t, "all destinations", sums, map[string]int{
		"time_wait.existing": held, "time_wait.now": held, "time_wait.entered": 0, "opened": 0,
	})
	kernels := strconv.Itoa(held)
	agrees(t, "in all", d, map[string]string{"time_wait.now": kernels})
	agrees(t, "namespace", namespace(t, d, ns), map[string]string{
		"seen": "true", "time_wait.now": kernels, "time_wait.kernel": kernels,
	})
	agrees(t, "client", owned(t, d, "outbound", "client"), map[string]string{
		"service.pid": strconv.Itoa(int(client.child.PID())), "service.comm": "client", "open.now": "50", "open.preexisting": "50",
	})
	agrees(t, "server", only(t, d, "inbound"), map[string]string{
		"service.pid": strconv.Itoa(int(server)), "service.comm": "server", "open.now": "50", "open.preexisting": "50",
		"local.port": "7001", "time_wait.existing": "0",
	})
	agrees(t, "budget", budget(t, d, one), map[string]string{
		"used": strconv.Itoa(open + held), "by_state": "map[ESTABLISHED:50 TIME_WAIT:" + kernels + "]", "opened": "0", "seconds_to_exhaustion": "null", "basis": "exact",
	})
}

// namespace is what a document says of one.
func namespace(tb testing.TB, d object, ns *testnet.Namespace) object {
	tb.Helper()
	for _, n := range d["namespaces"].(array) {
		if n := n.(object); get(n, "netns") == of(ns) {
			return n
		}
	}
	tb.Fatalf("no namespace %s: %v", of(ns), d["namespaces"])
	return nil
}

// owned is the row of a service in one direction.
func owned(tb testing.TB, d object, direction, service string) object {
	tb.Helper()
	for _, r := range rows(d, direction) {
		if get(r, "service.name") == service {
			return r
		}
	}
	tb.Fatalf("no %s row of %s: %v", direction, service, rows(d, direction))
	return nil
}

// One program forgets the connections that it opens, one those that others have closed; a third keeps as many on
// purpose.
func TestLeaksAreFoundAndPoolsAreNot(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	three := netip.AddrPortFrom(testnet.Server2, 7003)
	keep(t, ns, "server", one)
	startKeeper(t, ns, "forgetful", two, forgets)
	keep(t, ns, "server", three)
	leaky, closer, pooled := newCaller(t, ns, "leaky"), newCaller(t, ns, "closer"), newCaller(t, ns, "pooled")
	p := trace(t, "report", "-o", "json", "--for", "6s", "--netns", of(ns))
	leaky.say(t, "%s %s %d %s", hold, one, 30, 180*time.Millisecond) // 5.4 s
	pooled.call(t, hold, three, 30, 0, 30)
	closer.call(t, half, two, 12, 0, 12)
	d := p.wait(t, exitDone).document(t)
	if opened, _, _ := leaky.hear(t); opened != 30 {
		t.Fatalf("the leaky client opened %d connections", opened)
	}

	findings(t, d, one, []string{"warning established-leak leaky"}, []string{"close-wait-leak"})
	findings(t, d, three, nil, []string{"established-leak", "close-wait-leak"})
	agrees(t, "forgetful", owned(t, d, "inbound", "forgetful"), map[string]string{"open.now": "12", "open.close_wait": "12"})
	var leaks []string
	for _, f := range d["findings"].(array) {
		if f := f.(object); strings.HasSuffix(get(f, "code"), "-leak") {
			leaks = append(leaks, get(f, "code")+" "+get(f, "service"))
		}
	}
	slices.Sort(leaks)
	if want := []string{"close-wait-leak forgetful", "established-leak leaky"}; !slices.Equal(leaks, want) {
		t.Errorf("leaks: %q, want %q", leaks, want)
	}
}

// The three ends that a TIME_WAIT can have, as trace tells them.
func TestTraceSaysHowTimeWaitsEnd(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	startKeeper(t, ns, "forgetful", two, forgets)
	set(t, ns, map[string]string{"tcp_fin_timeout": "1", "tcp_timestamps": "1", "tcp_rfc1337": "0"})
	client := newCaller(t, ns, "client")
	p := trace(t, "trace", "-o", "json", "--timer-cost", "100%", "--netns", of(ns))

	client.call(t, half, two, 3, 0, 3) // orphans in FIN_WAIT2, for a second
	var killed netip.AddrPort
	ns.Do(t, func() {
		reconnect()
		killed = reset()
		testnet.Until("the orphans to be gone", func() bool { return testnet.ReadSockstat().TimeWait == 1 })
	})
	untilPrinted(t, ns, &p.stdout, `"kind":"time_wait_end"`, 5)
	events := p.stop(t).jsonLines(t)
	ends := slices.DeleteFunc(events, func(e object) bool { return e["kind"] != "time_wait_end" })
	for _, e := range ends {
		if get(e, "src.port") != strconv.Itoa(int(killed.Port())) && get(e, "dst.port") != "7001" {
			e["src"] = object{"port": "any"}
		}
	}
	same(t, "ends", tally(ends, "cause", "src.port", "dst.port", "substate", "direction", "preexisting", "netns"), map[string]int{
		"expired any 7002 FIN_WAIT2 outbound false " + of(ns):                          3,
		"reused 30001 7001 TIME_WAIT outbound false " + of(ns):                         1,
		fmt.Sprintf("killed %d 80 TIME_WAIT outbound false %s", killed.Port(), of(ns)): 1,
	})
	for _, e := range ends {
		if get(e, "dst.port") == "7002" && get(e, "service.comm") != "client" {
			t.Errorf("the end of a TIME_WAIT of client belongs to %v", e["service"])
		}
	}
}

// untilPrinted waits until a running process has printed a text so often.
func untilPrinted(tb testing.TB, ns *testnet.Namespace, to *printed, text string, n int) {
	tb.Helper()
	ns.Do(tb, func() {
		testnet.Until("the output to have "+text, func() bool { return strings.Count(to.String(), text) >= n })
	})
}

func TestTraceTellsWhyBindFailed(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	set(t, ns, map[string]string{"ip_local_port_range": "40000 40003"})
	p := trace(t, "trace", "-o", "json", "--netns", of(ns))
	ns.Do(t, func() {
		var held []*testnet.Socket
		bind := func(to netip.AddrPort) error {
			s := testnet.NewSocket(testnet.Client)
			held = append(held, s)
			return s.TryBind(to)
		}
		for i := range 7 { // four ports, and three calls more
			if err := bind(netip.AddrPortFrom(testnet.Client, 0)); (err == nil) != (i < 4) {
				testnet.Fail("bind() %d: %v", i, err)
			}
		}
		for range 2 {
			if bind(one) == nil || bind(netip.MustParseAddrPort("10.9.9.9:0")) == nil {
				testnet.Fail("bind() did not fail")
			}
		}
		for _, s := range held {
			s.Close()
		}
	})
	events := p.stop(t).jsonLines(t)
	if len(events) == 0 {
		testnet.Lacks(t, "the hook of bind()", unix.ENOENT)
	}
	same(t, "events", tally(events, "kind", "error", "cause", "src.addr", "src.port", "dst.addr", "netns"), map[string]int{
		"bind_failed EADDRINUSE ports-exhausted 10.1.0.1 null null " + of(ns): 3,
		"bind_failed EADDRINUSE port-taken 10.1.0.2 7001 null " + of(ns):      2,
		"bind_failed EADDRNOTAVAIL not-local 10.9.9.9 null null " + of(ns):    2,
	})
}

// A range is widened, a namespace is made and another goes, all while the report runs.
func TestWhatChangesWhileTracing(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	set(t, ns, map[string]string{"ip_local_port_range": "40000 40019"})
	client := newCaller(t, ns, "changing")
	ps := traceAll(t, []string{"report", "-o", "json", "--for", "10m", "--comm", "changing", "--timer-cost", "100%"},
		[]string{"trace", "-o", "json", "--comm", "changing", "--timer-cost", "100%"})
	client.call(t, hold, one, 30, 0, 20)
	set(t, ns, map[string]string{"ip_local_port_range": hundred})
	client.call(t, hold, one, 30, 0, 30)

	gone, created := testnet.New(t), testnet.New(t) // their inode numbers differ
	t.Run("a namespace that comes and goes", func(t *testing.T) {
		keep(t, gone, "server", two)
		newCaller(t, gone, "changing").call(t, cycle, two, 10, 0, 10)
	})
	gone.Close() // its processes are gone, too
	untilPrinted(t, ns, &ps[1].stdout, `"kind":"time_wait_end"`, 10)

	keep(t, created, "server", six)
	set(t, created, map[string]string{"ip_local_port_range": "40000 40009"})
	newCaller(t, created, "changing").call(t, hold, six, 12, 0, 10)
	stopAll(t, ps)
	d := ps[0].document(t)
	agrees(t, "a wider range", budgetIn(t, d, ns, one), map[string]string{
		"range": "[40000 40099]", "capacity": "100", "used": "50", "exhausted": "10",
	})
	agrees(t, "a namespace that is new", budgetIn(t, d, created, six), map[string]string{
		"capacity": "10", "used": "10", "exhausted": "2", "seconds_to_exhaustion": "0.0",
	})
	agrees(t, "a namespace that went", toward(t, d, two.Port()), map[string]string{
		"netns": of(gone), "opened": "10", "time_wait.entered": "10", "time_wait.ended": "10", "time_wait.now": "0",
	})
	same(t, "events", tally(ps[1].jsonLines(t), "kind", "netns", "cause"), map[string]int{
		"connect " + of(ns) + " null": 50, "connect_failed " + of(ns) + " ports-exhausted": 10,
		"connect " + of(created) + " null": 10, "connect_failed " + of(created) + " ports-exhausted": 2,
		"connect " + of(gone) + " null": 10, "time_wait " + of(gone) + " null": 10, "time_wait_end " + of(gone) + " killed": 10,
	})
}

// reconnect makes a TIME_WAIT and connects from its port again, which ends it; the second one stays.
func reconnect() {
	from := netip.AddrPortFrom(testnet.Client, 30001)
	for range 2 {
		s := testnet.NewSocket(testnet.Client)
		s.Reuse()
		s.Bind(from)
		testnet.Must(s.Connect(one))
		s.Shutdown(unix.SHUT_WR)
		s.ReadEnd()
		s.Close()
		testnet.UntilState(from, one, event.TimeWaitState)
	}
}

// reset makes a TIME_WAIT toward the raw peer, who ends it by RST.
func reset() (from netip.AddrPort) {
	p := testnet.NewPeer()
	defer p.Close()
	s := testnet.NewSocket(testnet.PeerAddr)
	s.StartConnect(netip.AddrPortFrom(testnet.PeerAddr, 80))
	c := p.Meet(80)
	c.Establish()
	testnet.Must(s.ConnectResult())
	s.Ends()
	s.Shutdown(unix.SHUT_WR)
	c.Await(testnet.FIN | testnet.ACK)
	c.Send(testnet.FIN|testnet.ACK, "")
	to := netip.AddrPortFrom(testnet.PeerAddr, 80)
	testnet.UntilState(s.Local, to, event.TimeWaitState)
	s.Close()
	c.Send(testnet.RST, "")
	testnet.UntilState(s.Local, to, event.Closed)
	return s.Local
}
