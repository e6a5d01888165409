package churn

import (
	"net/netip"

	"github.com/tcpstate/tcpstate/internal/event"
)

// BindFailure counts the bind() calls of one service to one address in one network namespace that failed, for want of
// a port or of the address. They have no destination, and so no row.
type BindFailure struct {
	Netns uint32
	// Local is the address asked for, which can be the unspecified one, and the port asked for last; 0: any.
	Local netip.AddrPort
	Owner event.Owner
	// Since is when it first failed, Unix nanoseconds.
	Since int64
	// Exhausted: any port would have done and none was left. Taken: another socket has the port. NotLocal: the namespace
	// does not have the address.
	Exhausted, Taken, NotLocal uint64
}

// maxBindFailures is how many services and addresses of failed bind() calls are told apart.
const maxBindFailures = 64

// BindFailures returns the bind() calls that failed, by service and address, in the order of their first failure.
func (t *Table) BindFailures() []*BindFailure { return t.binds }

// BindFailuresOmitted is how many failed bind() calls are beyond the first 64 of these.
func (t *Table) BindFailuresOmitted() uint64 { return t.bindsOmitted }

// bindFailed counts n failures like e.
func (t *Table) bindFailed(e *event.Event, n uint64) {
	f := t.bindFailure(e)
	if f == nil {
		t.bindsOmitted += n
		return
	}
	f.Local, f.Owner = e.Local, e.Owner
	switch e.Cause {
	case event.PortsExhausted:
		f.Exhausted += n
	case event.PortTaken:
		f.Taken += n
	case event.NotLocal:
		f.NotLocal += n
	}
}

func (t *Table) bindFailure(e *event.Event) *BindFailure {
	for _, f := range t.binds {
		if f.Netns == e.Netns && f.Local.Addr() == e.Local.Addr() && f.Owner.Identity() == e.Owner.Identity() {
			return f
		}
	}
	if len(t.binds) >= maxBindFailures {
		return nil
	}
	f := &BindFailure{Netns: e.Netns, Local: e.Local, Owner: e.Owner, Since: e.UnixNano}
	t.binds = append(t.binds, f)
	n := t.namespace(e.Netns)
	n.binds = append(n.binds, f)
	return f
}

// bindExhausted is how often bind() to port 0 found no port left for addr, or for any address.
func (n *namespace) bindExhausted(addr netip.Addr) (sum uint64) {
	for _, f := range n.binds {
		if a := f.Local.Addr(); a == addr || !a.IsValid() || a.IsUnspecified() {
			sum += f.Exhausted
		}
	}
	return sum
}
