// Package churn turns events into figures: what became of the connections between each service and each destination
// (the rows), and how many local ports are left toward each destination (the budgets).
//
// Time comes from the events and from the caller; nothing here looks at a clock, so a replay gives what the live
// trace gave.
package churn

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Options bound a Table.
type Options struct {
	// MaxRows is how many rows are kept; all beyond are counted together in one row a direction. Inbound rows, one for
	// each remote host, can take half of them at most; beyond that there is one for all other hosts of a listener, for
	// an eighth as many listeners. 0: DefaultMaxRows.
	MaxRows int
	// Start is when the window begins, Unix nanoseconds. 0: with the first event.
	Start int64
	// Partial is passed on to [Window].
	Partial bool
	// Alert is called from Observe, once for each kind and budget, when there is something to tell at once. It can be
	// nil.
	Alert func(Alert)
	// Steps keeps how rows go on over the window, see [Table.Course]: at most 2 KB a row. Recent keeps the last minute by
	// seconds, see [Row.Recent].
	Steps, Recent bool
}

// DefaultMaxRows is enough for a host that talks to 8192 destinations; it bounds the rows to 40 MB at the very most (60 MB
// with steps and seconds), their port budgets to 30 MB, and the snapshot at the end to 16 MiB.
const DefaultMaxRows = 8192

// Window is the time that a table covers, Unix nanoseconds.
type Window struct {
	Start, End int64
	// Partial: a filter left out some events of each connection, so that their use cannot be judged.
	Partial bool
}

// Seconds is the length of the window.
func (w Window) Seconds() float64 { return float64(w.End-w.Start) / 1e9 }

// Table holds the rows of one window. It belongs to one goroutine.
type Table struct {
	max     int
	inbound int // how many rows are inbound
	merged  int // how many are of all other hosts of a listener; they take nobody's room
	rows    map[key]*Row
	order   []*Row
	other   [3]*Row // by direction, made when needed
	recent  [16]struct {
		key key
		row *Row
	}

	budgetByKey    map[key]*Budget // the keys have no service
	budgets        []*Budget
	budgetsOmitted uint64
	namespaces     map[uint32]*namespace
	sockets        int // how many of the snapshot are kept
	snapshot       bool
	alert          func(Alert)
	carried        bool // made by Next
	nextID         int
	steps          *steps // nil: not kept
	seconds        bool

	binds        []*BindFailure
	bindsOmitted uint64

	told told

	window Window
	closed bool
	counts Counts
}

// Counts say what a table has seen, rows apart.
type Counts struct {
	// Events is how many events were observed, Lost events not included.
	Events uint64
	// Lost is how many events the Lost ones stand for: their details are missing.
	Lost uint64
	// Unassigned is the part of Lost that belongs to no row: totals are too small by that much.
	Unassigned uint64
	// Merged is how many events went to the ~other rows because the table was full.
	Merged uint64
}

// New returns an empty table.
func New(o Options) *Table {
	if o.MaxRows <= 0 {
		o.MaxRows = DefaultMaxRows
	}
	t := &Table{
		max: o.MaxRows, rows: make(map[key]*Row), budgetByKey: make(map[key]*Budget), namespaces: make(map[uint32]*namespace),
		window: Window{Start: o.Start, End: o.Start, Partial: o.Partial}, alert: o.Alert, seconds: o.Recent,
		told: told{seed: maphash.MakeSeed()},
	}
	if o.Steps {
		t.steps = new(steps)
	}
	return t
}

// Observe counts e, in its row and in the row's port budget. It keeps nothing of e, and allocates only for what a row
// sees first and for what is there when the window ends.
func (t *Table) Observe(e *event.Event) {
	if t.carried {
		t.observeCarried(e)
		return
	}
	t.observe(e)
}

