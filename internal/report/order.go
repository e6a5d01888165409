package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// harm orders rows: the worse comes first.
type harm struct {
	level  int // 4 ports exhausted, 3 failing, 2 unpooled, 1 undersized pool, 0 the rest
	weight uint64
	other  bool

	failed, portsExhausted, tupleInUse uint64
	failedElsewhere                    uint64 // for another reason than the want of a local port
}

func harmOf(r *churn.Row, d *Destination) harm {
	h := harm{other: r.Other, failed: r.Failed(), tupleInUse: r.TupleInUse, weight: r.Opened}
	if r.Direction != event.Outbound {
		return h
	}
	h.failedElsewhere = h.failed - min(h.failed, r.FailedWith(event.EADDRNOTAVAIL))
	h.portsExhausted = r.FailedWith(event.EADDRNOTAVAIL) - min(r.TupleInUse, r.FailedWith(event.EADDRNOTAVAIL))
	switch {
	case h.portsExhausted > 0:
		h.level, h.weight = 4, h.portsExhausted
	case d.is(verdict.ConnectFailing):
		h.level, h.weight = 3, h.failed
	case d.is(verdict.Unpooled):
		h.level = 2
	case d.is(verdict.UndersizedPool), d.Open.Oldest != nil && *d.Open.Oldest >= stalled:
		h.level = 1
	}
	return h
}

func (d *Destination) is(n verdict.Name) bool {
	return d.Verdict.Name != nil && *d.Verdict.Name == string(n)
}

func sortByHarm(rows []Destination) {
	sortInPlace(rows, func(a, b *Destination) int {
		if c := cmp.Or(cmp.Compare(b.harm.level, a.harm.level), cmp.Compare(b.harm.weight, a.harm.weight)); c != 0 {
			return c
		}
		return byName(a, b)
	})
}

// byName makes every order definite: outbound first, then by service and addresses.
func byName(a, b *Destination) int {
	if c := cmp.Or(-strings.Compare(a.Direction, b.Direction), strings.Compare(a.Service.Name, b.Service.Name)); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.place(), b.place()), strings.Compare(a.localPlace(), b.localPlace()),
		cmp.Compare(value(a.Netns), value(b.Netns)), cmp.Compare(value(a.Service.CgroupID), value(b.Service.CgroupID)))
}

// sortInPlace sorts large values, which are moved once; those that are equal keep their order.
func sortInPlace[T any](rows []T, compare func(a, b *T) int) {
	order := make([]*T, len(rows))
	for i := range rows {
		order[i] = &rows[i]
	}
	slices.SortStableFunc(order, compare)
	sorted := make([]T, len(rows))
	for i, r := range order {
		sorted[i] = *r
	}
	copy(rows, sorted)
}

// fields are what rows can be sorted by. Each compares ascending.
var fields = map[string]func(a, b *Destination) int{
	"closed": func(a, b *Destination) int { return cmp.Compare(a.Closed, b.Closed) },
	"dst":    func(a, b *Destination) int { return strings.Compare(a.place(), b.place()) },
	"failed": func(a, b *Destination) int { return cmp.Compare(a.failed(), b.failed()) },
	"harm": func(a, b *Destination) int {
		return cmp.Or(cmp.Compare(a.harm.level, b.harm.level), cmp.Compare(a.harm.weight, b.harm.weight))
	},
	"lifetime_seconds":  func(a, b *Destination) int { return cmp.Compare(value(a.Lifetime.P50), value(b.Lifetime.P50)) },
	"open":              func(a, b *Destination) int { return cmp.Compare(a.Open.Now, b.Open.Now) },
	"opened":            func(a, b *Destination) int { return cmp.Compare(a.Opened, b.Opened) },
	"opened_per_second": func(a, b *Destination) int { return cmp.Compare(value(a.OpenedRate), value(b.OpenedRate)) },
	"peak":              func(a, b *Destination) int { return cmp.Compare(a.Open.Peak, b.Open.Peak) },
	"pid":               func(a, b *Destination) int { return cmp.Compare(value(a.Service.PID), value(b.Service.PID)) },
	"received_bytes":    func(a, b *Destination) int { return cmp.Compare(a.Received, b.Received) },
	"sent_bytes":        func(a, b *Destination) int { return cmp.Compare(a.Sent, b.Sent) },
	"service":           func(a, b *Destination) int { return strings.Compare(a.Service.Name, b.Service.Name) },
	"time_wait":         func(a, b *Destination) int { return cmp.Compare(a.TimeWait.Entered, b.TimeWait.Entered) },
	"time_wait.now":     func(a, b *Destination) int { return cmp.Compare(value(a.TimeWait.Now), value(b.TimeWait.Now)) },
	"verdict":           func(a, b *Destination) int { return strings.Compare(value(a.Verdict.Name), value(b.Verdict.Name)) },
}

// SortFields returns the names that SortBy takes.
func SortFields() []string { return slices.Sorted(maps.Keys(fields)) }

// CheckSort says whether SortBy would take field, so that a typing error is told before tracing begins.
func CheckSort(field string) error {
	name := strings.TrimPrefix(field, "-")
	if _, ok := fields[name]; !ok {
		return fmt.Errorf("sort by \"%s\": no such field; one of %s", event.Printable(name), strings.Join(SortFields(), ", "))
	}
	return nil
}

// SortBy orders the destinations by field, ascending; descending after a "-". Rows that are equal keep their order.
func (d *Document) SortBy(field string) error {
	if err := CheckSort(field); err != nil {
		return err
	}
	name, descending := strings.CutPrefix(field, "-")
	compare := fields[name]
	sortInPlace(d.Destinations, func(a, b *Destination) int {
		if descending {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return nil
}

// Limit keeps the first n destinations and the first n budgets of ports, and counts the others; n below 1 keeps all.
func (d *Document) Limit(n int) {
	if n < 1 {
		return
	}
	if cut := len(d.Destinations) - n; cut > 0 {
		d.DestinationsOmitted += cut
		d.Destinations = d.Destinations[:n]
	}
	if cut := len(d.Ports) - n; cut > 0 {
		d.PortsOmitted += uint64(cut)
		d.Ports = d.Ports[:n]
	}
}

func (d *Destination) failed() uint64 {
	var n uint64
	for _, k := range d.Failed {
		n += k
	}
	return n
}

// place is the remote end in one word.
func (d *Destination) place() string {
	if d.where != "" {
		return d.where
	}
	return joinPlace(d.Dst.Addr, d.Dst.Port)
}

func (d *Destination) localPlace() string { return joinPlace(d.Local.Addr, d.Local.Port) }

// value is what p points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
