package tracer_test

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// hostileComm is a process name meant for a terminal: escape sequences, a newline, invalid UTF-8.
const hostileComm = "\x1b[31m\r\xff\n\u202ex"

// ownerScenarios are connections whose sockets change hands, or whose processes are hard to catch.
var ownerScenarios = []scenario{
	{name: "a child's connection belongs to the child", run: func(s *scene) []want {
		l := s.listen(s.server())
		return s.childConnects(l, testnet.StartChild("connect", []string{l.Local.String()}))
	}},
	{name: "processes that exit right after connect", run: func(s *scene) []want {
		l := s.listen(s.server())
		var wants []want
		for range 5 {
			kid := testnet.StartChild("oneshot", []string{l.Local.String()})
			d := s.keep(l.Accept())
			kid.Wait()
			wants = append(wants, s.finishInbound(d, child(kid))...)
		}
		return wants
	}},
	{name: "a process name full of control characters arrives unchanged", run: func(s *scene) []want {
		l := s.listen(s.server())
		kid := testnet.StartChild("named", []string{hostileComm, l.Local.String()})
		d := s.keep(l.Accept())
		kid.Wait()
		o := child(kid)
		o.comm = hostileComm
		return s.finishInbound(d, o)
	}},
	{name: "a thread's own name does not matter, its process's does", run: func(s *scene) []want {
		var old [16]byte
		testnet.Must(unix.Prctl(unix.PR_GET_NAME, pointer(&old[0]), 0, 0, 0))
		name := []byte("pool-1-thread-7\x00")
		testnet.Must(unix.Prctl(unix.PR_SET_NAME, pointer(&name[0]), 0, 0, 0))
		l := s.link()
		testnet.Must(unix.Prctl(unix.PR_SET_NAME, pointer(&old[0]), 0, 0, 0))
		s.closeClient(l)
		l.d.Close()
		return l.closedByClient()
	}},
	{name: "an accepted connection belongs to the process that listens, though another accepts and closes it", run: func(s *scene) []want {
		l := s.listen(s.server())
		kid := testnet.StartChild("accept", nil, l.File())
		c := s.keep(testnet.Dial(l.Local))
		out := outbound(c)
		in := end{dir: event.Inbound, local: out.remote, remote: out.local, owner: self(event.OwnerListener)}
		kid.Line() // it has accepted
		c.Close()
		s.untilOrphan(out)
		kid.Release()
		return []want{
			out.opened(), in.opened(), out.timeWait(event.FinWait2, event.FinWait2), in.closed(event.LastAck, event.ClosedRemote),
		}
	}},
	{name: "a child that listens owns what it accepts", run: func(s *scene) []want {
		at := s.server()
		return s.servedByChild(at, at)
	}},
	{name: "a listener that is gone owns nothing: whoever listens on all addresses does", run: func(s *scene) []want {
		at := s.server()
		gone := testnet.Listen(at.Addr(), at.Port())
		gone.Close()
		return s.servedByChild(anyAddress(at), at)
	}},
	{name: "a listener that failed owns nothing: whoever listens on all addresses does", run: func(s *scene) []want {
		at := s.server()
		failed := s.keep(testnet.NewSocket(at.Addr()))
		failed.Reuse()
		failed.Bind(at)
		return s.servedByChild(anyAddress(at), at, func() {
			if err := failed.TryListen(); err != unix.EADDRINUSE {
				testnet.Fail("listen beside a listener on all addresses: %v", err)
			}
		})
	}},
	{name: "a listener on all addresses owns what it accepts, in IPv4 and on ports it did not choose", run: func(s *scene) []want {
		any4 := s.keep(testnet.Listen(netip.IPv4Unspecified(), 0))
		var wants []want
		for _, at := range []netip.Addr{testnet.Server, testnet.Server2} {
			k := s.accepted(s.keep(testnet.Dial(addrPort(at, any4.Local.Port()))), any4)
			wants = append(wants, k.abort()...)
		}
		return wants
	}},
	{name: "a socket passed on by SCM_RIGHTS keeps the owner who connected it", run: func(s *scene) []want {
		l := s.link()
		pair := testnet.Must1(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
		kid := testnet.StartChild("receive", nil, os.NewFile(uintptr(pair[1]), "receiver"))
		testnet.Must(unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(l.c.FD()), nil, 0))
		kid.Line() // it has the socket
		l.c.Close()
		kid.Release()
		testnet.Must(unix.Close(pair[0]))
		l.d.ReadEnd()
		s.untilOrphan(l.out)
		l.d.Close()
		return l.closedByClient()
	}},
	ioUringScenario("inline"),
	ioUringScenario("async"),
	ioUringScenario("sqpoll"),
}

func anyAddress(at netip.AddrPort) netip.AddrPort {
	return addrPort(netip.IPv4Unspecified(), at.Port())
}

// servedByChild connects to at, which a child serves that listens on listen, after the given steps.
func (s *scene) servedByChild(listen, at netip.AddrPort, steps ...func()) []want {
	kid := testnet.StartChild("serve", []string{listen.String()})
	kid.Line() // it listens
	for _, step := range steps {
		step()
	}
	c := s.keep(testnet.Dial(at))
	out := outbound(c)
	o := child(kid)
	o.basis = event.OwnerListener
	in := end{dir: event.Inbound, local: out.remote, remote: out.local, owner: o}
	kid.Line() // it has accepted
	c.Close()
	s.untilOrphan(out)
	kid.Release()
	return []want{
		out.opened(), in.opened(), out.timeWait(event.FinWait2, event.FinWait2), in.closed(event.LastAck, event.ClosedRemote),
	}
}

func ioUringScenario(mode string) scenario {
	return scenario{
		name:  "io_uring connect, " + mode + ": owned by the process, not by a kernel thread",
		lacks: func() (string, error) { return "io_uring " + mode, ioUringWorks(mode) },
		run: func(s *scene) []want {
			l := s.listen(s.server())
			return s.childConnects(l, testnet.StartChild("iouring", []string{mode, l.Local.String()}))
		},
	}
}

// childConnects accepts the child's connection, lets the child exit, and returns all events.
func (s *scene) childConnects(l *testnet.Socket, kid *testnet.Child) []want {
	d := s.keep(l.Accept())
	kid.Line() // it knows that it is connected
	kid.Release()
	return s.finishInbound(d, child(kid))
}

// finishInbound ends a connection whose other end has been closed by its owner o's exit, and returns all its events.
func (s *scene) finishInbound(d *testnet.Socket, o owner) []want {
	d.ReadEnd()
	in := inbound(d)
	out := in.reversed(o)
	s.untilOrphan(out)
	d.Close()
	return []want{
		out.opened(), in.opened(), out.timeWait(event.FinWait2, event.FinWait2), in.closed(event.LastAck, event.ClosedRemote),
	}
}
