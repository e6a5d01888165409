package plan

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Remedy is one change, and what would come of it alone.
type Remedy struct {
	Name    string `json:"name"`
	Setting string `json:"setting"`
	How     string `json:"how"`
	Outcome
}

// remedy is how a remedy changes a scenario: as little as will last, or, where the scenario lasts or has no rate, by a
// usual step. It returns what is then set, "" when there is nothing to change.
type remedy struct {
	name, how string
	apply     func(s *Scenario) (setting string)
}

// remedies are in the order in which to try them: the application first, the host second.
var remedies = []remedy{
	{"reuse", "keep connections open: a pool, HTTP keep-alive (here: the share of requests over an open one)", reuseMore},
	{"lifetime", "close sooner; TIME_WAIT stays", shortenLifetime},
	{"destinations", "spread over more addresses or ports of the server: each has all local ports for itself", moreDestinations},
	{"source-addresses", "bind() to them in turn; on Linux with IP_BIND_ADDRESS_NO_PORT", moreSources},
	{"wider-range", "", widenRange},
	{"tcp_tw_reuse", "connect() takes a TIME_WAIT's port over after 1 s; needs TCP timestamps at both ends", reuseTimeWait},
	{"time-wait-delay", "in the registry: " + registry, shortenDelay},
}

// side is s with each remedy that changes something.
func side(s *Scenario) []Remedy {
	all := []Remedy{}
	for _, r := range remedies {
		changed := *s
		if setting := r.apply(&changed); setting != "" {
			how := r.how
			if how == "" {
				how = s.Preset.howWider()
			}
			all = append(all, Remedy{Name: r.name, Setting: setting, How: how, Outcome: changed.outcome()})
		}
	}
	return all
}

// short says that ports will run out.
func (s *Scenario) short() bool { return s.Rate > 0 && !s.lasts() }

func reuseMore(s *Scenario) string {
	const usual = 0.1 // a pool that saves nine connects of ten is nothing special
	switch {
	case s.New <= minNew:
		return ""
	case s.short():
		s.New = max(cutShare(float64(s.capacity())/s.hold()/s.Rate), minNew)
	case s.New > usual:
		s.New = usual
	default:
		s.New = max(s.New/2, minNew)
	}
	return percent(1-s.New) + " of requests"
}

// cutShare rounds a share below 1 down to whole percents, or to its first digit.
func cutShare(share float64) float64 {
	scale := math.Pow10(max(2, -int(math.Floor(math.Log10(share)))))
	return math.Floor(share*scale*(1+noise)) / scale
}

func shortenLifetime(s *Scenario) string {
	switch enough := float64(s.capacity())/s.opened() - s.TimeWait.Seconds(); {
	case s.Lifetime == 0:
		return ""
	case !s.short():
		s.Lifetime /= 2
	case enough <= 0:
		s.Lifetime = 0
	default:
		s.Lifetime = time.Duration(math.Floor(cut(enough, 3, math.Floor) * 1e9 * (1 + noise)))
	}
	return fmt.Sprintf("%v at most", s.Lifetime)
}

func moreDestinations(s *Scenario) string {
	return s.more(&s.Destinations, MaxDestinations)
}

func moreSources(s *Scenario) string {
	return s.more(&s.Sources, MaxSources)
}

// more raises n, a factor of the capacity, by one, or to what the rate needs; most at most.
func (s *Scenario) more(n *int, most int) string {
	before := *n
	if s.short() {
		each := s.capacity() / int64(before)
		*n = int(min((s.needed()+each-1)/each, int64(most)))
	} else {
		*n = min(before+1, most)
	}
	if *n == before {
		return ""
	}
	return strconv.Itoa(*n)
}

func widenRange(s *Scenario) string {
	wider, setting := s.Ports.wider(), fmt.Sprintf("%d-%d", widestLow, widestHigh)
	if s.Preset.windows() {
		wider, setting = Ports{Count: windowsWidest}, s.Preset.wider
	}
	if wider.Count <= s.Ports.Count {
		return ""
	}
	s.Ports = wider
	return setting
}

// registry is where both Windows values are.
const registry = `HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters`

// howWider says where the range of ports is set.
func (p *Preset) howWider() string {
	switch p.Name {
	case "windows-2003":
		return "in the registry: " + registry
	case "windows":
		return "netsh int ipv4 set dynamicport tcp start=1025 num=64510"
	}
	return "net.ipv4.ip_local_port_range = 1024 65535; reserve the ports that servers listen on in it"
}

// reuseTimeWait: tcp_twsk_unique in net/ipv4/tcp_ipv4.c.
func reuseTimeWait(s *Scenario) string {
	const delay = time.Second // tcp_tw_reuse_delay; before Linux 6.14 at most that
	if s.Preset.windows() || s.TimeWait <= delay {
		return ""
	}
	s.TimeWait = delay
	return "1"
}

func shortenDelay(s *Scenario) string {
	if !s.Preset.windows() || s.TimeWait <= windowsDelay {
		return ""
	}
	s.TimeWait = windowsDelay
	return s.Preset.delay
}
