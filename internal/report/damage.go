package report

import (
	"fmt"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// Damage is what is wrong with a capture, as far as reading it has shown.
type Damage struct {
	Places []string // what is wrong, and where; the first of them
	More   int      // how many more there were
	// EventsMissing is how many events are missing, at most; Unknown: nothing tells how many more.
	EventsMissing uint64
	Unknown       bool
}

// maxDamage is how many places are named.
const maxDamage = 20

// Add notes one place.
func (d *Damage) Add(where string, missing uint64, unknown bool) {
	if len(d.Places) < maxDamage {
		d.Places = append(d.Places, where)
	} else {
		d.More++
	}
	d.EventsMissing += missing
	d.Unknown = d.Unknown || unknown
}

// Join adds all of o.
func (d *Damage) Join(o *Damage) {
	for _, p := range o.Places {
		d.Add(p, 0, false)
	}
	d.More += o.More
	d.EventsMissing += o.EventsMissing
	d.Unknown = d.Unknown || o.Unknown
}

// CaptureDamage is what is wrong with the capture that a report is made from.
type CaptureDamage struct {
	Places        []string `json:"places"`
	PlacesOmitted int      `json:"places_omitted"`
	// EventsMissing is how many events are missing, at most; null: nobody knows how many.
	EventsMissing *uint64 `json:"events_missing"`
}

func (d *Damage) loss() *CaptureDamage {
	c := &CaptureDamage{Places: make([]string, len(d.Places)), PlacesOmitted: d.More}
	for i, p := range d.Places {
		c.Places[i] = event.Printable(p)
	}
	if !d.Unknown {
		c.EventsMissing = &d.EventsMissing
	}
	return c
}

// sentence says how much is missing.
func (c *CaptureDamage) sentence() string {
	if c.EventsMissing == nil {
		return "The capture is not whole, and nobody knows how many events are missing: totals are what was read."
	}
	return fmt.Sprintf("The capture is damaged: %s missing at most.", form.Count(*c.EventsMissing, "event"))
}

// findDamage says that a capture is not whole, before anybody believes its figures.
func (d *Document) findDamage() {
	c := d.Loss.Capture
	if c == nil {
		return
	}
	evidence := c.Places
	if c.PlacesOmitted > 0 {
		evidence = append(evidence[:len(evidence):len(evidence)], form.Count(uint64(c.PlacesOmitted), "more place"))
	}
	d.found(Finding{
		Severity: Warning, Code: CodeCaptureDamaged, Summary: c.sentence(), Evidence: evidence, Advice: []string{},
	})
}
