// Package plan does the arithmetic before a load test: what rate a number of local ports carries, how many ports a rate
// needs, when the first connect fails, and what each remedy would change.
//
// Every connection that a host opens takes one local port toward its destination while it is open, and while it is in
// TIME_WAIT afterwards, which is here when this host closes first. What holds a port for so many seconds, so many times
// a second, holds their product of ports (Little's law).
package plan

import (
	"math"
	"time"
)

// Scenario is what is planned.
type Scenario struct {
	// Preset names where the defaults are from; "" for this host's.
	Preset Preset
	// Rate is how many requests a second are made; 0: not given.
	Rate float64
	// New is the share of the requests that open a connection: above 0, at most 1. The others find one open.
	New float64
	// Ports are those that one source address has toward one destination.
	Ports Ports
	// TimeWait and Lifetime are how long a connection holds its port after its end, and before.
	TimeWait, Lifetime time.Duration
	// Sources and Destinations count the addresses (for destinations: address and port) that connections are spread over
	// evenly. Every pair of them has all the ports for itself (__inet_check_established in net/ipv4/inet_hashtables.c).
	Sources, Destinations int
}

// The bounds of a scenario: beyond them nobody plans, and within them float64 counts ports exactly.
const (
	MinRate         = 1e-6 // requests a second
	MaxRate         = 1e8
	MaxReuse        = 0.999999
	minNew          = 1e-6 // 1 - MaxReuse
	MinTimeWait     = time.Millisecond
	MaxTimeWait     = 24 * time.Hour
	MaxLifetime     = 365 * 24 * time.Hour
	MaxSources      = 1 << 16
	MaxDestinations = 1_000_000
)

// Outcome is what comes of a scenario. What needs a rate is nil without one.
type Outcome struct {
	// Capacity is how many connections can hold a port at once.
	Capacity int64 `json:"capacity"`
	// Lasting is how many requests a second go on for ever, rounded down.
	Lasting figure `json:"lasting_per_second"`
	// PortsNeeded is how many ports the rate takes up in the end.
	PortsNeeded *int64 `json:"ports_needed"`
	// Lasts says whether Capacity is enough for that.
	Lasts *bool `json:"lasts"`
	// Exhaustion is how many seconds after the start the first connect finds no port; nil also when none ever does.
	Exhaustion *figure `json:"seconds_to_exhaustion"`
	// SlowHalf is nil where there is none.
	SlowHalf *SlowHalf `json:"slow_half"`
}

// SlowHalf is where connect() on Linux becomes slow: it tries the ports of one parity first, and past them searches
// thousands in vain each time (__inet_hash_connect in net/ipv4/inet_hashtables.c).
type SlowHalf struct {
	// Ports is how many ports toward one destination are of the first parity.
	Ports int64 `json:"ports"`
	// Fast is up to how many requests a second they are enough, rounded down.
	Fast figure `json:"fast_per_second"`
	// Reached says whether the rate needs more; then Seconds is how long after the start it does.
	Reached *bool   `json:"reached"`
	Seconds *figure `json:"seconds_to_slow_half"`
}

// opened is how many connections are opened a second.
func (s *Scenario) opened() float64 { return s.Rate * s.New }

// hold is for how many seconds a connection has its port.
func (s *Scenario) hold() float64 { return (s.TimeWait + s.Lifetime).Seconds() }

// pairs is how many times the ports can be used at once.
func (s *Scenario) pairs() int64 { return int64(s.Sources) * int64(s.Destinations) }

// capacity is how many connections can hold a port at once.
func (s *Scenario) capacity() int64 { return int64(s.Ports.Count) * s.pairs() }

// carried is how many requests a second so many ports carry for ever.
func (s *Scenario) carried(ports int64) float64 { return float64(ports) / s.hold() / s.New }

// needed is how many ports the rate takes up in the end.
func (s *Scenario) needed() int64 {
	return int64(math.Ceil(s.opened() * s.hold() * (1 - noise)))
}

// lasts says whether the ports are enough for ever.
func (s *Scenario) lasts() bool { return s.needed() <= s.capacity() }

// outcome does the sums.
func (s *Scenario) outcome() Outcome {
	capacity := s.capacity()
	o := Outcome{Capacity: capacity, Lasting: down(s.carried(capacity))}
	if half := int64(s.Ports.Half); s.Preset.slowHalf() {
		o.SlowHalf = &SlowHalf{Ports: half, Fast: down(s.carried(half * s.pairs()))}
	}
	if s.Rate == 0 {
		return o
	}
	needed, lasts := s.needed(), s.lasts()
	o.PortsNeeded, o.Lasts, o.Exhaustion = &needed, &lasts, s.taken(capacity)
	if h := o.SlowHalf; h != nil {
		h.Seconds = s.taken(h.Ports * s.pairs())
		reached := h.Seconds != nil
		h.Reached = &reached
	}
	return o
}

// taken is how many seconds after the start a connect finds so many ports taken; nil: never, for by then ports come back
// as fast.
func (s *Scenario) taken(ports int64) *figure {
	if s.needed() <= ports {
		return nil
	}
	after := near(float64(ports) / s.opened())
	return &after
}
