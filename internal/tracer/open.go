package tracer

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// emitOpen hands on every remembered connection that is still open, with its counters so far: pools, leaks and
// websockets never close within a window, and cannot be judged by ends alone.
func (t *Tracer) emitOpen(emit func(*event.Event)) error {
	if t.openConnections == nil {
		return nil
	}
	it, err := link.AttachIter(link.IterOptions{Program: t.openConnections, Map: t.maps.Conns})
	if err != nil {
		return fmt.Errorf("attach iterator: %w", err)
	}
	defer it.Close()
	reader, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer reader.Close()
	return t.emitSnapshots(reader, emit)
}

func (t *Tracer) emitSnapshots(r io.Reader, emit func(*event.Event)) error {
	var ev event.Event
	buf := make([]byte, 256*recordSize)
	filled := 0
	for {
		n, err := r.Read(buf[filled:])
		filled += n
		whole := filled - filled%recordSize
		for off := 0; off < whole; off += recordSize {
			if err := t.decode(buf[off:off+recordSize], &ev); err != nil {
				return err
			}
			emit(&ev)
		}
		filled = copy(buf, buf[whole:filled])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) { // after a million entries without one to tell
			return fmt.Errorf("read open connections: %w", err)
		}
	}
}
