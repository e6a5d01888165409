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

// sentence is a finding of which the words are still to be made; none without say.
type sentence struct {
	severity, code string
	say            func() string
}

// verdictFinding turns the row's verdict into a finding, but for its evidence and advice.
func (r *Destination) verdictFinding(seconds string) sentence {
	opened := func(format string) func() string {
		return func() string {
			return fmt.Sprintf(format, r.Service.Name, r.place(), form.Count(r.Opened, "new connection"), seconds)
		}
	}
	failed := func(format string) func() string {
		return func() string {
			return fmt.Sprintf(format, r.Service.Name, r.place(), form.Count(r.harm.failed, "connect"), seconds)
		}
	}
	switch {
	case r.recognised(verdict.DualStack):
		return sentence{Warning, CodeConnectFailing, failed("%s tries %s in vain and then another address: %s failed in %s.")}
	case r.is(verdict.ConnectFailing):
		return sentence{Critical, CodeConnectFailing, failed("%s cannot connect to %s: %s failed in %s.")}
	case r.recognised(verdict.LoadGenerator) && r.is(verdict.Unpooled):
		return sentence{Warning, CodeUnpooled, opened("%s, a load generator, connects to %s without a pool: %s in %s.")}
	case r.recognised(verdict.Relay) && r.is(verdict.Unpooled):
		return sentence{Warning, CodeUnpooled, opened("%s connects to %s for each connection that it accepts: %s in %s.")}
	case r.is(verdict.Unpooled):
		return sentence{Warning, CodeUnpooled, opened("%s connects to %s without a pool: %s in %s.")}
	case r.is(verdict.UndersizedPool):
		return sentence{Warning, CodeUndersizedPool, opened("%s has a pool toward %s that is too small: %s in %s.")}
	case r.failsPartly():
		return sentence{Warning, CodeFailingPartly, func() string {
			return fmt.Sprintf("%s cannot always connect to %s: %s of %s failed in %s.", r.Service.Name, r.place(),
				form.Grouped(r.harm.failedElsewhere), form.Count(r.Opened+r.harm.failed, "connect"), seconds)
		}}
	case r.recognised(verdict.Restart):
		return sentence{Info, CodeRestart, func() string {
			return fmt.Sprintf("the connections of %s to %s ended together and were opened anew.", r.Service.Name, r.place())
		}}
	case r.recognised(verdict.IdleTimeout):
		return sentence{Info, CodePoolNotSpared, opened("%[2]s closes the connections of %[1]s when they are not used for a while: %[3]s in %[4]s.")}
	case r.recognised(verdict.RecycledPool) || r.recognised(verdict.KeepAliveLimit):
		return sentence{Info, CodePoolNotSpared, opened("%s reuses its connections to %s, and replaces them more often than it has to: %s in %s.")}
	}
	return sentence{}
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
		d.found(Finding{
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
