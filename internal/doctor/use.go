package doctor

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// portUse says how many ports are held now, toward which destinations.
func (e *examiner) portUse() Check {
	const code = "port-use"
	source := e.Sockets.Path + " and tcp6; " + rangeSource
	if err := errorOf(e.Sockets); err != nil {
		return unknown(code, source, err)
	}
	s := e.Sockets.Value
	c := check(code, fmt.Sprintf("%s outbound, %s inbound, %s in TIME_WAIT",
		form.Grouped(s.Outbound), form.Grouped(s.Inbound), form.Grouped(s.TimeWaits)), source)
	c.say("What is on a listening port counts as inbound: inferred.")
	if s.Elsewhere > 0 {
		c.say("Of the outbound, %s no port of the range: bind() chose it, or whoever listened there is gone.",
			takes(s.Elsewhere))
	}
	if errorOf(e.PortRange) != nil || errorOf(e.Reserved) != nil {
		c.raise(Unknown, "How many ports there are is not known (see port-range, reserved-ports).")
		return c
	}
	e.budgets()
	e.judgeUse(&c)
	if n := s.MoreRows + s.MorePairs; n > 0 {
		c.raise(Unknown, "%s beyond the bound were not looked at.", form.Count(n, "socket"))
	}
	return c
}

func takes(n int) string {
	if n == 1 {
		return "1 takes"
	}
	return form.Grouped(n) + " take"
}

// judgeUse is about the fullest budgets, which come first.
func (e *examiner) judgeUse(c *Check) {
	if len(e.ports) == 0 {
		c.say("No port of the range is held toward anybody.")
		return
	}
	var top []string
	for i := range min(len(e.ports), 3) {
		top = append(top, e.ports[i].String())
	}
	c.say("Fullest of %s: %s.", form.Count(len(e.ports), "pair of source and destination"), strings.Join(top, "; "))
	switch worst := e.ports[0].Ratio; {
	case worst >= 0.9:
		c.raise(Critical, "Connects to that destination are about to fail with EADDRNOTAVAIL, or do: find who does "+
			"not pool (tcpstate report).")
	case worst >= 0.5:
		c.raise(Warning, "From half of the ports on each connect() to that destination searches that half in "+
			"vain, a hundred times as long where it is thousands of ports: find who does not pool (tcpstate report).")
	}
}

// budgets fills ports, fullest first.
func (e *examiner) budgets() {
	r := e.PortRange.Value
	reserved, capacity := e.leftIn(r, e.Reserved.Value)
	capacity -= e.listeningIn(r)
	for pair, held := range e.Sockets.Value.Toward {
		use := PortUse{
			Netns: e.space.Netns, Src: pair.Source.String(), Dst: Place{pair.Dest.Addr().String(), pair.Dest.Port()},
			Range: [2]uint16{r.Low, r.High}, Reserved: reserved, Capacity: max(capacity, 0),
			Used: held.Ports(), Reusable: e.reusable(pair, held), ByState: make(map[string]int),
		}
		use.Ratio = ratio(use.Used-use.Reusable, capacity)
		for state, n := range held.ByState {
			if n > 0 {
				use.ByState[event.State(state).String()] = n
			}
		}
		e.ports = append(e.ports, use)
	}
	slices.SortFunc(e.ports, func(a, b PortUse) int {
		return cmp.Or(cmp.Compare(b.Ratio, a.Ratio), cmp.Compare(b.Used, a.Used),
			cmp.Compare(a.Dst.Addr, b.Dst.Addr), cmp.Compare(a.Dst.Port, b.Dst.Port), cmp.Compare(a.Src, b.Src))
	})
}

// listeningIn is how many ports of the range are closed to connect() because somebody listens there. Those that are
// only bound are in no table of /proc.
func (e *examiner) listeningIn(r host.PortRange) int {
	ports := new(host.PortSet)
	for _, l := range e.Sockets.Value.Listeners {
		if !e.Reserved.Value.Has(l.Local.Port()) {
			ports.Add(l.Local.Port())
		}
	}
	return ports.CountIn(r.Low, r.High)
}

// reusable is how many TIME_WAITs of a pair connect() may take over, which presumes that the other end uses timestamps.
func (e *examiner) reusable(pair host.Pair, held *host.Holds) int {
	reuse, stamps := e.Sysctls["tcp_tw_reuse"], e.Sysctls["tcp_timestamps"]
	s := host.Settings{TimeWaitReuse: reuse.Value}
	on := reuse.Known() && stamps.Known() && stamps.Value != 0
	if !on || !s.Reusable(pair.Source, pair.Dest.Addr(), true, event.TimeWaitState) {
		return 0
	}
	return held.ByState[event.TimeWaitState]
}

func ratio(part, whole int) float64 {
	switch {
	case part <= 0:
		return 0
	case whole <= 0:
		return 1
	}
	return float64(min(10_000*part/whole, 10_000)) / 10_000
}

func (u *PortUse) String() string {
	s := fmt.Sprintf("%s from %s %s of %s (%d %%)", net.JoinHostPort(u.Dst.Addr, portName(u.Dst.Port)), u.Src,
		form.Grouped(u.Used), form.Count(u.Capacity, "port"), int(100*u.Ratio))
	if n := u.ByState[event.TimeWaitState.String()]; n > 0 {
		s += fmt.Sprintf(", %s in TIME_WAIT", form.Grouped(n))
	}
	if u.Reusable > 0 {
		s += fmt.Sprintf(", %s of them reusable", form.Grouped(u.Reusable))
	}
	return s
}
