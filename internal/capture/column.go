package capture

import "encoding/binary"

// A block of events is stored by columns, each a string of bytes. Numbers are varints (encoding/binary): 7 bits a byte,
// the lowest first; signed ones as zigzag. Zeros at the end of a column of values, columnTime to columnCount, are not
// stored: a column of zeros takes no room.
const (
	columnShapes    = iota // dictionary: 16 bytes a shape
	columnAddresses        // dictionary of addresses: a byte of length, the address; behind zoneTag a zone, too
	columnOwners           // dictionary: netns 4, cgroup 8, comm 16 bytes
	columnPaths            // dictionary: owner, local address, remote address, service's port, each a varint
	columnShape            // number in the dictionary
	columnTime             // difference to the event before
	columnPath             // number in the dictionary; the next new one is one more than the last
	columnPortLow          // of the port that is not the service's: zigzag difference to the last of the same path and kind
	columnPortHigh         // its upper byte
	columnPID              // difference to the last of the same owner
	columnLifetime         // of the shapes that have one, as all below
	columnConnectTime
	columnIdle
	columnRemaining
	columnSentBytes
	columnReceivedBytes
	columnSentSegments
	columnReceivedSegments
	columnSentData
	columnReceivedData
	columnRetransmits
	columnCount
	columnFacts // settings and services: event number, kind, length, each a varint, and JSON
	columns
)

// zoneTag stands for the length of an IPv6 address with a zone.
const zoneTag = 17

// What a shape's events have: a bit for each.
const (
	hasLifetime = 1 << iota
	hasConnectTime
	hasIdle
	hasRemaining
	hasBytes
	hasSegments
	hasRetransmits
	hasCount
)

// The flags of a shape.
const (
	flagPreexisting = 1 << iota
	flagInCensus
	flagAutoPort
	flagTimestamps
	flagCounted
)

// kindSlots is how many last ports a path remembers: one for each kind of event.
const kindSlots = 16

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// portZigzag is the difference of two ports, modulo 65536, as zigzag.
func portZigzag(port, before uint16) uint16 {
	d := int16(port - before)
	return uint16(d)<<1 ^ uint16(d>>15)
}

// portAfter is the reverse.
func portAfter(before, d uint16) uint16 { return before + (d>>1 ^ -(d & 1)) }

// appendVarint is binary.AppendUvarint with a short way for what is most frequent.
func appendVarint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

// cursor reads a column.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) byte() byte {
	if c.i >= len(c.b) {
		return 0
	}
	c.i++
	return c.b[c.i-1]
}

// varint returns 0 behind the end, as all else here.
func (c *cursor) varint() uint64 {
	if c.i < len(c.b) && c.b[c.i] < 0x80 {
		c.i++
		return uint64(c.b[c.i-1])
	}
	return c.longVarint()
}

func (c *cursor) longVarint() uint64 {
	if c.i >= len(c.b) {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.i:])
	if n <= 0 { // cut off or too long: leave it there, for ended to find
		return 0
	}
	c.i += n
	return v
}

// bytes returns the next n bytes, fewer at the end.
func (c *cursor) bytes(n uint64) []byte {
	start := c.i
	c.i += int(min(n, uint64(len(c.b)-c.i)))
	return c.b[start:c.i]
}

// fixed fills to with the next bytes, and zeros at the end.
func (c *cursor) fixed(to []byte) { clear(to[copy(to, c.bytes(uint64(len(to)))):]) }

func (c *cursor) ended() bool { return c.i == len(c.b) }
