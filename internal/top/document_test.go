package top

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

const (
	epoch = int64(1_700_000_000_123_456_789) // 22:13:20 UTC
	span  = 90 * time.Second
)

// happenings are events that a table is told of in the order of time.
type happenings struct{ events []event.Event }

// client is a process that connects from 10.0.0.7 to one destination.
type client struct {
	to            *happenings
	owner         event.Owner
	local, remote netip.AddrPort
	low, ports    uint16
}

const namespace = 4026531840

func connecting(h *happenings, name string, pid uint32, remote string) *client {
	c := &client{
		to: h, owner: event.Owner{PID: pid, CgroupID: uint64(pid), Basis: event.OwnerConnect},
		remote: netip.MustParseAddrPort(remote), local: netip.MustParseAddrPort("10.0.0.7:40000"), low: 40000,
	}
	copy(c.owner.Comm[:15], name)
	if c.remote.Addr().Is6() {
		c.local = netip.MustParseAddrPort("[2001:db8::7]:40000")
	}
	return c
}

func (c *client) event(kind event.Kind, at time.Duration) event.Event {
	return event.Event{
		UnixNano: epoch + int64(at), Kind: kind, Direction: event.Outbound, DirectionBasis: event.Exact, Netns: namespace,
		Owner: c.owner, Local: c.local, Remote: c.remote,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
	}
}

// connect opens a connection that ends after life, closed by this host, with its TIME_WAIT held to the end.
func (c *client) connect(at, life time.Duration, exchanges uint32) {
	e := c.event(event.Connect, at)
	e.Local, e.AutoPort, e.ConnectTime = netip.AddrPortFrom(c.local.Addr(), c.port()), true, 40*time.Microsecond
	local := e.Local
	c.to.events = append(c.to.events, e)
	if at+life > span {
		return
	}
	e = c.event(event.TimeWait, at+life)
	e.Local, e.Substate, e.OldState, e.NewState = local, event.TimeWaitState, event.FinWait2, event.TimeWaitState
	e.ClosedBy, e.Lifetime, e.Counted = event.ClosedLocal, life, true
	e.SentDataSegments, e.ReceivedDataSegments = exchanges, exchanges
	e.SentBytes, e.ReceivedBytes = uint64(exchanges)*80, uint64(exchanges)*200
	c.to.events = append(c.to.events, e)
	e.Kind, e.UnixNano, e.Remaining, e.Timestamps = event.Open, epoch+int64(span), time.Minute, true
	c.to.events = append(c.to.events, e)
}

// size is how many ports the range has.
const size = 1500

// port chooses as connect() does: all ports of the first one's parity, then the others.
func (c *client) port() uint16 {
	n := c.ports % size
	c.ports++
	if n >= size/2 {
		return c.low + 2*(n-size/2) + 1
	}
	return c.low + 2*n
}

func (c *client) fail(at time.Duration, err event.Error, cause event.Cause) {
	e := c.event(event.ConnectFailed, at)
	e.Error, e.Cause, e.Basis = err, cause, event.Exact
	c.to.events = append(c.to.events, e)
}

func accepted(h *happenings, name, local, remote string, n int) {
	c := connecting(h, name, 900, remote)
	c.local, c.owner.Basis = netip.MustParseAddrPort(local), event.OwnerListener
	for i := range n {
		for _, kind := range []event.Kind{event.Accept, event.Close} {
			e := c.event(kind, time.Duration(i)*100*time.Millisecond)
			if e.Direction = event.Inbound; kind == event.Close {
				e.Lifetime, e.ClosedBy, e.Counted = time.Millisecond, event.ClosedRemote, true
				e.SentDataSegments, e.ReceivedDataSegments = 1, 1
			}
			h.events = append(h.events, e)
		}
	}
}

