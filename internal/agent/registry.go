package agent

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// gatherer is all metrics: those of the latest snapshot, and what the process itself costs.
type gatherer struct {
	state   *State
	process *prometheus.Registry

	mu       sync.Mutex
	of       *Snapshot
	families []*dto.MetricFamily // of it: several may ask within a second
}

// NewGatherer returns what Prometheus, or an exporter, reads all metrics from.
func NewGatherer(state *State) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &gatherer{state: state, process: r}
}

// Gather returns the metrics by name. Nobody may change them.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	all, err := g.process.Gather()
	all = append(all, g.latest()...)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all, err
}

func (g *gatherer) latest() []*dto.MetricFamily {
	s := g.state.Latest()
	if s == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of != s {
		g.of, g.families = s, familiesOf(s)
	}
	return g.families
}
