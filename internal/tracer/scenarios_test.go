package tracer_test

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// scenario is one way for connections to live and end, with every event that it must give and no other.
type scenario struct {
	name string
	run  func(*scene) []want
	// lacks says, inside the namespace, what this kernel has not and the scenario needs; nil error: it has it.
	lacks func() (what string, why error)
}

// tiersHere are the ways to follow timewait sockets that this kernel has.
func tiersHere(tb testing.TB) []tracer.Tier {
	tb.Helper()
	testnet.RequireTracing(tb)
	tiers := probeTiers()
	if !slices.Contains(tiers, tracer.TierTimers) || !slices.Contains(tiers, tracer.TierCensus) {
		tb.Fatalf("only %v of the ways to follow TIME_WAIT work here", tiers)
	}
	if os.Getenv("TCPSTATE_EMULATED") != "" { // there loading takes ten times as long, and the census differs in no kernel
		return slices.DeleteFunc(slices.Clone(tiers), func(t tracer.Tier) bool { return t == tracer.TierCensus })
	}
	return tiers
}

var probeTiers = sync.OnceValue(func() (tiers []tracer.Tier) {
	for _, tier := range []tracer.Tier{tracer.TierFunctions, tracer.TierTimers, tracer.TierCensus} {
		if tr, err := tracer.Open(tracer.Options{Tier: tier}); err == nil {
			tiers = append(tiers, tier)
			_ = tr.Close()
		}
	}
	return tiers
})

// eachTier runs test by each way to follow timewait sockets that this kernel has: timers without a bound, a
// census each second.
func eachTier(t *testing.T, test func(*testing.T, tracer.Options)) {
	for _, tier := range tiersHere(t) {
		t.Run(tier.String(), func(t *testing.T) {
			test(t, tracer.Options{Tier: tier, TimerCost: 1}) // at any cost
		})
	}
}

// TestScenarios is the tracer's contract: what happens on the wire on the left, the events on the right.
func TestScenarios(t *testing.T) {
	r := startTrace(t, tracer.Options{}).watch(testnet.New(t))
	ns := r.ns
	r.mark(t)
	var before testnet.Counters
	ns.Do(t, func() { before = testnet.ReadCounters() })
	marks := r.made
	for _, sc := range slices.Concat(closeScenarios, resetScenarios, failScenarios, silentScenarios, ownerScenarios, oddScenarios) {
		t.Run(sc.name, func(t *testing.T) { runScenario(t, r, sc) })
	}
	t.Run("the kernel's own counters agree over all of them", func(t *testing.T) {
		r.mark(t)
		var after testnet.Counters
		ns.Do(t, func() { after = testnet.ReadCounters() })
		compareCounters(t, after.Minus(before), r.events, int64(r.made-marks))
	})
	t.Run("nothing is left open and nothing was lost", func(t *testing.T) {
		taken := r.taken
		r.stopAndCompare(t)
		for _, e := range r.events[taken:] {
			if e.Kind != event.Open || e.NewState != event.TimeWaitState {
				t.Errorf("unexpected %s", observe(&e, want{}))
			}
		}
	})
}

// What the best way to follow timewait sockets sees, the others see, too; a census does not see why one has ended.
func TestTimeWaitEndsByEveryTier(t *testing.T) {
	best := tiersHere(t)[0]
	eachTier(t, func(t *testing.T, o tracer.Options) {
		if o.Tier == best {
			return // is what TestScenarios takes
		}
		r := startTrace(t, o).watch(testnet.New(t))
		for _, sc := range closeScenarios {
			run := sc.run
			if o.Tier == tracer.TierCensus {
				sc.run = func(s *scene) []want { return byCensus(run(s)) }
			}
			t.Run(sc.name, func(t *testing.T) { runScenario(t, r, sc) })
		}
		r.stopAndCompare(t)
	})
}

func runScenario(t *testing.T, r *recorder, sc scenario) {
	var wants []want
	if sc.lacks != nil {
		var what string
		var why error
		r.ns.Do(t, func() { what, why = sc.lacks() })
		if why != nil {
			testnet.Lacks(t, what, why)
		}
	}
	// A scenario that stopped half-way must not be a burden to the next one.
	defer func() {
		if t.Failed() {
			r.collect(t, 0)
		}
	}()
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		wants = sc.run(s)
	})
	if r.tracer.TimeWaitTierNumber() == 1 { // the function that makes none says so
		for i := range wants {
			if wants[i].cause == event.TimeWaitOverflow {
				wants[i].basis = event.Exact
			}
		}
	}
	compare(t, wants, r.collect(t, len(wants)))
}

