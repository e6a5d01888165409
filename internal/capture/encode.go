package capture

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/tcpstate/tcpstate/internal/event"
)

// block is the content of a block while it is filled, and until it is written.
type block struct {
	columns [columns][]byte
	facts   []fact
	print   fingerprint
	kinds   [kindSlots]uint32 // events by kind

	events      uint32
	lost        uint64 // how many events the Lost events among them stand for
	first, last int64  // the earliest and the latest time
	factBytes   int
	before      counts
}

// reset empties b and keeps its memory.
func (b *block) reset() {
	for i := range b.columns {
		b.columns[i] = b.columns[i][:0]
	}
	clear(b.facts)
	*b = block{columns: b.columns, facts: b.facts[:0]}
}

func (b *block) put(column int, v uint64) {
	b.columns[column] = appendVarint(b.columns[column], v)
}

// content appends b as it is in a file: the number of columns, their lengths, the columns.
func (b *block) content(to []byte) []byte {
	for i := range b.facts {
		b.columns[columnFacts] = b.facts[i].append(b.columns[columnFacts])
	}
	to = append(to, columns)
	for i := columnTime; i <= columnCount; i++ {
		b.columns[i] = bytes.TrimRight(b.columns[i], "\x00")
	}
	for _, c := range b.columns {
		to = appendVarint(to, uint64(len(c)))
	}
	for _, c := range b.columns {
		to = append(to, c...)
	}
	return to
}

// shapeKey is a shape: all fields of an event that have few values, and a bit for each of those that it has at all.
type shapeKey [2]uint64

// path is what many events have in common: who, from where, to where.
type path struct {
	local, remote netip.Addr
	cgroup        uint64
	comm          event.Comm
	netns         uint32
	port          uint16 // the service's
	recent        uint16 // the last of the other ports, of any kind
	owner         uint32 // number
	ports         [kindSlots]uint16
}

// owner is whose a path is.
type owner struct {
	cgroup uint64
	comm   event.Comm
	netns  uint32
}

// tableSize is that of the hash tables: twice as many slots as they can have entries.
const tableSize = 2 * MaxBlockEvents

// encoder puts events into a block.
type encoder struct {
	block *block
	time  int64 // of the last event

	shapeSlots [tableSize]uint16 // number + 1
	shapes     []shapeKey
	pathSlots  [tableSize]uint16
	paths      []path
	addresses  map[netip.Addr]uint32
	remotes    []bool // of each address: it is a remote one, and in the fingerprint
	owners     map[owner]uint32
	pids       []uint32 // the last of each owner
}

func newEncoder() *encoder {
	return &encoder{addresses: map[netip.Addr]uint32{}, owners: map[owner]uint32{}}
}

// begin goes on with an empty block.
func (c *encoder) begin(b *block) {
	c.block = b
	c.time = 0
	clear(c.shapeSlots[:])
	clear(c.pathSlots[:])
	clear(c.paths) // lest zones live on
	c.shapes, c.paths, c.pids = c.shapes[:0], c.paths[:0], c.pids[:0]
	c.remotes = c.remotes[:0]
	clear(c.addresses)
	clear(c.owners)
}

// add appends an event to the block, which has room for it.
func (c *encoder) add(e *event.Event) {
	b := c.block
	has := present(e)
	shape := c.shape(e, has)
	p := c.path(e)
	b.put(columnTime, zigzag(e.UnixNano-c.time))
	c.time = e.UnixNano
	b.put(columnShape, uint64(shape))
	b.put(columnPath, uint64(p))
	c.port(e, &c.paths[p])
	pid := &c.pids[c.paths[p].owner]
	b.put(columnPID, zigzag(int64(e.Owner.PID)-int64(*pid)))
	*pid = e.Owner.PID
	if has != 0 {
		b.figures(e, has)
	}
	b.count(e)
}

// count keeps what the head tells.
func (b *block) count(e *event.Event) {
	if b.events == 0 {
		b.first, b.last = e.UnixNano, e.UnixNano
	}
	b.first, b.last = min(b.first, e.UnixNano), max(b.last, e.UnixNano)
	b.events++
	b.kinds[e.Kind%kindSlots]++
	if e.Kind == event.Lost {
		b.lost += e.Count
	}
}

