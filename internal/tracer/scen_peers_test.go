package tracer_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// TestPeers holds up the mistakes that other tracers made.
func TestPeers(t *testing.T) {
	tr := startTrace(t, tracer.Options{})
	for _, mistake := range []struct {
		name string
		test func(*testing.T, *trace)
	}{
		{"a normal active close is one TIME_WAIT and no failure", testActiveClose},
		{"exhaustion keeps its destination and its count", testExhaustion},
		{"two destinations share no ports", testTwoDestinations},
		{"failures carry the connecting pid, and every errno appears", testFailureOwners},
		{"SIGKILL in SYN_SENT is a cancellation", testKilled},
		{"failures never show an empty address", testFailureAddresses},
		{"failures never exceed attempts, nor ends beginnings", testRatios},
		{"the same story in IPv4, IPv6 and IPv4 through IPv6", testFamilies},
		{"destination port 45000 is visible", testEphemeralDestination},
		{"exhaustion in a namespace of its own", testTwoNamespaces},
		{"the owner has the cgroup of its process", testCgroup},
		{"40,000 live sockets are counted exactly", testFortyThousandSockets},
	} {
		t.Run(mistake.name, func(t *testing.T) { mistake.test(t, tr) })
	}
}

// play runs f as a scenario of its own.
func play(t *testing.T, r *recorder, f func(*scene) []want) {
	t.Helper()
	runScenario(t, r, scenario{run: f})
}

// count is how many of the events f is true for.
func count(events []event.Event, f func(*event.Event) bool) int {
	n := 0
	for i := range events {
		if f(&events[i]) {
			n++
		}
	}
	return n
}

func ofKind(k event.Kind) func(*event.Event) bool {
	return func(e *event.Event) bool { return e.Kind == k }
}

// Waiting for a state TIME_WAIT that the tracepoint never shows, and taking FIN_WAIT2→CLOSE for a failure.
func testActiveClose(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) (wants []want) {
		l := s.listen(s.server())
		for range 10 {
			k := s.linkVia(l)
			s.closeClient(k)
			k.d.Close()
			wants = append(wants, k.closedByClient()...)
		}
		return wants
	})
}

// exhaust connects n times to l, which never lets go, and returns how many connects found no port.
func (s *scene) exhaust(l *testnet.Socket, n int) (links []*link, without int) {
	for range n {
		c := s.keep(testnet.NewSocket(l.Local.Addr()))
		switch err := c.Connect(l.Local); {
		case err == nil:
			links = append(links, s.accepted(c, l))
		case errors.Is(err, unix.EADDRNOTAVAIL):
			without++
		default:
			testnet.Fail("connect: %v", err)
		}
	}
	return links, without
}

// twentyPorts are enough for a test.
const twentyPorts = "50000 50019"

// Dropping events whose source port is 0, errors of connect, and everything before the SYN.
func testExhaustion(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) (wants []want) {
		s.sysctl("net.ipv4.ip_local_port_range", twentyPorts)
		l := s.listen(s.server())
		links, without := s.exhaust(l, 33)
		if without != 13 {
			testnet.Fail("%d of 33 connects found no port among 20", without)
		}
		for range without {
			wants = append(wants, attempt(l.Local).exhausted())
		}
		for _, k := range links {
			wants = append(wants, k.abort()...)
		}
		return wants
	})
}

// One port budget for all destinations: two that use 60 % each are no exhaustion.
func testTwoDestinations(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) (wants []want) {
		s.sysctl("net.ipv4.ip_local_port_range", twentyPorts)
		var all []*link
		for _, at := range []netip.Addr{testnet.Server, testnet.Server2} {
			links, without := s.exhaust(s.listen(addrPort(at, 6001)), 12)
			if without != 0 {
				testnet.Fail("%d of 12 connects found no port among 20", without)
			}
			all = append(all, links...)
		}
		for _, k := range all {
			wants = append(wants, k.abort()...)
		}
		return wants
	})
}

