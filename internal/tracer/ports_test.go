package tracer_test

import (
	"errors"
	"net/netip"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// A port is blocked if, and only if, a plain connect() that may choose no other finds none. Who has it, and how he came
// by it, is the kernel's business: whatever it answers is right.
func TestBlockedPortsAreThoseThatConnectCannotChoose(t *testing.T) {
	tr := startTrace(t, tracer.Options{})
	ns := testnet.New(t)
	const first = 40000
	var ports [1024]uint64
	var known bool
	blocked := map[uint16]bool{}
	names := []string{}
	ns.Do(t, func() {
		s := &scene{}
		at := func(a netip.Addr) netip.AddrPort {
			return addrPort(a, first+uint16(len(names))-1)
		}
		next := func(name string) { names = append(names, name) }
		server := s.listen(addrPort(testnet.Server, 6001))
		only := func(port uint16) func() {
			p := strconv.Itoa(int(port))
			return testnet.Sysctl("net.ipv4.ip_local_port_range", p+" "+p)
		}
		bound := func(a netip.Addr, set ...int) *testnet.Socket {
			c := s.keep(testnet.NewSocket(a))
			for _, option := range set {
				c.Set(unix.SOL_SOCKET, option, 1)
			}
			c.Bind(at(a))
			return c
		}
		timeWait := func(c *testnet.Socket) {
			testnet.Must(c.Connect(server.Local))
			k := s.accepted(c, server)
			k.c.Close()
			k.d.ReadEnd()
			k.d.Close()
			testnet.UntilState(k.out.local, k.out.remote, event.TimeWaitState)
		}

		next("nobody's")
		next("a listener's")
		s.listen(at(testnet.Server2))
		next("a bound socket's")
		bound(testnet.Client)
		next("a bound socket's with SO_REUSEADDR")
		bound(testnet.Client, unix.SO_REUSEADDR)
		next("a bound socket's with SO_REUSEPORT")
		bound(testnet.Client, unix.SO_REUSEPORT)
		next("bound to any address")
		bound(netip.IPv4Unspecified())
		next("bound before connect")
		c := bound(testnet.Client)
		testnet.Must(c.Connect(server.Local))
		s.accepted(c, server)
		next("the TIME_WAIT of one bound before connect")
		timeWait(bound(testnet.Client))
		next("the TIME_WAIT of one bound before connect with SO_REUSEADDR")
		timeWait(bound(testnet.Client, unix.SO_REUSEADDR))
		next("bound, and closed")
		bound(testnet.Client).Close()
		next("a plain connection's")
		restore := only(at(testnet.Client).Port())
		s.linkVia(server)
		restore()
		next("a plain connection's TIME_WAIT")
		restore = only(at(testnet.Client).Port())
		timeWait(s.socket())
		restore()
		next("IP_BIND_ADDRESS_NO_PORT")
		restore = only(at(testnet.Client).Port())
		c = s.socket()
		c.Set(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		c.Bind(addrPort(testnet.Client, 0))
		testnet.Must(c.Connect(server.Local))
		s.accepted(c, server)
		restore()
		if testnet.HasIPv6() {
			next("an IPv6 listener's")
			s.listen(at(testnet.Server6))
			next("bound to any IPv6 address")
			bound(netip.IPv6Unspecified())
		}
		next("nobody's, either")

		ports, known, _ = tr.tracer.BlockedPorts()
		other := s.listen(addrPort(testnet.Server2, 6002)) // a destination that nobody has connected to
		for i := range names {
			restore := only(first + uint16(i))
			c := testnet.NewSocket(testnet.Client)
			err := c.Connect(other.Local)
			if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				testnet.Fail("connect from %d: %v", first+i, err)
			}
			blocked[first+uint16(i)] = err != nil
			c.Abort()
			restore()
		}
		s.sockets = append(s.sockets, other)
		for _, sock := range s.sockets {
			sock.Close()
		}
	})
	if !known {
		t.Fatal("it is not known which ports are blocked")
	}
	for port, is := range blocked {
		if said := ports[port/64]>>(port%64)&1 == 1; said != is {
			t.Errorf("port %d (%s): blocked is %t, is said to be %t", port, names[port-first], is, said)
		}
	}
	n := 0
	for _, is := range blocked {
		if is {
			n++
		}
	}
	if n < 5 || len(blocked)-n < 3 {
		t.Errorf("%d of %d ports are blocked: too few, or too many, for this test", n, len(blocked))
	}
}

// Whether connect() chose the port from the namespace's range, so that its parity says something.
func TestAutoPort(t *testing.T) {
	r := startTrace(t, tracer.Options{}).watch(testnet.New(t))
	wants := map[netip.AddrPort]bool{}
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		l := s.listen(s.server())
		dial := func(auto bool, prepare func(*testnet.Socket) bool) {
			c := s.socket()
			if !prepare(c) {
				return
			}
			testnet.Must(c.Connect(l.Local))
			s.accepted(c, l)
			wants[c.Local] = auto
		}
		dial(true, func(*testnet.Socket) bool { return true })
		dial(false, func(c *testnet.Socket) bool { c.Bind(addrPort(testnet.Client, 0)); return true })
		dial(false, func(c *testnet.Socket) bool { c.Bind(addrPort(testnet.Client, s.port())); return true })
		dial(true, func(c *testnet.Socket) bool {
			c.Set(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			c.Bind(addrPort(testnet.Client, 0))
			return true
		})
		dial(false, func(c *testnet.Socket) bool { // since 6.3
			const localPortRange = 51 // IP_LOCAL_PORT_RANGE in linux/in.h
			return unix.SetsockoptInt(c.FD(), unix.IPPROTO_IP, localPortRange, 45000|45010<<16) == nil
		})
	})
	events := r.collect(t, 4*len(wants))
	seen := 0
	for i := range events {
		e := &events[i]
		if e.Kind != event.Connect {
			if e.AutoPort {
				t.Errorf("%s is no connect", observe(e, want{}))
			}
			continue
		}
		seen++
		if auto, ok := wants[e.Local]; !ok || e.AutoPort != auto {
			t.Errorf("%s: automatic port is %t", observe(e, want{}), e.AutoPort)
		}
	}
	if seen != len(wants) || seen < 4 {
		t.Errorf("%d connects, want %d", seen, len(wants))
	}
}
