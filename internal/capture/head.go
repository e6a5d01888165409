package capture

import (
	"encoding/binary"
	"hash/crc32"
)

// headMagic begins the head of a block: a zstd skippable frame (RFC 8878, 3.1.2). Its first byte is 'T'.
const headMagic = 0x184D2A54

// tag follows the frame's length.
const tag = "tcps"

// Where things are in a head, in bytes. All numbers are little-endian. Tag, major version, and the checksum in the last
// four bytes stay where they are in all versions.
const (
	atLength       = 4 // of what follows
	atTag          = 8
	atMajor        = 12
	atMinor        = 13
	atType         = 14
	atRecording    = 16
	atSequence     = 24
	atEvents       = 28
	atFacts        = 32
	atSize         = 36
	atFrame        = 40
	atChecksum     = 44
	atEventsBefore = 48
	atFactsBefore  = 56
	atDropped      = 64
	atLost         = 72
	atFirst        = 80
	atLast         = 88
	atPrintLength  = 96
	atPrint        = 100

	checksumSize = 4
	minHead      = atPrint + checksumSize
	// maxHead leaves room for what newer versions add.
	maxHead = 2048
)

// blockType says what a block contains.
type blockType uint8

// The types of block.
const (
	headerBlock  blockType = iota + 1
	eventBlock             // events, settings and services
	indexBlock             // where the blocks before it are
	endBlock               // JSON: the end of the recording
	trailerBlock           // no content: the last head of a whole file, which tells where the last index is
)

// head is what stands before a block's content.
type head struct {
	major, minor uint8
	kind         blockType
	recording    uint64 // a random number, the same in all blocks of a recording
	sequence     uint32 // of the block in the recording, from 0 on
	events       uint32 // in this block
	facts        uint32
	size         uint32 // of the content before compression
	frame        uint32 // and after: the zstd frame behind the head
	checksum     uint32 // CRC32C of the frame
	eventsBefore uint64 // all that were handed to the writer before this block's, dropped ones included
	factsBefore  uint64
	dropped      uint64 // how many of eventsBefore are in no block, because the disk was too slow
	lost         uint64 // how many events the Lost events stand for, up to this block's end
	first, last  int64  // the earliest and the latest event in it, Unix nanoseconds; of an index: in the blocks it tells of
	print        []byte // see fingerprint
	extra        []byte // what is behind the fingerprint: the trailer's offsets
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC32C, for which processors have an instruction.
func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// length is how long h is in the file.
func (h *head) length() int { return minHead + len(h.print) + len(h.extra) }

// append appends h as it is in the file.
func (h *head) append(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, headMagic)
	b = le.AppendUint32(b, uint32(h.length()-atTag))
	b = append(b, tag...)
	b = append(b, h.major, h.minor, byte(h.kind), 0)
	b = le.AppendUint64(b, h.recording)
	for _, v := range []uint32{h.sequence, h.events, h.facts, h.size, h.frame, h.checksum} {
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint64{h.eventsBefore, h.factsBefore, h.dropped, h.lost, uint64(h.first), uint64(h.last)} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint16(b, uint16(len(h.print)))
	b = append(b, 0, 0)
	b = append(b, h.print...)
	b = append(b, h.extra...)
	return le.AppendUint32(b, checksum(b[start:]))
}

// headLength is how long the head that b begins with says it is; 0 when b begins with none. b has atMajor bytes at
// least.
func headLength(b []byte) int {
	le := binary.LittleEndian
	n := uint64(le.Uint32(b[atLength:])) + atTag
	if le.Uint32(b) != headMagic || string(b[atTag:atMajor]) != tag || n < atMajor+checksumSize+4 || n > maxHead {
		return 0
	}
	return int(n)
}

// intact says whether b, a whole head of any version, is as it was written.
func intact(b []byte) bool {
	n := len(b) - checksumSize
	return binary.LittleEndian.Uint32(b[n:]) == checksum(b[:n])
}

// parse reads a whole and intact head of this major version, and reports whether what it says can be. It keeps no part
// of b.
func (h *head) parse(b []byte) bool {
	if len(b) < minHead {
		return false
	}
	le := binary.LittleEndian
	h.major, h.minor, h.kind = b[atMajor], b[atMinor], blockType(b[atType])
	h.recording = le.Uint64(b[atRecording:])
	h.sequence, h.events, h.facts = le.Uint32(b[atSequence:]), le.Uint32(b[atEvents:]), le.Uint32(b[atFacts:])
	h.size, h.frame, h.checksum = le.Uint32(b[atSize:]), le.Uint32(b[atFrame:]), le.Uint32(b[atChecksum:])
	h.eventsBefore, h.factsBefore = le.Uint64(b[atEventsBefore:]), le.Uint64(b[atFactsBefore:])
	h.dropped, h.lost = le.Uint64(b[atDropped:]), le.Uint64(b[atLost:])
	h.first, h.last = int64(le.Uint64(b[atFirst:])), int64(le.Uint64(b[atLast:]))
	rest := b[atPrint : len(b)-checksumSize]
	n := int(le.Uint16(b[atPrintLength:]))
	if n > len(rest) || n > maxPrint || n&(n-1) != 0 || n != 0 && n < minPrint {
		return false
	}
	h.print, h.extra = append(h.print[:0], rest[:n]...), append(h.extra[:0], rest[n:]...)
	return h.size <= maxPayload && h.frame <= maxFrame && h.events <= MaxBlockEvents && h.facts <= maxBlockFacts
}

// trailer is what the last head of a file tells: where the last index block (0: there is none) and the end block are.
func (h *head) trailer() (index, end int64, ok bool) {
	if h.kind != trailerBlock || len(h.extra) < 16 {
		return 0, 0, false
	}
	le := binary.LittleEndian
	return int64(le.Uint64(h.extra)), int64(le.Uint64(h.extra[8:])), true
}

// trailerLength is how long the trailer of this version is. It is looked for at the end of a file.
const trailerLength = minHead + 16

// setTrailer is the reverse of trailer.
func (h *head) setTrailer(index, end int64) {
	le := binary.LittleEndian
	h.extra = le.AppendUint64(le.AppendUint64(h.extra[:0], uint64(index)), uint64(end))
}
