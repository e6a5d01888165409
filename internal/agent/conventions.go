package agent

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// conventional gives the names of OpenTelemetry to the metrics for which it has some, and units to all that have one in
// their names.
type conventional struct{ metric.Producer }

// conventions are the semantic conventions for processes that fit. What goes up and down is a sum there, not a gauge.
var conventions = map[string]struct {
	name, unit string
	upDown     bool
}{
	"process_cpu_seconds_total":     {"process.cpu.time", "s", false},
	"process_resident_memory_bytes": {"process.memory.usage", "By", true},
	"process_virtual_memory_bytes":  {"process.memory.virtual", "By", true},
	"process_open_fds":              {"process.unix.file_descriptor.count", "{file_descriptor}", true},
}

// Produce returns all metrics.
func (c conventional) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	all, err := c.Producer.Produce(ctx)
	for i := range all {
		for k := range all[i].Metrics {
			convert(&all[i].Metrics[k])
		}
	}
	return all, err
}

func convert(m *metricdata.Metrics) {
	switch name := strings.TrimSuffix(m.Name, "_total"); {
	case strings.HasSuffix(name, "_seconds"):
		m.Unit = "s"
	case strings.HasSuffix(name, "_bytes"):
		m.Unit = "By"
	case strings.HasSuffix(name, "_ratio"):
		m.Unit = "1"
	}
	as, ok := conventions[m.Name]
	if !ok {
		return
	}
	m.Name, m.Unit = as.name, as.unit
	if g, ok := m.Data.(metricdata.Gauge[float64]); ok && as.upDown {
		m.Data = metricdata.Sum[float64]{DataPoints: g.DataPoints, Temporality: metricdata.CumulativeTemporality}
	}
}
