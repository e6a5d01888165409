package tracer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// failScenarios are connects that come to nothing.
var failScenarios = []scenario{
	{name: "refused, blocking", run: func(s *scene) []want {
		to := s.server()
		expect(s.socket().Connect(to), unix.ECONNREFUSED)
		return []want{attempt(to).refused()}
	}},
	{name: "refused, without waiting", run: func(s *scene) []want {
		c := s.socket()
		c.StartConnect(s.server())
		expect(c.ConnectResult(), unix.ECONNREFUSED)
		return []want{outbound(c).failed(event.Error(unix.ECONNREFUSED))}
	}},
	{name: "refused by a RST from afar", run: func(s *scene) []want {
		c, p, out := s.toPeer()
		p.Refuse()
		expect(c.ConnectResult(), unix.ECONNREFUSED)
		return []want{out.failed(event.Error(unix.ECONNREFUSED))}
	}},
	{name: "timed out after one retransmitted SYN", run: func(s *scene) []want {
		c := s.socket()
		c.Set(unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1)
		if testnet.HasSysctl(linearTimeouts) {
			s.sysctl(linearTimeouts, "0")
		}
		to := s.raw()
		c.StartConnect(to)
		expect(c.ConnectResult(), unix.ETIMEDOUT)
		w := outbound(c).failed(event.Error(unix.ETIMEDOUT))
		w.retransmits = 1
		return []want{w}
	}},
	icmpScenario("host unreachable", icmpUnreachable, 1, unix.EHOSTUNREACH),
	icmpScenario("net unreachable", icmpUnreachable, 0, unix.ENETUNREACH),
	icmpScenario("port unreachable", icmpUnreachable, 3, unix.ECONNREFUSED),
	icmpScenario("host administratively prohibited", icmpUnreachable, 10, unix.EHOSTUNREACH),
	icmpScenario("communication administratively prohibited", icmpUnreachable, 13, unix.EHOSTUNREACH),
	icmpScenario("time exceeded", icmpTimeExceeded, 0, unix.EHOSTUNREACH),
	{name: "canceled by close() in SYN_SENT, after a retransmitted SYN", run: func(s *scene) []want {
		c, _, out := s.toPeer()
		s.peer.SYN(out.remote.Port())
		c.Close()
		w := out.failed(event.Canceled)
		w.retransmits = 1
		return []want{w}
	}},
	{name: "canceled by shutdown() in SYN_SENT", run: func(s *scene) []want {
		c, _, out := s.toPeer()
		c.Shutdown(bothDirections)
		c.Close()
		return []want{out.failed(event.Canceled)}
	}},
	{name: "canceled by connect to AF_UNSPEC in SYN_SENT; the same socket then connects, and then is refused", run: func(s *scene) []want {
		c, _, out := s.toPeer()
		c.Disconnect()
		l := s.listen(s.server())
		testnet.Must(c.Connect(l.Local))
		k := s.accepted(c, l)
		c.Disconnect()
		expect(k.d.ReadError(), unix.ECONNRESET)
		k.d.Close()
		l.Disconnect()
		expect(c.Connect(l.Local), unix.ECONNREFUSED)
		return append(k.opened(), out.failed(event.Canceled), k.out.aborted(event.Established, 0),
			k.in.aborted(event.Established, unix.ECONNRESET), attempt(l.Local).refused())
	}},
	{name: "canceled by close() after a blocking connect gave up waiting (SO_SNDTIMEO)", run: func(s *scene) []want {
		c, to := s.socket(), s.raw()
		brief := unix.NsecToTimeval(time.Millisecond.Nanoseconds())
		testnet.Must(unix.SetsockoptTimeval(c.FD(), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &brief))
		expect(c.Connect(to), unix.EINPROGRESS)
		c.Close()
		return []want{outbound(c).failed(event.Canceled)}
	}},
	{name: "canceled by SIGKILL in SYN_SENT, while another connection of the process is established", run: func(s *scene) []want {
		l, to := s.listen(s.server()), s.raw()
		kid := testnet.StartChild("connect", []string{l.Local.String(), to.String()})
		d := s.keep(l.Accept())
		p := s.peer.Meet(to.Port())
		kid.Kill()
		d.ReadEnd()
		in := inbound(d)
		out := in.reversed(child(kid))
		s.untilOrphan(out)
		d.Close()
		return []want{
			out.opened(), in.opened(), out.timeWait(event.FinWait2, event.FinWait2), in.closed(event.LastAck, event.ClosedRemote),
			attemptFrom(p.KernelEnd(), to).of(child(kid)).failed(event.Canceled),
		}
	}},
	{name: "a reset of a simultaneous open in SYN_RECV", run: func(s *scene) []want {
		c, p, out := s.toPeer()
		p.SendSYN()
		p.Peek(testnet.SYN | testnet.ACK)
		p.Send(testnet.RST, "")
		expect(c.ConnectResult(), unix.ECONNRESET)
		w := out.failed(event.Error(unix.ECONNRESET))
		w.old = event.SynRecv
		return []want{w}
	}},
	{name: "a reset of a simultaneous open of a socket in which the same error is still from before", run: func(s *scene) []want {
		k := s.link()
		k.c.Disconnect() // leaves ECONNRESET in the socket
		expect(k.d.ReadError(), unix.ECONNRESET)
		k.d.Close()
		c, to := k.c, s.raw()
		c.StartConnect(to)
		p := s.peer.Meet(to.Port())
		p.SendSYN()
		p.Peek(testnet.SYN | testnet.ACK)
		p.Send(testnet.RST, "")
		expect(c.ConnectResult(), unix.ECONNRESET)
		w := outbound(c).failed(event.Error(unix.ECONNRESET))
		w.old = event.SynRecv
		return append(k.opened(), k.out.aborted(event.Established, 0), k.in.aborted(event.Established, unix.ECONNRESET), w)
	}},
	{name: "no local port left for a socket that chose its address only (IP_BIND_ADDRESS_NO_PORT)", run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "50003 50003")
		l := s.listen(s.server())
		k := s.linkVia(l)
		c := s.socket()
		c.Set(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		c.Bind(addrPort(testnet.Client, 0))
		expect(c.Connect(l.Local), unix.EADDRNOTAVAIL)
		return append(k.abort(), attempt(l.Local).exhausted())
	}},
	{name: "no local port left toward one destination, while another has some", run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "50000 50001")
		l := s.listen(s.server())
		a, b := s.linkVia(l), s.linkVia(l)
		expect(s.socket().Connect(l.Local), unix.EADDRNOTAVAIL)
		other := s.linkVia(s.listen(addrPort(testnet.Server2, l.Local.Port())))
		wants := []want{attempt(l.Local).exhausted()}
		for _, k := range []*link{a, b, other} {
			wants = append(wants, k.abort()...)
		}
		return wants
	}},
	{name: "no local port left for a socket used before, whose old port and error are still in it", run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "50000 50001")
		l := s.listen(s.server())
		a, b := s.linkVia(l), s.linkVia(l)
		used := s.linkVia(s.listen(addrPort(testnet.Server2, l.Local.Port())))
		used.c.Disconnect()
		expect(used.d.ReadError(), unix.ECONNRESET)
		used.d.Close()
		expect(used.c.Connect(l.Local), unix.EADDRNOTAVAIL)
		wants := append(used.opened(), used.out.aborted(event.Established, 0),
			used.in.aborted(event.Established, unix.ECONNRESET), attempt(l.Local).exhausted())
		return append(append(wants, a.abort()...), b.abort()...)
	}},
	{name: "a port chosen by bind() whose 4-tuple is taken", run: func(s *scene) []want {
		return s.tupleInUse(s.server(), addrPort(testnet.Client, s.port()))
	}},
	{name: "a port chosen by bind() whose 4-tuple is taken, IPv6", lacks: ipv6Lacks, run: func(s *scene) []want {
		return s.tupleInUse(addrPort(testnet.Server6, s.port()), addrPort(testnet.Server6, s.port()))
	}},
	{name: "the only port is in TIME_WAIT until the kernel reuses it", run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "52000 52000")
		s.sysctl("net.ipv4.tcp_tw_reuse", "1")
		l := s.listen(s.server())
		first := s.linkVia(l)
		s.closeClient(first)
		first.d.Close()
		testnet.UntilState(first.out.local, first.out.remote, event.TimeWaitState)
		wants := first.closedByClient()
		var second *link
		testnet.Until("the port to be reused", func() bool {
			c := s.socket()
			err := c.Connect(l.Local)
			if errors.Is(err, unix.EADDRNOTAVAIL) {
				c.Close()
				wants = append(wants, attempt(l.Local).exhausted())
				time.Sleep(100 * time.Millisecond) // the test's own pace, not a wait: each try is an expected event
				return false
			}
			testnet.Must(err)
			second = s.accepted(c, l)
			return true
		})
		wants = append(wants, first.out.timeWaitEnd(event.TimeWaitState, event.Reused))
		return append(wants, second.abort()...)
	}},
	{name: "fast open: closed before the first write, no SYN was ever sent", run: func(s *scene) []want {
		s.fastOpen()
		c := s.deferred(s.server())
		c.Close()
		return []want{outbound(c).failed(event.Canceled)}
	}},
	{name: "fast open: disconnected before the first write", run: func(s *scene) []want {
		s.fastOpen()
		c := s.deferred(s.server())
		c.Disconnect()
		w := outbound(c).failed(event.Canceled)
		w.basis = event.Inferred // no SYN and no shutdown: nothing else is known to do that
		return []want{w}
	}},
	{name: "fast open: refused at the first write", run: func(s *scene) []want {
		s.fastOpen()
		c := s.deferred(s.server())
		expect(c.TryWrite("hello"), unix.ECONNREFUSED)
		w := outbound(c).failed(event.Error(unix.ECONNREFUSED))
		w.sent = 5 // in the SYN
		return []want{w}
	}},
}

