package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// Options for [NewWriter].
type Options struct {
	// Queue is how many full blocks wait for a slow disk before events are dropped; 0: [DefaultQueue]. A block takes
	// about 100 KiB.
	Queue int
}

// DefaultQueue holds a second of 65,000 events.
const DefaultQueue = 16

// maxCarried is how many bytes of settings and services are kept while the disk takes no blocks.
const maxCarried = 1 << 20

// flushFacts is how many make a block of their own.
const flushFacts = 256 << 10

// Writer writes a capture. Its methods are for one goroutine, but for Stats and Err. Another goroutine compresses and
// writes: a slow disk never holds up who hands events over.
type Writer struct {
	encoder *encoder
	clock   int64 // the latest time that was told, Unix nanoseconds
	opened  int64 // what it was at the block's first event
	queue   chan *block
	free    chan *block
	made    int // blocks
	carried int // bytes of facts that are kept from dropped blocks

	counts counts // before the current block

	output  *output
	done    chan struct{}
	final   End // set before queue is closed
	closed  bool
	refused atomic.Uint64 // dropped events
	noFacts atomic.Uint64 // dropped facts
}

// counts are what came before a block.
type counts struct {
	events, facts uint64 // that were handed over, dropped ones included
	dropped       uint64 // events
	lost          uint64 // how many events the Lost events stand for
}

// Stats are what a writer has done.
type Stats struct {
	// Events, Bytes and Blocks are in the file.
	Events, Bytes, Blocks uint64
	// Dropped is how many events were not written because the disk was too slow, or took no more. FactsDropped is how many
	// settings and services.
	Dropped, FactsDropped uint64
}

