package report

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
)

// Charts are how a row went on over the window, in steps of equal length from Start on, and how long its connections
// lived. All slices but Lifetimes have one number a step.
type Charts struct {
	Start       *Time   `json:"start"`
	StepSeconds Decimal `json:"step_seconds"`
	// Opened and Closed count within each step, and so does Failed, by errno.
	Opened []uint64            `json:"opened"`
	Closed []uint64            `json:"closed"`
	Failed map[string][]uint64 `json:"failed"`
	// Open and TimeWait are how many there were when the step ended; TimeWait is null when the ends of TIME_WAITs were not
	// observed.
	Open     []uint64 `json:"open"`
	TimeWait []uint64 `json:"time_wait"`
	// Lifetimes are the buckets in which there is something, the shortest first.
	Lifetimes []Bucket `json:"lifetime_histogram"`
}

// Bucket counts the values from Least to below Below, in seconds.
type Bucket struct {
	Least Decimal `json:"least_seconds"`
	Below Decimal `json:"below_seconds"`
	Count uint64  `json:"count"`
}

// PortCharts are how a budget of ports was used over the window: the ports held when each step ended, and how many of
// them by TIME_WAITs. They are counted from beginnings and ends, whatever Port.Basis says.
type PortCharts struct {
	Start       *Time    `json:"start"`
	StepSeconds Decimal  `json:"step_seconds"`
	Used        []uint64 `json:"used"`
	TimeWait    []uint64 `json:"time_wait"`
}

// PortOf returns the budget that r's connections use up, nil for inbound rows and where it is not known.
func (d *Document) PortOf(r *Destination) *Port { return r.port }

// link finds the budget of each row.
func (d *Document) link() {
	ports := make(map[*churn.Budget]*Port, len(d.Ports))
	for i := range d.Ports {
		ports[d.Ports[i].budget] = &d.Ports[i]
	}
	for i := range d.Destinations {
		if b := d.Destinations[i].budget; b != nil {
			d.Destinations[i].port = ports[b]
		}
	}
}

// chart gives the rows that are asked for, and their budgets, their charts.
func (d *Document) chart(in *Input, rows map[int]*churn.Row) {
	for i := range d.Destinations {
		if r := &d.Destinations[i]; i < in.Charted {
			r.Charts = in.charts(rows[r.ID])
			in.chartPort(r.port)
		}
	}
	if len(in.Chart) == 0 {
		return
	}
	wanted := make(map[int]bool, len(in.Chart))
	for _, id := range in.Chart {
		wanted[id] = true
	}
	for i := range d.Destinations {
		if r := &d.Destinations[i]; wanted[r.ID] && r.Charts == nil {
			r.Charts = in.charts(rows[r.ID])
			in.chartPort(r.port)
		}
	}
}

func (in *Input) charts(r *churn.Row) *Charts {
	c := in.Table.Course(r)
	if c == nil {
		return nil
	}
	charts := &Charts{
		Start: timeOf(c.Start), StepSeconds: Decimal(c.Step.Seconds()), Opened: c.Opened, Closed: c.Closed,
		Failed: make(map[string][]uint64), Open: c.Open, Lifetimes: buckets(r.Lifetimes),
	}
	for err, n := range c.Failed {
		addTo(charts.Failed, errorName(err), n)
	}
	if in.TimeWait != nil {
		charts.TimeWait = c.TimeWait
	}
	return charts
}

// addTo adds numbers, for two errors can have one name.
func addTo(all map[string][]uint64, name string, n []uint64) {
	if all[name] == nil {
		all[name] = n
		return
	}
	for i := range n {
		all[name][i] += n[i]
	}
}

func (in *Input) chartPort(p *Port) {
	if p == nil || p.Charts != nil {
		return
	}
	c := in.Table.BudgetCourse(p.budget)
	if c == nil {
		return
	}
	p.Charts = &PortCharts{Start: timeOf(c.Start), StepSeconds: Decimal(c.Step.Seconds()), TimeWait: c.TimeWait, Used: c.Open}
	for i, n := range c.TimeWait {
		p.Charts.Used[i] += n
	}
}

func buckets(h *churn.Histogram) []Bucket {
	all := []Bucket{}
	for b := range h.Buckets {
		all = append(all, Bucket{Least: secondsOf(b.Least), Below: secondsOf(b.Below), Count: b.Count})
	}
	return all
}

func secondsOf(ns uint64) Decimal { return Decimal(float64(ns) / float64(time.Second)) }
