package capture

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// maxRescans bounds how many bytes are looked at again because a block was damaged: a file made to that end could
// otherwise make each of its heads cost as much as the longest block.
const maxRescans = 256 << 20

// advance reads a block, or finds out that there is damage. At the end it returns io.EOF.
func (c *Reader) advance() error {
	c.seek()
	if c.closed && c.options.Follow != nil {
		return io.EOF
	}
	b := c.source.head()
	if b == nil {
		return c.noBlock()
	}
	if b[atMajor] != Major {
		return fmt.Errorf("%w: version %d, and this tcpstate reads version %d: a newer one is needed",
			ErrVersion, b[atMajor], Major)
	}
	h, n := &c.block, len(b)
	if !h.parse(b) {
		c.breaks("a block's head claims more than a block can have", nil)
		c.source.use(n)
		return nil
	}
	if !c.begun {
		c.begun, c.recording = true, h.recording
	}
	c.at = c.source.offset
	switch {
	case h.recording != c.recording:
		c.another(n)
	case h.sequence < c.expected.sequence:
		c.strict.displace()
		c.damage(&Damage{Offset: c.at, What: "a block is here for the second time, and was left out"})
		c.leaveOut(n)
	case !c.wanted(h):
		c.accept(b)
		c.leaveOut(n)
	default:
		c.read(n)
	}
	return nil
}

// noBlock is for where no head is: the end, or damage.
func (c *Reader) noBlock() error {
	if len(c.source.window(1)) == 0 {
		return c.eof()
	}
	c.breaks("no block begins here", nil)
	c.source.find()
	return nil
}

// breaks begins a damage, or goes on with it. Its extent is known with the next whole block.
func (c *Reader) breaks(what string, h *head) {
	if c.broken == nil {
		c.broken = &Damage{Offset: c.source.offset, What: what}
		c.known, c.notMissed = position{}, 0
	}
	if h == nil {
		return
	}
	c.known.facts += uint64(h.facts)
	if c.hasWanted(h) {
		c.known.events += uint64(h.events)
	} else {
		c.notMissed += uint64(h.events)
	}
}

// read reads the frame behind a head of n bytes.
func (c *Reader) read(n int) {
	h := &c.block
	whole := c.source.window(n + int(h.frame))
	switch {
	case len(whole) < n+int(h.frame):
		c.breaks(fmt.Sprintf("a block of %d events is cut off", h.events), h)
		c.rescan(n, len(whole))
		return
	case checksum(whole[n:]) != h.checksum:
		c.breaks(fmt.Sprintf("a block of %d events is damaged: its checksum differs", h.events), h)
		c.rescan(n, len(whole))
		return
	}
	c.accept(whole[:n])
	err := c.load(whole[n:])
	if h.kind == trailerBlock {
		c.closed = true
		err = c.strict.trailer(h)
	}
	c.source.use(len(whole))
	if err != nil {
		c.damage(&Damage{
			Offset: c.at, What: fmt.Sprintf("a block's content is wrong: %v", err),
			EventsMissing: uint64(h.events), FactsMissing: uint64(h.facts),
		})
	}
}

// rescan goes on behind the head, for what was taken for the block may contain others; but not for ever.
func (c *Reader) rescan(n, whole int) {
	c.rescans += int64(whole - n)
	if c.rescans > maxRescans {
		n = whole
	}
	c.source.use(n)
}

// leaveOut goes on behind a block whose head has n bytes.
func (c *Reader) leaveOut(n int) {
	h := &c.block
	c.source.use(n)
	if !c.source.skip(int(h.frame)) {
		c.breaks(fmt.Sprintf("a block of %d events is cut off", h.events), nil)
	}
}

// another leaves out a block of another recording, of which only the first is told.
func (c *Reader) another(n int) {
	if !c.foreign {
		c.foreign = true
		c.damage(&Damage{
			Offset: c.at, Unknown: true,
			What: "blocks of another recording are in this file, and were left out: give each file by itself",
		})
	}
	c.leaveOut(n)
}

// accept counts the block, and says what is missing before it.
func (c *Reader) accept(b []byte) {
	h := &c.block
	missing := less(less(h.eventsBefore, c.expected.events), less(h.dropped, c.expected.dropped))
	facts := less(h.factsBefore, c.expected.facts)
	switch {
	case c.broken != nil:
	case h.sequence > c.expected.sequence:
		c.notMissed = 0
		c.broken = &Damage{Offset: c.at, What: "blocks are missing before this one"}
	case missing > 0 || facts > 0:
		c.notMissed = 0
		c.broken = &Damage{Offset: c.at, What: "the recorder had no room for everything"}
	}
	if c.broken != nil {
		c.strict.displace()
		c.broken.EventsMissing, c.broken.FactsMissing = less(missing, c.notMissed), facts
		c.damage(c.broken)
		c.broken = nil
	}
	if h.events > 0 {
		if back := c.latest - h.first; c.latest != 0 && back > int64(jump) {
			c.damage(&Damage{
				Offset: c.at, What: fmt.Sprintf("the clock went back by %s", time.Duration(back).Round(time.Millisecond)),
			})
		}
		c.latest = h.last
	}
	c.expected = h.after()
	c.blocks++
	c.strict.note(h, c.at, b)
}

// less is a-b, or 0.
func less(a, b uint64) uint64 { return a - min(a, b) }

// wanted says whether a block is to be read.
func (c *Reader) wanted(h *head) bool {
	switch h.kind {
	case headerBlock, endBlock, trailerBlock:
		return true
	case indexBlock:
		return c.strict != nil
	case eventBlock:
		return h.facts > 0 || c.hasWanted(h)
	}
	c.newer(fmt.Sprintf("blocks of type %d", h.kind))
	return false
}

// hasWanted says whether a block can have events that are wanted.
func (c *Reader) hasWanted(h *head) bool {
	o := &c.options
	if h.last < o.Since && o.Since != 0 || h.first >= o.Until && o.Until != 0 {
		return false
	}
	for _, d := range o.Destinations {
		if d.in(h.print) {
			return true
		}
	}
	return len(o.Destinations) == 0
}

// eof says what the end of the file tells.
func (c *Reader) eof() error {
	if err := c.source.err; err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	d := c.broken
	c.broken = nil
	switch {
	case !c.begun:
		return io.EOF
	case c.closed && d == nil:
		return io.EOF
	case d == nil:
		d = &Damage{Offset: c.source.offset}
	default:
		d.What += "; "
		d.EventsMissing, d.FactsMissing = c.known.events, c.known.facts
	}
	switch {
	case c.closed:
		d.What += "all this is behind the recording's end"
	case c.ended:
		d.What += "the file is cut off behind the recording's end, where the index would be told"
	default:
		d.Unknown = true
		d.What += "the end is missing: the recording was cut off, and up to its last second is not here"
	}
	c.damage(d)
	return io.EOF
}
