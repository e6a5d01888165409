package page

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tcpstate/tcpstate/internal/doctor"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// The bounds of what is told of network namespaces. Hosts with many containers have hundreds, most of them alike.
const (
	maxSpaces = 12 // with different settings
	maxAlike  = 12 // that are named where they have the same
)

// space is the settings of network namespaces that have the same, with what doctor says of them.
type space struct {
	*report.Namespace // the first of them
	Settings          []setting
	Members           []*report.Namespace
	More              int // beyond those in Members
}

// setting is one line of the table of a namespace.
type setting struct {
	Name, Value string
	Check       *doctor.Check // nil: nothing to say

	code string
}

// layNamespaces puts those together that have the same settings, those first of which there is most to change.
func (v *view) layNamespaces() {
	groups := make(map[string]int)
	for i := range v.Namespaces {
		n := &v.Namespaces[i]
		if n.Range == nil {
			v.Unknown = append(v.Unknown, unknown(n))
			continue
		}
		settings := settingsOf(n)
		key := n.Host + fmt.Sprint(settings)
		at, ok := groups[key]
		if !ok {
			at = len(v.Spaces)
			groups[key] = at
			v.Spaces = append(v.Spaces, space{Namespace: n, Settings: settings})
		}
		v.Spaces[at].add(n)
	}
	for i := range v.Spaces {
		v.Spaces[i].judge()
	}
	slices.SortStableFunc(v.Spaces, func(a, b space) int { return cmp.Compare(b.faults(), a.faults()) })
	if n := len(v.Spaces) - maxSpaces; n > 0 {
		v.Spaces, v.SpacesLeft = v.Spaces[:maxSpaces], n
	}
	if n := len(v.Unknown) - maxAlike; n > 0 {
		v.Unknown = append(v.Unknown[:maxAlike], form.Count(n, "more network namespace")+".")
	}
}

// unknown says that nothing is known of a namespace's settings, and why.
func unknown(n *report.Namespace) string {
	s := "The settings of " + title(n) + " are not known"
	if n.WhyUnseen != "" {
		s += ": " + n.WhyUnseen
	}
	return s + "."
}

func title(n *report.Namespace) string {
	s := "a network namespace"
	if n.Netns != nil {
		s = "network namespace " + plain(n.Netns)
	}
	if n.Host != "" {
		s += " of " + n.Host
	}
	return s
}

func (s *space) add(n *report.Namespace) {
	if len(s.Members) == maxAlike {
		s.More++
		return
	}
	s.Members = append(s.Members, n)
}

// Title names the namespaces.
func (s *space) Title() string {
	t := title(s.Namespace)
	if n := len(s.Members) + s.More - 1; n > 0 {
		t += " and " + form.Count(n, "other") + " with the same settings"
	}
	return "N" + t[1:]
}

// settingsOf are those that were recorded.
func settingsOf(n *report.Namespace) []setting {
	return []setting{
		{Name: "net.ipv4.ip_local_port_range", Value: fmt.Sprintf("%d %d", n.Range[0], n.Range[1]), code: "port-range"},
		{Name: "reserved ports in that range", Value: count(n.Reserved)},
		{Name: "net.ipv4.tcp_tw_reuse", Value: count(n.Reuse), code: "tw-reuse"},
		{Name: "net.ipv4.tcp_tw_reuse_delay", Value: report.Seconds(n.Delay)},
		{Name: "net.ipv4.tcp_timestamps", Value: onOff(n.Stamps), code: "timestamps"},
		{Name: "net.ipv4.tcp_fin_timeout", Value: report.Seconds(n.Fin), code: "fin-timeout"},
		{Name: "net.ipv4.tcp_max_tw_buckets", Value: count(n.Buckets)},
	}
}

// judge adds what doctor says.
func (s *space) judge() {
	recorded := doctor.Recorded{
		Range: s.Range, Reserved: s.Reserved, Reuse: s.Reuse, ReuseDelay: duration(s.Delay), Timestamps: s.Stamps,
		FinTimeout: duration(s.Fin),
	}
	checks := recorded.Checks()
	for i := range s.Settings {
		for j := range checks {
			if checks[j].Code == s.Settings[i].code {
				s.Settings[i].Check = &checks[j]
			}
		}
	}
}

// faults is how many settings are to be changed.
func (s *space) faults() (n int) {
	for i := range s.Settings {
		if c := s.Settings[i].Check; c != nil && c.Write != nil {
			n++
		}
	}
	return n
}

// Mark is the class of the check's status.
func (s setting) Mark() string {
	switch s.Check.Status {
	case doctor.Critical:
		return "bad"
	case doctor.Warning:
		return "warn"
	case doctor.OK:
		return "good"
	}
	return "dull"
}

func duration(d *report.Decimal) *time.Duration {
	if d == nil {
		return nil
	}
	t := time.Duration(float64(*d) * float64(time.Second))
	return &t
}

func onOff(b *bool) string {
	switch {
	case b == nil:
		return none
	case *b:
		return "on"
	}
	return "off"
}
