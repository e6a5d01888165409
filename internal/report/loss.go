package report

import (
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
)

// sentence says what is missing and whether totals are exact. There is always something to say.
func (l *Loss) sentence() string {
	var s []string
	if l.EventsLost == 0 && l.TotalsExact {
		s = append(s, "Nothing was lost: totals are exact")
	} else {
		s = append(s, form.Count(l.EventsLost, "event")+" on this host lost in detail")
		if l.TotalsExact {
			s = append(s, "the kernel counted them: totals are exact")
		} else {
			s = append(s, "totals are not exact")
		}
	}
	for _, more := range []struct {
		n    uint64
		what string
		tail string
	}{
		{l.EventsUnassigned, "lost event", "belong to no destination"},
		{l.SocketsEvicted, "connection", "not followed because the table of sockets was full"},
		{l.RecursionLost, "run", "of the tracing program refused by the kernel"},
		{l.EndsUnseen, "connection", "ended unseen, for the kernel called no program"},
		{l.EventsRepeated, "event", "may have been counted twice"},
		{l.EventsMerged, "event", "counted under " + otherName + " because the table of destinations was full"},
		{l.ServicesUnknown, "connection", "with no known owner"},
		{l.ServicesRefused, "service", "not looked up because the table of services was full"},
	} {
		if more.n > 0 {
			s = append(s, form.Count(more.n, more.what)+" "+more.tail)
		}
	}
	return strings.Join(s, "; ") + "."
}
