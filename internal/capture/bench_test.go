package capture

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// cpu is the CPU time of this process so far, all threads.
func cpu() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// benchEvents is how many events there are; they are used again, later, as often as needed.
const benchEvents = 1 << 17

// BenchmarkWrite writes the mixed workload to a file: what hands events over and what compresses, together.
func BenchmarkWrite(b *testing.B) {
	events := generate(benchEvents)
	f, err := os.Create(filepath.Join(b.TempDir(), "x.tcps"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var took time.Duration
	var written, bytes uint64
	for b.Loop() {
		w, err := NewWriter(f, Header{}, Options{Queue: 64})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC() // of what was before
		began := cpu()
		for i := range events {
			if i%MaxBlockEvents == 0 {
				for len(w.queue) > 32 { // as fast as the machine can, but nothing is to be dropped
					time.Sleep(100 * time.Microsecond)
				}
			}
			w.Event(&events[i])
		}
		if err := w.Close(End{}); err != nil {
			b.Fatal(err)
		}
		took += cpu() - began
		s := w.Stats()
		if s.Dropped > 0 {
			b.Fatalf("%d events dropped", s.Dropped)
		}
		written, bytes = written+s.Events, bytes+s.Bytes
	}
	b.ReportMetric(float64(took)/float64(written), "cpu-ns/event")
	b.ReportMetric(250, "cpu-ns/event-max")
	b.ReportMetric(float64(bytes)/float64(written), "bytes/event")
	b.ReportMetric(16, "bytes/event-max")
}

// BenchmarkHandOver is what who reads the ring pays for each event. Another goroutine does the rest.
func BenchmarkHandOver(b *testing.B) {
	events := generate(benchEvents)
	w, err := NewWriter(io.Discard, Header{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		w.Event(&events[n%benchEvents])
		n++
	}
	b.StopTimer()
	if err := w.Close(End{}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads the mixed workload, checked and decoded, into one event. All of it is one goroutine's work.
func BenchmarkRead(b *testing.B) {
	file := write(b, items(generate(benchEvents)), nil)
	var took time.Duration
	n := 0
	for b.Loop() {
		began := cpu()
		c, err := NewReader(bytes.NewReader(file), ReadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for i, err := c.Next(); err == nil; i, err = c.Next() {
			if i.Kind == KindEvent {
				n++
			}
		}
		took += cpu() - began
	}
	b.ReportMetric(float64(n)/took.Seconds(), "events/s")
	b.ReportMetric(5e6, "events/s-min")
}

// BenchmarkSeek finds ten seconds of one destination in a capture of 1 GiB: opened, looked up, decoded, each event
// compared. The file is made of one stretch of the mixed workload, again and again with later times.
func BenchmarkSeek(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.tcps")
	from := bigFile(b, path, 1<<30)
	to := clients()[2].destinations[17]
	o := ReadOptions{
		Since: from, Until: from + int64(10*time.Second),
		Destinations: []Destination{{netip.PrefixFrom(to.Addr(), to.Addr().BitLen()), to.Port()}},
	}
	var took time.Duration
	runs := 0
	for b.Loop() {
		began := time.Now()
		c, err := Open(path, o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for i, err := c.Next(); err == nil; i, err = c.Next() {
			if i.Kind == KindEvent && i.Event.Remote == to {
				n++
			}
		}
		if err := c.Close(); err != nil || n == 0 {
			b.Fatalf("%d events, %v", n, err)
		}
		took += time.Since(began)
		runs++
	}
	b.ReportMetric(took.Seconds()*1000/float64(runs), "ms-to-seek")
	b.ReportMetric(100, "ms-to-seek-max")
}

// bigFile writes a capture of about size bytes, and returns a time in the middle of it.
func bigFile(b *testing.B, path string, size uint64) (middle int64) {
	b.Helper()
	events := generate(benchEvents)
	length := events[len(events)-1].UnixNano - events[0].UnixNano + 1000
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, Header{}, Options{Queue: 64})
	if err != nil {
		b.Fatal(err)
	}
	var e event.Event
	for w.Stats().Bytes < size {
		for i := range events {
			e = events[i]
			events[i].UnixNano += length
			w.Event(&e)
			for len(w.queue) > 32 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	if err := w.Close(End{}); err != nil {
		b.Fatal(err)
	}
	if s := w.Stats(); s.Dropped > 0 {
		b.Fatalf("%d events dropped", s.Dropped)
	}
	return generatedStart + (e.UnixNano-generatedStart)/2
}