// Taking the process on the CPU for the owner: a RST, an ICMP error or a timer runs under anybody's pid. All of these
// are the child's, though this process sends them; and every errno that the child got is there.
func testFailureOwners(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) []want {
		if testnet.HasSysctl(linearTimeouts) {
			s.sysctl(linearTimeouts, "0")
		}
		to := []netip.AddrPort{s.server(), s.raw(), s.raw(), s.raw(), s.raw(), s.raw()}
		var args []string
		for _, at := range to {
			args = append(args, at.String())
		}
		kid := testnet.StartChild("fail", args)
		o := child(kid)
		says := func(errno unix.Errno) event.Error {
			if got := kid.Line(); got != unix.ErrnoName(errno) {
				testnet.Fail("the child got %s, the scenario needs %v", got, errno)
			}
			return event.Error(errno)
		}
		meet := func(i int) (*testnet.PeerConn, end) {
			p := s.peer.Meet(to[i].Port())
			return p, attemptFrom(p.KernelEnd(), to[i]).of(o)
		}
		w := attempt(to[0]).of(o).refused()
		says(unix.ECONNREFUSED)
		wants := []want{w}
		p, out := meet(1)
		p.Refuse()
		wants = append(wants, out.failed(says(unix.ECONNREFUSED)))
		p, out = meet(2)
		p.ICMPError(icmpUnreachable, 1)
		wants = append(wants, out.failed(says(unix.EHOSTUNREACH)))
		p, out = meet(3)
		p.ICMPError(icmpUnreachable, 0)
		wants = append(wants, out.failed(says(unix.ENETUNREACH)))
		p, out = meet(4)
		p.Establish()
		p.Send(testnet.RST|testnet.ACK, "")
		says(unix.ECONNRESET)
		wants = append(wants, out.opened(), out.aborted(event.Established, unix.ECONNRESET))
		_, out = meet(5)
		wants = append(wants, out.failed(says(unix.ETIMEDOUT)))
		kid.Release()
		return wants
	})
}

// Showing a connect that was killed in flight as a success.
func testKilled(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) []want {
		to := s.raw()
		kid := testnet.StartChild("connect", []string{to.String()})
		p := s.peer.Meet(to.Port())
		kid.Kill()
		return []want{attemptFrom(p.KernelEnd(), to).of(child(kid)).failed(event.Canceled)}
	})
}

// Reading the addresses after the kernel wiped them.
func testFailureAddresses(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	servers := []netip.Addr{testnet.Server}
	if testnet.HasIPv6() {
		servers = append(servers, testnet.Server6)
	}
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		s.sysctl("net.ipv4.ip_local_port_range", "50000 50001")
		for _, at := range servers {
			l := s.listen(addrPort(at, s.port()))
			links, without := s.exhaust(l, 3)
			if without != 1 {
				testnet.Fail("%d of 3 connects found no port among 2", without)
			}
			links[0].c.Disconnect()
			links[1].c.Abort()
			expect(s.keep(testnet.NewSocket(at)).Connect(addrPort(at, s.port())), unix.ECONNREFUSED)
		}
		for _, give := range []func(*testnet.Socket){
			(*testnet.Socket).Close, (*testnet.Socket).Disconnect, (*testnet.Socket).Abort,
			func(c *testnet.Socket) { c.Shutdown(bothDirections) },
		} {
			c, _, _ := s.toPeer()
			give(c)
		}
	})
	events := r.collect(t, 0)
	if n := count(events, ofKind(event.ConnectFailed)); n != 2*len(servers)+4 {
		t.Errorf("%d failures", n)
	}
	for i := range events {
		e := &events[i]
		if e.Remote.Port() == 0 || e.Remote.Addr().IsUnspecified() || e.Local.Addr().IsUnspecified() {
			t.Errorf("%s", observe(e, want{}))
		}
	}
}

