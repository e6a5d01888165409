package tracer_test

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// silentScenarios make no event, because nothing opened or because it is not TCP.
var silentScenarios = []scenario{
	{name: "no route: no event", run: func(s *scene) []want {
		expect(s.socket().Connect(netip.MustParseAddrPort("10.77.0.9:80")), unix.ENETUNREACH)
		return nil
	}},
	{name: "routes that refuse: no event", run: func(s *scene) []want {
		for _, r := range []struct {
			prefix string
			kind   uint8
			errno  unix.Errno
		}{
			{"10.90.0.0/16", unix.RTN_UNREACHABLE, unix.EHOSTUNREACH},
			{"10.91.0.0/16", unix.RTN_PROHIBIT, unix.EACCES},
			{"10.92.0.0/16", unix.RTN_BLACKHOLE, unix.EINVAL},
		} {
			p := netip.MustParsePrefix(r.prefix)
			testnet.Refuse(p, r.kind)
			expect(s.socket().Connect(addrPort(p.Addr().Next(), s.port())), r.errno)
		}
		return nil
	}},
	{name: "connect to a multicast address: no event", run: func(s *scene) []want {
		expect(s.socket().Connect(netip.MustParseAddrPort("224.0.0.5:80")), unix.ENETUNREACH)
		return nil
	}},
	{name: "bind() to a taken port: no event", run: func(s *scene) []want {
		l := s.listen(s.server())
		expect(s.socket().TryBind(l.Local), unix.EADDRINUSE)
		return nil
	}},
	{name: "listen() on a taken port, LISTEN ended by AF_UNSPEC and by close: no event", run: func(s *scene) []want {
		a, b, at := s.socket(), s.socket(), s.server()
		for _, l := range []*testnet.Socket{a, b} {
			l.Reuse()
			l.Bind(at)
		}
		a.Listen()
		expect(b.TryListen(), unix.EADDRINUSE)
		a.Disconnect()
		b.Listen()
		b.Close()
		return nil
	}},
	{name: "a bare SYN, and a RST before the handshake is complete: no event", run: func(s *scene) []want {
		l := s.listen(addrPort(testnet.Client, s.port()))
		s.peer.Call(40001, l.Local, 5000).Peek(testnet.SYN | testnet.ACK)
		p := s.peer.Call(40002, l.Local, 5000)
		p.Await(testnet.SYN | testnet.ACK)
		p.Send(testnet.RST, "")
		return nil
	}},
	{name: "a segment for a port where nobody listens: no event", run: func(s *scene) []want {
		p := s.peer.Call(40003, addrPort(testnet.Client, s.port()), 5000)
		p.Peek(testnet.RST | testnet.ACK)
		return nil
	}},
	{name: "UDP: no event", run: func(s *scene) []want {
		fd := testnet.Must1(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
		testnet.Must(unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.port()), Addr: testnet.Server.As4()}))
		testnet.Must(unix.Close(fd))
		return nil
	}},
}
