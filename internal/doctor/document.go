// Package doctor judges the settings of a host: which ports connect() can choose, how long TIME_WAIT keeps them, and
// what those who listen are allowed. It reads nothing: what there is to know comes from package host.
package doctor

import (
	"cmp"
	"slices"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// Status is how a check ended.
type Status string

// The statuses. Info is worth knowing and nothing to act on; Unknown says in the meaning why.
const (
	OK       Status = "ok"
	Info     Status = "info"
	Unknown  Status = "unknown"
	Warning  Status = "warning"
	Critical Status = "critical"
)

// rank orders statuses, harmless first.
func (s Status) rank() int { return slices.Index([]Status{OK, Info, Unknown, Warning, Critical}, s) }

// Where a line is to be written.
const (
	toSysctl  = "sysctl"  // a file in /etc/sysctl.d
	toSystemd = "systemd" // the [Service] section of a unit
)

// Check is one thing that was looked at.
type Check struct {
	// Netns is the namespace's inode number; nil: the whole host.
	Netns *uint32 `json:"netns"`
	// Code names the check. It does not change.
	Code   string `json:"code"`
	Status Status `json:"status"`
	// Set is what is set or counted, nil if that is not known.
	Set *string `json:"set"`
	// Meaning is what that means here.
	Meaning string `json:"meaning"`
	// Write is the line that puts it right, nil if there is none, and WriteTo where it belongs.
	Write   *string `json:"write"`
	WriteTo *string `json:"write_to"`
	// Source is how it is known: files, functions of the kernel, manual pages.
	Source string `json:"source"`

	// partial: what is unknown is only whether there is more than what was seen, which is in order.
	partial bool
}

// Document is the whole audit.
type Document struct {
	Schema string   `json:"schema"`
	Host   HostName `json:"host"`
	Status Status   `json:"status"` // the worst
	Counts Counts   `json:"counts"`
	// ExitCode is what --check makes of it: 0 in order, 1 a warning or a setting that is unknown, 2 critical. Whether
	// there is more than this user may see does not count.
	ExitCode int `json:"exit_code"`
	// Namespaces are those that were found, this process's first.
	Namespaces []Namespace `json:"namespaces"`
	Checks     []Check     `json:"checks"`
	Ports      []PortUse   `json:"ports"`
	// PortsOmitted is how many pairs of source and destination are left out of Ports, those that hold the fewest.
	PortsOmitted int `json:"ports_omitted"`
}

// HostName says which host it is.
type HostName struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
}

// Counts is how many checks ended how.
type Counts struct {
	OK       int `json:"ok"`
	Info     int `json:"info"`
	Unknown  int `json:"unknown"`
	Warning  int `json:"warning"`
	Critical int `json:"critical"`
}

// Namespace is a network namespace.
type Namespace struct {
	Netns uint32 `json:"netns"`
	// Own: this process lives in it. Host: process 1 does; nil if that is not known.
	Own  bool  `json:"own"`
	Host *bool `json:"host"`
	// Path is a file by which it can be entered.
	Path string `json:"path"`
}

// Place is an address with a port.
type Place struct {
	Addr string `json:"addr"`
	Port uint16 `json:"port"`
}

// PortUse is a port budget: what one source address holds toward one destination.
type PortUse struct {
	Netns    uint32         `json:"netns"`
	Src      string         `json:"src"`
	Dst      Place          `json:"dst"`
	Range    [2]uint16      `json:"range"`
	Reserved int            `json:"reserved"`
	Capacity int            `json:"capacity"`
	Used     int            `json:"used"`
	Reusable int            `json:"reusable"` // of Used, TIME_WAITs that connect() may take over
	Ratio    float64        `json:"used_ratio"`
	ByState  map[string]int `json:"by_state"`
}

// Input is what is known of a host.
type Input struct {
	Host, Kernel string
	// Spaces are the network namespaces, this process's first.
	Spaces []Space
	// Processes that listen, in any of them; ProcessesErr says why they are not known.
	Processes    host.Processes
	ProcessesErr error
	Configured   host.Configured
	Limits       host.Limits
	Capabilities host.Fact[uint64]
	// Unseen is why there may be more namespaces.
	Unseen []string
}

// Space is one network namespace, or why it could not be entered.
type Space struct {
	Namespace
	Audit *host.Audit
	Err   error
}

// Examine judges.
func Examine(in *Input) *Document {
	d := &Document{
		Schema: "tcpstate.doctor/v1", Host: HostName{in.Host, in.Kernel}, Status: OK,
		Namespaces: []Namespace{}, Checks: []Check{}, Ports: []PortUse{},
	}
	for i := range in.Spaces {
		s := &in.Spaces[i]
		d.Namespaces = append(d.Namespaces, s.Namespace)
		if s.Audit == nil {
			d.add(&s.Netns, s.unentered())
			continue
		}
		e := newExaminer(in, s)
		for _, check := range e.checks() {
			d.add(&s.Netns, check)
		}
		d.Ports = append(d.Ports, e.ports...)
	}
	for _, check := range in.hostChecks() {
		d.add(nil, check)
	}
	d.limitPorts()
	return d
}

// maxPorts bounds what is listed.
const maxPorts = 100

func (d *Document) limitPorts() {
	slices.SortStableFunc(d.Ports, func(a, b PortUse) int { return cmp.Compare(b.Ratio, a.Ratio) })
	d.PortsOmitted = max(0, len(d.Ports)-maxPorts)
	d.Ports = d.Ports[:len(d.Ports)-d.PortsOmitted]
}

// add makes a check printable, and counts it.
func (d *Document) add(netns *uint32, c Check) {
	c.Netns = netns
	c.Meaning, c.Source = event.Printable(c.Meaning), event.Printable(c.Source)
	if c.Set != nil {
		set := event.Printable(*c.Set)
		c.Set = &set
	}
	d.Checks = append(d.Checks, c)
	if c.Status.rank() > d.Status.rank() {
		d.Status = c.Status
	}
	switch {
	case c.Status == Critical:
		d.ExitCode = 2
	case c.Status == Warning || c.Status == Unknown && !c.partial:
		d.ExitCode = max(d.ExitCode, 1)
	}
	switch c.Status {
	case OK:
		d.Counts.OK++
	case Info:
		d.Counts.Info++
	case Warning:
		d.Counts.Warning++
	case Critical:
		d.Counts.Critical++
	default:
		d.Counts.Unknown++
	}
}

func (s *Space) unentered() Check {
	return Check{
		Code: "namespace", Status: Unknown, Meaning: "Nothing of this namespace is known: " + s.Err.Error() + ".",
		Source: s.Path,
	}
}
