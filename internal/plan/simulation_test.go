package plan

import (
	"math"
	"testing"
	"time"
)

// simulation plays a scenario connect by connect, port by port, as the kernel allocates them: a port that is free, of the
// first parity as long as there is one.
type simulation struct {
	s *Scenario
	// reuse is how old a TIME_WAIT must be for connect() to take its port; 0: it never does.
	reuse time.Duration
	// closed is, by pair of addresses and port, when its latest connection was closed or will be, in seconds; free is when
	// the port is free again.
	closed, free [][]float64
}

// played is when a port of the second half was first needed, and when none was left; nil: never.
type played struct{ slow, exhausted *float64 }

// play lets requests come for so many seconds, evenly.
func (m *simulation) play(length float64) played {
	m.closed, m.free = make([][]float64, m.s.pairs()), make([][]float64, m.s.pairs())
	for i := range m.free {
		m.closed[i], m.free[i] = make([]float64, m.s.Ports.Count), make([]float64, m.s.Ports.Count)
	}
	var p played
	opened := 0
	for request := 0; ; request++ {
		now := float64(request) / m.s.Rate
		if now >= length {
			return p
		}
		if float64(request)*m.s.New < float64(opened)-1e-9 { // it goes over an open connection
			continue
		}
		port := m.connect(opened%int(m.s.pairs()), now)
		opened++
		if port < 0 {
			p.exhausted = &now
			return p
		}
		if port >= m.s.Ports.Half && p.slow == nil {
			p.slow = &now
		}
	}
}

// connect takes the first port of a pair that is free, -1 when none is. Ports below Half are those of the first parity.
func (m *simulation) connect(pair int, now float64) int {
	const rounding = 1e-9
	for port := range m.s.Ports.Count {
		waiting := m.reuse > 0 && now >= m.closed[pair][port]+m.reuse.Seconds()-rounding
		if now >= m.free[pair][port]-rounding || waiting {
			m.closed[pair][port] = now + m.s.Lifetime.Seconds()
			m.free[pair][port] = m.closed[pair][port] + m.s.TimeWait.Seconds()
			return port
		}
	}
	return -1
}

func TestSumsAgreeWithASimulation(t *testing.T) {
	tests := []struct {
		name string
		s    Scenario
	}{
		{"30 a second, 500 ports and 24 s", Scenario{Rate: 30, Ports: Ports{Count: 500, Half: 250}, TimeWait: 24 * time.Second}},
		{"just enough", Scenario{Rate: 10, Ports: Ports{Count: 600, Half: 300}, TimeWait: time.Minute}},
		{"one too few", Scenario{Rate: 10, Ports: Ports{Count: 599, Half: 300}, TimeWait: time.Minute}},
		{"just half", Scenario{Rate: 5, Ports: Ports{Count: 600, Half: 300}, TimeWait: time.Minute}},
		{"open for longer than TIME_WAIT", Scenario{Rate: 7, Ports: Ports{Count: 300, Half: 150}, TimeWait: 10 * time.Second, Lifetime: 50 * time.Second}},
		{"open for just as long as lasts", Scenario{Rate: 7, Ports: Ports{Count: 420, Half: 210}, TimeWait: 10 * time.Second, Lifetime: 50 * time.Second}},
		{"nine requests of ten reuse", Scenario{Rate: 100, New: 0.1, Ports: Ports{Count: 300, Half: 150}, TimeWait: time.Minute}},
		{"a third opens", Scenario{Rate: 99, New: 1.0 / 3, Ports: Ports{Count: 400, Half: 200}, TimeWait: 20 * time.Second, Lifetime: time.Second}},
		{"reuse makes it last", Scenario{Rate: 100, New: 0.05, Ports: Ports{Count: 300, Half: 150}, TimeWait: time.Minute}},
		{"two sources, three destinations", Scenario{Rate: 60, Ports: Ports{Count: 100, Half: 50}, TimeWait: 20 * time.Second, Sources: 2, Destinations: 3}},
		{"they are enough", Scenario{Rate: 30, Ports: Ports{Count: 100, Half: 50}, TimeWait: 20 * time.Second, Sources: 2, Destinations: 3}},
		{"half a request a second", Scenario{Rate: 0.5, Ports: Ports{Count: 20, Half: 10}, TimeWait: time.Minute}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.s
			s.New, s.Sources, s.Destinations = orOne(s.New), orOne(s.Sources), orOne(s.Destinations)
			got := (&simulation{s: &s}).play(4 * s.hold())
			o := s.outcome()
			agree(t, "first failure", o.Exhaustion, got.exhausted, 1/s.Rate)
			agree(t, "slow half", o.SlowHalf.Seconds, got.slow, 1/s.Rate)
		})
	}
}

// The remedy tcp_tw_reuse=1 gives what taking over each TIME_WAIT of 1 s does.
func TestReusingTimeWaitAgreesWithASimulation(t *testing.T) {
	for _, rate := range []float64{90, 100, 101, 150} { // 200 ports for 1 s open and 1 s waiting carry 100
		s := Scenario{Rate: rate, New: 1, Ports: Ports{Count: 200, Half: 100}, TimeWait: 6 * time.Second, Lifetime: time.Second, Sources: 1, Destinations: 1}
		got := (&simulation{s: &s, reuse: time.Second}).play(30)
		if reuseTimeWait(&s) == "" {
			t.Fatal("no remedy")
		}
		agree(t, "first failure", s.outcome().Exhaustion, got.exhausted, 1/s.Rate)
	}
}

func orOne[T int | float64](v T) T {
	if v == 0 {
		return 1
	}
	return v
}

// agree compares the sums with what was played, to within one request and the four digits of a figure.
func agree(t *testing.T, what string, sum *figure, played *float64, within float64) {
	t.Helper()
	switch {
	case sum == nil && played == nil:
	case sum == nil:
		t.Errorf("%s: never, but after %v s in the simulation", what, *played)
	case played == nil:
		t.Errorf("%s: after %v s, but never in the simulation", what, *sum)
	case math.Abs(float64(*sum)-*played) > within+0.0005**played:
		t.Errorf("%s: after %v s, %v s in the simulation", what, *sum, *played)
	}
}
