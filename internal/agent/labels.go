package agent

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// Labels name a series. What was accepted has a Listener and no Destination.
type Labels struct {
	Service, Destination, Listener string
	// Pod and what belongs to it are "" outside of Kubernetes.
	Workload
}

// Workload is what Kubernetes calls a service.
type Workload struct{ Namespace, Pod, Container string }

// Other stands for all that is beyond a bound.
const Other = "~other"

// maxLabel bounds the values of labels, bytes. What is longer ends in "…".
const maxLabel = 128

// clean makes a label's value of a text from outside: valid UTF-8, printable, bounded.
func clean(s string) string {
	s = event.Printable(s)
	if s == Other { // or whoever calls itself so is bound by nothing
		return `\x7eother`
	}
	if len(s) <= maxLabel {
		return s
	}
	const end = "…"
	cut := maxLabel - len(end)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimRight(s[:cut], `\`) + end
}

// labelsOf names the series of a row.
func labelsOf(r *churn.Row, s *service.Service, workload func(*service.Service) Workload) Labels {
	l := Labels{}
	switch {
	case r.Unnamed() && r.Direction == event.Inbound:
		return Labels{Service: Other, Listener: Other}
	case r.Unnamed():
		return Labels{Service: Other, Destination: Other}
	case r.Direction == event.Inbound:
		l.Listener = place(r.Local)
	default:
		l.Destination = place(r.Remote)
	}
	if s == nil {
		l.Service = r.Owner.Comm.String()
	} else {
		l.Service = s.Name
		if workload != nil {
			l.Workload = workload(s)
		}
	}
	l.Service = clean(l.Service)
	if l.Service == "" {
		l.Service = service.KindUnknown
	}
	l.Namespace, l.Pod, l.Container = clean(l.Namespace), clean(l.Pod), clean(l.Container)
	return l
}

// place writes an address as the report does.
func place(a netip.AddrPort) string {
	switch {
	case !a.Addr().IsValid():
		return service.KindUnknown
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}
