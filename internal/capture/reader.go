package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Errors of [NewReader] and [Open].
var (
	// ErrEmpty: not even a header was written.
	ErrEmpty = errors.New("is empty: nothing was recorded")
	// ErrNoCapture: a file of another kind.
	ErrNoCapture = errors.New("is no capture")
	// ErrVersion: a newer tcpstate wrote it.
	ErrVersion = errors.New("has a newer format")
)

// ReadOptions for [NewReader].
type ReadOptions struct {
	// Since and Until bound the time of the events, in Unix nanoseconds: from Since on, before Until. 0: no bound.
	// Settings and services come whenever they were recorded, for what is read may need them.
	Since, Until int64
	// Destinations: blocks that have no event of any of them are left out. Other events can come along all the same.
	// None: everything.
	Destinations []Destination
	// Follow waits for more at the end of a file that is being written, until it ends, or until the context is done. nil:
	// read what is there.
	Follow context.Context
	// Waiting, if set, is called while Follow waits, every tenth of a second. It must not use the reader.
	Waiting func()
}

// jump is how far back times may go from one block to the next before the clock is said to have jumped. A census and
// the kernel's buffers reorder a second or so.
const jump = 10 * time.Second

// Reader reads a capture.
type Reader struct {
	source  *source
	file    *os.File // to close
	options ReadOptions
	zstd    *zstd.Decoder
	strict  *inspection // nil: do not compare indexes

	header    *Header
	recording uint64
	begun     bool // a block was read

	item    Item
	event   event.Event
	decoder decoder
	content []byte
	facts   []fact // of the block, those still to come
	passed  uint32 // events of the block that were read
	end     *End   // to be handed out
	block   head   // that is being read
	at      int64  // its offset

	expected position // of the next block
	latest   int64    // the time of the last block's last event

	broken    *Damage  // of which nobody knows the extent yet
	known     position // how much of it is known
	notMissed uint64   // how many of its events are none that were asked for
	damages   []*Damage
	warned    bool // about newer blocks
	foreign   bool // about blocks of another recording
	ended     bool // the end was read
	closed    bool // the trailer was
	rescans   int64
	blocks    uint64

	ranges   []blockRange // what is to be read, where the index told; see plan
	finished error
}

// position is how far a recording has come before a block.
type position struct {
	sequence      uint32
	events, facts uint64
	dropped       uint64
}

func (h *head) position() position {
	return position{sequence: h.sequence, events: h.eventsBefore, facts: h.factsBefore, dropped: h.dropped}
}

// after is the position of the block behind h's.
func (h *head) after() position {
	p := h.position()
	p.sequence++
	p.events += uint64(h.events)
	p.facts += uint64(h.facts)
	return p
}

// Open opens the file path, see [NewReader].
func Open(path string, o ReadOptions) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %w", path, err), f.Close())
	}
	r.file = f
	return r, nil
}

// NewReader reads from r, up to the first block. Where r is a file, or is of a known size (as a bytes.Reader is), only
// what is needed is read. A file whose header is damaged is read; [Reader.Header] is then empty but for what is known.
//
// An error is a predicate: the caller puts the file's name before it.
func NewReader(r io.Reader, o ReadOptions) (*Reader, error) { return newReader(r, o, nil) }

func newReader(r io.Reader, o ReadOptions, strict *inspection) (*Reader, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	c := &Reader{source: newSource(r, &o), options: o, zstd: z, strict: strict, header: new(Header)}
	if o.Since != 0 || o.Until != 0 || len(o.Destinations) > 0 {
		c.plan()
	}
	first := string(c.source.window(16))
	for !c.begun && err == nil {
		err = c.advance()
	}
	if err != nil && !c.begun {
		return nil, c.explain(err, first)
	}
	c.finished = err
	return c, nil
}

// explain says why nothing could be read.
func (c *Reader) explain(err error, first string) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case first == "":
		return ErrEmpty
	case len(first) > 0 && (first[0] == '{' || first[0] == '['):
		return fmt.Errorf("%w: it looks like JSON", ErrNoCapture)
	case first[0] == 'T' && len(first) < 16:
		return fmt.Errorf("%w: it is cut off after %d bytes", ErrNoCapture, len(first))
	}
	return fmt.Errorf("%w: it begins with %.8q and has no block of one", ErrNoCapture, first)
}

// Header is what was known when the recording began.
func (c *Reader) Header() *Header { return c.header }

