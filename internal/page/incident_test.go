package page

import (
	stdcmp "cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

const epoch = int64(1_700_000_000_123_456_789)

const netns = 4026531840

// traffic are events, in any order.
type traffic struct{ events []event.Event }

// client is a process that connects to one destination.
type client struct {
	to            *traffic
	owner         event.Owner
	local, remote netip.AddrPort
	ports         int
}

func (t *traffic) client(name string, pid uint32, remote string) *client {
	c := &client{
		to: t, owner: event.Owner{PID: pid, CgroupID: 77, Basis: event.OwnerConnect},
		local: netip.MustParseAddrPort("10.0.0.7:0"), remote: netip.MustParseAddrPort(remote),
	}
	copy(c.owner.Comm[:15], name)
	if c.remote.Addr().Is6() {
		c.local = netip.MustParseAddrPort("[2001:db8::7]:0")
	}
	return c
}

func (c *client) event(kind event.Kind, at time.Duration) event.Event {
	return event.Event{
		UnixNano: epoch + int64(at), Kind: kind, Direction: event.Outbound, DirectionBasis: event.Exact, Netns: netns,
		Owner: c.owner, Local: c.local, Remote: c.remote,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
	}
}

// connect opens a connection and closes it first.
func (c *client) connect(at, life time.Duration, exchanges uint32) {
	e := c.event(event.Connect, at)
	e.Local, e.AutoPort = netip.AddrPortFrom(c.local.Addr(), uint16(40000+c.ports%20000)), true
	e.ConnectTime = 40 * time.Microsecond
	c.ports++
	c.to.events = append(c.to.events, e)
	local := e.Local
	e = c.event(event.TimeWait, at+life)
	e.Local, e.Substate = local, event.TimeWaitState
	e.OldState, e.NewState, e.ClosedBy, e.Lifetime, e.Counted = event.FinWait2, event.TimeWaitState, event.ClosedLocal, life, true
	e.SentDataSegments, e.ReceivedDataSegments = exchanges, exchanges
	e.SentBytes, e.ReceivedBytes = uint64(exchanges)*80, uint64(exchanges)*200
	c.to.events = append(c.to.events, e)
}

func (c *client) fail(at time.Duration, err event.Error, cause event.Cause) {
	e := c.event(event.ConnectFailed, at)
	e.Error, e.Cause, e.Basis = err, cause, event.Exact
	c.to.events = append(c.to.events, e)
}

// accepted are connections from a remote host, which closes them first.
func (t *traffic) accepted(name, local, remote string, n int) {
	c := t.client(name, 900, remote)
	c.local, c.owner.Basis = netip.MustParseAddrPort(local), event.OwnerListener
	for i := range n {
		for _, kind := range []event.Kind{event.Accept, event.Close} {
			e := c.event(kind, time.Duration(i)*10*time.Millisecond)
			if e.Direction = event.Inbound; kind == event.Close {
				e.Lifetime, e.ClosedBy, e.Counted = time.Millisecond, event.ClosedRemote, true
				e.SentDataSegments, e.ReceivedDataSegments, e.SentBytes, e.ReceivedBytes = 1, 1, 300, 60
			}
			t.events = append(t.events, e)
		}
	}
}

// report is of a window of so many seconds.
func (t *traffic) report(seconds, charted int, facts *report.Facts, owner func(*event.Owner) *service.Service) *report.Document {
	slices.SortStableFunc(t.events, func(a, b event.Event) int { return stdcmp.Compare(a.UnixNano, b.UnixNano) })
	table := churn.New(churn.Options{Start: epoch, Steps: true})
	table.SetHost(settings(400))
	for i := range t.events {
		table.Observe(&t.events[i])
	}
	table.Close(epoch + int64(seconds)*int64(time.Second))
	return report.Build(report.Input{Table: table, Service: owner, Charted: charted, Facts: *facts})
}

// settings have a range of so many ports.
func settings(ports uint16) *host.Settings {
	return &host.Settings{
		Netns: netns, RangeLow: 40000, RangeHigh: 40000 + ports - 1, Reserved: new(host.PortSet), Blocked: new(host.PortSet),
		TimeWaitReuse: 2, TimeWaitReuseDelay: time.Second, Timestamps: true, MaxTimeWait: 262144, FinTimeout: 30 * time.Second,
	}
}

func facts() *report.Facts {
	same := settings(28232)
	kernel := uint64(398)
	return &report.Facts{
		Host: "web1", Kernel: "6.1.0-18-amd64", Source: "live", TimeWaitTier: "tier 1 (kernel functions)",
		Hooks:    []string{"tp_btf/inet_sock_set_state", "fexit/inet_twsk_alloc"},
		TimeWait: &report.TimeWaitInput{Tier: 1, How: "kernel functions", Exact: true, Kernel: &kernel, Checks: 20},
		Namespaces: []report.NamespaceInput{
			{Netns: netns, Seen: true, TimeWait: &kernel, Settings: settings(400)}, {Netns: netns + 1, Seen: true, Settings: same},
			{Netns: netns + 2, Seen: true, Settings: same}, {Netns: netns + 3, Why: "setns: operation not permitted"},
		},
		HooksAbsent: []string{"sys_exit_connect: this kernel has no such tracepoint; connects that fail for want of a route are not seen"},
	}
}

// program resolves owners.
func program(o *event.Owner) *service.Service {
	name := o.Comm.String()
	s := &service.Service{
		Name: name, Kind: service.KindProcess, PID: o.PID, Processes: 1, Comm: name, Exe: "/usr/bin/" + name, CgroupID: 77,
		Cgroup: "/system.slice/" + name + ".service", Runtime: "python",
	}
	return s
}

// incident is a service that runs out of ports, one that is refused, one with a pool, and one that accepts.
func incident() *report.Document {
	var t traffic
	orders := t.client("orders", 812, "10.2.3.4:5432")
	for i := range 390 {
		orders.connect(time.Duration(i)*25*time.Millisecond, time.Duration(1+i*i%40)*time.Millisecond, 5)
	}
	for i := range 180 {
		orders.fail(10*time.Second+time.Duration(i)*50*time.Millisecond, event.EADDRNOTAVAIL, event.PortsExhausted)
	}
	search := t.client("search", 4194303, "[2001:db8:85a3::7334]:9200")
	for i := range 120 {
		search.fail(time.Duration(i)*150*time.Millisecond, 111, 0)
		if i%3 == 0 {
			search.fail(time.Duration(i)*150*time.Millisecond, event.Canceled, 0)
		}
		if i%7 == 0 {
			search.fail(time.Duration(i)*150*time.Millisecond, 110, 0)
		}
	}
	cart := t.client("cart", 5001, "10.2.3.4:6379")
	for i := range 4 {
		cart.connect(time.Duration(i)*time.Millisecond, 19*time.Second, 700)
	}
	t.accepted("nginx", "10.0.0.7:443", "10.9.9.9:55000", 350)
	bind := cart.event(event.BindFailed, time.Second)
	bind.Local, bind.Remote, bind.Error, bind.Cause = netip.MustParseAddrPort("192.0.2.9:8080"), netip.AddrPort{}, event.EADDRNOTAVAIL, event.NotLocal
	t.events = append(t.events, bind)
	return t.report(20, 200, facts(), program)
}

// quiet is a host on which nothing happened.
func quiet() *report.Document {
	return new(traffic).report(10, 200, &report.Facts{Host: "web1", Kernel: "6.1.0", Source: "live"}, program)
}

// unobserved is a report in which nearly everything is null, and which is not exact.
func unobserved() *report.Document {
	var t traffic
	c := t.client("orders", 812, "10.2.3.4:5432")
	for i := range 100 {
		c.connect(time.Duration(i)*50*time.Millisecond, time.Millisecond, 5)
	}
	f := &report.Facts{Source: "live"}
	f.Losses.SocketsEvicted = 12
	f.Damage.Add("block 7 at byte 4096: its checksum is wrong", 500, true)
	return t.report(10, 200, f, nil)
}

// names are what processes, paths and units can be called.
var names = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, "</style><h1>own", "</title></script><svg/onload=alert(1)>",
	"\u202egnp.exe\u2066", "שלום עולם ובתי קפה", "مرحبا", "日本語の名前", "a\nb\r\tc\x1b[31m", "{{.Style}}", "javascript:alert(1)", "&lt;b&gt;",
	"e\u0301\u0301\u0301\u0301\u0301", strings.Repeat("W", 1<<20), strings.Repeat("very-long-name-", 40), "]]>--><!--", "\xff\xfe\x80",
}