// linearTimeouts came with 6.5 and delays the exponential back-off of SYNs.
const linearTimeouts = "net.ipv4.tcp_syn_linear_timeouts"

func icmpScenario(name string, kind, code byte, errno unix.Errno) scenario {
	return scenario{name: fmt.Sprintf("ICMP %s in SYN_SENT is %s", name, unix.ErrnoName(errno)), run: func(s *scene) []want {
		c, p, out := s.toPeer()
		p.ICMPError(kind, code)
		expect(c.ConnectResult(), errno)
		return []want{out.failed(event.Error(errno))}
	}}
}

// attemptFrom is an end toward a destination from a known one.
func attemptFrom(from, to netip.AddrPort) end {
	e := attempt(to)
	e.local = from
	return e
}

// reversed is the other end of e, which o opened.
func (e end) reversed(o owner) end {
	return end{dir: event.Outbound, local: e.remote, remote: e.local, owner: o, sent: e.received, received: e.sent}
}

// exhausted is the failure for want of a local port. It has none, then.
func (e end) exhausted() want {
	w := e.failed(event.EADDRNOTAVAIL)
	w.cause = event.PortsExhausted
	return w
}

// abort ends the link by the client's RST and returns all its events.
func (l *link) abort() []want {
	l.c.Abort()
	expect(l.d.ReadError(), unix.ECONNRESET)
	l.d.Close()
	return append(l.opened(), l.out.aborted(event.Established, 0), l.in.aborted(event.Established, unix.ECONNRESET))
}

// fastOpen permits TCP fast open without cookies: client 0x1, server 0x2, and 0x4 and 0x200 for no cookie.
func (s *scene) fastOpen() { s.sysctl("net.ipv4.tcp_fastopen", "519") }

// deferred is a socket whose connect() returned, but which sends its SYN with the first write only.
func (s *scene) deferred(to netip.AddrPort) *testnet.Socket {
	c := s.socket()
	c.Set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
	testnet.Must(c.Connect(to))
	return c
}

// tupleInUse connects twice from the same bound port to the same destination.
func (s *scene) tupleInUse(to, from netip.AddrPort) []want {
	l := s.listen(to)
	bound := func() *testnet.Socket {
		c := s.keep(testnet.NewSocket(from.Addr()))
		c.Reuse()
		c.Bind(from)
		return c
	}
	c := bound()
	testnet.Must(c.Connect(l.Local))
	k := s.accepted(c, l)
	expect(bound().Connect(l.Local), unix.EADDRNOTAVAIL)
	w := attemptFrom(from, l.Local).failed(event.EADDRNOTAVAIL)
	w.cause = event.TupleInUse
	return append(k.abort(), w)
}
