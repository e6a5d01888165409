package capture

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// client is a service and how it connects.
type client struct {
	owner        event.Owner
	local        netip.Addr
	destinations []netip.AddrPort
	rate         float64 // connections a second
	forks        bool    // a process for each
	failing      float64 // share of the connects that fail
	inbound      bool    // it accepts
	sent         int     // bytes, about
}

const (
	generatedNetns = 4026531840
	generatedStart = 1_790_000_000_000_000_000
)

// clients are several services: one on loopback that fails sometimes, with the server's side of it, one to hundreds of
// remote hosts, one that is many processes, a proxy over IPv6, and one that accepts from hundreds of remote hosts.
func clients() []client {
	name := func(comm string, pid uint32, cgroup uint64, basis event.OwnerBasis) event.Owner {
		o := event.Owner{PID: pid, CgroupID: cgroup, Basis: basis}
		copy(o.Comm[:], comm)
		return o
	}
	hosts := func(base netip.Addr, n int, port uint16) (all []netip.AddrPort) {
		for range n {
			all = append(all, netip.AddrPortFrom(base, port))
			base = base.Next()
		}
		return all
	}
	a := netip.MustParseAddr
	database := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5432")}
	return []client{
		{
			owner: name("pgbench", 812, 71, event.OwnerConnect), local: a("127.0.0.1"),
			destinations: database, rate: 4000, failing: .01, sent: 400,
		},
		{
			owner: name("postgres", 300, 44, event.OwnerListener), local: a("127.0.0.1"),
			destinations: database, rate: 4000, inbound: true, forks: true, sent: 900,
		},
		{
			owner: name("java", 4711, 1023, event.OwnerConnect), local: a("10.1.2.3"),
			destinations: hosts(a("10.2.0.1"), 300, 8080), rate: 2500, failing: .02, sent: 3000,
		},
		{
			owner: name("curl", 20000, 99, event.OwnerConnect), local: a("10.1.2.3"),
			destinations: hosts(a("192.0.2.1"), 20, 443), rate: 500, forks: true, sent: 700,
		},
		{
			owner: name("envoy", 77, 2044, event.OwnerConnect), local: a("2001:db8::7"),
			destinations: hosts(a("2001:db8:1::1"), 40, 9090), rate: 800, sent: 1500,
		},
		{
			owner: name("nginx", 900, 512, event.OwnerListener), local: a("10.1.2.3"),
			destinations: hosts(a("198.51.100.1"), 250, 443), rate: 1200, inbound: true, sent: 20000,
		},
	}
}

// generated are some, made once.
var generated = sync.OnceValue(func() []event.Event { return generate(20_000) })