// incident is a host on which one service runs out of ports, and others do what services do.
func incident() *happenings {
	h := new(happenings)
	pgbench := connecting(h, "pgbench", 812, "10.2.3.4:5432")
	for i := range size { // ever faster, until there is no port left
		at := time.Duration(float64(60*time.Second) * math.Sqrt(float64(i)/size))
		pgbench.connect(at, time.Duration(1+i%9)*time.Millisecond, 5)
	}
	for i := range 812 {
		pgbench.fail(60*time.Second+time.Duration(i)*30*time.Millisecond, event.EADDRNOTAVAIL, event.PortsExhausted)
	}
	failing := connecting(h, "php-fpm8.2", 33, "[2001:db8:85a3::8a2e:370:7334]:6379")
	for i := range 120 {
		failing.fail(time.Duration(i)*500*time.Millisecond, 111, 0)
		if i%10 == 0 {
			failing.fail(time.Duration(i)*500*time.Millisecond, event.Canceled, 0)
		}
	}
	small := connecting(h, "gateway", 700, "10.2.3.5:443")
	small.connect(0, span-time.Second, 90)
	small.connect(0, span-time.Second, 90)
	for i := range 500 {
		small.connect(20*time.Second+time.Duration(i)*100*time.Millisecond, 2*time.Millisecond, 1)
	}
	pooled := connecting(h, "java", 5001, "10.2.3.4:9092")
	for i := range 10 {
		pooled.connect(time.Duration(i)*time.Second, 2*span, 700)
	}
	connecting(h, "curl", 64000, "192.0.2.1:80").connect(time.Second, 30*time.Millisecond, 1)
	accepted(h, "nginx", "10.0.0.7:443", "10.9.9.9:55000", 350)
	return h
}

func (h *happenings) input() report.Input {
	slices.SortStableFunc(h.events, func(a, b event.Event) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	table := churn.New(churn.Options{Start: epoch, Steps: true, Recent: true})
	set := &host.Settings{
		Netns: namespace, RangeLow: 40000, RangeHigh: 40000 + size - 1,
		Reserved: new(host.PortSet), Blocked: new(host.PortSet),
	}
	for i := range h.events {
		table.Observe(&h.events[i])
	}
	table.SetHost(set)
	table.Snapshot(true)
	table.Close(epoch + int64(span))
	kernel := uint64(2001)
	return report.Input{
		Table: table, Service: named, Charted: 10,
		Facts: report.Facts{
			Host: "web1", Kernel: "6.1.0-18-amd64", Source: "live", TimeWaitTier: "tier 1 (kernel functions)",
			TimeWait:   &report.TimeWaitInput{Tier: 1, How: "kernel functions", Exact: true, Kernel: &kernel, Checks: 90},
			Namespaces: []report.NamespaceInput{{Netns: namespace, Seen: true, TimeWait: &kernel, Settings: set}},
		},
	}
}

func named(o *event.Owner) *service.Service {
	name := o.Comm.String()
	s := &service.Service{
		Name: name, Kind: service.KindProcess, PID: o.PID, Processes: 1, Comm: name, Exe: "/usr/bin/" + name,
		CgroupID: o.CgroupID,
	}
	if name == "php-fpm8.2" {
		s.Kind, s.Unit = service.KindUnit, "php8.2-fpm.service"
	}
	return s
}

// live is an update as it comes from a running kernel.
func live(d *report.Document) Update {
	return Update{Document: d, Own: &Own{CPURatio: 0.0123, MemoryBytes: 34_567_890}}
}

func empty() *report.Document {
	in := new(happenings).input()
	return report.Build(in)
}

// many is a document of n rows.
func many(tb testing.TB, n int) *report.Document {
	tb.Helper()
	h := new(happenings)
	for i := range n {
		remote := fmt.Sprintf("10.%d.%d.7:%d", i/250, i%250, 5000+i%10)
		c := connecting(h, fmt.Sprintf("service-%d", i%37), uint32(i+1), remote)
		for k := range 1 + i%3 {
			c.connect(time.Duration(i+1000*k)*time.Millisecond%span, 3*time.Millisecond, 2)
		}
		if i%5 == 0 {
			c.fail(time.Second, event.EADDRNOTAVAIL, event.PortsExhausted)
		}
	}
	in := h.input()
	return report.Build(in)
}