func (t *Table) observe(e *event.Event) {
	if e.Kind == event.Lost {
		t.observeLost(e)
		return
	}
	if !t.closed && e.Kind != event.Existing {
		t.extend(e.UnixNano)
	}
	if e.Kind == event.Progress {
		t.progress(e)
		return
	}
	t.counts.Events++
	if e.Kind == event.BindFailed {
		t.bindFailed(e, 1)
		return
	}
	r := t.rowOf(e)
	b := t.budgetOf(r, e)
	t.proceed(r, e, e.Kind, 1)
	switch e.Kind {
	case event.Connect, event.Accept:
		r.openOne(e)
		b.open(e)
		t.alertHalf(b, e)
	case event.ConnectFailed:
		r.failOne(e)
		b.fail(e, 1)
		t.alertExhausted(b, e)
	case event.Close, event.TimeWait:
		was := t.told.take(e)
		r.endOne(e, was)
		b.end(e, e.Kind, 1)
	case event.TimeWaitEnd:
		r.endWait(e, 1)
		b.endWait(e, 1)
	case event.Existing:
		r.exist(e, 1)
		b.exist(e, 1)
		t.told.begin(e)
	case event.Open:
		was := t.told.take(e)
		r.stillThere(e, was)
		if b.hold(e, t.sockets < maxSockets) {
			t.sockets++
		}
	}
	if e.Owner != r.Owner {
		r.own(&e.Owner)
	}
}

// proceed counts e, or the n events of a kind that it stands for, where it happened in time.
func (t *Table) proceed(r *Row, e *event.Event, kind event.Kind, n uint64) {
	if t.seconds && (kind == event.Connect || kind == event.Accept) {
		if r.recent == nil {
			r.recent = new(recent)
		}
		r.recent.add(e.UnixNano, n)
	}
	if t.steps == nil {
		return
	}
	if !t.steps.set {
		t.steps.set, t.steps.start = true, t.window.Start
		if t.window.Start == 0 { // a Lost event came first
			t.steps.start = e.UnixNano
		}
	}
	r.proceed(t.steps, e, kind, n)
}

// Advance lets the window reach to unixNano at least.
func (t *Table) Advance(unixNano int64) {
	if !t.closed {
		t.extend(unixNano)
	}
}

// Close ends the window at unixNano. Events that come later still count.
func (t *Table) Close(unixNano int64) {
	t.window.End = max(unixNano, t.window.Start)
	t.closed = true
}

// Rows returns all rows, in the order of their first event; the ~other rows last. They are the table's own.
func (t *Table) Rows() []*Row {
	rows := append([]*Row(nil), t.order...)
	for _, r := range t.other {
		if r != nil {
			rows = append(rows, r)
		}
	}
	return rows
}

// Window is what the table covers so far.
func (t *Table) Window() Window { return t.window }

// Counts is what the table has seen so far.
func (t *Table) Counts() Counts { return t.counts }

func (t *Table) extend(unixNano int64) {
	if t.window.Start == 0 {
		t.window.Start, t.window.End = unixNano, unixNano
	}
	t.window.End = max(t.window.End, unixNano)
}

func (t *Table) observeLost(e *event.Event) {
	t.counts.Lost += e.Count
	if e.Of == event.BindFailed {
		t.bindFailed(e, e.Count)
		return
	}
	if e.Of == 0 || e.Direction == 0 || !e.Remote.Addr().IsValid() {
		t.counts.Unassigned += e.Count
		return
	}
	r := t.rowOf(e)
	t.proceed(r, e, e.Of, e.Count)
	r.lost(e)
	r.own(&e.Owner)
	b := t.budgetOf(r, e)
	b.lost(e)
	t.alertExhausted(b, e)
}

// rowOf is the row in which e counts, made if there is none.
func (t *Table) rowOf(e *event.Event) *Row {
	k := keyOf(e)
	r := t.known(&k)
	if t.carried && (r == nil || !r.holds(e)) {
		if other := t.begunElsewhere(&k, e); other != nil {
			return other
		}
	}
	if r != nil {
		return r
	}
	if t.full(e.Direction) {
		t.counts.Merged++
		return t.otherRow(&k, e)
	}
	r = newRow(e)
	r.ID = t.nextID
	t.nextID++
	r.waits.taken = t.snapshot
	if r.Direction == event.Inbound {
		t.inbound++
	}
	if r.Direction == event.Outbound {
		r.budget = t.budget(k, r)
	}
	t.rows[k] = r
	t.order = append(t.order, r)
	return r
}

