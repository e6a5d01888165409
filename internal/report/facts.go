package report

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// facts are what the budget is made of, in numbers that ss and /proc/sys/net/ipv4 have, too.
func (p *Port) facts() []string {
	facts := []string{p.taken()}
	if p.Range != nil {
		facts = append(facts, p.room())
	}
	if n := p.ByState[event.TimeWaitState.String()]; n > 0 && p.figures.Settings != nil {
		facts = append(facts, p.reuse(n))
	}
	if len(p.Services) > 1 {
		facts = append(facts, p.shared())
	}
	return facts
}

// since says when it began.
func (p *Port) since() []string {
	if p.ExhaustedSince == nil {
		return nil
	}
	return []string{"the first connect that found no port was at " + p.ExhaustedSince.text()}
}

// taken says how many ports are, and in which states.
func (p *Port) taken() string {
	s := form.Grouped(p.Used)
	if p.Capacity != nil {
		s += " of " + form.Grouped(uint64(*p.Capacity))
	}
	s += " ports from " + value(p.Src) + " are taken"
	var states []string
	for _, name := range p.states() {
		states = append(states, name+" "+form.Grouped(p.ByState[name]))
	}
	if len(states) > 0 {
		s += ": " + strings.Join(states, ", ")
	}
	return s
}

// states are those of the used ports, most frequent first.
func (p *Port) states() []string {
	return slices.SortedFunc(maps.Keys(p.ByState), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.ByState[b], p.ByState[a]), strings.Compare(a, b))
	})
}

// room says what the range leaves.
func (p *Port) room() string {
	size := uint64(max(int(p.Range[1])-int(p.Range[0])+1, 0))
	return fmt.Sprintf("net.ipv4.ip_local_port_range is %d %d: %s, %s reserved, %s held by bind() or listen()",
		p.Range[0], p.Range[1], form.Count(size, "port"), howMany(p.Reserved), howMany(p.Blocked))
}

// howMany writes a number that may not be known.
func howMany(n *int) string {
	if n == nil {
		return "an unknown number"
	}
	return form.Grouped(uint64(*n))
}

// reuse says what becomes of the n TIME_WAITs when connect() wants a port.
func (p *Port) reuse(n uint64) string {
	s := p.figures.Settings
	stamps := 0
	if s.Timestamps {
		stamps = 1
	}
	return fmt.Sprintf("net.ipv4.tcp_tw_reuse is %d, net.ipv4.tcp_timestamps %d: connect() can take over %s of %s",
		s.TimeWaitReuse, stamps, form.Grouped(p.Reusable), form.Count(n, "TIME_WAIT"))
}

// shared says who else draws on the budget.
func (p *Port) shared() string {
	s := "the ports are shared by " + strings.Join(p.Services, ", ")
	if p.ServicesOmitted > 0 {
		s += " and " + form.Count(uint64(p.ServicesOmitted), "more service")
	}
	return s
}

// pace says how fast it goes.
func (p *Port) pace() string {
	s := rateText(p.OpenedRate) + " connects per second"
	switch {
	case p.Seconds == nil:
		return s + ": at this rate some ports stay free"
	case *p.Seconds == 0:
		return s + ", and no port is left"
	}
	return s + ": at this rate no port is left in " + remaining(*p.Seconds)
}

// advice is pooling first. Reuse of TIME_WAITs is named where it would help.
func (p *Port) advice() []string {
	return append([]string{poolFirst}, p.settingAdvice()...)
}

// settingAdvice names the setting that keeps TIME_WAITs from holding ports, where they hold most of them.
func (p *Port) settingAdvice() []string {
	s := p.figures.Settings
	if s == nil || 2*p.ByState[event.TimeWaitState.String()] < p.Used || p.Used == 0 {
		return nil
	}
	switch {
	case !s.Timestamps:
		return []string{needsTimestamps}
	case s.TimeWaitReuse == 0, s.TimeWaitReuse == 2 && !p.loopback():
		return []string{needsReuse}
	}
	return nil
}

func (p *Port) loopback() bool {
	for _, a := range []*string{p.Src, p.Dst.Addr} {
		if addr, err := netip.ParseAddr(value(a)); err == nil && addr.IsLoopback() {
			return true
		}
	}
	return false
}

// remaining writes seconds to come as people say them: "0.3 s", "41 s", "3m05s".
func remaining(s Decimal) string {
	if s < 100 {
		if s < 10 {
			return fmt.Sprintf("%.1f s", float64(s))
		}
		return fmt.Sprintf("%.0f s", float64(s))
	}
	return duration(time.Duration(min(float64(s), 1e9) * 1e9))
}
