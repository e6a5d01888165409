package tracer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// emitOpen hands on every remembered connection that is still open, with its counters so far: pools, leaks and
// websockets never close within a window, and cannot be judged by ends alone.
func (t *Tracer) emitOpen(emit func(*event.Event)) error {
	p := t.programs["open_connections"]
	if p == nil {
		return nil
	}
	err := drainMap(p, t.maps.Conns, t.snapshots(emit))
	if err != nil {
		return fmt.Errorf("read open connections: %w", err)
	}
	return nil
}

// Checkpoint hands on what is open now, and what is held in TIME_WAIT, as Existing events: what somebody needs who sees
// only what comes later. It returns the time that it is for: connections established later are left out, for their
// beginning is still to come; TIME_WAITs that begin, and what ends meanwhile, may be in it or not. It belongs between two
// events (see [Options].Drained).
func (t *Tracer) Checkpoint(emit func(*event.Event)) (unixNano int64, err error) {
	at := t.clock.now()
	existing := func(e *event.Event) {
		if e.Lifetime >= 0 {
			if e.Lifetime -= time.Duration(e.UnixNano - at); e.Lifetime < 0 {
				return
			}
		}
		e.Kind, e.UnixNano, e.InCensus, e.Preexisting = event.Existing, at, true, true
		emit(e)
	}
	if err := t.emitOpen(existing); err != nil {
		return 0, err
	}
	return at, t.emitHeld(existing)
}

// snapshots reads what an iterator writes, a record for each socket, and hands it on.
func (t *Tracer) snapshots(emit func(*event.Event)) func(io.Reader) error {
	return func(r io.Reader) error {
		var ev event.Event
		now := t.clock.now()
		return eachRecord(r, recordSize, func(b []byte) error {
			if err := t.decode(b, &ev); err != nil {
				return err
			}
			if ev.Kind == event.Existing {
				ev.UnixNano = now
			}
			emit(&ev)
			return nil
		})
	}
}

// eachRecord reads records of size bytes to the end.
func eachRecord(r io.Reader, size int, do func([]byte) error) error {
	records := newRecordReader(r, size)
	for {
		if over, err := records.some(do); over || err != nil {
			return err
		}
	}
}

// recordReader reads what an iterator writes, some at a time.
type recordReader struct {
	from   io.Reader
	size   int
	buf    []byte
	filled int
}

func newRecordReader(r io.Reader, size int) *recordReader {
	return &recordReader{from: r, size: size, buf: make([]byte, 256*max(size, 128))}
}

// some reads once, and reports whether that was all.
func (r *recordReader) some(do func([]byte) error) (over bool, err error) {
	n, readErr := r.from.Read(r.buf[r.filled:])
	r.filled += n
	whole := r.filled - r.filled%r.size
	for off := 0; off < whole; off += r.size {
		if err := do(r.buf[off : off+r.size]); err != nil {
			return false, err
		}
	}
	r.filled = copy(r.buf, r.buf[whole:r.filled])
	switch {
	case errors.Is(readErr, io.EOF):
		return true, nil
	case readErr != nil && !errors.Is(readErr, unix.EAGAIN): // after a million elements of which nothing was written
		return false, fmt.Errorf("read iterator: %w", readErr)
	}
	return false, nil
}