// NewWriter begins a capture: it writes the header. Where w is a file, it can have content before the capture.
func NewWriter(w io.Writer, h Header, o Options) (*Writer, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	if len(text) > maxPayload {
		return nil, fmt.Errorf("write capture: a header of %d bytes, more than %d", len(text), maxPayload)
	}
	out, err := newOutput(w)
	if err != nil {
		return nil, err
	}
	if err := out.header(text, h.WindowStart); err != nil {
		return nil, err
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	c := &Writer{
		encoder: newEncoder(), output: out, done: make(chan struct{}),
		queue: make(chan *block, o.Queue), free: make(chan *block, o.Queue+2),
	}
	c.encoder.begin(c.block())
	go c.write()
	return c, nil
}

// Event appends e.
func (c *Writer) Event(e *event.Event) {
	c.move(e.UnixNano)
	if c.encoder.block.events > 0 && c.clock-c.opened >= int64(blockTime) && c.room() {
		c.flush()
	}
	if c.encoder.block.events == 0 {
		c.opened = c.clock
	}
	c.encoder.add(e)
	if c.encoder.block.events == MaxBlockEvents {
		c.flush()
	}
}

// move lets the clock go on to t. An event can be told a little late; only when t is far back the clock has been set.
func (c *Writer) move(t int64) {
	switch {
	case t > c.clock:
		c.clock = t
	case t < c.clock-int64(jump):
		c.clock = t
		if c.encoder.block.events > 0 {
			c.flush()
		}
	}
}

// Settings appends what is set in a namespace from here on.
func (c *Writer) Settings(s *host.Settings) error {
	text, err := encodeSettings(s)
	return c.fact(settingsFact, text, err)
}

// Service appends what is known about a service from here on.
func (c *Writer) Service(s *Service) error {
	text, err := encodeService(s)
	return c.fact(serviceFact, text, err)
}

func (c *Writer) fact(kind factKind, text []byte, err error) error {
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if len(text) > maxCarried {
		return fmt.Errorf("write capture: settings or a service of %d bytes, more than %d", len(text), maxCarried)
	}
	b := c.encoder.block
	b.facts = append(b.facts, fact{event: b.events, kind: kind, json: text})
	b.factBytes += len(text)
	if b.factBytes >= c.carried+flushFacts || len(b.facts) == maxBlockFacts {
		c.flush()
	}
	return nil
}

// Tick writes what is older than blockTime at now, the present in Unix nanoseconds by the clock of the events. Called
// every 200 ms, it makes a killed recording lose less than a second.
func (c *Writer) Tick(now int64) {
	c.move(now)
	b := c.encoder.block
	switch {
	case b.events == 0 && len(b.facts) == 0, !c.room():
	case b.events == 0, c.clock-c.opened >= int64(blockTime):
		c.flush()
	}
}

// room says whether a block can be handed over. One that is old but not full waits for it, rather than being dropped.
func (c *Writer) room() bool { return len(c.queue) < cap(c.queue) }

// flush hands the block to the writing goroutine, or drops its events when that is too far behind.
func (c *Writer) flush() {
	b := c.encoder.block
	after := c.number(b)
	c.opened = c.clock
	select {
	case c.queue <- b: // and is no longer ours
		c.counts, c.carried = after, 0
		c.encoder.begin(c.block())
	default:
		c.drop(b)
	}
}

// number tells b what came before it, and returns what will have come behind it.
func (c *Writer) number(b *block) (after counts) {
	b.before = c.counts
	after = c.counts
	after.events += uint64(b.events)
	after.facts += uint64(len(b.facts))
	after.lost += b.lost
	return after
}

// drop empties the block. A Lost event in it says so, and its settings and services stay, for others may never come.
func (c *Writer) drop(b *block) {
	plain := uint64(b.events - b.kinds[event.Lost])
	lost, at := plain+b.lost, b.last
	c.counts.events += uint64(b.events)
	c.counts.dropped += uint64(b.events)
	c.refused.Add(plain)
	facts, size := slices.Clone(b.facts), b.factBytes
	if size > maxCarried || len(facts) == maxBlockFacts {
		c.counts.facts += uint64(len(facts))
		c.noFacts.Add(uint64(len(facts)))
		facts, size = nil, 0
	}
	for i := range facts {
		facts[i].event = 0
	}
	b.reset()
	b.facts, b.factBytes, c.carried = append(b.facts, facts...), size, size
	c.encoder.begin(b)
	if lost > 0 {
		c.encoder.add(&event.Event{
			Kind: event.Lost, UnixNano: at, Count: lost,
			Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
		})
	}
}

// block returns an empty one.
func (c *Writer) block() *block {
	if c.made < cap(c.free) {
		select {
		case b := <-c.free:
			return b
		default:
			c.made++
			return new(block)
		}
	}
	return <-c.free // one is there: the queue has room for all but two, of which the other goroutine has one
}

// write is the other goroutine.
func (c *Writer) write() {
	defer close(c.done)
	for b := range c.queue {
		if !c.output.events(b) {
			c.refused.Add(uint64(b.events))
			c.noFacts.Add(uint64(len(b.facts)))
		}
		b.reset()
		c.free <- b
	}
	c.output.end(&c.final, c.counts)
}

// Close writes what is left and the end, waits until all is written, and returns the first error that there was. It
// does not close the file.
func (c *Writer) Close(e End) error {
	if c.closed {
		return errors.New("close capture: it is closed")
	}
	c.closed = true
	b := c.encoder.block
	if b.events > 0 || len(b.facts) > 0 {
		after := c.number(b)
		c.queue <- b
		c.counts = after
	}
	c.final = e
	close(c.queue)
	<-c.done
	return c.Err()
}

// Err is what kept the recording from going on, nil when nothing did. After it, whole blocks are in the file, and the
// events that came since are counted as dropped.
func (c *Writer) Err() error { return c.output.failure() }

// Stats says what has been done so far.
func (c *Writer) Stats() Stats {
	s := c.output.stats()
	s.Dropped, s.FactsDropped = c.refused.Load(), c.noFacts.Load()
	return s
}
