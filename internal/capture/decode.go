package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// shape is a shape read back.
type shape struct {
	kind, of                     event.Kind
	direction                    event.Direction
	directionBasis               event.Basis
	ownerBasis                   event.OwnerBasis
	oldState, newState, substate event.State
	closedBy                     event.Closer
	basis                        event.Basis
	cause                        event.Cause
	flags, has                   uint8
	error                        event.Error
	// known: this version has a name for every value.
	known bool
}

// decoder reads a block's events.
type decoder struct {
	columns   [columns]cursor
	shapes    []shape
	addresses []netip.Addr
	owners    []owner
	pids      []uint32
	paths     []path

	left uint32 // events to come
	time int64
	// strange is how many events had values that this version does not know. They were left out.
	strange uint32
	unread  uint32 // at an error
	err     error
}

var (
	errLayout     = errors.New("its columns do not fit into it")
	errDictionary = errors.New("its dictionaries do not fit")
	errLeftOver   = errors.New("it has more values than events")
	errTooFew     = errors.New("it has fewer values than events")
)

// begin starts with a block's content, which is used until the next begin.
func (d *decoder) begin(content []byte, events uint32) error {
	d.left, d.time, d.strange, d.unread, d.err = events, 0, 0, 0, nil
	if d.err = d.layOut(content); d.err == nil {
		d.err = d.dictionaries()
	}
	if d.err != nil {
		d.left = 0
	}
	return d.err
}

// layOut finds the columns. Those that a newer version added are left out.
func (d *decoder) layOut(content []byte) error {
	d.columns = [columns]cursor{}
	directory := cursor{b: content}
	n := directory.varint()
	if n > uint64(len(content)) {
		return errLayout
	}
	lengths := directory
	for range n {
		directory.varint()
	}
	rest := content[directory.i:]
	for i := range n {
		length := lengths.varint()
		if length > uint64(len(rest)) {
			return errLayout
		}
		if i < columns {
			d.columns[i].b = rest[:length]
		}
		rest = rest[length:]
	}
	if len(rest) > 0 {
		return errLayout
	}
	return nil
}

// dictionaries reads what the events refer to. There is no use for more entries than events, or twice as many addresses.
func (d *decoder) dictionaries() error {
	d.shapes, d.addresses, d.owners = d.shapes[:0], d.addresses[:0], d.owners[:0]
	d.pids, d.paths = d.pids[:0], d.paths[:0]
	for c := &d.columns[columnShapes]; !c.ended() && len(d.shapes) < MaxBlockEvents; {
		d.shapes = append(d.shapes, readShape(c))
	}
	for c := &d.columns[columnOwners]; !c.ended() && len(d.owners) < MaxBlockEvents; {
		d.owners, d.pids = append(d.owners, readOwner(c)), append(d.pids, 0)
	}
	for c := &d.columns[columnAddresses]; !c.ended() && len(d.addresses) < 2*MaxBlockEvents; {
		a, err := readAddress(c)
		if err != nil {
			return err
		}
		d.addresses = append(d.addresses, a)
	}
	return nil
}

func readShape(c *cursor) (s shape) {
	var b [16]byte
	c.fixed(b[:])
	s = shape{
		kind: event.Kind(b[0]), of: event.Kind(b[1]),
		direction: event.Direction(b[2]), directionBasis: event.Basis(b[3]), ownerBasis: event.OwnerBasis(b[4]),
		oldState: event.State(b[5]), newState: event.State(b[6]), substate: event.State(b[7]),
		closedBy: event.Closer(b[8]), basis: event.Basis(b[9]), cause: event.Cause(b[10]), flags: b[11],
		error: event.Error(binary.LittleEndian.Uint16(b[12:])), has: b[14],
	}
	s.known = max(s.kind, s.of) <= lastKind && s.direction <= lastDirection && max(s.directionBasis, s.basis) <= lastBasis &&
		s.ownerBasis <= lastOwnerBasis && max(s.oldState, s.newState, s.substate) <= lastState &&
		s.closedBy <= lastCloser && s.cause <= lastCause
	return s
}

// The last value of each kind that this version knows. The figures are kept in arrays of this size.
const (
	lastKind       = event.BindFailed
	lastDirection  = event.Inbound
	lastBasis      = event.Inferred
	lastOwnerBasis = event.OwnerHolder
	lastState      = event.NewSynRecv
	lastCloser     = event.ClosedReset
	lastCause      = event.PortTaken
)

// readAddress makes nothing of zones that are longer than a name of a network device can be (IFNAMSIZ).
func readAddress(c *cursor) (netip.Addr, error) {
	switch n := c.byte(); n {
	case 0:
		return netip.Addr{}, nil
	case 4:
		var raw [4]byte
		c.fixed(raw[:])
		return netip.AddrFrom4(raw), nil
	case 16, zoneTag:
		var raw [16]byte
		c.fixed(raw[:])
		a := netip.AddrFrom16(raw)
		if n == 16 {
			return a, nil
		}
		length := c.varint()
		if length > maxZone {
			return a, fmt.Errorf("a zone of %d bytes in an address", length)
		}
		return a.WithZone(string(c.bytes(length))), nil
	default:
		return netip.Addr{}, fmt.Errorf("an address of %d bytes", n)
	}
}

// maxZone is more than IFNAMSIZ.
const maxZone = 64

func readOwner(c *cursor) (o owner) {
	var b [28]byte
	c.fixed(b[:])
	o.netns, o.cgroup = binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint64(b[4:])
	copy(o.comm[:], b[12:])
	return o
}