// hostile has each of them wherever a name can stand.
func hostile() *report.Document {
	var t traffic
	for i := range names {
		c := t.client(fmt.Sprint(i), uint32(i+1), fmt.Sprintf("10.2.3.%d:5432", i+1))
		for j := range 60 {
			c.connect(time.Duration(j)*100*time.Millisecond, time.Duration(i+1)*time.Millisecond, 3)
			c.fail(time.Duration(j)*100*time.Millisecond, event.EADDRNOTAVAIL, event.PortsExhausted)
		}
		t.accepted(fmt.Sprint(i), "10.0.0.7:443", fmt.Sprintf("10.9.9.%d:1", i+1), 5)
		bind := c.event(event.BindFailed, 0)
		bind.Local, bind.Remote, bind.Cause = netip.MustParseAddrPort("10.0.0.7:0"), netip.AddrPort{}, event.PortsExhausted
		t.events = append(t.events, bind)
	}
	evil := strings.Join(slices.Concat(names[:14], names[15:]), " ")
	f := facts()
	f.Host, f.Kernel, f.Source, f.TimeWaitTier, f.Filter, f.Excluded = evil, evil, evil, evil, evil, 3
	f.Hooks, f.HooksAbsent, f.TimeWait.How = []string{evil}, []string{evil}, evil
	f.Namespaces = append(f.Namespaces, report.NamespaceInput{Why: evil})
	f.Damage.Add(evil, 1, false)
	return t.report(10, 200, f, func(o *event.Owner) *service.Service {
		n := names[0]
		if _, err := fmt.Sscan(o.Comm.String(), new(int)); err == nil {
			var i int
			_, _ = fmt.Sscan(o.Comm.String(), &i)
			n = names[i]
		}
		return &service.Service{
			Name: n, Kind: service.KindPod, PID: o.PID, Comm: n, Exe: "/" + n, Unit: n, ContainerID: n, Pod: n, Cgroup: "/" + n, CgroupID: 1,
		}
	})
}

// busy has so many destinations, each with a name of usual length, and figures of a long window.
func busy(destinations int) *report.Document {
	var t traffic
	for i := range destinations {
		c := t.client(fmt.Sprintf("worker-%d", i%40), uint32(1000+i%40), fmt.Sprintf("10.%d.%d.%d:%d", 20+i%7, i/250, i%250, 5432+i%5))
		for j := range 60 {
			c.connect(time.Duration(j)*2*time.Second+time.Duration(i)*time.Millisecond, time.Duration(1+(i*j)%977)*time.Millisecond, uint32(1+i%30))
			if i%6 == 0 {
				c.fail(time.Duration(j)*2*time.Second, event.Error(110+i%2), 0)
			}
		}
	}
	return t.report(127, 200, facts(), func(o *event.Owner) *service.Service {
		s := program(o)
		s.Kind, s.Unit = service.KindPod, s.Name+".service"
		s.Pod, s.ContainerID = "shop/"+s.Name+"-7c9f8b6d5-x2k4q", strings.Repeat("0123456789abcdef", 4)
		s.Cgroup = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f2e3d4c.slice/cri-containerd-" + s.ContainerID + ".scope"
		return s
	})
}
