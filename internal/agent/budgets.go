package agent

import (
	"math"
	"slices"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
)

type portLabels struct{ source, destination string }

// port is a Port in the making.
type port struct {
	now       Port
	changed   bool
	published *Port
	users     int   // budgets
	active    int64 // when there was one last that is used
}

// budget is what of a port budget is in its port.
type budget struct {
	port      *port // nil: forgotten
	exhausted uint64
}

// postBudgets works out what is left of the local ports. waits is whether it is known how many TIME_WAITs are held, for
// without that nobody knows which ports have come back.
func (l *Ledger) postBudgets(now int64, waits bool) {
	for _, p := range l.places {
		p.users = 0
	}
	l.totals.UsedRatio = 0
	w := l.table.Window()
	for _, b := range l.table.Budgets() {
		var f churn.BudgetFigures
		if waits {
			f = b.Figures(w)
			l.totals.UsedRatio = max(l.totals.UsedRatio, f.UsedRatio)
		}
		l.postBudget(b, &f, now)
	}
	for _, p := range l.places {
		if p.users == 0 {
			p.idle()
		}
	}
	l.postOmitted()
}

func (l *Ledger) postBudget(b *churn.Budget, f *churn.BudgetFigures, now int64) {
	x := l.budgets[b]
	if x == nil {
		x = &budget{port: l.findPort(portLabels{b.Local.String(), place(b.Remote)})}
		l.budgets[b] = x
	}
	if x.port == nil { // it was forgotten
		if f.Used == 0 && b.Exhausted == x.exhausted {
			return
		}
		x.port = l.findPort(portLabels{b.Local.String(), place(b.Remote)})
	}
	p := x.port
	if p.now.Source == Other { // see postOmitted
		return
	}
	p.now.Exhausted += b.Exhausted - x.exhausted
	l.told.ports += b.Exhausted - x.exhausted
	if f.Used > 0 || b.Exhausted > x.exhausted {
		p.active = now
	}
	x.exhausted = b.Exhausted
	p.changed = true
	if p.users++; p.users == 1 {
		p.now.Known, p.now.Capacity = false, 0
		p.unused()
	}
	p.add(f)
}

// idle is what a port is of which nothing is used: what was known of its capacity still holds.
func (p *port) idle() {
	p.changed = p.changed || p.now.Used > 0
	p.unused()
}

func (p *port) unused() {
	p.now.Used, p.now.Reusable, p.now.Partial, p.now.UsedRatio, p.now.Seconds = 0, 0, false, 0, math.Inf(1)
}

// add takes the figures of one budget.
func (p *port) add(f *churn.BudgetFigures) {
	p.now.Used += uint64(f.Used)
	if f.Settings == nil {
		p.now.Partial = p.now.Partial || f.Used > 0
		return
	}
	p.now.Known = true
	p.now.Reusable += uint64(f.Reusable)
	p.now.Capacity += f.Capacity
	p.now.UsedRatio = max(p.now.UsedRatio, f.UsedRatio)
	if f.Comes {
		p.now.Seconds = min(p.now.Seconds, max(f.SecondsToExhaustion, 0))
	}
}

// postOmitted counts the connects without a port that are in no budget, because the table was full, or in none of the
// ports, because there are too many.
func (l *Ledger) postOmitted() {
	l.totals.Exhausted = max(l.told.rows, l.told.ports)
	if l.told.rows <= l.told.ports {
		return
	}
	if l.omit == nil {
		l.omit = l.findPort(portLabels{Other, Other})
	}
	l.omit.now.Exhausted = l.told.rows - l.told.ports
	l.omit.changed = true
}

func (l *Ledger) findPort(k portLabels) *port {
	p := l.ports[k]
	if p == nil && len(l.ports) >= l.o.Destinations && k.source != Other {
		return l.findPort(portLabels{Other, Other})
	}
	if p == nil {
		p = &port{active: l.last, now: Port{
			Source: k.source, Destination: k.destination, Created: time.Unix(0, l.last), Seconds: math.Inf(1),
			pairs: pairsOf("destination", k.destination, "source", k.source),
		}}
		l.ports[k] = p
		l.places = append(l.places, p)
	}
	return p
}

func (p *port) publish() *Port {
	if p.changed || p.published == nil {
		c := p.now
		p.published = &c
		p.changed = false
	}
	return p.published
}

// forgetPorts lets go of ports of which nothing was used for an hour.
func (l *Ledger) forgetPorts(now int64) {
	gone := make(map[*port]bool)
	l.places = slices.DeleteFunc(l.places, func(p *port) bool {
		if now-p.active <= idleAfter || p.now.Source == Other {
			return false
		}
		gone[p] = true
		delete(l.ports, portLabels{p.now.Source, p.now.Destination})
		return true
	})
	for _, x := range l.budgets {
		if gone[x.port] {
			x.port = nil
		}
	}
}
