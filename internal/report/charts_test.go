package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

func last(n []uint64) uint64 { return n[len(n)-1] }

func sum(n []uint64) (s uint64) {
	for _, k := range n {
		s += k
	}
	return s
}

func TestChartsAddUpToTheFigures(t *testing.T) {
	in := busyHost()
	in.Charted = 1000
	d := Build(in)
	for i := range d.Destinations {
		r := &d.Destinations[i]
		c := r.Charts
		if c == nil {
			t.Fatalf("%s to %s has no charts", r.Service.Name, r.place())
		}
		lives := uint64(0)
		for _, b := range c.Lifetimes {
			lives += b.Count
		}
		if sum(c.Opened) != r.Opened || sum(c.Closed) != r.Closed || last(c.Open) != r.Open.Now || lives > r.Closed ||
			last(c.TimeWait) != *r.TimeWait.Now {
			t.Errorf("%s to %s: %d opened, %d closed, %d open, %d lives, %d TIME_WAIT in the charts of %+v",
				r.Service.Name, r.place(), sum(c.Opened), sum(c.Closed), last(c.Open), lives, last(c.TimeWait), r)
		}
		for name, n := range r.Failed {
			if sum(c.Failed[name]) != n {
				t.Errorf("%s to %s: %d failed with %s in the chart, %d in the row", r.Service.Name, r.place(), sum(c.Failed[name]), name, n)
			}
		}
		if p := d.PortOf(r); (p == nil) != (r.Direction == "inbound") {
			t.Errorf("%s %s: budget %+v", r.Direction, r.place(), p)
		} else if p != nil && (p.place() != r.place() || *p.Src != *r.Local.Addr || last(p.Charts.Used) != p.Used) {
			t.Errorf("%s to %s: budget of %s to %s, %d used, %v in the chart", *r.Local.Addr, r.place(), *p.Src, p.place(), p.Used, p.Charts.Used)
		}
	}
}

func TestChartsAreForTheWorstAndForThoseAskedFor(t *testing.T) {
	in := busyHost()
	in.Charted = 1
	all := Build(in)
	chosen := all.Destinations[3].ID
	in.Chart = []int{chosen, 4711}
	for i, r := range Build(in).Destinations {
		if want := i == 0 || i == 3; (r.Charts != nil) != want || want && r.ID != all.Destinations[i].ID {
			t.Errorf("row %d (ID %d): charts %v", i, r.ID, r.Charts != nil)
		}
	}
	in = busyHost()
	in.TimeWait = nil
	if d := Build(in); d.Destinations[0].Charts.TimeWait != nil || d.PortOf(&d.Destinations[0]) != nil {
		t.Error("TIME_WAITs in a chart although their ends were not observed")
	}
}

func TestMergedReportsHaveNoMoreChartsThanOne(t *testing.T) {
	a, b := busyHost(), busyHost()
	b.Host = "web2"
	m := Merge([]*Document{Build(a), Build(b)})
	rows, ports := 0, 0
	for i := range m.Destinations {
		if m.Destinations[i].Charts != nil {
			rows++
		}
	}
	for i := range m.Ports {
		if m.Ports[i].Charts != nil {
			ports++
		}
	}
	if rows != 2 || ports != 2 {
		t.Errorf("%d rows and %d budgets have charts, want 2 and 2", rows, ports)
	}
}

// manyDestinations are services that connect to n destinations, as a live view meets them.
func manyDestinations(n int) Input {
	h := &happenings{}
	for i := range n {
		c := connecting(h, fmt.Sprint("service", i%20), uint32(i), fmt.Sprintf("10.2.%d.%d:5432", i>>8, i&255))
		for k := range 30 {
			c.connect(time.Duration(k)*300*time.Millisecond+time.Duration(i)*time.Microsecond, time.Duration(1+i%7)*time.Millisecond, 1)
		}
		if i%50 == 0 {
			c.fail(time.Second, event.EADDRNOTAVAIL, event.PortsExhausted)
		}
	}
	table := h.table(churn.Options{Steps: true, Recent: true})
	table.SetHost(settings())
	return Input{Table: table, Service: known77, Facts: Facts{TimeWait: &TimeWaitInput{Tier: 2, Exact: true}}}
}

func BenchmarkBuildManyDestinations(b *testing.B) {
	in := manyDestinations(4096)
	b.ReportAllocs()
	for b.Loop() {
		Build(in)
	}
}
