package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// PushOptions say where metrics are pushed to.
type PushOptions struct {
	Endpoint      string // a URL; "": nowhere
	Interval      time.Duration
	Version, Host string
	// Failed is told what went wrong; it is tried again in the next interval.
	Failed func(error)
}

// metricsPath is where collectors take metrics (OTLP/HTTP).
const metricsPath = "/v1/metrics"

const (
	// pushWithin is how long one push may take.
	pushWithin = 10 * time.Second
	// lastPushWithin is how long the one at the end may take, for which the service's end waits.
	lastPushWithin = 3 * time.Second
)

// CheckEndpoint says what is wrong with the URL of a collector.
func CheckEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no URL of a collector: write for example http://127.0.0.1:4318", s)
	}
	return nil
}

// Push pushes what g gathers, by OTLP over HTTP, until the function that it returns is called. The names are those of
// OpenTelemetry where it has some, and else those of the Prometheus metrics.
func Push(ctx context.Context, o PushOptions, g prometheus.Gatherer) (stop func(), err error) {
	if o.Endpoint == "" {
		return func() {}, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("push metrics: %w", err)
	}
	if !strings.HasSuffix(u.Path, metricsPath) {
		u.Path = strings.TrimSuffix(u.Path, "/") + metricsPath
	}
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(u.String()), otlpmetrichttp.WithTimeout(pushWithin))
	if err != nil {
		return nil, fmt.Errorf("push metrics: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if !errors.Is(err, context.Canceled) { // it ends
			o.Failed(fmt.Errorf("push metrics to %s: %w", u.Redacted(), err))
		}
	}))
	reader := metric.NewPeriodicReader(exporter, metric.WithInterval(o.Interval), metric.WithTimeout(pushWithin),
		metric.WithProducer(conventional{bridge.NewMetricProducer(bridge.WithGatherer(g))}))
	provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "tcpstate"), attribute.String("service.version", o.Version),
		attribute.String("host.name", o.Host))))
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastPushWithin)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			o.Failed(fmt.Errorf("push metrics for the last time: %w", err))
		}
	}, nil
}
