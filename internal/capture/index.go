package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// blockRange is a part of the file to be read.
type blockRange struct {
	from, to int64
	before   position // of the block at from
}

// mergeGap is how far apart two ranges must be before leaving out what is between them is worth a seek.
const mergeGap = readSize

// plan finds out from the index what is to be read. Where there is none, or it is wrong, everything is looked at.
func (c *Reader) plan() {
	last, end, ok := c.trailer()
	if !ok {
		return
	}
	ranges := []blockRange{end}
	recording := c.block.recording
	for before := end.from; last != 0; {
		if last >= before || !c.readIndex(last, recording) {
			return
		}
		if ranges, ok = c.choose(ranges, last); !ok {
			return
		}
		before, last = last, int64(binary.LittleEndian.Uint64(c.content))
	}
	slices.Reverse(ranges)
	c.ranges = ranges
}

// trailer reads the file's last head: where the last index is, and the end.
func (c *Reader) trailer() (index int64, end blockRange, ok bool) {
	size, ok := c.source.size()
	if !ok || size < trailerLength || c.options.Follow != nil {
		return 0, end, false
	}
	b := make([]byte, trailerLength)
	if _, err := c.source.at.ReadAt(b, size-trailerLength); err != nil {
		return 0, end, false
	}
	if headLength(b) != len(b) || !intact(b) || b[atMajor] != Major || !c.block.parse(b) {
		return 0, end, false
	}
	index, at, ok := c.block.trailer()
	end = blockRange{from: at, to: size, before: c.block.position()}
	end.before.sequence-- // that of the end block
	return index, end, ok && index >= 0 && index < at && at < size
}

// readIndex makes the index block at offset the content.
func (c *Reader) readIndex(offset int64, recording uint64) bool {
	c.source.seek(offset)
	defer c.source.seek(0)
	b := c.source.head()
	h, n := &c.block, len(b)
	if b == nil || b[atMajor] != Major || !h.parse(b) || h.kind != indexBlock || h.recording != recording {
		return false
	}
	whole := c.source.window(n + int(h.frame))
	return len(whole) == n+int(h.frame) && checksum(whole[n:]) == h.checksum &&
		c.decompress(whole[n:]) == nil && len(c.content) >= 8
}

// entry is a block in an index.
type entry struct {
	at   int64
	head []byte
}

// entries are the blocks that an index tells of.
func entries(content []byte) (all []entry, err error) {
	for rest := content[8:]; len(rest) > 0; {
		if len(rest) < 8+atMajor+4 {
			return nil, errIndex
		}
		at, b := int64(binary.LittleEndian.Uint64(rest)), rest[8:]
		n := headLength(b)
		if n == 0 || n > len(b) || !intact(b[:n]) || b[atMajor] != Major {
			return nil, errIndex
		}
		all = append(all, entry{at, b[:n]})
		rest = b[n:]
	}
	return all, nil
}

var errIndex = errors.New("the index is not as it should be")

// choose puts the blocks of an index that are wanted before those that come later: ranges is in reverse order.
func (c *Reader) choose(ranges []blockRange, index int64) ([]blockRange, bool) {
	all, err := entries(c.content)
	if err != nil {
		return nil, false
	}
	before := index
	for _, e := range slices.Backward(all) {
		h := &c.block
		if !h.parse(e.head) {
			return nil, false
		}
		next := blockRange{from: e.at, to: e.at + int64(len(e.head)) + int64(h.frame), before: h.position()}
		if e.at < 0 || next.to > before {
			return nil, false
		}
		before = e.at
		if !c.wanted(h) {
			continue
		}
		if later := &ranges[len(ranges)-1]; later.from-next.to <= mergeGap {
			later.from, later.before = next.from, next.before
		} else {
			ranges = append(ranges, next)
		}
	}
	return ranges, true
}

// seek goes on with the next range, unless damage is being looked through.
func (c *Reader) seek() {
	if !c.begun || c.broken != nil {
		return
	}
	for len(c.ranges) > 0 && c.source.offset >= c.ranges[0].to {
		c.ranges = c.ranges[1:]
	}
	if len(c.ranges) > 0 && c.source.offset < c.ranges[0].from {
		c.source.seek(c.ranges[0].from)
		c.expected = c.ranges[0].before
		c.latest = 0
	}
}

// inspection compares what the indexes and the trailer tell with the blocks that are there.
type inspection struct {
	since     []byte // for each block since the last index its offset and head
	index     int64  // where the last one was
	end       int64
	misplaced bool // there was damage: offsets may differ
}

// note keeps where a block is.
func (i *inspection) note(h *head, at int64, b []byte) {
	if i == nil {
		return
	}
	switch h.kind {
	case eventBlock:
		i.since = binary.LittleEndian.AppendUint64(i.since, uint64(at))
		i.since = append(i.since, b...)
	case indexBlock:
		i.index = at
	case endBlock:
		i.end = at
	}
}

// displace is for damage, after which nothing need be where it was.
func (i *inspection) displace() {
	if i != nil {
		i.misplaced = true
	}
}

// compare compares an index with what was there since the one before.
func (i *inspection) compare(content []byte) error {
	if i == nil {
		return nil
	}
	defer func() { i.since = i.since[:0] }()
	if len(content) < 8 {
		return errIndex
	}
	if _, err := entries(content); err != nil {
		return err
	}
	if !i.misplaced && !bytes.Equal(content[8:], i.since) {
		return errors.New("the index does not tell where the blocks are")
	}
	return nil
}

// trailer compares the trailer with where the end and the index are.
func (i *inspection) trailer(h *head) error {
	if i == nil {
		return nil
	}
	index, end, ok := h.trailer()
	if !ok || !i.misplaced && (index != i.index || end != i.end) {
		return errors.New("the trailer does not tell where the end is")
	}
	return nil
}
