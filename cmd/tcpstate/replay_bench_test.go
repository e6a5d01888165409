package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
)

// churned writes a capture of n connections of four services to fifty destinations, each with its TIME_WAIT, and returns
// how many events it has.
func churned(b *testing.B, path string, n int) (events int) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	const start = int64(1_790_000_000_000_000_000)
	w, err := capture.NewWriter(f, capture.Header{WindowStart: start}, capture.Options{Queue: 1 << 12})
	if err != nil {
		b.Fatal(err)
	}
	e := event.Event{
		Direction: event.Outbound, Netns: 4026531840, Counted: true, SentBytes: 400, ReceivedBytes: 900,
		SentSegments: 6, ReceivedSegments: 5, SentDataSegments: 2, ReceivedDataSegments: 2, Idle: event.Unknown, Remaining: event.Unknown,
	}
	for i := range n {
		copy(e.Owner.Comm[:], []string{"pgbench", "java", "php-fpm8.2", "curl"}[i%4])
		e.Owner.PID, e.Owner.Basis = uint32(800+i%4), event.OwnerConnect
		e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(32768+i%28232))
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i % 50)}), 5432)
		e.UnixNano = start + int64(i)*int64(100*time.Microsecond)
		e.Kind, e.OldState, e.NewState, e.ClosedBy, e.ConnectTime, e.Lifetime = event.Connect, event.SynSent, event.Established, 0, 40*time.Microsecond, 0
		w.Event(&e)
		e.UnixNano += int64(50 * time.Microsecond)
		e.Kind, e.OldState, e.NewState, e.Substate = event.TimeWait, event.FinWait2, event.TimeWaitState, event.TimeWaitState
		e.ClosedBy, e.Lifetime, e.ConnectTime = event.ClosedLocal, 50*time.Microsecond, event.Unknown
		w.Event(&e)
		e.Kind, e.Cause = event.TimeWaitEnd, event.Expired
		w.Event(&e)
		e.Cause, e.Substate = 0, 0
	}
	if err := w.Close(capture.End{}); err != nil {
		b.Fatal(err)
	}
	if st := w.Stats(); st.Dropped > 0 {
		b.Fatalf("%d events were dropped", st.Dropped)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return 3 * n
}

// A capture into a finished report, on one core.
func BenchmarkReportOfACapture(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.tcps")
	events := churned(b, path, 500_000)
	set, err := filter.NewSet(filter.Flags{})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		r, err := openReplay(path, set, "", capture.ReadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		d, err := reported(context.Background(), r, churn.Options{}, chartedRows)
		if err != nil || d.Filter.Matched != uint64(events) {
			b.Fatalf("%d events of %d: %v", d.Filter.Matched, events, err)
		}
		if err := r.close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(5e6, "events/s-min")
}
