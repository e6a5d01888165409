package doctor

import (
	"path/filepath"
	"time"

	"github.com/tcpstate/tcpstate/internal/host"
)

// Recorded is what a report keeps of a network namespace's settings. What is nil is not known.
type Recorded struct {
	// Range is net.ipv4.ip_local_port_range, both ends included. Reserved is how many of its ports are reserved: which
	// ones, a report does not say.
	Range    *[2]uint16
	Reserved *int

	Reuse      *int
	ReuseDelay *time.Duration
	Timestamps *bool
	FinTimeout *time.Duration
}

// Checks are those of [Examine] that need no more than what was recorded, in its order. The others are left out: that
// they are unknown here says nothing about the host.
func (r *Recorded) Checks() []Check {
	e := newExaminer(&Input{}, &Space{Audit: r.audit()})
	e.wanted = e.wantedRange()
	e.merge(nil)
	var checks []Check
	if r.rangeKnown() {
		checks = append(checks, e.portRange())
	}
	if r.Reuse != nil && r.Timestamps != nil {
		checks = append(checks, e.twReuse())
	}
	if r.Timestamps != nil {
		checks = append(checks, e.timestamps())
	}
	if r.FinTimeout != nil {
		checks = append(checks, e.finTimeout())
	}
	return checks
}

// rangeKnown says whether the range can be judged. Of one that reaches down to where servers listen it matters which
// ports are reserved, not only how many.
func (r *Recorded) rangeKnown() bool {
	return r.Range != nil && r.Reserved != nil && r.Range[0] <= r.Range[1] && (*r.Reserved == 0 || r.Range[0] >= serviceLow)
}

// audit is what was recorded as if it had just been read.
func (r *Recorded) audit() *host.Audit {
	a := &host.Audit{Sysctls: make(map[string]host.Fact[int]), HasIPv4: true}
	if r.Range != nil {
		a.PortRange = recorded("ip_local_port_range", host.PortRange{Low: r.Range[0], High: r.Range[1]})
	}
	if r.Range != nil && r.Reserved != nil {
		a.Reserved = recorded("ip_local_reserved_ports", someOf(r.Range, *r.Reserved))
	}
	set := func(name string, value int) { a.Sysctls[name] = recorded(name, value) }
	if r.Reuse != nil {
		set("tcp_tw_reuse", *r.Reuse)
	}
	if r.ReuseDelay != nil {
		set("tcp_tw_reuse_delay", int(r.ReuseDelay.Milliseconds()))
	}
	if r.Timestamps != nil && *r.Timestamps {
		set("tcp_timestamps", 1)
	} else if r.Timestamps != nil {
		set("tcp_timestamps", 0)
	}
	if r.FinTimeout != nil {
		set("tcp_fin_timeout", int(r.FinTimeout.Seconds()))
	}
	return a
}

func recorded[T any](name string, value T) host.Fact[T] {
	return host.Fact[T]{Value: value, Path: filepath.Join("/proc/sys/net/ipv4", name)}
}

// someOf are n ports of a range, the first ones: only how many there are is asked for.
func someOf(within *[2]uint16, n int) *host.PortSet {
	var set host.PortSet
	for port := int(within[0]); port <= int(within[1]) && n > 0; port++ {
		set.Add(uint16(port))
		n--
	}
	return &set
}
