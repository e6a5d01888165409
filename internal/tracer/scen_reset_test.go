package tracer_test

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// resetScenarios end by RST, abort or ss -K.
var resetScenarios = []scenario{
	{name: "SO_LINGER 0: no error on the side that aborts, ECONNRESET on the other", run: func(s *scene) []want {
		l := s.link()
		l.c.Abort()
		expect(l.d.ReadError(), unix.ECONNRESET)
		l.d.Close()
		return append(l.opened(), l.out.aborted(event.Established, 0), l.in.aborted(event.Established, unix.ECONNRESET))
	}},
	{name: "close with unread data aborts", run: func(s *scene) []want {
		l := s.link()
		l.d.Write("x")
		l.c.UntilReadable()
		l.c.Close()
		expect(l.d.ReadError(), unix.ECONNRESET)
		l.d.Close()
		return append(l.opened(), l.out.moved(0, 1).aborted(event.Established, 0),
			l.in.moved(1, 0).aborted(event.Established, unix.ECONNRESET))
	}},
	{name: "close in FIN_WAIT2 with unread data aborts: no TIME_WAIT", run: func(s *scene) []want {
		l := s.link()
		l.c.Shutdown(unix.SHUT_WR)
		l.d.ReadEnd()
		l.c.UntilState(event.FinWait2)
		l.d.Write("x")
		l.c.UntilReadable()
		l.c.Close()
		l.d.UntilState(event.Closed)
		l.d.Close()
		return append(l.opened(), l.out.moved(0, 1).aborted(event.FinWait2, 0),
			l.in.moved(1, 0).aborted(event.CloseWait, unix.EPIPE))
	}},
	{name: "TCP_LINGER2 below 0: no TIME_WAIT and no overflow either", run: func(s *scene) []want {
		l := s.link()
		l.c.Set(unix.IPPROTO_TCP, unix.TCP_LINGER2, -1)
		l.c.Close()
		l.d.UntilState(event.Closed)
		l.d.Close()
		return append(l.opened(), l.out.aborted(event.FinWait2, 0), l.in.aborted(event.CloseWait, unix.EPIPE))
	}},
	{name: "RST in ESTABLISHED", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		p.Send(testnet.RST|testnet.ACK, "")
		expect(c.ReadError(), unix.ECONNRESET)
		c.Close()
		return []want{out.opened(), out.aborted(event.Established, unix.ECONNRESET)}
	}},
	{name: "RST in FIN_WAIT1", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Close()
		p.Peek(testnet.FIN | testnet.ACK)
		p.Send(testnet.RST|testnet.ACK, "")
		return []want{out.opened(), out.aborted(event.FinWait1, unix.ECONNRESET)}
	}},
	{name: "RST in FIN_WAIT2 of a socket that is still open", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Shutdown(unix.SHUT_WR)
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.ACK, "")
		c.UntilState(event.FinWait2)
		p.Send(testnet.RST|testnet.ACK, "")
		expect(c.ReadError(), unix.ECONNRESET)
		c.Close()
		return []want{out.opened(), out.aborted(event.FinWait2, unix.ECONNRESET)}
	}},
	{name: "RST in CLOSE_WAIT is EPIPE", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		p.Send(testnet.FIN|testnet.ACK, "")
		p.Await(testnet.ACK)
		p.Send(testnet.RST|testnet.ACK, "")
		c.UntilState(event.Closed)
		c.Close()
		return []want{out.opened(), out.aborted(event.CloseWait, unix.EPIPE)}
	}},
	{name: "RST in LAST_ACK", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		p.Send(testnet.FIN|testnet.ACK, "")
		p.Await(testnet.ACK)
		c.Close()
		p.Peek(testnet.FIN | testnet.ACK)
		p.Send(testnet.RST|testnet.ACK, "")
		return []want{out.opened(), out.aborted(event.LastAck, unix.ECONNRESET)}
	}},
	{name: "RST in CLOSING", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Close()
		p.Peek(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "")
		testnet.UntilState(out.local, out.remote, event.Closing)
		p.Send(testnet.RST|testnet.ACK, "")
		return []want{out.opened(), out.aborted(event.Closing, unix.ECONNRESET)}
	}},
	{name: "an ICMP error in ESTABLISHED changes nothing; what was sent but never acknowledged is counted", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Write("abc")
		p.Peek(testnet.ACK)
		p.ICMPError(icmpUnreachable, 1)
		p.Send(testnet.RST|testnet.ACK, "")
		expect(c.ReadError(), unix.ECONNRESET)
		c.Close()
		return []want{out.opened(), out.moved(3, 0).aborted(event.Established, unix.ECONNRESET)}
	}},
	{name: "an established connection times out; its retransmissions are not payload", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Set(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 300)
		c.Write("abc")
		p.Peek(testnet.ACK)
		p.Peek(testnet.ACK) // retransmitted
		expect(c.ReadError(), unix.ETIMEDOUT)
		c.Close()
		return []want{out.opened(), out.moved(3, 0).aborted(event.Established, unix.ETIMEDOUT)}
	}},
	{name: "a listener closes with a connection that nobody accepted", run: func(s *scene) []want {
		l := s.listen(s.server())
		c := s.keep(testnet.Dial(l.Local))
		out := outbound(c)
		in := end{dir: event.Inbound, local: out.remote, remote: out.local, owner: self(event.OwnerListener)}
		testnet.UntilState(in.local, in.remote, event.Established)
		l.Close()
		expect(c.ReadError(), unix.ECONNRESET)
		c.Close()
		return []want{
			out.opened(), in.opened(), in.aborted(event.Established, 0), out.aborted(event.Established, unix.ECONNRESET),
		}
	}},
	{
		name: "ss -K in ESTABLISHED is ECONNABORTED", lacks: destroyLacks,
		run: func(s *scene) []want {
			l := s.link()
			testnet.Must(testnet.Destroy(l.c.Local, l.c.Remote))
			expect(l.d.ReadError(), unix.ECONNRESET)
			l.c.Close()
			l.d.Close()
			return append(l.opened(), l.out.aborted(event.Established, unix.ECONNABORTED),
				l.in.aborted(event.Established, unix.ECONNRESET))
		},
	},
	{
		name: "ss -K in SYN_SENT is ECONNABORTED", lacks: destroyLacks,
		run: func(s *scene) []want {
			c, _, out := s.toPeer()
			testnet.Must(testnet.Destroy(c.Local, c.Remote))
			expect(c.ConnectResult(), unix.ECONNABORTED)
			c.Close()
			return []want{out.failed(event.Error(unix.ECONNABORTED))}
		},
	},
	{name: "connect to AF_UNSPEC ends an established connection; the socket used again is a new connection", run: func(s *scene) []want {
		l := s.listen(s.server())
		first := s.linkVia(l)
		first.c.Disconnect()
		expect(first.d.ReadError(), unix.ECONNRESET)
		first.d.Close()
		testnet.Must(first.c.Connect(l.Local))
		second := s.accepted(first.c, l)
		s.closeClient(second)
		second.d.Close()
		return append(append(first.opened(), first.out.aborted(event.Established, 0),
			first.in.aborted(event.Established, unix.ECONNRESET)), second.closedByClient()...)
	}},
}

// icmpUnreachable and icmpTimeExceeded are types of ICMP (RFC 792).
const (
	icmpUnreachable  = 3
	icmpTimeExceeded = 11
)

func expect(got error, want unix.Errno) {
	if !errors.Is(got, want) {
		testnet.Fail("got %v, the scenario needs %v", got, want)
	}
}

// destroyLacks says why sockets cannot be destroyed: asked for one that does not exist, a kernel that can says ENOENT.
func destroyLacks() (string, error) {
	nobody := addrPort(testnet.Client, 1)
	err := testnet.Destroy(nobody, nobody)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return "SOCK_DESTROY for TCP", err
}
