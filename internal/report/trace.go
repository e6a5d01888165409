package report

import (
	"bufio"
	"fmt"
	"io"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// TraceWriter writes events, one a line. Lines are buffered until Flush.
type TraceWriter struct {
	out    *bufio.Writer
	line   []byte
	append func(b []byte, e *event.Event, s *service.Service) []byte
}

// NewTraceJSON returns a writer of JSON lines.
func NewTraceJSON(w io.Writer) *TraceWriter {
	var f traceJSON
	return &TraceWriter{out: bufio.NewWriterSize(w, 1<<16), append: f.append}
}

// NewTraceColumns returns a writer of columns, and writes their titles first.
func NewTraceColumns(w io.Writer, o Options) *TraceWriter {
	f := newTraceColumns(o)
	t := &TraceWriter{out: bufio.NewWriterSize(w, 1<<16), append: f.append}
	t.line = f.titles(t.line)
	_, _ = t.out.Write(t.line) // an error stays and is returned by Write and Flush
	return t
}

// Write writes e and the service it belongs to; nil: what the kernel said about its owner is all that is known.
func (t *TraceWriter) Write(e *event.Event, s *service.Service) error {
	t.line = t.append(t.line[:0], e, s)
	if _, err := t.out.Write(t.line); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}

// Flush hands on what is buffered.
func (t *TraceWriter) Flush() error {
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}
