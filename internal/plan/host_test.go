package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/host"
)

func set(ports ...uint16) *host.PortSet {
	s := new(host.PortSet)
	for _, p := range ports {
		s.Add(p)
	}
	return s
}

func TestPortsOfAHost(t *testing.T) {
	tests := []struct {
		name     string
		settings host.Settings
		want     Ports
		sentence string
	}{
		{
			"nothing is left out", host.Settings{RangeLow: 32768, RangeHigh: 60999, Reserved: set(), Blocked: set()},
			Ports{Count: 28232, Half: 14116, Widest: 64512, Host: &HostPorts{Blocked: new(int)}},
			"Ports: this host's range, 32768 to 60999, less 0 reserved and 0 that servers listen on.",
		},
		{
			"what is outside of the range, or listed twice, counts once or not at all",
			host.Settings{RangeLow: 32768, RangeHigh: 60999, Reserved: set(22, 24224, 32768, 40000, 40001), Blocked: set(22, 8080, 40001, 50000, 61000)},
			Ports{Count: 28228, Half: 14113, Widest: 64505, Host: &HostPorts{Reserved: 3, Blocked: pointer(1)}},
			"Ports: this host's range, 32768 to 60999, less 3 reserved and 1 that servers listen on.",
		},
		{
			"who listens is not known", host.Settings{RangeLow: 1025, RangeHigh: 1027, TimeWaitReuse: 1, Timestamps: true},
			Ports{Count: 3, Half: 2, Widest: 64512, Host: &HostPorts{TimeWaitReuse: true}},
			"Ports: this host's range, 1025 to 1027, less 0 reserved; who listens in it is not known.",
		},
		{
			"a range that begins below 1024 can be wider than the widest", host.Settings{RangeLow: 2, RangeHigh: 65535, Blocked: set(22), TimeWaitReuse: 1},
			Ports{Count: 65533, Half: 32766, Widest: 64512, Host: &HostPorts{Blocked: pointer(1)}},
			"Ports: this host's range, 2 to 65535, less 0 reserved and 1 that servers listen on.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := PortsOf(&tt.settings)
			tt.want.Low, tt.want.High, tt.want.Basis = tt.settings.RangeLow, tt.settings.RangeHigh, FromHost
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if s := got.sentence(&Preset{}); s != tt.sentence {
				t.Errorf("%s\nwant %s", s, tt.sentence)
			}
		})
	}
}

// Ports of this host that are reserved, or that servers have, do not come back with a wider range.
func TestTheWiderRangeOfAHost(t *testing.T) {
	p, err := PortsOf(&host.Settings{RangeLow: 32768, RangeHigh: 60999, Reserved: set(24224), Blocked: set(8080, 9090)})
	if err != nil {
		t.Fatal(err)
	}
	s := &Scenario{New: 1, Ports: p, TimeWait: 60e9, Sources: 1, Destinations: 1}
	if widenRange(s); s.Ports.Count != 64512-3 || s.Ports.Half != 32255 {
		t.Errorf("%d ports, %d in the first half", s.Ports.Count, s.Ports.Half)
	}
}

func TestNoPortOfAHostIsLeft(t *testing.T) {
	if p, err := PortsOf(&host.Settings{RangeLow: 4000, RangeHigh: 4001, Reserved: set(4000), Blocked: set(4001)}); err == nil {
		t.Errorf("%+v", p)
	}
}

// What cannot be read is said, and what is taken instead.
func TestAssumedPorts(t *testing.T) {
	d := Build(&Scenario{New: 1, Ports: AssumedPorts("open /proc/sys: permission denied"), TimeWait: 60e9, Sources: 1, Destinations: 1})
	if d.Given.Ports.Basis != Assumed || d.Capacity != 28232 || d.Given.Ports.Reserved != nil {
		t.Errorf("%+v", d.Given.Ports)
	}
	want := "Ports: Linux's default, 32768 to 60999, for this host's range cannot be read: open /proc/sys: permission denied"
	if d.Notes[0] != want {
		t.Errorf("%s", d.Notes[0])
	}
}

func TestReuseThatIsOnIsNoted(t *testing.T) {
	settings := host.Settings{RangeLow: 32768, RangeHigh: 60999, TimeWaitReuse: 1}
	for _, settings.Timestamps = range []bool{false, true} {
		p, err := PortsOf(&settings)
		if err != nil {
			t.Fatal(err)
		}
		d := Build(&Scenario{New: 1, Ports: p, TimeWait: 60e9, Sources: 1, Destinations: 1})
		if noted := strings.Contains(strings.Join(d.Notes, "\n"), "tcp_tw_reuse is 1 here already"); noted != settings.Timestamps {
			t.Errorf("timestamps %v: noted %v", settings.Timestamps, noted)
		}
	}
}
