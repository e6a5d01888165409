package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Merge makes one document of several, of different hosts or recordings. Each row, port budget, namespace and finding
// says which host it is of; nothing of two hosts is added up but losses and counts of events.
func Merge(parts []*Document) *Document {
	if len(parts) == 1 {
		return parts[0]
	}
	m := &Document{
		Schema: Schema, Findings: []Finding{}, Destinations: []Destination{}, BindFailures: []BindFailure{}, Namespaces: []Namespace{},
		HooksAbsent: []string{},
	}
	m.Loss.TotalsExact = true
	names := hostNames(parts)
	for i, d := range parts {
		d.at(names[i])
		m.add(d)
	}
	m.Host = Host{Name: strings.Join(names, ", "), Kernel: oneOf(parts, func(d *Document) string { return d.Host.Kernel }), Source: fmt.Sprintf("%d recordings", len(parts)), Hooks: []string{}}
	m.Filter.Expression = oneOf(parts, func(d *Document) string { return d.Filter.Expression })
	sortByHarm(m.Destinations)
	m.limitCharts(parts)
	slices.SortStableFunc(m.Findings, func(a, b Finding) int { return cmp.Compare(weight(a.Severity), weight(b.Severity)) })
	if n := len(m.Findings); n > maxFindings {
		m.FindingsOmitted += n - maxFindings
		m.Findings = m.Findings[:maxFindings]
	}
	return m
}

// limitCharts keeps as many charts as one of the parts had.
func (d *Document) limitCharts(parts []*Document) {
	most := 0
	for _, p := range parts {
		n := 0
		for i := range p.Destinations {
			if p.Destinations[i].Charts != nil {
				n++
			}
		}
		most = max(most, n)
	}
	kept := make(map[*PortCharts]bool)
	for i := range d.Destinations {
		r := &d.Destinations[i]
		if i >= most {
			r.Charts = nil
		} else if r.port != nil {
			kept[r.port.Charts] = true
		}
	}
	for i := range d.Ports {
		if !kept[d.Ports[i].Charts] {
			d.Ports[i].Charts = nil
		}
	}
}

// hostNames are the names of the parts, with their source where one host has several.
func hostNames(parts []*Document) []string {
	count := make(map[string]int)
	for _, d := range parts {
		count[d.Host.Name]++
	}
	names := make([]string, len(parts))
	for i, d := range parts {
		if names[i] = d.Host.Name; count[d.Host.Name] > 1 {
			names[i] += " (" + d.Host.Source + ")"
		}
	}
	return names
}

// oneOf is what all parts say, or how many different things they say.
func oneOf(parts []*Document, of func(*Document) string) string {
	var all []string
	for _, d := range parts {
		if s := of(d); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, ", ")
}

// at says of everything in d that it is of a host.
func (d *Document) at(host string) {
	for i := range d.Destinations {
		d.Destinations[i].Host = host
	}
	for i := range d.Ports {
		d.Ports[i].Host = host
	}
	for i := range d.Namespaces {
		d.Namespaces[i].Host = host
	}
	for i := range d.BindFailures {
		d.BindFailures[i].Host = host
	}
	for i := range d.Findings {
		d.Findings[i].Host = host
		d.Findings[i].Summary = host + ": " + d.Findings[i].Summary
	}
}

func (d *Document) add(o *Document) {
	d.Window.add(&o.Window)
	d.Filter.Matched += o.Filter.Matched
	d.Filter.Excluded += o.Filter.Excluded
	d.Loss.add(&o.Loss)
	d.Findings = append(d.Findings, o.Findings...)
	d.FindingsOmitted += o.FindingsOmitted
	d.Destinations = append(d.Destinations, o.Destinations...)
	d.DestinationsOmitted += o.DestinationsOmitted
	if d.Ports == nil && o.Ports != nil {
		d.Ports = []Port{} // observed, and none
	}
	d.Ports = append(d.Ports, o.Ports...)
	d.PortsOmitted += o.PortsOmitted
	d.BindFailures = append(d.BindFailures, o.BindFailures...)
	d.BindFailuresOmitted += o.BindFailuresOmitted
	d.Namespaces = append(d.Namespaces, o.Namespaces...)
	d.NamespacesOmitted += o.NamespacesOmitted
	for _, h := range o.HooksAbsent {
		if !slices.Contains(d.HooksAbsent, h) {
			d.HooksAbsent = append(d.HooksAbsent, h)
		}
	}
}

// add widens the window. Its length is then from the first beginning to the last end.
func (w *Window) add(o *Window) {
	if o.Start != nil && (w.Start == nil || *o.Start < *w.Start) {
		w.Start = o.Start
	}
	if o.End != nil && (w.End == nil || *o.End > *w.End) {
		w.End = o.End
	}
	if w.Start != nil && w.End != nil {
		w.Seconds = Decimal(float64(*w.End-*w.Start) / 1e9)
	}
}

func (l *Loss) add(o *Loss) {
	l.EventsLost += o.EventsLost
	l.SocketsEvicted += o.SocketsEvicted
	l.ServicesUnknown += o.ServicesUnknown
	l.ServicesRefused += o.ServicesRefused
	l.EventsUnassigned += o.EventsUnassigned
	l.EventsMerged += o.EventsMerged
	l.RecursionLost += o.RecursionLost
	l.EndsUnseen += o.EndsUnseen
	l.EventsRepeated += o.EventsRepeated
	l.TotalsExact = l.TotalsExact && o.TotalsExact
	switch {
	case o.Capture == nil:
	case l.Capture == nil:
		l.Capture = o.Capture
	default:
		l.Capture.add(o.Capture)
	}
}

func (c *CaptureDamage) add(o *CaptureDamage) {
	c.Places = append(c.Places, o.Places...)
	c.PlacesOmitted += o.PlacesOmitted
	if c.EventsMissing == nil || o.EventsMissing == nil {
		c.EventsMissing = nil
		return
	}
	n := *c.EventsMissing + *o.EventsMissing
	c.EventsMissing = &n
}

// whose is the service's name, behind its host's where there are several.
func whose(host string, s *Service) string {
	if host == "" {
		return s.Name
	}
	return host + "/" + s.Name
}
