package agent

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// busy is a ledger of n destinations, each with some connections, failures and TIME_WAITs.
func busy(n int) (*book, []event.Event) {
	l := newBook(LedgerOptions{Destinations: n})
	l.SetHost(settingsOf(1, 32768, 60999))
	var all []event.Event
	for i := range n {
		to := remote(i)
		for k := range 20 {
			at := time.Duration(i*20+k) * time.Millisecond
			c := out(event.Connect, to, at)
			c.ConnectTime = time.Duration(k+1) * 37 * time.Microsecond
			e := out(event.TimeWait, to, at+time.Millisecond)
			e.ClosedBy, e.Lifetime, e.Counted, e.SentBytes, e.ReceivedBytes = event.ClosedLocal, time.Duration(k+1)*time.Millisecond, true, 100, 1000
			all = append(all, c, e)
		}
		f := out(event.ConnectFailed, to, 0)
		f.Error, f.Cause = event.EADDRNOTAVAIL, event.PortsExhausted
		all = append(all, f)
	}
	for i := range all {
		l.Observe(&all[i])
	}
	return l, all
}

const destinations = 1000

// BenchmarkScrape is one scrape of a thousand destinations, by the form that is asked for.
func BenchmarkScrape(b *testing.B) {
	l, _ := busy(destinations)
	state := NewState()
	state.Publish(complete(l.Publish(noon+int64(30*time.Second), true)))
	site := NewSite(state, NewGatherer(state), "test", log.New(io.Discard, "", 0))
	for name, accept := range map[string]string{
		"text":        "text/plain; version=0.0.4",
		"openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
		"protobuf":    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
	} {
		for _, coding := range []string{"identity", "gzip"} {
			b.Run(name+"/"+coding, func(b *testing.B) {
				size := 0
				now, before := *state.Latest(), cpuTime()
				for b.Loop() {
					next := now
					state.Publish(&next)
					r := httptest.NewRequest("GET", "/metrics", nil)
					r.Header.Set("Accept", accept)
					r.Header.Set("Accept-Encoding", coding)
					w := httptest.NewRecorder()
					site.ServeHTTP(w, r)
					if w.Code != 200 {
						b.Fatalf("%d: %s", w.Code, w.Body)
					}
					size = w.Body.Len()
				}
				b.ReportMetric(float64((cpuTime()-before).Microseconds())/1e3/float64(b.N), "cpu-ms/scrape")
				b.ReportMetric(50, "cpu-ms/scrape-max")
				b.ReportMetric(float64(size)/1e6, "MB")
			})
		}
	}
}

// cpuTime is that of the whole process: others run on the machine, too.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSnapshot is what the tracing goroutine does once a second, in which something came of a part of a thousand
// destinations.
func BenchmarkSnapshot(b *testing.B) {
	for _, part := range []int{0, 100, destinations} {
		b.Run(fmt.Sprintf("changed=%d", part), func(b *testing.B) {
			l, events := busy(destinations)
			now := noon + int64(30*time.Second)
			l.Publish(now, true)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				now += int64(time.Second)
				for i := range part * 41 {
					e := &events[i]
					e.UnixNano = now
					l.Observe(e)
				}
				b.StartTimer()
				l.Publish(now, true)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/snapshot")
			b.ReportMetric(10, "ms/snapshot-max")
		})
	}
}
