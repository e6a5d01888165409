package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// Where some connects fail and most do not, so many, and such a share of them, are worth a word.
const (
	partlyFailed      = 10
	partlyFailedShare = 0.05
)

// verdictFinding turns the row's verdict into a finding, but for its evidence and advice.
func (r *Destination) verdictFinding(seconds string) (f Finding, ok bool) {
	who, where := r.Service.Name, r.place()
	say := func(severity, code, format string, args ...any) (Finding, bool) {
		return Finding{Severity: severity, Code: code, Summary: fmt.Sprintf(format, args...)}, true
	}
	opened := form.Count(r.Opened, "new connection")
	switch {
	case r.recognised(verdict.DualStack):
		return say(Warning, CodeConnectFailing, "%s tries %s in vain and then another address: %s failed in %s.",
			who, where, form.Count(r.harm.failed, "connect"), seconds)
	case r.is(verdict.ConnectFailing):
		return say(Critical, CodeConnectFailing, "%s cannot connect to %s: %s failed in %s.", who, where, form.Count(r.harm.failed, "connect"), seconds)
	case r.recognised(verdict.LoadGenerator) && r.is(verdict.Unpooled):
		return say(Warning, CodeUnpooled, "%s, a load generator, connects to %s without a pool: %s in %s.", who, where, opened, seconds)
	case r.recognised(verdict.Relay) && r.is(verdict.Unpooled):
		return say(Warning, CodeUnpooled, "%s connects to %s for each connection that it accepts: %s in %s.", who, where, opened, seconds)
	case r.is(verdict.Unpooled):
		return say(Warning, CodeUnpooled, "%s connects to %s without a pool: %s in %s.", who, where, opened, seconds)
	case r.is(verdict.UndersizedPool):
		return say(Warning, CodeUndersizedPool, "%s has a pool toward %s that is too small: %s in %s.", who, where, opened, seconds)
	case r.failsPartly():
		return say(Warning, CodeFailingPartly, "%s cannot always connect to %s: %s of %s failed in %s.",
			who, where, form.Grouped(r.harm.failedElsewhere), form.Count(r.Opened+r.harm.failed, "connect"), seconds)
	case r.recognised(verdict.Restart):
		return say(Info, CodeRestart, "the connections of %s to %s ended together and were opened anew.", who, where)
	case r.recognised(verdict.IdleTimeout):
		return say(Info, CodePoolNotSpared, "%s closes the connections of %s when they are not used for a while: %s in %s.",
			where, who, opened, seconds)
	case r.recognised(verdict.RecycledPool) || r.recognised(verdict.KeepAliveLimit):
		return say(Info, CodePoolNotSpared, "%s reuses its connections to %s, and replaces them more often than it has to: %s in %s.",
			who, where, opened, seconds)
	}
	return Finding{}, false
}

func (r *Destination) recognised(k verdict.Kind) bool { return value(r.Verdict.Kind) == string(k) }

func (r *Destination) failsPartly() bool {
	n := float64(r.harm.failedElsewhere)
	return n >= partlyFailed && n >= partlyFailedShare*float64(r.Opened+r.harm.failed)
}

// maxInboundChurn is how many remote hosts are named; the table has the others.
const maxInboundChurn = 3

// findInboundChurn names the remote hosts that do not reuse their connections, the busiest first. Where such a host is
// this one, its own row says so already.
func (d *Document) findInboundChurn() {
	var rows []*Destination
	own := d.ownWays()
	for _, r := range d.rowsOf(event.Inbound) {
		if len(r.Verdict.Evidence) > 0 && !own[way{value(r.Dst.Addr), value(r.Local.Addr), value(r.Local.Port)}] {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b *Destination) int { return cmp.Compare(b.Opened, a.Opened) })
	for i, r := range rows[:min(len(rows), maxInboundChurn)] {
		evidence := r.Verdict.Evidence
		if more := len(rows) - maxInboundChurn; more > 0 && i == maxInboundChurn-1 {
			evidence = append(slices.Clone(evidence), form.Count(uint64(more), "more remote host")+" like it in the table of inbound connections")
		}
		d.Findings = append(d.Findings, Finding{
			Severity: Info, Code: CodeInboundChurn, Destination: r.localPlace(),
			Summary: fmt.Sprintf("%s connects to %s (%s) without reusing its connections: %s in %s.",
				r.place(), r.localPlace(), r.Service.Name, form.Count(r.Opened, "new connection"), d.Window.length()),
			Evidence: evidence,
			Advice:   r.Verdict.Advice,
		})
	}
}

// way is the two ends of a row, but for the port that differs from connection to connection.
type way struct {
	from, to string
	port     uint16
}

// ownWays are those of the outbound rows: an inbound row of the same way is the other end of one, on this host.
func (d *Document) ownWays() map[way]bool {
	ways := make(map[way]bool)
	for _, r := range d.rowsOf(event.Outbound) {
		ways[way{value(r.Local.Addr), value(r.Dst.Addr), value(r.Dst.Port)}] = true
	}
	return ways
}