// generate makes n events as a host with these clients would, in order of time: each connection is a connect (or accept),
// mostly a TIME_WAIT, and its end a minute after; or a close; or a failure.
func generate(n int) []event.Event {
	// Nothing lives for a second, and a TIME_WAIT for hardly more than a minute.
	const before, short = generatedStart - int64(61*time.Second), generatedStart - int64(time.Second)
	random := rand.New(rand.NewPCG(1, 2))
	until := generatedStart + int64(n)*int64(time.Second)/30_000
	var events []event.Event
	for _, c := range clients() {
		ports := map[netip.AddrPort]uint16{}
		for at := before; at < until; at += int64(random.ExpFloat64() / c.rate * float64(time.Second)) {
			if at > until-int64(60*time.Second) {
				at = max(at, short)
			}
			for _, e := range c.connection(at, ports, random) {
				if e.UnixNano >= generatedStart && e.UnixNano < until {
					events = append(events, e)
				}
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event.Event) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	return slices.Clone(events[:n])
}

// connection is the events of one connection.
func (c *client) connection(at int64, ports map[netip.AddrPort]uint16, random *rand.Rand) []event.Event {
	to := c.destinations[random.IntN(len(c.destinations))]
	if c.forks {
		c.owner.PID += uint32(1 + random.IntN(3))
	}
	e := c.start(to, ports, random)
	connect := time.Duration(40_000 * (1 + random.ExpFloat64()))
	if random.Float64() < c.failing {
		e.Kind, e.OldState, e.NewState, e.UnixNano = event.ConnectFailed, event.SynSent, event.Closed, at
		e.Error, e.Basis, e.ConnectTime, e.Counted = 111, event.Exact, connect, true
		e.SentSegments = 1
		return []event.Event{e}
	}
	e.Kind, e.OldState, e.NewState, e.UnixNano = event.Connect, event.SynSent, event.Established, at
	if c.inbound {
		e.Kind, e.OldState = event.Accept, event.SynRecv
	} else {
		e.ConnectTime = connect
	}
	events := []event.Event{e}
	return append(events, c.end(e, random)...)
}

// start is what all events of a connection have in common. A destination's ports follow each other.
func (c *client) start(to netip.AddrPort, ports map[netip.AddrPort]uint16, random *rand.Rand) event.Event {
	if ports[to] == 0 {
		ports[to] = uint16(16384 + random.IntN(14000))
	}
	ports[to] = 16384 + (ports[to]-16384+1+uint16(random.IntN(8)))%14000
	port := 2 * ports[to]
	e := event.Event{
		Direction: event.Outbound, DirectionBasis: event.Exact, Netns: generatedNetns, Owner: c.owner,
		Local: netip.AddrPortFrom(c.local, port), Remote: to, AutoPort: true,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
	}
	if c.inbound {
		e.Direction, e.AutoPort = event.Inbound, false
		e.Local, e.Remote = netip.AddrPortFrom(c.local, to.Port()), netip.AddrPortFrom(to.Addr(), port)
	}
	return e
}

// end ends a connection that began with e.
func (c *client) end(e event.Event, random *rand.Rand) []event.Event {
	e.Lifetime = time.Duration(float64(3*time.Millisecond) * (.3 + random.ExpFloat64()))
	e.UnixNano += int64(e.Lifetime)
	e.Counted, e.ClosedBy, e.AutoPort = true, event.ClosedLocal, false
	e.SentBytes, e.ReceivedBytes = uint64(c.sent+random.IntN(c.sent)), uint64(2*c.sent+random.IntN(10*c.sent))
	e.SentDataSegments, e.ReceivedDataSegments = uint32(1+random.IntN(3)), uint32(1+e.ReceivedBytes/1400)
	e.SentSegments, e.ReceivedSegments = e.SentDataSegments+uint32(3+random.IntN(3)), e.ReceivedDataSegments+3
	e.Idle = time.Duration(random.IntN(3)) * 4 * time.Millisecond
	if random.IntN(50) == 0 {
		e.Retransmits = 1
	}
	if c.inbound != (random.IntN(10) == 0) { // the other end closed first
		e.Kind, e.OldState, e.NewState, e.ClosedBy = event.Close, event.LastAck, event.Closed, event.ClosedRemote
		return []event.Event{e}
	}
	e.Kind, e.OldState, e.NewState, e.Substate = event.TimeWait, event.FinWait2, event.TimeWaitState, event.TimeWaitState
	e.Timestamps = true
	gone := e
	gone.Kind, gone.OldState, gone.NewState = event.TimeWaitEnd, event.TimeWaitState, event.Closed
	gone.UnixNano += int64(60*time.Second) + random.Int64N(int64(4*time.Millisecond))
	gone.Counted, gone.SentBytes, gone.ReceivedBytes, gone.Retransmits = false, 0, 0, 0
	gone.SentSegments, gone.ReceivedSegments, gone.SentDataSegments, gone.ReceivedDataSegments = 0, 0, 0, 0
	gone.Lifetime, gone.ConnectTime, gone.Idle = event.Unknown, event.Unknown, event.Unknown
	gone.Cause, gone.Basis = event.Expired, event.Exact
	return []event.Event{e, gone}
}