// next reads an event into e, all of its fields. It returns false at the end of the block, or at an error, which is then
// in d.err.
func (d *decoder) next(e *event.Event) bool {
	for d.left > 0 {
		d.left--
		known := d.read(e)
		if d.err != nil {
			d.unread, d.left = d.left+1, 0
			return false
		}
		if d.left == 0 && !d.ended() {
			d.err = errLeftOver // behind the last event, which counts all the same
		}
		if known {
			return true
		}
		d.strange++
	}
	return false
}

func (d *decoder) read(e *event.Event) (known bool) {
	if d.columns[columnShape].ended() {
		d.err = errTooFew
		return false
	}
	d.time += unzigzag(d.columns[columnTime].varint())
	number := d.columns[columnShape].varint()
	if number >= uint64(len(d.shapes)) {
		d.err = errDictionary
		return false
	}
	s := &d.shapes[number]
	p := d.path()
	if p == nil {
		return false
	}
	e.UnixNano = d.time
	s.fill(e)
	e.Netns = p.netns
	e.Owner.CgroupID, e.Owner.Comm = p.cgroup, p.comm
	pid := &d.pids[p.owner]
	*pid += uint32(unzigzag(d.columns[columnPID].varint()))
	e.Owner.PID = *pid
	port := d.port(p, s.kind)
	if s.direction == event.Inbound {
		e.Local, e.Remote = netip.AddrPortFrom(p.local, p.port), netip.AddrPortFrom(p.remote, port)
	} else {
		e.Local, e.Remote = netip.AddrPortFrom(p.local, port), netip.AddrPortFrom(p.remote, p.port)
	}
	d.figures(e, s.has)
	return s.known
}

// fill sets the fields that a shape has.
func (s *shape) fill(e *event.Event) {
	e.Kind, e.Of = s.kind, s.of
	e.Direction, e.DirectionBasis, e.Owner.Basis = s.direction, s.directionBasis, s.ownerBasis
	e.OldState, e.NewState, e.Substate = s.oldState, s.newState, s.substate
	e.ClosedBy, e.Error, e.Basis, e.Cause = s.closedBy, s.error, s.basis, s.cause
	e.Preexisting = s.flags&flagPreexisting != 0
	e.InCensus = s.flags&flagInCensus != 0
	e.AutoPort = s.flags&flagAutoPort != 0
	e.Timestamps = s.flags&flagTimestamps != 0
	e.Counted = s.flags&flagCounted != 0
}

// path reads which path comes next. A new one is the next of the dictionary.
func (d *decoder) path() *path {
	number := d.columns[columnPath].varint()
	if number < uint64(len(d.paths)) {
		return &d.paths[number]
	}
	if number != uint64(len(d.paths)) || number >= MaxBlockEvents {
		d.err = errDictionary
		return nil
	}
	c := &d.columns[columnPaths]
	who, local, remote, port := c.varint(), c.varint(), c.varint(), c.varint()
	if max(local, remote) >= uint64(len(d.addresses)) || who >= uint64(len(d.owners)) || port > 65535 {
		d.err = errDictionary
		return nil
	}
	o := &d.owners[who]
	d.paths = append(d.paths, path{
		local: d.addresses[local], remote: d.addresses[remote], cgroup: o.cgroup, comm: o.comm, netns: o.netns,
		port: uint16(port), owner: uint32(who),
	})
	return &d.paths[number]
}

func (d *decoder) port(p *path, kind event.Kind) uint16 {
	last := &p.ports[kind%kindSlots]
	if *last == 0 {
		*last = p.recent
	}
	low, high := d.columns[columnPortLow].byte(), d.columns[columnPortHigh].byte()
	port := portAfter(*last, uint16(low)|uint16(high)<<8)
	*last, p.recent = port, port
	return port
}

// figures reads what the shape says there is.
func (d *decoder) figures(e *event.Event, has uint8) {
	c := &d.columns
	e.Lifetime, e.ConnectTime, e.Idle, e.Remaining = event.Unknown, event.Unknown, event.Unknown, event.Unknown
	if has&hasLifetime != 0 {
		e.Lifetime = time.Duration(unzigzag(c[columnLifetime].varint()))
	}
	if has&hasConnectTime != 0 {
		e.ConnectTime = time.Duration(unzigzag(c[columnConnectTime].varint()))
	}
	if has&hasIdle != 0 {
		e.Idle = time.Duration(unzigzag(c[columnIdle].varint()))
	}
	if has&hasRemaining != 0 {
		e.Remaining = time.Duration(unzigzag(c[columnRemaining].varint()))
	}
	e.SentBytes, e.ReceivedBytes, e.Retransmits, e.Count = 0, 0, 0, 0
	e.SentSegments, e.ReceivedSegments, e.SentDataSegments, e.ReceivedDataSegments = 0, 0, 0, 0
	if has&hasBytes != 0 {
		e.SentBytes, e.ReceivedBytes = c[columnSentBytes].varint(), c[columnReceivedBytes].varint()
	}
	if has&hasSegments != 0 {
		e.SentSegments, e.ReceivedSegments = uint32(c[columnSentSegments].varint()), uint32(c[columnReceivedSegments].varint())
		e.SentDataSegments = uint32(c[columnSentData].varint())
		e.ReceivedDataSegments = uint32(c[columnReceivedData].varint())
	}
	if has&hasRetransmits != 0 {
		e.Retransmits = uint32(c[columnRetransmits].varint())
	}
	if has&hasCount != 0 {
		e.Count = c[columnCount].varint()
	}
}

// ended says whether everything was used up.
func (d *decoder) ended() bool {
	for i := range d.columns {
		if i != columnFacts && !d.columns[i].ended() {
			return false
		}
	}
	return true
}
