package verdict

import (
	"fmt"
	"math"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// Survey is what all rows together say about each of them: what a service accepts beside what it opens, and which of
// its destinations are one service by another address.
type Survey struct {
	accepted map[event.Identity]accepted
	opened   map[port][]*churn.Row
}

type accepted struct{ connections, sent, received uint64 }

// port is a port that a service connects to.
type port struct {
	service event.Identity
	netns   uint32
	number  uint16
}

// maxTwins bounds how many destinations of a service with one port are looked through for each other.
const maxTwins = 64

// NewSurvey looks at rows, which are those of one window.
func NewSurvey(rows []*churn.Row) *Survey {
	s := &Survey{accepted: make(map[event.Identity]accepted), opened: make(map[port][]*churn.Row)}
	for _, r := range rows {
		id := r.Owner.Identity()
		switch {
		case r.Other:
		case r.Direction == event.Inbound:
			a := s.accepted[id]
			a.connections += r.Opened
			a.sent += r.SentBytes
			a.received += r.ReceivedBytes
			s.accepted[id] = a
		case r.Opened > 0:
			k := port{id, r.Netns, r.Remote.Port()}
			if len(s.opened[k]) < maxTwins {
				s.opened[k] = append(s.opened[k], r)
			}
		}
	}
	return s
}

// twin finds the destination that works where r fails, because a name has addresses of both families.
func (s *Survey) twin(r *churn.Row, f *figures) string {
	for _, o := range s.opened[port{r.Owner.Identity(), r.Netns, r.Remote.Port()}] {
		opened := float64(o.Opened)
		if o.Remote.Addr().Is4() == r.Remote.Addr().Is4() || opened < twinShare*f.failedElsewhere || f.failedElsewhere < twinShare*opened {
			continue
		}
		return fmt.Sprintf("the same service reached %s %d times, as often as this failed: probably one name with an address of each family",
			o.Remote, o.Opened)
	}
	return ""
}

// relay: as many connections, and as many bytes each way, as the service has accepted.
func (s *Survey) relay(r *churn.Row) string {
	a := s.accepted[r.Owner.Identity()]
	if a.connections < relayed || !about(r.Opened, a.connections) || !about(r.SentBytes, a.received) || !about(r.ReceivedBytes, a.sent) {
		return ""
	}
	return fmt.Sprintf("it accepted %d connections and opened %d, with the same number of bytes: it passes on what its clients do",
		a.connections, r.Opened)
}

func about(a, b uint64) bool {
	x, y := float64(a), float64(b)
	return math.Abs(x-y) <= relayDifference*max(x, y)
}
