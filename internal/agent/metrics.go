package agent

import (
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tcpstate/tcpstate/internal/event"
)

// families are the metrics there are. docs/metrics.md is compared with them.
type families struct {
	connects, accepts, failures, closes, open, waits, waitsEntered, sent, received, lifetimes, connectTimes family

	verdict, capacity, used, reusable, usedRatio, exhaustions, seconds family

	kernelWaits, findings, events, lost, exact, tracer, incidents, programTime, programRuns, snapshot family

	destinations, maxDestinations, recording, recorded, recordedBytes, unrecorded, reloadOK, reloadAt family

	all []*family // in the order of their names
}

// family is one metric: its name, what it is, and which labels it can have.
type family struct {
	name, help string
	kind       dto.MetricType
	labels     []string

	metrics []*dto.Metric // being written
}

const (
	counter   = dto.MetricType_COUNTER
	gauge     = dto.MetricType_GAUGE
	histogram = dto.MetricType_HISTOGRAM
)

// The labels of most metrics. What is outbound has a destination, what was accepted a listener; in Kubernetes, all these
// have the labels namespace, pod and container, too.
const (
	connection = "service destination listener"
	outbound   = "service destination"
	accepted   = "service listener"
	budgeted   = "source destination"
)

func newFamilies() *families {
	f := &families{}
	add := func(to *family, kind dto.MetricType, name, help string, labels ...string) {
		*to = family{name: "tcpstate_" + name, help: help, kind: kind, labels: strings.Fields(strings.Join(labels, " "))}
		f.all = append(f.all, to)
	}
	add(&f.connects, counter, "connects_total", "Connections that this host has opened.", outbound)
	add(&f.accepts, counter, "accepts_total", "Connections that this host has accepted.", accepted)
	add(&f.failures, counter, "connect_failures_total", "Connects that failed, by errno; CANCELED: the application gave up.", outbound, "error")
	add(&f.closes, counter, "closes_total", "Connections that ended, by who closed first.", connection, "closed_by")
	add(&f.open, gauge, "open_connections", "Connections that are open.", connection)
	add(&f.waits, gauge, "time_wait", "Sockets that this host holds in TIME_WAIT.", connection)
	add(&f.waitsEntered, counter, "time_wait_entered_total", "Connections that ended in TIME_WAIT on this host.", connection)
	add(&f.sent, counter, "sent_bytes_total", "Payload sent, of open connections as it was told last.", connection)
	add(&f.received, counter, "received_bytes_total", "Payload received, of open connections as it was told last.", connection)
	add(&f.lifetimes, histogram, "connection_lifetime_seconds", "How long connections were open that have ended.", connection)
	add(&f.connectTimes, histogram, "connect_duration_seconds", "How long it took until connections were established.", outbound)

	add(&f.verdict, gauge, "verdict_info", "What the use of connections was judged to be in the last minutes.", outbound, "verdict", "kind", "confidence")
	add(&f.capacity, gauge, "port_capacity", "Local ports that connect() can choose from toward a destination.", budgeted)
	add(&f.used, gauge, "ports_used", "Local ports that are taken toward a destination.", budgeted)
	add(&f.reusable, gauge, "ports_reusable", "Those of the used ports that are in TIME_WAIT and that connect() takes over (tcp_tw_reuse).", budgeted)
	add(&f.usedRatio, gauge, "port_used_ratio", "Share of the local ports that is taken toward a destination.", budgeted)
	add(&f.exhaustions, counter, "port_exhaustions_total", "Connects that found no local port.", budgeted)
	add(&f.seconds, gauge, "seconds_to_exhaustion", "When no local port will be left if it goes on as in the last seconds; +Inf: it does not come to that.", budgeted)

	add(&f.kernelWaits, gauge, "kernel_time_wait", "TIME_WAIT sockets by the kernel's own count, by network namespace.", "netns")
	add(&f.findings, gauge, "findings", "What the report of the last minutes finds wrong.", "severity", "code")
	add(&f.events, counter, "events_total", "All that was seen, of whatever service.", "kind")
	add(&f.lost, counter, "lost_total", "What was not seen, or not with all details, by reason.", "reason")
	add(&f.exact, gauge, "totals_exact", "Whether all totals are exact in spite of what was lost.")
	add(&f.tracer, gauge, "tracer_info", "How it is traced; tier is the way in which TIME_WAIT is followed, 0: it is not.", "version", "tier", "kernel")
	add(&f.incidents, counter, "incidents_total", "How often what the flight recorder held was put aside.")
	add(&f.programTime, counter, "bpf_run_seconds_total", "CPU time of the tracing programs in the kernel.", "program")
	add(&f.programRuns, counter, "bpf_runs_total", "How often the tracing programs ran.", "program")
	add(&f.snapshot, gauge, "snapshot_timestamp_seconds", "When these figures were written down.")

	add(&f.destinations, gauge, "destinations", "Services and destinations that are told apart.")
	add(&f.maxDestinations, gauge, "destinations_limit", "How many can be told apart (--destinations); what is beyond is ~other.")
	add(&f.recording, gauge, "recorder_running", "Whether the flight recorder writes.")
	add(&f.recorded, counter, "recorder_events_total", "Events that the flight recorder has written.")
	add(&f.recordedBytes, counter, "recorder_written_bytes_total", "What the flight recorder has written.")
	add(&f.unrecorded, counter, "recorder_dropped_events_total", "Events that the flight recorder could not write, for the disk was full or slow.")
	add(&f.reloadOK, gauge, "config_reload_success", "Whether the configuration was good when it was read last.")
	add(&f.reloadAt, gauge, "config_reload_success_timestamp_seconds", "When a good configuration was read last.")
	slices.SortFunc(f.all, func(a, b *family) int { return strings.Compare(a.name, b.name) })
	return f
}