// Close closes the file that Open opened.
func (c *Reader) Close() error {
	c.zstd.Close()
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// Next returns the next item, valid until the next call. It returns io.EOF at the end, whole or not: what is missing
// came as damage before.
func (c *Reader) Next() (*Item, error) {
	for {
		if len(c.damages) > 0 {
			c.item = Item{Kind: KindDamage, Damage: c.damages[0]}
			c.damages = c.damages[1:]
			return &c.item, nil
		}
		if c.end != nil {
			c.item, c.end = Item{Kind: KindEnd, End: c.end}, nil
			return &c.item, nil
		}
		if len(c.facts) > 0 && c.facts[0].event <= c.passed {
			if c.fact() {
				return &c.item, nil
			}
			continue
		}
		if c.nextEvent() {
			return &c.item, nil
		}
		if len(c.damages) > 0 || len(c.facts) > 0 {
			continue
		}
		if c.finished != nil {
			return nil, c.finished
		}
		c.finished = c.advance()
	}
}

// nextEvent reads an event of the block. False: there are none before the next fact.
func (c *Reader) nextEvent() bool {
	d := &c.decoder
	for d.left > 0 && (len(c.facts) == 0 || c.facts[0].event > c.passed) {
		ok := d.next(&c.event)
		c.passed = c.block.events - d.left
		if d.left == 0 {
			c.endBlock()
		}
		if !ok {
			continue
		}
		if t, o := c.event.UnixNano, &c.options; o.Since != 0 && t < o.Since || o.Until != 0 && t >= o.Until {
			continue
		}
		c.item = Item{Kind: KindEvent, Event: &c.event}
		return true
	}
	if d.left == 0 {
		c.passed = MaxBlockEvents // so that no fact stays behind
	}
	return false
}

// endBlock says what was wrong with a block's events.
func (c *Reader) endBlock() {
	d := &c.decoder
	if d.strange > 0 {
		c.damage(&Damage{
			Offset: c.at, EventsMissing: uint64(d.strange),
			What: "events with values that this version does not know were left out: a newer tcpstate reads them",
		})
		d.strange = 0
	}
	if d.err != nil {
		c.damage(&Damage{
			Offset: c.at, EventsMissing: uint64(d.unread),
			What: fmt.Sprintf("a block's content is wrong: %v", d.err),
		})
		d.err = nil
	}
}

// fact makes the next fact the item. False: there was nothing to be made of it.
func (c *Reader) fact() bool {
	f := c.facts[0]
	c.facts = c.facts[1:]
	var err error
	switch f.kind {
	case settingsFact:
		c.item = Item{Kind: KindSettings}
		c.item.Settings, err = decodeSettings(f.json)
	case serviceFact:
		c.item = Item{Kind: KindService}
		c.item.Service, err = decodeService(f.json)
	default:
		c.newer(fmt.Sprintf("facts of kind %d", f.kind))
		return false
	}
	if err != nil {
		c.damage(&Damage{Offset: c.at, What: "settings or a service are not as they should be", FactsMissing: 1})
		return false
	}
	return true
}

// newer warns once of what a newer version has added.
func (c *Reader) newer(what string) {
	if !c.warned {
		c.warned = true
		c.damage(&Damage{Offset: c.at, What: what + " are left out: a newer tcpstate reads them"})
	}
}

func (c *Reader) damage(d *Damage) { c.damages = append(c.damages, d) }

// content decompresses the block's frame.
func (c *Reader) decompress(frame []byte) error {
	h := &c.block
	if cap(c.content) < int(h.size) {
		c.content = make([]byte, 0, h.size+h.size/4)
	}
	out, err := c.zstd.DecodeAll(frame, c.content[:0:h.size])
	if err != nil {
		return fmt.Errorf("it does not decompress to %d bytes: %w", h.size, err)
	}
	c.content = out
	if len(out) != int(h.size) {
		return fmt.Errorf("it has %d bytes, its head says %d", len(out), h.size)
	}
	return nil
}

// load makes the block's content available.
func (c *Reader) load(frame []byte) (err error) {
	c.passed = 0
	if err := c.decompress(frame); err != nil {
		return err
	}
	switch c.block.kind {
	case headerBlock:
		if c.header, err = decodeHeader(c.content); err != nil {
			c.header = new(Header)
			return fmt.Errorf("the header is not as it should be: %w", err)
		}
	case eventBlock:
		return c.loadEvents()
	case endBlock:
		e := new(End)
		if err := json.Unmarshal(c.content, e); err != nil {
			return fmt.Errorf("the end is not as it should be: %w", err)
		}
		c.ended, c.end = true, e
	case indexBlock:
		return c.strict.compare(c.content)
	}
	return nil
}

// loadEvents begins with the block's events. Of one that nobody asked for only the settings and services are wanted.
func (c *Reader) loadEvents() error {
	if err := c.decoder.begin(c.content, c.block.events); err != nil {
		return err
	}
	var err error
	if c.facts, err = readFacts(c.facts[:0], c.decoder.columns[columnFacts].b, c.block.facts); err != nil {
		c.facts, c.decoder.left = nil, 0
	}
	if !c.hasWanted(&c.block) {
		c.decoder.left = 0
	}
	return err
}
