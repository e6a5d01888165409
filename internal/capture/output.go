package capture

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/event"
)

// indexBlocks is how many blocks an index tells of. Each index points to the one before, so that neither writer nor
// reader ever holds more than one.
const indexBlocks = 256

// output compresses blocks and writes them, each with one write().
type output struct {
	w    io.Writer
	file truncater // w, where it is a file
	base int64     // where in the file the capture begins
	zstd *zstd.Encoder

	head    head
	content []byte
	buffer  []byte // head and frame
	offset  int64  // in the capture, where the next block comes

	index       []byte // for each block since the last index its offset and head
	indexed     int
	indexBefore int64 // where the last index is; 0: there is none
	indexSpan   span

	totals Totals
	all    span

	mu     sync.Mutex // for what follows
	done   Stats
	failed error
}

// truncater is what a file can do besides.
type truncater interface {
	io.Seeker
	Truncate(size int64) error
}

// span is the time between the earliest and the latest of some events.
type span struct {
	first, last int64
	some        bool
}

func (s *span) add(first, last int64) {
	if !s.some {
		*s = span{first, last, true}
		return
	}
	s.first, s.last = min(s.first, first), max(s.last, last)
}

func newOutput(w io.Writer) (*output, error) {
	// Fastest is half the time of Default for 4 % more bytes. What is small anyway is compressed all the same.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(true), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	o := &output{w: w, zstd: z, totals: Totals{Kinds: map[string]uint64{}}}
	if file, ok := w.(truncater); ok {
		if at, err := file.Seek(0, io.SeekCurrent); err == nil { // not a pipe
			o.file, o.base = file, at
		}
	}
	o.head = head{major: Major, minor: Minor, recording: rand.Uint64()}
	return o, nil
}

func (o *output) header(text []byte, start int64) error {
	o.head.first, o.head.last = start, start
	o.content = append(o.content[:0], text...)
	o.block(headerBlock)
	return o.failure()
}

// events writes a block of events. It returns false when it did not.
func (o *output) events(b *block) bool {
	if o.failure() != nil {
		return false
	}
	o.content = b.content(o.content[:0])
	h := &o.head
	h.events, h.facts = b.events, uint32(len(b.facts))
	h.eventsBefore, h.factsBefore, h.dropped = b.before.events, b.before.facts, b.before.dropped
	h.lost = b.before.lost + b.lost
	h.first, h.last = b.first, b.last
	h.print = h.print[:0]
	if b.events > 0 {
		h.print = b.print.append(h.print)
	}
	if !o.block(eventBlock) {
		return false
	}
	o.count(b)
	if o.indexed >= indexBlocks {
		o.writeIndex(b.before.events+uint64(b.events), b.before.facts+uint64(len(b.facts)))
	}
	return true
}

// count keeps the totals of what is in the file.
func (o *output) count(b *block) {
	t := &o.totals
	t.Events += uint64(b.events)
	t.Facts += uint64(len(b.facts))
	t.Lost, t.Dropped = o.head.lost, b.before.dropped
	for kind, n := range b.kinds {
		if n > 0 {
			t.Kinds[event.Kind(kind).String()] += uint64(n)
		}
	}
	if b.events > 0 {
		o.all.add(b.first, b.last)
		t.First, t.Last = o.all.first, o.all.last
		o.indexSpan.add(b.first, b.last)
	}
	o.mu.Lock()
	o.done.Events += uint64(b.events)
	o.mu.Unlock()
}

// writeIndex writes where the blocks since the last index are.
func (o *output) writeIndex(events, facts uint64) {
	at := o.offset
	h := &o.head
	h.events, h.facts, h.eventsBefore, h.factsBefore, h.print = 0, 0, events, facts, h.print[:0]
	h.first, h.last = o.indexSpan.first, o.indexSpan.last
	o.content = binary.LittleEndian.AppendUint64(o.content[:0], uint64(o.indexBefore))
	o.content = append(o.content, o.index...)
	if !o.block(indexBlock) {
		return
	}
	o.index, o.indexed, o.indexSpan, o.indexBefore = o.index[:0], 0, span{}, at
}

// end writes the last index, the end and the trailer. Where writing has failed there is no end.
func (o *output) end(e *End, all counts) {
	if o.failure() != nil {
		return
	}
	h := &o.head
	h.dropped = all.dropped
	o.writeIndex(all.events, all.facts)
	e.Totals = o.totals
	e.Totals.Dropped = all.dropped
	text, err := json.Marshal(e)
	if err == nil && len(text) > maxPayload {
		err = fmt.Errorf("%d bytes of facts, more than %d", len(text), maxPayload)
	}
	if err != nil {
		o.fail(fmt.Errorf("write capture's end: %w", err))
		return
	}
	at := o.offset
	o.content = append(o.content[:0], text...)
	h.eventsBefore, h.factsBefore, h.first, h.last = all.events, all.facts, o.all.first, o.all.last
	if !o.block(endBlock) {
		return
	}
	h.setTrailer(o.indexBefore, at)
	o.content = o.content[:0]
	o.block(trailerBlock)
}

// block writes a block of o.content, with what o.head says.
func (o *output) block(kind blockType) bool {
	h := &o.head
	h.kind, h.size = kind, uint32(len(o.content))
	start := h.length()
	o.buffer = append(o.buffer[:0], make([]byte, start)...)
	if len(o.content) > 0 {
		o.buffer = o.zstd.EncodeAll(o.content, o.buffer)
	}
	frame := o.buffer[start:]
	h.frame, h.checksum = uint32(len(frame)), checksum(frame)
	h.append(o.buffer[:0])
	if kind == eventBlock {
		o.index = binary.LittleEndian.AppendUint64(o.index, uint64(o.offset))
		o.index = append(o.index, o.buffer[:start]...)
		o.indexed++
	}
	h.sequence++
	return o.write(o.buffer)
}

// write writes a whole block or, where that fails, nothing.
func (o *output) write(b []byte) bool {
	n, err := o.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = fmt.Errorf("write capture: %w", err)
		if o.file != nil {
			if cut := o.cut(); cut != nil {
				err = fmt.Errorf("%w; and the part of a block at its end stays: %w", err, cut)
			}
		}
		o.fail(err)
		return false
	}
	o.offset += int64(n)
	o.mu.Lock()
	o.done.Bytes += uint64(n)
	o.done.Blocks++
	o.mu.Unlock()
	return true
}

// cut takes back the part of a block that was written.
func (o *output) cut() error {
	end := o.base + o.offset
	if err := o.file.Truncate(end); err != nil {
		return err
	}
	_, err := o.file.Seek(end, io.SeekStart)
	return err
}

func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
	}
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

func (o *output) stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.done
}
