package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/host"
)

// Ports are the local ports that connect() can choose from, and how they are known.
type Ports struct {
	Count int // 1 to 65535
	// Half is how many of them connect() on Linux tries first: those of the lower end's parity.
	Half int
	// Low and High are the ends of the range, both included; 0 when only a count is known.
	Low, High uint16
	// Widest is how many there would be in the widest range; 0: as many as that range has.
	Widest int
	Basis  Basis
	// Host is what Basis FromHost is about: how many ports of the range are left out.
	Host *HostPorts
	// Why is why Basis Assumed had to do.
	Why string
}

// HostPorts are what a host's range has and connect() cannot choose.
type HostPorts struct {
	// Reserved are ip_local_reserved_ports in the range. Blocked are ports in the range with a listener, which no connect()
	// gets, whatever its destination; nil: not known.
	Reserved int
	Blocked  *int
	// TimeWaitReuse says that tcp_tw_reuse is 1 and tcp_timestamps on.
	TimeWaitReuse bool
}

// Basis is how it is known how many ports there are.
type Basis string

// From the flag, from the preset, from this host's settings, or Linux's default because those cannot be read.
const (
	Given      Basis = "flag"
	FromPreset Basis = "preset"
	FromHost   Basis = "host"
	Assumed    Basis = "assumed"
)

// The widest range that is sensible: below are the ports that need a privilege to be bound.
const widestLow, widestHigh = 1024, 65535

// ParsePorts reads a count of ports, "5000", or a range with both its ends, "1024-65535"; or as the sysctl prints it,
// "32768	60999".
func ParsePorts(text string) (Ports, error) {
	first, last, isRange := strings.Cut(text, "-")
	if fields := strings.Fields(text); !isRange && len(fields) == 2 {
		first, last, isRange = fields[0], fields[1], true
	}
	if !isRange {
		n, err := parsePort(text, text)
		return Ports{Count: n, Half: (n + 1) / 2, Basis: Given}, err
	}
	low, err := parsePort(text, first)
	if err != nil {
		return Ports{}, err
	}
	high, err := parsePort(text, last)
	if err != nil {
		return Ports{}, err
	}
	if low > high {
		return Ports{}, fmt.Errorf("%q is upside down: write %d-%d", text, high, low)
	}
	p := portRange(uint16(low), uint16(high))
	p.Basis = Given
	return p, nil
}

// parsePort reads word, a part of text, as a whole number from 1 to 65535.
func parsePort(text, word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(word))
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is no number of ports: write one like 5000, or a range like 1024-65535", text)
	}
	if err != nil || n < 1 || n > widestHigh {
		return 0, fmt.Errorf("%q is out of bounds: write a number from 1 to 65535, or a range within 1-65535", text)
	}
	return n, nil
}

// portRange has all ports from low to high.
func portRange(low, high uint16) Ports {
	span := int(high) - int(low)
	return Ports{Count: span + 1, Half: span/2 + 1, Low: low, High: high}
}

// PortsOf are those of a host with settings s: its range less what is reserved, and less what is blocked as far as that
// is known.
func PortsOf(s *host.Settings) (Ports, error) {
	p := Ports{Low: s.RangeLow, High: s.RangeHigh, Basis: FromHost, Host: &HostPorts{
		Reserved:      s.Reserved.CountIn(s.RangeLow, s.RangeHigh),
		TimeWaitReuse: s.TimeWaitReuse == 1 && s.Timestamps,
	}}
	if s.Blocked != nil {
		p.Host.Blocked = new(int)
	}
	for port := min(int(s.RangeLow), widestLow); port <= widestHigh; port++ {
		p.count(s, uint16(port))
	}
	if p.Count == 0 {
		return Ports{}, errors.New("all ports of ip_local_port_range are reserved or taken")
	}
	return p, nil
}

// count adds one port to those that it belongs to.
func (p *Ports) count(s *host.Settings, port uint16) {
	reserved, blocked, inside := s.Reserved.Has(port), s.Blocked.Has(port), s.InRange(port)
	switch {
	case reserved:
		return
	case blocked:
		if inside {
			*p.Host.Blocked++
		}
		return
	}
	if port >= widestLow {
		p.Widest++
	}
	if inside {
		p.Count++
		if port%2 == s.RangeLow%2 {
			p.Half++
		}
	}
}

// AssumedPorts are Linux's default, for a host whose settings cannot be read, for the reason why.
func AssumedPorts(why string) Ports {
	p := linux.Ports
	p.Basis, p.Why = Assumed, why
	return p
}

// wider is what there would be in the widest range.
func (p *Ports) wider() Ports {
	w := portRange(widestLow, widestHigh)
	if p.Widest > 0 {
		w.Count, w.Half = p.Widest, (p.Widest+1)/2
	}
	return w
}
