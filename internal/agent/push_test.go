package agent

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	otlp "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// collected is a little OpenTelemetry collector.
type collected struct {
	mu       sync.Mutex
	requests []*collector.ExportMetricsServiceRequest
	come     chan struct{}
	refuse   bool
}

func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/metrics" || c.refuse {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	text, err := io.ReadAll(body)
	request := &collector.ExportMetricsServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(text, request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.requests = append(c.requests, request)
	c.mu.Unlock()
	select {
	case c.come <- struct{}{}:
	default:
	}
}

func TestWhatACollectorGets(t *testing.T) {
	c := &collected{come: make(chan struct{}, 1)}
	server := httptest.NewServer(c)
	defer server.Close()
	ledger, _ := busy(3)
	state := NewState()
	state.Publish(complete(ledger.Publish(noon+30e9, true)))
	stop, err := Push(context.Background(), PushOptions{
		Endpoint: server.URL, Interval: 50 * time.Millisecond, Version: "1.2.3", Host: "web1",
		Failed: func(err error) { t.Errorf("push: %v", err) },
	}, NewGatherer(state))
	if err != nil {
		t.Fatal(err)
	}
	<-c.come
	stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.requests[0].GetResourceMetrics()[0]
	var about []string
	for _, a := range r.GetResource().GetAttributes() {
		about = append(about, a.GetKey()+"="+a.GetValue().GetStringValue())
	}
	if got := strings.Join(about, " "); got != "host.name=web1 service.name=tcpstate service.version=1.2.3" {
		t.Errorf("the resource: %s", got)
	}
	byName := make(map[string]*otlp.Metric)
	for _, m := range r.GetScopeMetrics()[0].GetMetrics() {
		byName[m.GetName()] = m
	}
	connects := byName["tcpstate_connects_total"].GetSum()
	if !connects.GetIsMonotonic() || connects.GetAggregationTemporality() != otlp.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
		t.Errorf("connects: %v", connects)
	}
	for _, p := range connects.GetDataPoints() {
		if p.GetAsDouble() != 20 || p.GetStartTimeUnixNano() != uint64(noon) {
			t.Errorf("connects: %v since %d", p.GetAsDouble(), p.GetStartTimeUnixNano())
		}
	}
	if n := len(connects.GetDataPoints()); n != 3 {
		t.Errorf("%d destinations", n)
	}
	for _, p := range byName["tcpstate_connection_lifetime_seconds"].GetExponentialHistogram().GetDataPoints() {
		sum := p.GetZeroCount()
		for _, n := range p.GetPositive().GetBucketCounts() {
			sum += n
		}
		if p.GetScale() != schema || p.GetCount() != 20 || sum != 20 || p.GetSum() < 0.209 || p.GetSum() > 0.211 {
			t.Errorf("lifetimes: %v", p)
		}
	}
	for name, unit := range map[string]string{
		"process.cpu.time": "s", "process.memory.usage": "By", "process.memory.virtual": "By",
		"process.unix.file_descriptor.count": "{file_descriptor}", "tcpstate_connection_lifetime_seconds": "s",
		"tcpstate_sent_bytes_total": "By", "tcpstate_connects_total": "",
	} {
		if m := byName[name]; m == nil || m.GetUnit() != unit {
			t.Errorf("%s: %v, want the unit %q", name, m, unit)
		}
	}
	if cpu, memory := byName["process.cpu.time"].GetSum(), byName["process.memory.usage"].GetSum(); !cpu.GetIsMonotonic() || memory.GetIsMonotonic() ||
		len(memory.GetDataPoints()) != 1 || memory.GetDataPoints()[0].GetAsDouble() < 1e6 {
		t.Errorf("CPU %v, memory %v", cpu, memory)
	}
}

func TestACollectorThatRefusesIsSaid(t *testing.T) {
	server := httptest.NewServer(&collected{refuse: true})
	defer server.Close()
	failed := make(chan error, 100)
	stop, err := Push(context.Background(), PushOptions{
		Endpoint: server.URL + "/otlp", Interval: 20 * time.Millisecond, Failed: func(err error) { failed <- err },
	}, NewGatherer(NewState()))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !strings.Contains(err.Error(), server.URL) {
		t.Errorf("%v", err)
	}
	stop()
}

func TestEndpointsThatAreWrong(t *testing.T) {
	for endpoint, good := range map[string]bool{
		"http://127.0.0.1:4318": true, "https://collector.example:4318/v1/metrics": true,
		"": false, "127.0.0.1:4318": false, "grpc://x:4317": false, "http://": false, "http://[": false,
	} {
		if err := CheckEndpoint(endpoint); (err == nil) != good {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
