package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/top"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// The load at which a view must not be felt.
const (
	busyRows    = 4096
	busySeconds = 10
	busyEvents  = 100_000 // a second
)

// busyCapture writes a capture of that load: connections of four services to as many destinations as there are rows, each
// with its TIME_WAIT, some of which end.
func busyCapture(b *testing.B, path string) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	const start = int64(1_790_000_000_000_000_000)
	facts := []byte(`{"Facts":{"TimeWait":{"Tier":1,"How":"functions","Exact":true}}}`)
	w, err := capture.NewWriter(f, capture.Header{WindowStart: start, Facts: facts}, capture.Options{Queue: 1 << 12})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Settings(&host.Settings{
		Netns: 4026531840, RangeLow: 32768, RangeHigh: 60999, Timestamps: true, TimeWaitReuse: 2,
	}); err != nil {
		b.Fatal(err)
	}
	e := event.Event{
		Direction: event.Outbound, Netns: 4026531840, Counted: true, SentBytes: 400, ReceivedBytes: 900,
		SentSegments: 6, ReceivedSegments: 5, SentDataSegments: 2, ReceivedDataSegments: 2, Idle: event.Unknown, Remaining: event.Unknown,
	}
	const step = int64(3 * time.Second / busyEvents)
	for i := range busySeconds * busyEvents / 3 {
		e.Owner.Comm = event.Comm{}
		copy(e.Owner.Comm[:], []string{"pgbench", "java", "php-fpm8.2", "curl"}[i%4])
		e.Owner.PID, e.Owner.Basis = uint32(800+i%4), event.OwnerConnect
		row := i % busyRows
		e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(32768+i%28232))
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(row >> 8), byte(row)}), 5432)
		e.UnixNano = start + int64(i)*step
		e.Kind, e.OldState, e.NewState, e.ClosedBy, e.ConnectTime, e.Lifetime = event.Connect, event.SynSent, event.Established, 0, 40*time.Microsecond, 0
		w.Event(&e)
		e.Kind, e.OldState, e.NewState, e.Substate = event.TimeWait, event.FinWait2, event.TimeWaitState, event.TimeWaitState
		e.ClosedBy, e.Lifetime, e.ConnectTime = event.ClosedLocal, 50*time.Microsecond, event.Unknown
		w.Event(&e)
		if i%3 > 0 {
			e.Kind, e.Cause = event.TimeWaitEnd, event.Expired
			w.Event(&e)
		}
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
}

// BenchmarkTopDocument is what a second of a view takes of one CPU beside drawing: a document of all rows, with the
// charts of one. The goroutine that makes it reads the ring, too, and loses nothing while the ring holds what comes.
func BenchmarkTopDocument(b *testing.B) {
	path := filepath.Join(b.TempDir(), "busy.tcps")
	busyCapture(b, path)
	f := &topFlags{captures: captures{read: []string{path}}, speed: speed{fastest}, delay: duration{time.Hour}}
	f.destinations.n = 2 * busyRows
	s := newStage(&env{}, f)
	p, err := newPlayer(s, f, new(filter.Set))
	if err != nil {
		b.Fatal(err)
	}
	var last top.Update
	p.send = func(u top.Update) { last = u }
	if err := p.play(context.Background()); err != nil {
		b.Fatal(err)
	}
	if n := len(last.Document.Destinations); n != busyRows || !last.Final {
		b.Fatalf("%d rows, want %d", n, busyRows)
	}
	if n := len(last.Document.Ports); n != busyRows {
		b.Fatalf("%d budgets, want %d", n, busyRows)
	}
	p.watched = last.Document.Destinations[0].ID
	in := p.input(*p.last)
	in.Charted = 0
	b.ReportAllocs()
	b.ResetTimer()
	cpu := ownTime(b)
	for range b.N {
		d := report.Build(in)
		s.send(top.Update{Document: d})
	}
	b.ReportMetric((ownTime(b)-cpu).Seconds()/float64(b.N), "cpu-share") // one a second
	b.ReportMetric(0.04, "cpu-share-max")
	// What comes meanwhile lies in the ring, in records of less than 200 bytes.
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*busyEvents*200/tracer.DefaultRingBytes, "ring-share")
	b.ReportMetric(0.25, "ring-share-max")
}

// ownTime is the CPU time of the process, collecting garbage included.
func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