// familiesOf writes a snapshot as Prometheus has it, in the order of the names. Whoever reads that must not change it.
func familiesOf(s *Snapshot) []*dto.MetricFamily {
	w := writer{families: newFamilies(), start: timestamppb.New(s.Start)}
	for _, x := range s.Series {
		w.series(x, s.Tracer.Tier > 0)
	}
	for _, p := range s.Ports {
		w.port(p, s.Tracer.Tier > 0)
	}
	w.judgements(s)
	w.tracer(s)
	w.own(s)
	var out []*dto.MetricFamily
	for _, f := range w.all {
		if len(f.metrics) > 0 {
			out = append(out, &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: f.kind.Enum(), Metric: f.metrics})
		}
	}
	return out
}

// writer writes metrics. What it makes is unlike any other by its labels: the ledger has seen to that, and nothing checks
// it again, for at a thousand destinations that would be half of a scrape's time.
type writer struct {
	*families
	start *timestamppb.Timestamp // of counters that belong to nobody

	metrics  slab[dto.Metric]
	counters slab[dto.Counter]
	gauges   slab[dto.Gauge]
	values   slab[float64]
}

func (w *writer) series(s *Series, waits bool) {
	created := timestamppb.New(s.Created)
	count := func(f *family, n uint64, labels []*dto.LabelPair) { w.count(f, float64(n), created, labels) }
	base := s.pairs.base
	if s.Listener == "" {
		count(&w.connects, s.Opened, base)
		w.histogram(&w.connectTimes, s.ConnectTimes, created, base)
	} else {
		count(&w.accepts, s.Opened, base)
	}
	for i := range s.Failed {
		count(&w.failures, s.Failed[i].Count, s.Failed[i].pairs)
	}
	for by, n := range s.ClosedBy {
		if n > 0 || by != 0 && event.Closer(by) != event.ClosedBoth { // which are rare
			count(&w.closes, n, s.pairs.closedBy[by])
		}
	}
	w.gauge(&w.open, float64(s.Open), base)
	if waits {
		w.gauge(&w.waits, float64(s.TimeWait), base)
	}
	count(&w.waitsEntered, s.TimeWaitEntered, base)
	count(&w.sent, s.SentBytes, base)
	count(&w.received, s.ReceivedBytes, base)
	w.histogram(&w.lifetimes, s.Lifetimes, created, base)
}

func (w *writer) port(p *Port, waits bool) {
	w.count(&w.exhaustions, float64(p.Exhausted), timestamppb.New(p.Created), p.pairs)
	if !waits || p.Source == Other {
		return
	}
	w.gauge(&w.used, float64(p.Used), p.pairs)
	if p.Known {
		w.gauge(&w.capacity, float64(p.Capacity), p.pairs)
		w.gauge(&w.usedRatio, p.UsedRatio, p.pairs)
		w.gauge(&w.seconds, p.Seconds, p.pairs)
		if !p.Partial {
			w.gauge(&w.reusable, float64(p.Reusable), p.pairs)
		}
	}
}