// known finds a row. Those seen last are remembered: events come in runs.
func (t *Table) known(k *key) *Row {
	near := &t.recent[k.fold()&uint64(len(t.recent)-1)]
	if near.row != nil && near.key == *k {
		return near.row
	}
	r := t.rows[*k]
	if r != nil {
		near.key, near.row = *k, r
	}
	return r
}

// full reports whether there is no room for a new row.
func (t *Table) full(d event.Direction) bool {
	return len(t.rows)-t.merged >= t.max || d == event.Inbound && t.inbound >= (t.max+1)/2
}

func (t *Table) otherRow(k *key, e *event.Event) *Row {
	d := e.Direction
	if r := t.otherHosts(k, e); r != nil {
		return r
	}
	if int(d) >= len(t.other) {
		d = 0
	}
	if t.other[d] == nil {
		t.other[d] = &Row{ID: -2 - int(d), Direction: d, Other: true, waits: waits{taken: t.snapshot}}
	}
	return t.other[d]
}

// otherHosts is the row of all hosts of a listener that have none of their own: a server has many clients, and its
// listener is to be known still. Nil: e is not inbound, or there are too many listeners.
func (t *Table) otherHosts(own *key, e *event.Event) *Row {
	if e.Direction != event.Inbound {
		return nil
	}
	k := own.ofAllHosts()
	r := t.known(&k)
	if r == nil && t.merged < (t.max+7)/8 {
		r = newRow(e)
		r.ID, r.Other, r.Remote, r.waits.taken = t.nextID, true, netip.AddrPort{}, t.snapshot
		t.nextID++
		t.merged++
		t.rows[k] = r
		t.order = append(t.order, r)
	}
	return r
}

func newRow(e *event.Event) *Row {
	r := &Row{Direction: e.Direction, Netns: e.Netns, Local: e.Local, Remote: e.Remote, Owner: e.Owner}
	if e.Direction == event.Inbound {
		r.Remote = netip.AddrPortFrom(e.Remote.Addr(), 0)
	} else {
		r.Local = netip.AddrPortFrom(e.Local.Addr(), 0)
	}
	return r
}

// key is what connections of one row have in common, without pointers and gaps so that it hashes fast: 72 bytes. The
// service is part of it for outbound rows only.
type key struct {
	cgroup                                     uint64
	comm                                       [2]uint64
	localHigh, localLow, remoteHigh, remoteLow uint64
	netns                                      uint32
	port                                       uint16
	direction                                  event.Direction
	families                                   uint8
}

// ofAllHosts is the key of a listener's row for all other hosts; that of an outbound row stays as it is.
func (k key) ofAllHosts() key {
	if k.direction == event.Inbound {
		k.remoteHigh, k.remoteLow, k.families = 0, 0, k.families&0xf
	}
	return k
}

func keyOf(e *event.Event) key {
	k := key{netns: e.Netns, direction: e.Direction}
	local, remote := e.Local.Addr(), e.Remote.Addr()
	k.localHigh, k.localLow = halves(local)
	k.remoteHigh, k.remoteLow = halves(remote)
	k.families = uint8(local.BitLen()>>5) | uint8(remote.BitLen()>>5)<<4
	if e.Direction == event.Inbound {
		k.port = e.Local.Port()
		return k
	}
	k.port = e.Remote.Port()
	k.cgroup = e.Owner.CgroupID
	k.comm[0] = binary.NativeEndian.Uint64(e.Owner.Comm[:8])
	k.comm[1] = binary.NativeEndian.Uint64(e.Owner.Comm[8:])
	return k
}

// withoutService is the key of the port budget.
func (k key) withoutService() key {
	k.cgroup, k.comm = 0, [2]uint64{}
	return k
}

func halves(a netip.Addr) (high, low uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, uint64(binary.NativeEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])
}

// fold mixes the parts in which rows differ most.
func (k *key) fold() uint64 {
	h := (k.remoteLow ^ k.localLow*3 ^ uint64(k.port)<<32 ^ k.comm[0] ^ k.cgroup) * 0x9e3779b97f4a7c15
	return h >> 56
}
