package plan

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scenario is one without a preset: ports as --ports reads them, reuse as --reuse does.
func scenario(t *testing.T, rate float64, ports string, timeWait time.Duration) *Scenario {
	t.Helper()
	p, err := ParsePorts(ports)
	if err != nil {
		t.Fatal(err)
	}
	return &Scenario{Rate: rate, New: 1, Ports: p, TimeWait: timeWait, Sources: 1, Destinations: 1}
}

func pointer[T any](v T) *T { return &v }

func TestSums(t *testing.T) {
	tests := []struct {
		name     string
		rate     float64
		ports    string
		timeWait time.Duration
		change   func(*Scenario)
		want     Outcome
	}{
		{
			"thirty a second exhaust 5000 ports in 167 s when TIME_WAIT lasts 240 s, and need 7200", 30, "5000", 240 * time.Second, nil,
			Outcome{5000, 20.83, pointer[int64](7200), pointer(false), pointer[figure](166.7), &SlowHalf{2500, 10.41, pointer(true), pointer[figure](83.33)}},
		},
		{
			"28232 ports carry 470 a second at 60 s", 0, "28232", time.Minute, nil,
			Outcome{28232, 470.5, nil, nil, nil, &SlowHalf{14116, 235.2, nil, nil}},
		},
		{
			"so many as come back are enough for ever", 470, "32768-60999", time.Minute, nil,
			Outcome{28232, 470.5, pointer[int64](28200), pointer(true), nil, &SlowHalf{14116, 235.2, pointer(true), pointer[figure](30.03)}},
		},
		{
			"one port too few", 471, "28259", time.Minute, nil,
			Outcome{28259, 470.9, pointer[int64](28260), pointer(false), pointer[figure](60), &SlowHalf{14130, 235.5, pointer(true), pointer[figure](30)}},
		},
		{
			"exactly enough", 471, "28260", time.Minute, nil,
			Outcome{28260, 471, pointer[int64](28260), pointer(true), nil, &SlowHalf{14130, 235.5, pointer(true), pointer[figure](30)}},
		},
		{
			"exactly half of the ports is not yet slow", 50, "6000", time.Minute, nil,
			Outcome{6000, 100, pointer[int64](3000), pointer(true), nil, &SlowHalf{3000, 50, pointer(false), nil}},
		},
		{
			"3 × 0.1 × 10 is 3, also in binary", 3, "3", 10 * time.Second, func(s *Scenario) { s.New = 0.1 },
			Outcome{3, 3, pointer[int64](3), pointer(true), nil, &SlowHalf{2, 2, pointer(true), pointer[figure](6.667)}},
		},
		{
			"an open connection holds its port, too", 100, "5000", time.Minute, func(s *Scenario) { s.Lifetime = 20 * time.Second },
			Outcome{5000, 62.5, pointer[int64](8000), pointer(false), pointer[figure](50), &SlowHalf{2500, 31.25, pointer(true), pointer[figure](25)}},
		},
		{
			"what goes over an open connection opens none", 300, "5000", 240 * time.Second, func(s *Scenario) { s.New = 0.1 },
			Outcome{5000, 208.3, pointer[int64](7200), pointer(false), pointer[figure](166.7), &SlowHalf{2500, 104.1, pointer(true), pointer[figure](83.33)}},
		},
		{
			"every pair of addresses has all ports", 1000, "5000", time.Minute, func(s *Scenario) { s.Sources, s.Destinations = 2, 3 },
			Outcome{30000, 500, pointer[int64](60000), pointer(false), pointer[figure](30), &SlowHalf{2500, 250, pointer(true), pointer[figure](15)}},
		},
		{
			"Windows has no slow half", 30, "5000", 240 * time.Second, func(s *Scenario) { s.Preset = presets[1] },
			Outcome{5000, 20.83, pointer[int64](7200), pointer(false), pointer[figure](166.7), nil},
		},
		{
			"an odd range begins with the parity that has one port more", 0, "1025-1027", time.Second, nil,
			Outcome{3, 3, nil, nil, nil, &SlowHalf{2, 2, nil, nil}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scenario(t, tt.rate, tt.ports, tt.timeWait)
			if tt.change != nil {
				tt.change(s)
			}
			if diff := cmp.Diff(tt.want, s.outcome()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPresets(t *testing.T) {
	want := map[string]struct {
		ports    int
		timeWait time.Duration
	}{
		"linux": {28232, time.Minute}, "windows-2003": {5000, 240 * time.Second}, "windows": {16384, 120 * time.Second},
	}
	for _, name := range PresetNames() {
		p, err := ParsePreset(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Ports.Count != want[name].ports || p.TimeWait != want[name].timeWait || p.Ports.Basis != FromPreset {
			t.Errorf("%s: %d ports, %v", name, p.Ports.Count, p.TimeWait)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no preset: %v", want)
	}
	if _, err := ParsePreset("beos"); err == nil || !strings.Contains(err.Error(), `"beos": it is one of linux, windows-2003, windows`) {
		t.Errorf("unknown preset: %v", err)
	}
}

// What a remedy sets where ports run out is the least that lasts.
func TestRemediesAreTheLeastThatLasts(t *testing.T) {
	s := scenario(t, 30, "5000", 240*time.Second)
	s.Lifetime = 10 * time.Second // 7500 are needed
	want := map[string]string{
		"reuse": "34% of requests", "lifetime": "0s at most", "destinations": "2", "source-addresses": "2", "wider-range": "1024-65535",
		"tcp_tw_reuse": "1",
	}
	lasts := map[string]bool{
		"reuse": true, "lifetime": false, "destinations": true, "source-addresses": true, "wider-range": true, "tcp_tw_reuse": true,
	}
	got, gotLasts := map[string]string{}, map[string]bool{}
	for _, r := range side(s) {
		got[r.Name], gotLasts[r.Name] = r.Setting, *r.Lasts
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lasts, gotLasts); diff != "" {
		t.Error(diff)
	}

	s.TimeWait, s.Lifetime = time.Minute, 200*time.Second // 7800 are needed
	for _, r := range side(s) {
		if r.Name == "lifetime" && (r.Setting != "1m46s at most" || !*r.Lasts) { // 5000/30 - 60 = 106.67
			t.Errorf("lifetime: %s lasts: %v", r.Setting, *r.Lasts)
		}
	}
	for rate, want := range map[float64]string{100: "79.17%", 1e5: "99.98%", 1e7: "99.9998%"} {
		s := scenario(t, rate, "5000", 240*time.Second)
		s.Preset = presets[1]
		r := side(s)[0]
		if exact := 1 - 5000/240.0/rate; r.Name != "reuse" || !*r.Lasts {
			t.Errorf("%v a second: %s %s, want about %v (%s)", rate, r.Name, r.Setting, exact, want)
		}
	}
}

// Without a rate, or where it lasts, a remedy is shown by a usual step.
func TestRemediesOfWhatLasts(t *testing.T) {
	s := scenario(t, 0, "5000", time.Minute)
	s.Lifetime, s.Sources = 8*time.Second, 3
	want := map[string]string{
		"reuse": "90% of requests", "lifetime": "4s at most", "destinations": "2", "source-addresses": "4", "wider-range": "1024-65535",
		"tcp_tw_reuse": "1",
	}
	for _, rate := range []float64{0, 1} {
		s.Rate = rate
		got := map[string]string{}
		for _, r := range side(s) {
			got[r.Name] = r.Setting
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v a second: %s", rate, diff)
		}
	}
	s.New = 0.05
	if r := side(s)[0]; r.Setting != "97.5% of requests" {
		t.Errorf("95 %% is followed by %s", r.Setting)
	}
}

// What changes nothing is no remedy.
func TestRemediesThatAreThereAlready(t *testing.T) {
	s := scenario(t, 0, "1024-65535", time.Second)
	s.New, s.Sources, s.Destinations = minNew, MaxSources, MaxDestinations
	if got := side(s); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	s = &Scenario{Preset: presets[2], New: minNew, Ports: presets[2].Ports, TimeWait: windowsDelay, Sources: 1, Destinations: 1}
	var names []string
	for _, r := range side(s) {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "destinations source-addresses wider-range" {
		t.Errorf("remedies of windows: %s", got)
	}
}

// Whatever is planned within the bounds, the answers agree with one another, and a remedy that can be chosen at will is
// chosen so that it lasts.
func TestAnswersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	upTo := func(most float64) float64 { return most * random.Float64() * random.Float64() * random.Float64() }
	for range 20_000 {
		n := 1 + int(upTo(65534))
		s := &Scenario{
			Rate: MinRate + upTo(MaxRate), New: minNew + upTo(1-minNew), Ports: Ports{Count: n, Half: (n + 1) / 2},
			TimeWait: MinTimeWait + time.Duration(upTo(float64(MaxTimeWait-MinTimeWait))), Lifetime: time.Duration(upTo(float64(MaxLifetime))),
			Sources: 1 + int(upTo(50)), Destinations: 1 + int(upTo(50)),
		}
		o := s.outcome()
		if *o.Lasts != (o.Exhaustion == nil) || *o.Lasts != (*o.PortsNeeded <= o.Capacity) {
			t.Fatalf("%+v: %+v", s, o)
		}
		if o.Exhaustion != nil && (*o.SlowHalf.Seconds > *o.Exhaustion || float64(*o.Exhaustion) > 1.001*s.hold()) {
			t.Fatalf("%+v: exhausted after %v s, slow after %v s", s, *o.Exhaustion, *o.SlowHalf.Seconds)
		}
		at := *s
		if at.Rate = float64(o.Lasting); at.Rate > 0 && !at.lasts() {
			t.Fatalf("%+v: %v a second do not last", s, o.Lasting)
		}
		for _, r := range side(s) {
			atWill := r.Name == "destinations" && r.Setting != "1000000" || r.Name == "source-addresses" && r.Setting != "65536" ||
				r.Name == "lifetime" && r.Setting != "0s at most" || r.Name == "reuse" && r.Setting != "99.9999% of requests"
			if atWill && !*r.Lasts {
				t.Fatalf("%+v: %s %s does not last", s, r.Name, r.Setting)
			}
			if r.Lasting < o.Lasting {
				t.Fatalf("%+v: %s makes it worse", s, r.Name)
			}
		}
	}
}