func (w *writer) judgements(s *Snapshot) {
	for i := range s.Verdicts {
		w.gauge(&w.verdict, 1, s.Verdicts[i].pairs)
	}
	for f, n := range s.Findings {
		w.gauge(&w.findings, float64(n), pairsOf("severity", f.Severity, "code", f.Code))
	}
}

// shown are the kinds of events that happen while tracing, or are told when it begins.
var shown = []event.Kind{
	event.Connect, event.Accept, event.ConnectFailed, event.BindFailed, event.Close, event.TimeWait, event.TimeWaitEnd,
	event.Existing, event.Lost,
}

func (w *writer) tracer(s *Snapshot) {
	for _, n := range s.Namespaces {
		w.gauge(&w.kernelWaits, float64(n.TimeWait), pairsOf("netns", strconv.FormatUint(uint64(n.Netns), 10)))
	}
	for _, k := range shown {
		w.count(&w.events, float64(s.Events[k]), w.start, pairsOf("kind", k.String()))
	}
	for _, l := range s.Losses {
		w.count(&w.lost, float64(l.Count), w.start, pairsOf("reason", l.Name))
	}
	w.gauge(&w.exact, truth(s.Exact), nil)
	w.gauge(&w.families.tracer, 1, pairsOf(
		"version", clean(s.Tracer.Version), "tier", strconv.Itoa(s.Tracer.Tier), "kernel", clean(s.Tracer.Kernel)))
	for _, p := range s.Programs {
		labels := pairsOf("program", p.Name)
		w.count(&w.programTime, p.Runtime.Seconds(), w.start, labels)
		w.count(&w.programRuns, float64(p.Runs), w.start, labels)
	}
	w.gauge(&w.snapshot, float64(s.At.UnixMilli())/1e3, nil)
}

func (w *writer) own(s *Snapshot) {
	w.gauge(&w.destinations, float64(s.Destinations), nil)
	w.gauge(&w.maxDestinations, float64(s.MaxDestinations), nil)
	r := s.Recorder
	w.count(&w.incidents, float64(r.Incidents), w.start, nil)
	w.gauge(&w.recording, truth(r.Running), nil)
	w.count(&w.recorded, float64(r.Events), w.start, nil)
	w.count(&w.recordedBytes, float64(r.Bytes), w.start, nil)
	w.count(&w.unrecorded, float64(r.Dropped), w.start, nil)
	w.gauge(&w.reloadOK, truth(s.Reload.OK), nil)
	w.gauge(&w.reloadAt, float64(s.Reload.At.UnixMilli())/1e3, nil)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (w *writer) count(f *family, v float64, created *timestamppb.Timestamp, labels []*dto.LabelPair) {
	c := w.counters.next()
	c.Value, c.CreatedTimestamp = w.value(v), created
	w.add(f, labels).Counter = c
}

func (w *writer) gauge(f *family, v float64, labels []*dto.LabelPair) {
	g := w.gauges.next()
	g.Value = w.value(v)
	w.add(f, labels).Gauge = g
}

// histogram writes one in which there is something.
func (w *writer) histogram(f *family, h *Histogram, created *timestamppb.Timestamp, labels []*dto.LabelPair) {
	if h != nil {
		w.add(f, labels).Histogram = h.native(created)
	}
}

func (w *writer) add(f *family, labels []*dto.LabelPair) *dto.Metric {
	m := w.metrics.next()
	m.Label = labels
	f.metrics = append(f.metrics, m)
	return m
}

func (w *writer) value(v float64) *float64 {
	p := w.values.next()
	*p = v
	return p
}

// slab allocates many at once.
type slab[T any] struct{ free []T }

func (s *slab[T]) next() *T {
	if len(s.free) == 0 {
		s.free = make([]T, 256)
	}
	p := &s.free[0]
	s.free = s.free[1:]
	return p
}

// Metric describes a metric that there is.
type Metric struct {
	Name, Help, Type string
	Labels           []string
}

// Metrics are all metrics of the agent, in the order of their names, those of the process itself apart.
func Metrics() []Metric {
	var all []Metric
	for _, f := range newFamilies().all {
		all = append(all, Metric{f.name, f.help, strings.ToLower(f.kind.String()), f.labels})
	}
	return all
}