// Counting more failures than attempts, or more ends than beginnings.
func testRatios(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	const attempts = 300
	failed := 0
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		l, nobody := s.listen(s.server()), s.server()
		for i := range attempts {
			c, to := s.socket(), l.Local
			if i%3 == 0 {
				to = nobody
			}
			if c.Connect(to) != nil {
				failed++
			}
			c.Abort()
		}
	})
	events := r.collect(t, failed+4*(attempts-failed))
	opened, refused := count(events, ofKind(event.Connect)), count(events, ofKind(event.ConnectFailed))
	if opened != attempts-failed || refused != failed || failed != attempts/3 {
		t.Errorf("%d attempts, of which %d failed: %d connect and %d connect_failed events", attempts, failed, opened, refused)
	}
	closed := count(events, func(e *event.Event) bool { return e.Direction == event.Outbound && e.Kind == event.Close })
	if closed != opened {
		t.Errorf("%d outbound connections opened, %d closed", opened, closed)
	}
}

// Knowing IPv4 only: the same story in every dress.
func testFamilies(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	for _, dress := range []struct {
		name string
		to   netip.Addr
	}{
		{"IPv4", testnet.Server},
		{"IPv6", testnet.Server6},
		{"IPv4 through an IPv6 socket", netip.AddrFrom16(testnet.Server.As16())},
	} {
		t.Run(dress.name, func(t *testing.T) {
			if dress.to.Is6() && !testnet.HasIPv6() {
				testnet.Lacks(t, "IPv6", errors.New("no /proc/net/if_inet6"))
			}
			play(t, r, func(s *scene) []want {
				l := s.keep(testnet.Listen(dress.to, s.port()))
				to := addrPort(dress.to, l.Local.Port())
				k := s.accepted(s.keep(testnet.Dial(to)), l)
				k.c.Write("hello")
				k.d.Read(5)
				s.closeClient(k)
				k.d.Close()
				k.out, k.in = k.out.moved(5, 0), k.in.moved(0, 5)
				c := s.keep(testnet.NewSocket(dress.to))
				c.StartConnect(addrPort(dress.to, s.port()))
				expect(c.ConnectResult(), unix.ECONNREFUSED)
				s.sysctl("net.ipv4.ip_local_port_range", "50005 50005")
				last := s.accepted(s.keep(testnet.Dial(to)), l)
				expect(s.keep(testnet.NewSocket(dress.to)).Connect(to), unix.EADDRNOTAVAIL)
				wants := append(k.closedByClient(), outbound(c).failed(event.Error(unix.ECONNREFUSED)),
					attemptFrom(addrPort(last.out.local.Addr(), 0), last.out.remote).exhausted())
				return append(wants, last.abort()...)
			})
		})
	}
}

// Hiding destinations whose port is in the ephemeral range.
func testEphemeralDestination(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	play(t, r, func(s *scene) []want {
		k := s.linkVia(s.listen(addrPort(testnet.Server, 45000)))
		expect(s.socket().Connect(addrPort(testnet.Server2, 45000)), unix.ECONNREFUSED)
		return append(k.abort(), attempt(addrPort(testnet.Server2, 45000)).refused())
	})
}

// Knowing the host's namespace only: the same addresses, exhausted in one namespace and not in the other.
func testTwoNamespaces(t *testing.T, tr *trace) {
	a, b := tr.watch(testnet.New(t)), tr.watch(testnet.New(t))
	const port, attempts = 6001, 25
	connect := func(r *recorder, portRange string, exhausted int) {
		t.Helper()
		play(t, r, func(s *scene) (wants []want) {
			s.sysctl("net.ipv4.ip_local_port_range", portRange)
			l := s.listen(addrPort(testnet.Server, port))
			links, without := s.exhaust(l, attempts)
			if without != exhausted {
				testnet.Fail("%d of %d connects found no port", without, attempts)
			}
			for _, k := range links {
				wants = append(wants, k.abort()...)
			}
			return append(wants, slices.Repeat([]want{attempt(l.Local).exhausted()}, without)...)
		})
	}
	connect(a, twentyPorts, attempts-20)
	connect(b, "50000 50999", 0)
}
