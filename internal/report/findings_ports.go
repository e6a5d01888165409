package report

import (
	"fmt"
	"slices"

	"github.com/tcpstate/tcpstate/internal/form"
)

// When a budget is called tight: by the share of its ports that are needed, or by the seconds until none is left. Below
// noTrend what is opened says nothing yet about what will be.
const (
	tightShare, nearlyGoneShare     = 0.8, 0.95
	tightSeconds, nearlyGoneSeconds = 120, 30
	noTrend                         = 0.05
)

// When bound connects are a habit that will run a host out of ports.
const manyBound = 20

// findInPorts collects the findings of one budget.
func (d *Document) findInPorts(p *Port) {
	d.findRunningOut(p)
	d.findSlow(p)
	d.findBound(p)
}

func (d *Document) findRunningOut(p *Port) {
	severity := p.tightness()
	if severity == "" || !d.wants(severity) {
		return
	}
	summary := fmt.Sprintf("%s is running out of local ports toward %s: %s of %s are taken",
		p.who(), p.place(), form.Grouped(p.Used), form.Grouped(uint64(value(p.Capacity))))
	if p.Seconds != nil && *p.Seconds > 0 {
		summary += fmt.Sprintf(", the last in %s", remaining(*p.Seconds))
	}
	evidence := append(p.facts(), p.pace())
	d.found(p.finding(severity, CodePortsRunningOut, summary+".", evidence, p.advice()))
}

// tightness is the severity of what is about to happen, "" when there is enough left, or when it has happened.
func (p *Port) tightness() string {
	if p.UsedRatio == nil || p.Exhausted > 0 || p.Used == 0 {
		return ""
	}
	share, seconds := p.Needed(), Decimal(tightSeconds+1)
	if p.Seconds != nil && share >= noTrend {
		seconds = *p.Seconds
	}
	switch {
	case share >= nearlyGoneShare, seconds <= nearlyGoneSeconds:
		return Critical
	case share >= tightShare, seconds <= tightSeconds:
		return Warning
	}
	return ""
}

// findSlow: connect() tries all ports of the lower end's parity first. A port of the other parity says that all of
// those were taken at that moment.
func (d *Document) findSlow(p *Port) {
	if p.SlowConnects == 0 || p.Range == nil || !d.wants(Warning) {
		return
	}
	half := uint64(max(int(p.Range[1])-int(p.Range[0]), 0))/2 + 1
	parity := "odd"
	if p.Range[0]%2 == 1 {
		parity = "even"
	}
	evidence := []string{form.Count(p.SlowConnects, "connect") + " got a port of the second half, an " + parity + " one"}
	if p.SlowSince != nil {
		evidence[0] += ", the first at " + p.SlowSince.text()
	}
	if p.ConnectFast != nil && p.ConnectSlow != nil {
		evidence = append(evidence, fmt.Sprintf("median time of a connect: %s before, %s since",
			durationOf(p.ConnectFast.P50), durationOf(p.ConnectSlow.P50)))
	}
	summary := fmt.Sprintf("%s connects slowly to %s: more than half of the local ports were taken, and each connect() "+
		"searches %s or more of them.", p.who(), p.place(), form.Grouped(half))
	advice := []string{poolFirst}
	if p.Exhausted == 0 { // else it is said there
		evidence, advice = append(evidence, p.facts()...), p.advice()
	}
	d.found(p.finding(Warning, CodeConnectSlow, summary, evidence, advice))
}

func (d *Document) findBound(p *Port) {
	if p.BoundConnects < manyBound || 2*p.BoundConnects < p.Opened || p.Range == nil || !d.wants(Warning) {
		return
	}
	summary := fmt.Sprintf("%s calls bind() before it connects to %s: a port that bind() chose is taken for all destinations.",
		p.who(), p.place())
	bound := fmt.Sprintf("%s of %s had a port chosen by bind(), or from a range of the socket's own",
		form.Grouped(p.BoundConnects), form.Count(p.Opened, "connect"))
	evidence := append([]string{bound}, p.facts()...)
	d.found(p.finding(Warning, CodeBindBeforeConnect, summary, evidence, []string{noBind}))
}

// findBindFailure tells bind() that finds no port from bind() to an address that is somewhere else.
func (d *Document) findBindFailure(b *BindFailure) {
	add := func(severity, code, summary, advice string, evidence ...string) {
		d.found(Finding{
			Severity: severity, Code: code, Service: b.Service.Name, Summary: b.Service.Name + summary,
			Evidence: evidence, Advice: []string{advice},
		})
	}
	if n := b.Exhausted; n > 0 {
		add(Critical, CodeBindBeforeConnect,
			fmt.Sprintf(" gets no port from bind(): %s for any port of %s failed with EADDRINUSE.", form.Count(n, "call"), b.address()),
			noBind, slices.Concat([]string{b.failed("bind() to port 0", n)}, d.room(b.Netns))...)
	}
	if n := b.NotLocal; n > 0 {
		add(Warning, CodeBindNotLocal,
			fmt.Sprintf(" binds to %s, an address that its network namespace does not have: %s failed with EADDRNOTAVAIL.",
				b.place(), form.Count(n, "call")),
			"correct the address in this service's configuration, or give it to an interface.",
			b.failed("bind()", n), "no port was missing, though Java reports a BindException for either")
	}
}

// room is what the port range of a namespace leaves; nothing when none of its budgets knows.
func (d *Document) room(netns *uint32) []string {
	for i := range d.Ports {
		if p := &d.Ports[i]; p.Range != nil && value(p.Netns) == value(netns) {
			return []string{p.room()}
		}
	}
	return nil
}

const (
	poolFirst  = "reuse connections first: a wider port range only delays the exhaustion."
	needsReuse = "net.ipv4.tcp_tw_reuse=1 would let connect() take over TIME_WAITs after a second, " +
		"where the other end uses timestamps, too."
	needsTimestamps = "net.ipv4.tcp_timestamps=1 and net.ipv4.tcp_tw_reuse=1 would let connect() take over TIME_WAITs; " +
		"without timestamps it never does."
	noBind = "let connect() choose the source port: set IP_BIND_ADDRESS_NO_PORT before bind(), or do not bind at all."
)

func (p *Port) finding(severity, code, summary string, evidence, advice []string) Finding {
	f := Finding{
		Severity: severity, Code: code, Destination: p.place(), Summary: summary, Evidence: evidence, Advice: advice,
	}
	if len(p.Services) > 0 {
		f.Service = p.Services[0]
	}
	return f
}

func (p *Port) who() string {
	if len(p.Services) == 0 {
		return "This host"
	}
	return p.Services[0]
}