// compareCounters checks the equations between events and the kernel's counters. marks is how many of the recorder's
// marks, refused connects, the kernel counted, too.
func compareCounters(t *testing.T, kernel testnet.Counters, events []event.Event, marks int64) {
	t.Helper()
	n := func(f func(*event.Event) bool) (n int64) {
		for i := range events {
			if f(&events[i]) {
				n++
			}
		}
		return n
	}
	kind := func(k event.Kind) int64 { return n(func(e *event.Event) bool { return e.Kind == k }) }
	equal := func(what string, ours, theirs int64) {
		if ours != theirs {
			t.Errorf("%s: %d by our events, %d by the kernel", what, ours, theirs)
		}
	}
	// A connect that failed before its SYN left is no open to the kernel.
	sent := n(func(e *event.Event) bool { return e.Kind == event.ConnectFailed && e.SentSegments > 0 })
	equal("ActiveOpens", kind(event.Connect)+sent+marks, kernel["TcpActiveOpens"])
	equal("PassiveOpens", kind(event.Accept), kernel["TcpPassiveOpens"])
	equal("EstabResets", n(func(e *event.Event) bool {
		return e.Kind == event.Close && (e.OldState == event.Established || e.OldState == event.CloseWait)
	}), kernel["TcpEstabResets"])
	equal("TCPTimeWaitOverflow", n(func(e *event.Event) bool { return e.Cause == event.TimeWaitOverflow }),
		kernel["TcpExtTCPTimeWaitOverflow"])
	// Before 6.1 TW counts the expiry of a timewait socket, not its making.
	if testnet.KernelAtLeast("6.1") {
		equal("TW + TWKilled", kind(event.TimeWait), kernel["TcpExtTW"]+kernel["TcpExtTWKilled"])
	}
	// The kernel also counts RSTs to half-open connections, which make no event.
	failed := marks + n(func(e *event.Event) bool {
		return e.Kind == event.ConnectFailed && e.SentSegments > 0 && e.Error != event.Canceled
	})
	if failed > kernel["TcpAttemptFails"] {
		t.Errorf("AttemptFails: %d by our events, only %d by the kernel", failed, kernel["TcpAttemptFails"])
	}
}

// scene is what a scenario plays in: fresh ports and a raw peer. Its sockets are closed at the end, listeners for
// instance, unless the scenario did so.
type scene struct {
	r       *recorder
	peer    *testnet.Peer
	sockets []*testnet.Socket
	orphans int // time_wait events that untilOrphan has seen
	undo    []func()
}

// lastPort makes the ports of all scenarios differ, so that an event tells where it came from.
var lastPort uint16 = 6000

func newScene(r *recorder) *scene { return &scene{r: r, peer: testnet.NewPeer()} }

func (s *scene) end() {
	for _, sock := range s.sockets {
		sock.Close()
	}
	for _, f := range slices.Backward(s.undo) {
		f()
	}
	s.peer.Close()
}

func (s *scene) port() uint16 {
	lastPort++
	return lastPort
}

// server, raw: fresh destinations, on the kernel's and on the peer's side. Nobody listens there yet.
func (s *scene) server() netip.AddrPort { return netip.AddrPortFrom(testnet.Server, s.port()) }
func (s *scene) raw() netip.AddrPort    { return netip.AddrPortFrom(testnet.PeerAddr, s.port()) }

func (s *scene) keep(sock *testnet.Socket) *testnet.Socket {
	s.sockets = append(s.sockets, sock)
	return sock
}

func (s *scene) sysctl(name, value string) { s.undo = append(s.undo, testnet.Sysctl(name, value)) }

func (s *scene) socket() *testnet.Socket { return s.keep(testnet.NewSocket(testnet.Client)) }

func (s *scene) listen(at netip.AddrPort) *testnet.Socket {
	return s.keep(testnet.Listen(at.Addr(), at.Port()))
}

// link is an established connection of this process with itself: c called connect, d was accepted.
type link struct {
	c, d    *testnet.Socket
	out, in end
}

func (s *scene) link() *link { return s.linkVia(s.listen(s.server())) }

func (s *scene) linkVia(l *testnet.Socket) *link {
	c := s.keep(testnet.Dial(l.Local))
	return s.accepted(c, l)
}

func (s *scene) accepted(c, l *testnet.Socket) *link {
	d := s.keep(l.Accept())
	return &link{c, d, outbound(c), inbound(d)}
}

// closeClient closes c and waits until its timewait socket, in substate FIN_WAIT2, waits for d's FIN.
func (s *scene) closeClient(l *link) {
	l.c.Close()
	l.d.ReadEnd()
	s.untilOrphan(l.out)
}

// untilOrphan waits until the kernel has replaced the socket by a timewait socket in FIN_WAIT2, and until the tracer has
// said so: the timewait socket is there before the tracepoint is reached, and on another CPU its peer could change it.
func (s *scene) untilOrphan(e end) {
	s.orphans++
	testnet.Until("a time_wait event of "+e.local.String(), func() bool {
		return s.r.pending(ofKind(event.TimeWait)) >= s.orphans
	})
}

// opened are the first two events of the link.
func (l *link) opened() []want { return []want{l.out.opened(), l.in.opened()} }

// closedByClient are all events of a link that closeClient and d.Close ended.
func (l *link) closedByClient() []want {
	return append(l.opened(), l.out.timeWait(event.FinWait2, event.FinWait2), l.in.closed(event.LastAck, event.ClosedRemote))
}

// toPeer is a socket that is connecting to the raw peer, which has got the SYN.
func (s *scene) toPeer() (*testnet.Socket, *testnet.PeerConn, end) {
	c := s.socket()
	to := s.raw()
	c.StartConnect(to)
	return c, s.peer.Meet(to.Port()), outbound(c)
}

// withPeer is a socket connected to the raw peer.
func (s *scene) withPeer() (*testnet.Socket, *testnet.PeerConn, end) {
	c, p, out := s.toPeer()
	p.Establish()
	testnet.Must(c.ConnectResult())
	return c, p, out
}

// fromPeer is a connection from the raw peer, accepted by the kernel's socket.
func (s *scene) fromPeer(l *testnet.Socket, port uint16, sequence uint32) (*testnet.Socket, *testnet.PeerConn) {
	p := s.peer.Call(port, l.Local, sequence)
	p.Await(testnet.SYN | testnet.ACK)
	p.Send(testnet.ACK, "")
	return s.keep(l.Accept()), p
}

const bothDirections = unix.SHUT_RDWR

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
