package tracer_test

import (
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// closeScenarios end with FINs.
var closeScenarios = []scenario{
	{name: "the client closes first and holds the TIME_WAIT; payload is counted without SYN and FIN", run: func(s *scene) []want {
		l := s.link()
		l.c.Write("hello")
		l.d.Read(5)
		l.d.Write("answer!")
		l.c.Read(7)
		s.closeClient(l)
		l.d.Close()
		l.out, l.in = l.out.moved(5, 7), l.in.moved(7, 5)
		return l.closedByClient()
	}},
	{name: "the server closes first and holds the TIME_WAIT", run: func(s *scene) []want {
		l := s.link()
		l.c.Write("abc")
		l.d.Read(3)
		l.d.Close()
		l.c.ReadEnd()
		s.untilOrphan(l.in)
		l.c.Close()
		return append(l.opened(), l.in.moved(0, 3).timeWait(event.FinWait2, event.FinWait2),
			l.out.moved(3, 0).closed(event.LastAck, event.ClosedRemote))
	}},
	{name: "a half-closed socket gets the peer's FIN while it is open, and its later close() makes no event", run: func(s *scene) []want {
		l := s.link()
		l.c.Shutdown(unix.SHUT_WR)
		l.d.ReadEnd()
		l.c.UntilState(event.FinWait2)
		l.d.Write("last words")
		l.d.Close()
		l.c.Read(10)
		l.c.ReadEnd()
		l.c.Close()
		return append(l.opened(), l.out.moved(0, 10).timeWait(event.FinWait2, event.TimeWaitState),
			l.in.moved(10, 0).closed(event.LastAck, event.ClosedRemote))
	}},
	{name: "the peer's FIN acknowledges ours: straight to TIME_WAIT", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Close()
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "")
		return []want{out.opened(), out.timeWait(event.FinWait2, event.TimeWaitState)}
	}},
	{name: "the FINs cross: closed by both", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		c.Close()
		fin := p.Peek(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "") // does not acknowledge the kernel's FIN
		testnet.UntilState(out.local, out.remote, event.Closing)
		p.Take(fin)
		p.Send(testnet.ACK, "")
		return []want{out.opened(), out.timeWait(event.Closing, event.TimeWaitState)}
	}},
	{name: "both call connect at once: one outbound connection", run: func(s *scene) []want {
		c, p, out := s.toPeer()
		p.SendSYN()
		p.Peek(testnet.SYN | testnet.ACK)
		p.Send(testnet.ACK, "")
		testnet.Must(c.ConnectResult())
		c.Abort()
		opened := out.opened()
		opened.old = event.SynRecv
		return []want{opened, out.aborted(event.Established, 0)}
	}},
	{name: "a socket connected to itself: one outbound connection, closed by both", run: func(s *scene) []want {
		c := s.socket()
		at := testnet.Client
		c.Bind(addrPort(at, s.port()))
		c.Ends()
		testnet.Must(c.Connect(c.Local))
		out := outbound(c)
		c.Close()
		opened := out.opened()
		opened.old = event.SynRecv
		return []want{opened, out.timeWait(event.Closing, event.TimeWaitState)}
	}},
	{name: "an orphan in FIN_WAIT2 turns into TIME_WAIT by a FIN and is refreshed by another: one event", run: func(s *scene) []want {
		_, p, out := s.orphan()
		p.Send(testnet.FIN|testnet.ACK, "")
		testnet.UntilState(out.local, out.remote, event.TimeWaitState)
		p.Resend(testnet.FIN | testnet.ACK)
		p.Send(testnet.RST, "")
		testnet.UntilState(out.local, out.remote, event.Closed)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.TimeWaitState, event.Killed),
		}
	}},
	{name: "an orphan in FIN_WAIT2 times out", run: func(s *scene) []want {
		s.sysctl("net.ipv4.tcp_fin_timeout", "1")
		_, _, out := s.orphan()
		testnet.UntilState(out.local, out.remote, event.Closed)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.FinWait2, event.Expired),
		}
	}},
	{name: "an orphan in FIN_WAIT2 stays a full socket while tcp_fin_timeout is over 60 s", run: func(s *scene) []want {
		s.sysctl("net.ipv4.tcp_fin_timeout", "61")
		_, p, out := s.acknowledged()
		if testnet.IsTimewait(out.local, out.remote) {
			testnet.Fail("no full socket in FIN_WAIT2")
		}
		testnet.Until("a timewait socket in its place", func() bool { return testnet.IsTimewait(out.local, out.remote) })
		p.Send(testnet.RST, "")
		testnet.UntilState(out.local, out.remote, event.Closed)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.FinWait2, event.Killed),
		}
	}},
	{name: "data for an orphan in FIN_WAIT2 is answered with a RST, which ends it", run: func(s *scene) []want {
		_, p, out := s.orphan()
		p.Send(testnet.ACK|testnet.PSH, "late")
		p.Peek(testnet.RST)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.FinWait2, event.Killed),
		}
	}},
	{name: "a RST ends an orphan in FIN_WAIT2", run: func(s *scene) []want {
		_, p, out := s.orphan()
		p.Send(testnet.RST|testnet.ACK, "")
		testnet.UntilState(out.local, out.remote, event.Closed)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.FinWait2, event.Killed),
		}
	}},
	{name: "a RST ends a TIME_WAIT", run: func(s *scene) []want {
		_, p, out := s.orphan()
		p.Send(testnet.FIN|testnet.ACK, "")
		testnet.UntilState(out.local, out.remote, event.TimeWaitState)
		p.Send(testnet.RST, "")
		testnet.UntilState(out.local, out.remote, event.Closed)
		return []want{
			out.opened(), out.timeWait(event.FinWait2, event.FinWait2), out.timeWaitEnd(event.TimeWaitState, event.Killed),
		}
	}},
	{name: "the peer's new SYN takes over a TIME_WAIT of the server: a second inbound connection", run: func(s *scene) []want {
		const port = 40000
		l := s.listen(addrPort(testnet.Client, s.port()))
		d, p := s.fromPeer(l, port, 5000)
		in := inbound(d)
		d.Close()
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "")
		testnet.UntilState(in.local, in.remote, event.TimeWaitState)
		d, _ = s.fromPeer(l, port, p.NextSequence()+100_000)
		again := inbound(d)
		d.Abort()
		return []want{
			in.opened(), in.timeWait(event.FinWait2, event.TimeWaitState), in.timeWaitEnd(event.TimeWaitState, event.Killed),
			again.opened(), again.aborted(event.Established, 0),
		}
	}},
	{name: "a bound socket takes over its own TIME_WAIT at once", run: func(s *scene) []want {
		s.sysctl("net.ipv4.tcp_tw_reuse", "0")
		l, from := s.listen(s.server()), addrPort(testnet.Client, s.port())
		var wants []want
		for i := range 2 {
			c := s.socket()
			c.Reuse()
			c.Bind(from)
			testnet.Must(c.Connect(l.Local))
			k := s.accepted(c, l)
			if i > 0 {
				wants = append(wants, k.out.timeWaitEnd(event.TimeWaitState, event.Reused))
			}
			// A FIN_WAIT2 cannot be taken over: wait for the real TIME_WAIT.
			s.closeClient(k)
			k.d.Close()
			testnet.UntilState(k.out.local, k.out.remote, event.TimeWaitState)
			wants = append(wants, k.closedByClient()...)
		}
		return wants
	}},
	{name: "no timewait socket when tcp_max_tw_buckets is reached: certain after the peer's FIN", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		s.noTimeWaitLeft()
		c.Close()
		p.Await(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "")
		return []want{out.opened(), out.overflow(event.FinWait2, event.Exact)}
	}},
	{name: "no timewait socket when tcp_max_tw_buckets is reached: inferred for an orphan", run: func(s *scene) []want {
		l := s.link()
		s.noTimeWaitLeft()
		l.c.Close()
		l.d.ReadEnd()
		testnet.UntilState(l.out.local, l.out.remote, event.Closed)
		l.d.Close() // its FIN meets nobody, whose answer is a RST
		return append(l.opened(), l.out.overflow(event.FinWait2, event.Inferred), l.in.aborted(event.LastAck, unix.ECONNRESET))
	}},
	{name: "no timewait socket when tcp_max_tw_buckets is reached: inferred when the FINs crossed", run: func(s *scene) []want {
		c, p, out := s.withPeer()
		s.noTimeWaitLeft()
		c.Close()
		fin := p.Peek(testnet.FIN | testnet.ACK)
		p.Send(testnet.FIN|testnet.ACK, "")
		testnet.UntilState(out.local, out.remote, event.Closing)
		p.Take(fin)
		p.Send(testnet.ACK, "")
		w := out.overflow(event.Closing, event.Inferred)
		w.by = event.ClosedBoth
		return []want{out.opened(), w}
	}},
}

// orphan is a connection that the kernel's side closed and the peer did not: a timewait socket in FIN_WAIT2.
func (s *scene) orphan() (*testnet.Socket, *testnet.PeerConn, end) {
	c, p, out := s.acknowledged()
	s.untilOrphan(out)
	return c, p, out
}

// acknowledged is a connection that the kernel's side closed and the peer acknowledged: a socket in FIN_WAIT2.
func (s *scene) acknowledged() (*testnet.Socket, *testnet.PeerConn, end) {
	c, p, out := s.withPeer()
	c.Close()
	p.Await(testnet.FIN | testnet.ACK)
	p.Send(testnet.ACK, "")
	testnet.UntilState(out.local, out.remote, event.FinWait2)
	return c, p, out
}

// noTimeWaitLeft lets the kernel make no further timewait socket.
func (s *scene) noTimeWaitLeft() { s.sysctl("net.ipv4.tcp_max_tw_buckets", "0") }

// overflow is the close event of a connection whose timewait socket was not made.
func (e end) overflow(from event.State, basis event.Basis) want {
	w := e.closed(from, event.ClosedLocal)
	w.cause, w.basis = event.TimeWaitOverflow, basis
	return w
}
