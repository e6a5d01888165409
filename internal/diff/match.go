package diff

import (
	"fmt"
	"net"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/report"
)

// pair are the rows of both reports that are about the same service and destination. One side can be empty.
type pair struct {
	before, after []*report.Destination
}

// other is what the report calls rows in which a full table counted many destinations together.
const other = "~other"

// outbound are the rows that can be compared, and how many there are of ~other besides.
func outbound(d *report.Document) (rows []*report.Destination, others int) {
	for i := range d.Destinations {
		r := &d.Destinations[i]
		switch {
		case r.Direction != "outbound":
		case r.Service.Name == other || r.Dst.Addr != nil && *r.Dst.Addr == other:
			others++
		default:
			rows = append(rows, r)
		}
	}
	return rows, others
}

// identity is what two rows must have in common, beside the destination.
type identity func(*report.Destination) string

// identities are what two rows must have in common to be the same service, the strictest first. A service that was
// started again has another pid, container, network namespace and, in a transient unit, even another unit.
var identities = []identity{
	func(r *report.Destination) string {
		s, netns := &r.Service, uint32(0)
		if r.Netns != nil {
			netns = *r.Netns
		}
		return fmt.Sprintf("%q %q %q %q %q %d", lasting(s), s.Unit, s.ContainerID, s.Pod, s.Cgroup, netns)
	},
	func(r *report.Destination) string { return fmt.Sprintf("%q %q", lasting(&r.Service), r.Service.Unit) },
	func(r *report.Destination) string { return lasting(&r.Service) },
}

// lasting is the service's name, but for one that was called by the id of its container.
func lasting(s *report.Service) string {
	if s.ContainerID != "" && s.Name == s.ContainerID {
		return "container"
	}
	return s.Name
}

// match finds the rows that belong together: by the strictest identity first, and what is left by the next. Rows of one
// report that have the identity in common are one.
func match(before, after []*report.Destination) []pair {
	var pairs []pair
	for _, identity := range identities {
		b, order := grouped(before, identity)
		a, _ := grouped(after, identity)
		for _, key := range order {
			if len(a[key]) > 0 {
				pairs = append(pairs, pair{b[key], a[key]})
			}
		}
		before = without(before, identity, a)
		after = without(after, identity, b)
	}
	last := identities[len(identities)-1]
	b, order := grouped(before, last)
	for _, key := range order {
		pairs = append(pairs, pair{before: b[key]})
	}
	a, order := grouped(after, last)
	for _, key := range order {
		pairs = append(pairs, pair{after: a[key]})
	}
	return pairs
}

// key is the identity with the destination.
func key(r *report.Destination, identity identity) string { return identity(r) + " " + place(&r.Dst) }

// groups are rows that have a key in common.
type groups map[string][]*report.Destination

func grouped(rows []*report.Destination, identity identity) (groups groups, order []string) {
	groups = make(map[string][]*report.Destination)
	for _, r := range rows {
		k := key(r, identity)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	return groups, order
}

// without are the rows that found nobody on the other side.
func without(rows []*report.Destination, identity identity, found groups) []*report.Destination {
	var left []*report.Destination
	for _, r := range rows {
		if len(found[key(r, identity)]) == 0 {
			left = append(left, r)
		}
	}
	return left
}

// place writes "10.2.3.4:5432".
func place(r *report.Remote) string {
	switch {
	case r.Addr == nil:
		return "unknown"
	case r.Port == nil:
		return *r.Addr
	}
	return net.JoinHostPort(*r.Addr, strconv.Itoa(int(*r.Port)))
}
