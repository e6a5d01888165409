package plan

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/form"
)

// Document is a plan, as JSON has it; the other forms are readings of it.
type Document struct {
	Schema string `json:"schema"`
	Given  given  `json:"given"`
	Outcome
	Remedies []Remedy `json:"remedies"`
	Notes    []string `json:"notes"`
}

// given is what the sums were done with.
type given struct {
	Preset       *string `json:"preset"`
	Rate         *figure `json:"rate_per_second"`
	Reuse        figure  `json:"reuse_ratio"`
	Opened       *figure `json:"opened_per_second"`
	Ports        ports   `json:"ports"`
	TimeWait     figure  `json:"time_wait_seconds"`
	Lifetime     figure  `json:"lifetime_seconds"`
	Sources      int     `json:"sources"`
	Destinations int     `json:"destinations"`
}

type ports struct {
	Count    int     `json:"count"`
	Basis    Basis   `json:"basis"`
	Range    *[2]int `json:"range"`
	Reserved *int    `json:"reserved"`
	Blocked  *int    `json:"blocked"`
}

// Build does the sums for s and for each remedy.
func Build(s *Scenario) *Document {
	return &Document{
		Schema: "tcpstate.plan/v1", Given: describe(s), Outcome: s.outcome(), Remedies: side(s), Notes: notes(s),
	}
}

func describe(s *Scenario) given {
	g := given{
		Reuse: figure(clean(1 - s.New)), Ports: s.Ports.document(), TimeWait: figure(s.TimeWait.Seconds()),
		Lifetime: figure(s.Lifetime.Seconds()), Sources: s.Sources, Destinations: s.Destinations,
	}
	if s.Preset.Name != "" {
		g.Preset = &s.Preset.Name
	}
	if s.Rate > 0 {
		asked, opened := figure(clean(s.Rate)), near(s.opened())
		g.Rate, g.Opened = &asked, &opened
	}
	return g
}

func (p *Ports) document() ports {
	d := ports{Count: p.Count, Basis: p.Basis}
	if p.Low > 0 {
		d.Range = &[2]int{int(p.Low), int(p.High)}
	}
	if p.Host != nil {
		d.Reserved, d.Blocked = &p.Host.Reserved, p.Host.Blocked
	}
	return d
}

// WriteJSON writes d as one JSON document and a newline, on one line or indented.
func WriteJSON(w io.Writer, d *Document, indent bool) error {
	return form.JSON(w, d, indent, "write plan")
}

// WriteCSV writes a line for the plan without a remedy, and one for each remedy. What is null in JSON is empty.
func WriteCSV(w io.Writer, d *Document) error {
	lines := [][]string{{
		"remedy", "setting", "lasting_per_second", "ports_needed", "capacity", "seconds_to_slow_half", "seconds_to_exhaustion", "lasts",
	}}
	lines = append(lines, d.line("none", ""))
	for i := range d.Remedies {
		r := &d.Remedies[i]
		lines = append(lines, r.line(r.Name, r.Setting))
	}
	c := csv.NewWriter(w)
	if err := c.WriteAll(lines); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func (o *Outcome) line(name, setting string) []string {
	line := []string{name, setting, plainly(&o.Lasting), "", strconv.FormatInt(o.Capacity, 10), "", plainly(o.Exhaustion), ""}
	if o.Lasts != nil {
		line[3], line[7] = strconv.FormatInt(*o.PortsNeeded, 10), strconv.FormatBool(*o.Lasts)
	}
	if o.SlowHalf != nil {
		line[5] = plainly(o.SlowHalf.Seconds)
	}
	return line
}

// plainly writes all digits of f, nothing when there is none.
func plainly(f *figure) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*f), 'f', -1, 64)
}