// present says which of the fields that have many values differ from what they mostly are.
func present(e *event.Event) (has uint8) {
	if e.Lifetime != event.Unknown {
		has |= hasLifetime
	}
	if e.ConnectTime != event.Unknown {
		has |= hasConnectTime
	}
	if e.Idle != event.Unknown {
		has |= hasIdle
	}
	if e.Remaining != event.Unknown {
		has |= hasRemaining
	}
	if e.SentBytes|e.ReceivedBytes != 0 {
		has |= hasBytes
	}
	if e.SentSegments|e.ReceivedSegments|e.SentDataSegments|e.ReceivedDataSegments != 0 {
		has |= hasSegments
	}
	if e.Retransmits != 0 {
		has |= hasRetransmits
	}
	if e.Count != 0 {
		has |= hasCount
	}
	return has
}

// figures stores what present found.
func (b *block) figures(e *event.Event, has uint8) {
	if has&hasLifetime != 0 {
		b.put(columnLifetime, zigzag(int64(e.Lifetime)))
	}
	if has&hasConnectTime != 0 {
		b.put(columnConnectTime, zigzag(int64(e.ConnectTime)))
	}
	if has&hasIdle != 0 {
		b.put(columnIdle, zigzag(int64(e.Idle)))
	}
	if has&hasRemaining != 0 {
		b.put(columnRemaining, zigzag(int64(e.Remaining)))
	}
	if has&hasBytes != 0 {
		b.put(columnSentBytes, e.SentBytes)
		b.put(columnReceivedBytes, e.ReceivedBytes)
	}
	if has&hasSegments != 0 {
		b.put(columnSentSegments, uint64(e.SentSegments))
		b.put(columnReceivedSegments, uint64(e.ReceivedSegments))
		b.put(columnSentData, uint64(e.SentDataSegments))
		b.put(columnReceivedData, uint64(e.ReceivedDataSegments))
	}
	if has&hasRetransmits != 0 {
		b.put(columnRetransmits, uint64(e.Retransmits))
	}
	if has&hasCount != 0 {
		b.put(columnCount, e.Count)
	}
}

// packShape is the shape of e.
func packShape(e *event.Event, has uint8) shapeKey {
	flags := bit(e.Preexisting, flagPreexisting) | bit(e.InCensus, flagInCensus) | bit(e.AutoPort, flagAutoPort) |
		bit(e.Timestamps, flagTimestamps) | bit(e.Counted, flagCounted)
	return shapeKey{
		uint64(e.Kind) | uint64(e.Of)<<8 | uint64(e.Direction)<<16 | uint64(e.DirectionBasis)<<24 |
			uint64(e.Owner.Basis)<<32 | uint64(e.OldState)<<40 | uint64(e.NewState)<<48 | uint64(e.Substate)<<56,
		uint64(e.ClosedBy) | uint64(e.Basis)<<8 | uint64(e.Cause)<<16 | flags<<24 | uint64(e.Error)<<32 | uint64(has)<<48,
	}
}

func bit(set bool, flag uint64) uint64 {
	if set {
		return flag
	}
	return 0
}

// hashMultiplier is 2^64 / golden ratio: the upper bits of a product with it are spread (Knuth, 6.4).
const hashMultiplier = 0x9e3779b97f4a7c15

func slot(hash uint64) uint64 { return hash * hashMultiplier >> 51 } // 64 - log2 tableSize

// shape returns the number of e's shape in the dictionary, in which it puts a new one.
func (c *encoder) shape(e *event.Event, has uint8) int {
	key := packShape(e, has)
	for i := slot(key[0] ^ key[1]*hashMultiplier); ; i = (i + 1) % tableSize {
		n := int(c.shapeSlots[i])
		if n == 0 {
			c.shapes = append(c.shapes, key)
			c.shapeSlots[i] = uint16(len(c.shapes))
			to := binary.LittleEndian.AppendUint64(c.block.columns[columnShapes], key[0])
			c.block.columns[columnShapes] = binary.LittleEndian.AppendUint64(to, key[1])
			return len(c.shapes) - 1
		}
		if c.shapes[n-1] == key {
			return n - 1
		}
	}
}

