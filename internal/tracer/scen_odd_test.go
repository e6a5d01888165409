package tracer_test

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// oddScenarios are the less usual kinds of TCP: fast open, deferred accept, IPv6, MPTCP, and destinations on odd ports.
var oddScenarios = []scenario{
	{name: "fast open: the payload of the SYN is counted", run: func(s *scene) []want {
		s.fastOpen()
		l := s.socket()
		l.Reuse()
		l.Bind(s.server())
		l.Set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16)
		l.Listen()
		c := s.deferred(l.Local)
		c.Write("hello")
		k := s.accepted(c, l)
		k.d.Read(5)
		s.closeClient(k)
		k.d.Close()
		k.out, k.in = k.out.moved(5, 0), k.in.moved(0, 5)
		return k.closedByClient()
	}},
	{name: "fast open: payload that the peer takes only after the SYN is counted once", run: func(s *scene) []want {
		s.fastOpen()
		c := s.deferred(s.raw())
		c.StartWrite("hello")
		p := s.peer.Meet(c.Remote.Port())
		p.TakeSYNOnly()
		p.Send(testnet.SYN|testnet.ACK, "")
		p.AwaitPayload()
		p.Send(testnet.ACK, "")
		p.Send(testnet.RST|testnet.ACK, "")
		expect(c.ReadError(), unix.ECONNRESET)
		out := outbound(c).moved(5, 0)
		return []want{out.opened(), out.aborted(event.Established, unix.ECONNRESET)}
	}},
	{name: "fast open: accepted and closed before the handshake is complete", run: func(s *scene) []want {
		s.fastOpen()
		l := s.socket()
		l.Reuse()
		l.Bind(addrPort(testnet.Client, s.port()))
		l.Set(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16)
		l.Listen()
		p := s.peer.CallWith(40005, l.Local, "hello")
		d := s.keep(l.Accept())
		d.Read(5)
		d.Close()
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.RST|testnet.ACK, "")
		in := inbound(d).moved(0, 5)
		opened := in.opened()
		opened.new = event.FinWait1
		return []want{opened, in.aborted(event.FinWait1, unix.ECONNRESET)}
	}},
	{name: "deferred accept: the connection begins with its first data", run: func(s *scene) []want {
		l := s.listen(addrPort(testnet.Client, s.port()))
		l.Set(unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5)
		p := s.peer.Call(40004, l.Local, 5000)
		p.Await(testnet.SYN | testnet.ACK)
		p.Send(testnet.ACK, "")
		p.Send(testnet.ACK|testnet.PSH, "data")
		d := s.keep(l.Accept())
		d.Read(4)
		d.Abort()
		in := inbound(d).moved(0, 4)
		return []want{in.opened(), in.aborted(event.Established, 0)}
	}},
	{name: "a destination port in the ephemeral range", run: func(s *scene) []want {
		l := s.linkVia(s.listen(addrPort(testnet.Server, 45000)))
		s.closeClient(l)
		l.d.Close()
		return l.closedByClient()
	}},
	{name: "IPv6: loopback and a unique local address, closed and refused", lacks: ipv6Lacks, run: func(s *scene) []want {
		var wants []want
		for _, at := range []netip.Addr{testnet.Local6, testnet.Server6} {
			l := s.linkVia(s.listen(addrPort(at, s.port())))
			l.c.Write("six")
			l.d.Read(3)
			s.closeClient(l)
			l.d.Close()
			l.out, l.in = l.out.moved(3, 0), l.in.moved(0, 3)
			wants = append(wants, l.closedByClient()...)
			c := s.keep(testnet.NewSocket(at))
			c.StartConnect(addrPort(at, s.port()))
			expect(c.ConnectResult(), unix.ECONNREFUSED)
			wants = append(wants, outbound(c).failed(event.Error(unix.ECONNREFUSED)))
		}
		return wants
	}},
	{name: "IPv6: no port left, and an abort", lacks: ipv6Lacks, run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "50000 50001")
		l := s.listen(addrPort(testnet.Server6, s.port()))
		a, b := s.linkVia(l), s.linkVia(l)
		expect(s.keep(testnet.NewSocket(testnet.Server6)).Connect(l.Local), unix.EADDRNOTAVAIL)
		w := attemptFrom(addrPort(a.out.local.Addr(), 0), l.Local).exhausted()
		return append(append(a.abort(), b.abort()...), w)
	}},
	{name: "IPv4 through an IPv6 socket is IPv4: closed, refused, and no port left", lacks: ipv6Lacks, run: func(s *scene) []want {
		l := s.keep(testnet.Listen(netip.IPv6Unspecified(), s.port()))
		mapped := func(port uint16) netip.AddrPort { return addrPort(netip.AddrFrom16(testnet.Server.As16()), port) }
		to := mapped(l.Local.Port())
		k := s.accepted(s.keep(testnet.Dial(to)), l)
		s.closeClient(k)
		k.d.Close()
		c := s.keep(testnet.NewSocket(to.Addr()))
		c.StartConnect(mapped(s.port()))
		expect(c.ConnectResult(), unix.ECONNREFUSED)
		wants := append(k.closedByClient(), outbound(c).failed(event.Error(unix.ECONNREFUSED)))
		s.sysctl("net.ipv4.ip_local_port_range", "50002 50002")
		last := s.accepted(s.keep(testnet.Dial(to)), l)
		expect(s.keep(testnet.NewSocket(to.Addr())).Connect(to), unix.EADDRNOTAVAIL)
		return append(append(wants, last.abort()...), attempt(last.out.remote).exhausted())
	}},
	{name: "MPTCP: the subflow counts, the connection above it does not", lacks: mptcpLacks, run: func(s *scene) []want {
		l := s.mptcp()
		l.Reuse()
		l.Bind(s.server())
		l.Listen()
		c := s.mptcp()
		testnet.Must(c.Connect(l.Local))
		k := s.accepted(c, l)
		k.c.Write("x")
		k.d.Read(1)
		k.c.Close()
		k.d.ReadEnd()
		k.d.Close()
		l.Close()
		expect(s.mptcp().Connect(l.Local), unix.ECONNREFUSED)
		k.out, k.in = k.out.moved(1, 0), k.in.moved(0, 1)
		return append(k.opened(), k.out.ended(), k.in.ended(), attempt(l.Local).refused())
	}},
}

func (s *scene) mptcp() *testnet.Socket {
	return s.keep(testnet.NewSocketProto(testnet.Client, unix.IPPROTO_MPTCP))
}

func mptcpLacks() (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	if err == nil {
		_ = unix.Close(fd)
	}
	return "MPTCP", err
}

func ipv6Lacks() (string, error) {
	if !testnet.HasIPv6() {
		return "IPv6", errors.New("no /proc/net/if_inet6")
	}
	return "", nil
}
