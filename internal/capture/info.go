package capture

import (
	"errors"
	"io"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Summary is what a capture contains.
type Summary struct {
	Header *Header
	Totals
	// Blocks and Bytes are the file's.
	Blocks, Bytes uint64
	// Complete says that the recording has its end.
	Complete bool
	// Whole says that every block was read. Otherwise Totals are what the end says.
	Whole bool
	// Damages are the first of them; DamagesMore is how many more there were.
	Damages     []Damage
	DamagesMore uint64
	// EventsMissing is how many events are missing at the damages, at most; at least so many may be when
	// MissingUnknown is set.
	EventsMissing  uint64
	MissingUnknown bool
}

// maxDamages is how many a Summary keeps.
const maxDamages = 100

// BytesPerEvent is the size of an event in the file; ok is false where there are none.
func (s *Summary) BytesPerEvent() (n float64, ok bool) {
	if s.Events == 0 {
		return 0, false
	}
	return float64(s.Bytes) / float64(s.Events), true
}

// Info reads what a capture contains: from its end, where it has one and is a file, else from all of it.
func Info(r io.Reader) (*Summary, error) {
	c, err := NewReader(r, ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer c.zstd.Close()
	if c.source.at == nil {
		return c.summary()
	}
	if s := c.fromEnd(); s != nil {
		return s, nil
	}
	return Verify(r)
}

// Verify reads a capture, checks every block and its content, and compares the index with what is there.
func Verify(r io.Reader) (*Summary, error) {
	c, err := newReader(r, ReadOptions{}, new(inspection))
	if err != nil {
		return nil, err
	}
	defer c.zstd.Close()
	return c.summary()
}

// fromEnd reads nothing but the end; nil: there is none, or no header.
func (c *Reader) fromEnd() *Summary {
	_, end, ok := c.trailer()
	blocks := c.block.sequence + 1
	if !ok || c.block.recording != c.recording || len(c.damages) > 0 || c.broken != nil {
		return nil
	}
	c.source.seek(end.from)
	c.expected = end.before
	if err := c.advance(); err != nil || len(c.damages) > 0 || c.end == nil {
		return nil
	}
	return &Summary{
		Header: c.header, Totals: c.end.Totals, Complete: true, Blocks: uint64(blocks), Bytes: uint64(end.to),
	}
}

// summary reads everything.
func (c *Reader) summary() (*Summary, error) {
	s := &Summary{Whole: true}
	s.Kinds = map[string]uint64{}
	var kinds [kindSlots]uint64
	var times span
	for {
		item, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch item.Kind {
		case KindEvent:
			e := item.Event
			kinds[e.Kind%kindSlots]++
			times.add(e.UnixNano, e.UnixNano)
			if e.Kind == event.Lost {
				s.Lost += e.Count
			}
		case KindSettings, KindService:
			s.Facts++
		case KindEnd:
			s.Complete = true
		case KindDamage:
			s.damage(item.Damage)
		}
	}
	for kind, n := range kinds {
		if n > 0 {
			s.Kinds[event.Kind(kind).String()] = n
			s.Events += n
		}
	}
	s.First, s.Last = times.first, times.last
	s.Header, s.Dropped = c.header, c.expected.dropped
	s.Blocks, s.Bytes = c.blocks, uint64(c.source.offset)
	return s, nil
}

func (s *Summary) damage(d *Damage) {
	s.EventsMissing += d.EventsMissing
	s.MissingUnknown = s.MissingUnknown || d.Unknown
	if len(s.Damages) == maxDamages {
		s.DamagesMore++
		return
	}
	s.Damages = append(s.Damages, *d)
}
