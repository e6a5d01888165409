package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/tcpstate/tcpstate/internal/event"
)

// repair makes the checksums of what look like blocks right, so that what is behind them is tried, too.
func repair(file []byte) []byte {
	file = bytes.Clone(file)
	le := binary.LittleEndian
	for at := 0; at+minHead <= len(file); {
		n := headLength(file[at:])
		if n < minHead || n > len(file)-at {
			at++
			continue
		}
		frame := int(le.Uint32(file[at+atFrame:]))
		if frame <= len(file)-at-n {
			le.PutUint32(file[at+atChecksum:], checksum(file[at+n:at+n+frame]))
		} else {
			frame = 0
		}
		le.PutUint32(file[at+n-checksumSize:], checksum(file[at:at+n-checksumSize]))
		at += n + frame
	}
	return file
}

// FuzzReader reads anything, in every way. What it looks for: panics, loops, more items than there can be.
func FuzzReader(f *testing.F) {
	_, file := small(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte("T*M\x18"))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, file := range [][]byte{file, repair(file)} {
			for _, r := range []io.Reader{bytes.NewReader(file), io.MultiReader(bytes.NewReader(file))} {
				for _, o := range []ReadOptions{{}, {Since: generatedStart, Destinations: []Destination{{Port: 443}}}} {
					if n := drain(t, r, o); n > (len(file)/minHead+1)*(MaxBlockEvents+maxBlockFacts+4) {
						t.Errorf("%d items", n)
					}
				}
			}
			if s, err := Verify(bytes.NewReader(file)); err == nil && s.Complete && len(s.Damages) == 0 && s.Events > uint64(len(file))*MaxBlockEvents {
				t.Errorf("%d events", s.Events)
			}
		}
	})
}

func drain(t *testing.T, r io.Reader, o ReadOptions) (n int) {
	c, err := NewReader(r, o)
	if err != nil {
		return 0
	}
	for {
		i, err := c.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, ErrVersion) {
				t.Errorf("%v", err)
			}
			return n
		}
		n++
		if i.Kind == KindEvent && (i.Event.Kind > lastKind || i.Event.Cause > lastCause) {
			t.Errorf("an event that figures cannot be made of: %+v", i.Event)
		}
	}
}

// FuzzEventBlock decodes any content. What can be decoded is stored and decoded again: the same events.
func FuzzEventBlock(f *testing.F) {
	c, b := newEncoder(), new(block)
	c.begin(b)
	for i := range 100 {
		c.add(&generated()[i])
	}
	f.Add(b.content(nil), uint16(100))
	f.Add([]byte{0}, uint16(0))
	f.Fuzz(func(t *testing.T, content []byte, count uint16) {
		var d decoder
		if d.begin(content, uint32(count%(MaxBlockEvents+1))) != nil {
			return
		}
		var events []event.Event
		var e event.Event
		for d.next(&e) {
			events = append(events, e)
		}
		_, _ = readFacts(nil, d.columns[columnFacts].b, uint32(count))
		b.reset()
		c.begin(b)
		for i := range events {
			c.add(&events[i])
		}
		var again decoder
		if err := again.begin(b.content(nil), uint32(len(events))); err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if !again.next(&e) || e != events[i] {
				t.Fatalf("event %d: %+v, want %+v, %v", i, e, events[i], again.err)
			}
		}
		if again.err != nil {
			t.Error(again.err)
		}
	})
}
