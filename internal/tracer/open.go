package tracer

import (
	"errors"
	"fmt"
	"io"

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
		if e.Lifetime >= 0 && e.UnixNano-e.Lifetime.Nanoseconds() > at {
			return
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
	buf := make([]byte, 256*max(size, 128))
	filled := 0
	for {
		n, err := r.Read(buf[filled:])
		filled += n
		whole := filled - filled%size
		for off := 0; off < whole; off += size {
			if err := do(buf[off : off+size]); err != nil {
				return err
			}
		}
		filled = copy(buf, buf[whole:filled])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) { // after a million elements of which nothing was written
			return fmt.Errorf("read iterator: %w", err)
		}
	}
}
