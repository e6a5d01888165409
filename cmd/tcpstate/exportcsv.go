package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/tcpstate/tcpstate/internal/form"
)

// csvColumns are the names in a line of trace -o json, in its order, with a dot before what is inside of another.
var csvColumns = []string{
	"time", "kind", "count", "of", "direction", "direction_basis", "netns",
	"service.name", "service.kind", "service.pid", "service.comm", "service.exe", "service.unit", "service.container_id", "service.pod",
	"service.cgroup_id", "service.cgroup", "owner_basis", "src.addr", "src.port", "dst.addr", "dst.port", "dst.name",
	"old_state", "new_state", "substate", "error", "error_basis", "cause", "closed_by", "preexisting",
	"lifetime_seconds", "connect_seconds", "idle_seconds", "sent_bytes", "received_bytes", "sent_segments", "received_segments",
	"retransmits", "exchanges", "cause_basis", "auto_port",
}

// csvWriter turns JSON lines, as report.TraceWriter writes them, into CSV (RFC 4180, but with a bare newline). null is
// empty, "" is "". What a spreadsheet would take for a formula is in quotes, as it is.
type csvWriter struct {
	out    *bufio.Writer
	rest   []byte // the beginning of a line
	path   []byte // of the value that is looked at
	column map[string]int
	fields [][]byte // of the line, as in JSON; nil: not there
	// plain and text are of the field that is being written.
	plain, text []byte
}

func newCSVWriter(w io.Writer) *csvWriter {
	c := &csvWriter{out: bufio.NewWriterSize(w, 1<<16), column: make(map[string]int), fields: make([][]byte, len(csvColumns))}
	for i, name := range csvColumns {
		c.column[name] = i
		if i > 0 {
			_ = c.out.WriteByte(',') // an error stays, and comes back from Flush
		}
		_, _ = c.out.WriteString(name)
	}
	_ = c.out.WriteByte('\n')
	return c
}

// Write takes any part of the lines.
func (c *csvWriter) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	done := 0
	for {
		n := bytes.IndexByte(c.rest[done:], '\n')
		if n < 0 {
			break
		}
		if err := c.line(c.rest[done : done+n]); err != nil {
			return 0, err
		}
		done += n + 1
	}
	c.rest = append(c.rest[:0], c.rest[done:]...)
	return len(p), nil
}

// Close writes what is left.
func (c *csvWriter) Close() error { return c.out.Flush() }

func (c *csvWriter) line(b []byte) error {
	clear(c.fields)
	c.path = c.path[:0]
	if n := c.object(b); n != len(b) {
		return fmt.Errorf("write CSV: a line is not as it should be: %.80q", b)
	}
	for i, field := range c.fields {
		if i > 0 {
			_ = c.out.WriteByte(',')
		}
		c.field(field)
	}
	return c.out.WriteByte('\n')
}

// object reads an object, and says how long it is; -1: it is none. Its values become fields.
func (c *csvWriter) object(b []byte) int {
	base := len(c.path)
	i := 0
	for i < len(b) && (b[i] == '{' || b[i] == ',') {
		key := text(b[i+1:])
		i += 1 + key
		if key < 2 || i >= len(b) || b[i] != ':' {
			return -1
		}
		i++
		c.path = append(c.path[:base], b[i-key:i-2]...)
		n := c.value(b[i:])
		if n < 1 {
			return -1
		}
		i += n
	}
	c.path = c.path[:base]
	if i >= len(b) || b[i] != '}' {
		return -1
	}
	return i + 1
}

// value reads a value, and says how long it is.
func (c *csvWriter) value(b []byte) int {
	if len(b) > 0 && b[0] == '{' {
		c.path = append(c.path, '.')
		return c.object(b)
	}
	n := text(b)
	switch {
	case n == 0 && len(b) > 0 && b[0] == '"':
		return -1 // no end
	case n == 0:
		n = bytes.IndexAny(b, ",}")
	}
	if column, ok := c.column[string(c.path)]; ok && n > 0 {
		c.fields[column] = b[:n]
	}
	return n
}

// text is how long the quoted text at the beginning of b is; 0: there is none.
func text(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// field writes a value of JSON as one of CSV.
func (c *csvWriter) field(v []byte) {
	if len(v) == 0 || v[0] != '"' {
		if string(v) != "null" {
			_, _ = c.out.Write(v)
		}
		return
	}
	c.text = form.AppendCSV(c.text[:0], c.unescape(v[1:len(v)-1]))
	_, _ = c.out.Write(c.text)
}

// unescape takes the backslashes out: only \\ and \" are ever escaped, for texts are printable.
func (c *csvWriter) unescape(v []byte) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v
	}
	c.plain = c.plain[:0]
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		c.plain = append(c.plain, v[i])
	}
	return c.plain
}