// servicePort and the other port: an outbound connection's service is at its remote end.
func servicePort(e *event.Event) (service, other uint16) {
	if e.Direction == event.Inbound {
		return e.Local.Port(), e.Remote.Port()
	}
	return e.Remote.Port(), e.Local.Port()
}

// path returns the number of e's path in the dictionary, in which it puts a new one.
func (c *encoder) path(e *event.Event) int {
	local, remote := e.Local.Addr(), e.Remote.Addr()
	port, _ := servicePort(e)
	for i := slot(pathHash(e, local, remote, port)); ; i = (i + 1) % tableSize {
		n := int(c.pathSlots[i])
		if n == 0 {
			c.pathSlots[i] = uint16(len(c.paths) + 1)
			return c.newPath(e, local, remote, port)
		}
		p := &c.paths[n-1]
		if p.port == port && p.remote == remote && p.local == local &&
			p.comm == e.Owner.Comm && p.cgroup == e.Owner.CgroupID && p.netns == e.Netns {
			return n - 1
		}
	}
}

func pathHash(e *event.Event, local, remote netip.Addr, port uint16) uint64 {
	le := binary.LittleEndian
	from, to := local.As16(), remote.As16()
	h := le.Uint64(to[8:])*hashMultiplier ^ le.Uint64(from[8:])
	h = h*hashMultiplier ^ le.Uint64(to[:]) ^ le.Uint64(from[:])<<1 ^ uint64(port)<<32
	h = h*hashMultiplier ^ le.Uint64(e.Owner.Comm[:8])
	h ^= h >> 29
	return h*hashMultiplier ^ le.Uint64(e.Owner.Comm[8:]) ^ e.Owner.CgroupID ^ uint64(e.Netns)<<32
}

func (c *encoder) newPath(e *event.Event, local, remote netip.Addr, port uint16) int {
	n := len(c.paths)
	c.paths = append(c.paths, path{
		local: local, remote: remote, cgroup: e.Owner.CgroupID, comm: e.Owner.Comm, netns: e.Netns, port: port,
	})
	p := &c.paths[n]
	p.owner = c.owner(owner{cgroup: p.cgroup, comm: p.comm, netns: p.netns})
	b := c.block
	b.put(columnPaths, uint64(p.owner))
	b.put(columnPaths, uint64(c.address(local)))
	to := c.address(remote)
	b.put(columnPaths, uint64(to))
	b.put(columnPaths, uint64(port))
	if !c.remotes[to] {
		c.remotes[to] = true
		b.print.addAddress(remote)
	}
	b.print.addService(remote, port)
	return n
}

func (c *encoder) owner(o owner) uint32 {
	n, ok := c.owners[o]
	if ok {
		return n
	}
	n = uint32(len(c.owners))
	c.owners[o] = n
	c.pids = append(c.pids, 0)
	to := binary.LittleEndian.AppendUint32(c.block.columns[columnOwners], o.netns)
	to = binary.LittleEndian.AppendUint64(to, o.cgroup)
	c.block.columns[columnOwners] = append(to, o.comm[:]...)
	return n
}

func (c *encoder) address(a netip.Addr) uint32 {
	n, ok := c.addresses[a]
	if ok {
		return n
	}
	n = uint32(len(c.addresses))
	c.addresses[a] = n
	c.remotes = append(c.remotes, false)
	c.block.columns[columnAddresses] = appendAddress(c.block.columns[columnAddresses], a)
	return n
}

func appendAddress(b []byte, a netip.Addr) []byte {
	zone := a.Zone()
	if zone == "" {
		raw := a.AsSlice()
		return append(append(b, byte(len(raw))), raw...)
	}
	raw := a.As16()
	b = append(append(b, zoneTag), raw[:]...)
	return append(appendVarint(b, uint64(len(zone))), zone...)
}

// port stores the port that is not the service's. The kernel gives connections to one destination ports that follow
// each other, and they end in much the same order.
func (c *encoder) port(e *event.Event, p *path) {
	_, port := servicePort(e)
	last := &p.ports[e.Kind%kindSlots]
	if *last == 0 {
		*last = p.recent
	}
	d := portZigzag(port, *last)
	*last, p.recent = port, port
	b := c.block
	b.columns[columnPortLow] = append(b.columns[columnPortLow], byte(d))
	b.columns[columnPortHigh] = append(b.columns[columnPortHigh], byte(d>>8))
}
