package churn

import (
	"hash/maphash"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// maxTold bounds the connections of which is remembered what was told; each takes some 130 bytes. The others are counted
// when they end.
const maxTold = 1 << 18

// told remembers what was told of connections that are open: what they had done when a census found them, and by each
// Progress event since. However often one is told of, it counts once: what is counted of it is taken back when more is
// known.
type told struct {
	uses   map[uint64]use
	seed   maphash.Seed
	latest int64 // Unix nanoseconds: whatever began later was not told of

	taken use // the last one that was
	none  use // always empty
}

// use is what was told of one connection.
type use struct {
	row *Row  // in which it is counted; nil: it is not
	at  int64 // Unix nanoseconds, when it was told
	// base is what it had done when the window began, last what it has done by at.
	base, last amount
	age        time.Duration // negative: not counted
	into       into
	dated      bool // base is known
	silent     bool // counted among these
	missed     uint8
}

type amount struct {
	sent, received uint64
	exchanges      uint32
}

// into is the histogram in which exchanges are counted.
type into uint8

const (
	nowhere into = iota
	newOnes
	carriedOnes
	undatedOnes
)

func amountOf(e *event.Event) amount { return amount{e.SentBytes, e.ReceivedBytes, e.Exchanges()} }

// key is that of the connection of e: its addresses, and when it was established, for others have the same addresses
// before and after it.
func (d *told) key(e *event.Event) uint64 {
	k := struct {
		born                                       int64
		localHigh, localLow, remoteHigh, remoteLow uint64
		netns                                      uint32
		local, remote                              uint16
		direction                                  event.Direction
	}{netns: e.Netns, local: e.Local.Port(), remote: e.Remote.Port(), direction: e.Direction}
	k.localHigh, k.localLow = halves(e.Local.Addr())
	k.remoteHigh, k.remoteLow = halves(e.Remote.Addr())
	if e.Lifetime >= 0 {
		k.born = e.UnixNano - e.Lifetime.Nanoseconds()
	}
	return maphash.Comparable(d.seed, k)
}

// begin takes what a connection had done when a census found it: what was before.
func (d *told) begin(e *event.Event) {
	if !e.Counted || e.NewState == event.TimeWaitState {
		return
	}
	d.set(d.key(e), use{at: e.UnixNano, base: amountOf(e), last: amountOf(e), age: -1, dated: true})
}

func (d *told) set(key uint64, u use) {
	if d.uses == nil {
		d.uses = make(map[uint64]use)
	}
	if _, known := d.uses[key]; !known && len(d.uses) >= maxTold {
		return
	}
	d.uses[key] = u
	d.latest = max(d.latest, u.at)
}

// take returns what was told of the connection of e, which is over, and takes back what its row has counted. It is for
// reading, until the next one is taken.
func (d *told) take(e *event.Event) *use {
	if len(d.uses) == 0 || e.Lifetime >= 0 && e.UnixNano-e.Lifetime.Nanoseconds() > d.latest {
		return &d.none
	}
	return d.find(e)
}

func (d *told) find(e *event.Event) *use {
	if e.Kind == event.Open && e.NewState == event.TimeWaitState {
		return &d.none
	}
	k := d.key(e)
	u, known := d.uses[k]
	if !known {
		return &d.none
	}
	delete(d.uses, k)
	u.takeBack()
	d.taken = u
	return &d.taken
}

// next is what is known when another window begins.
func (d *told) next() told {
	n := told{uses: make(map[uint64]use, len(d.uses)), seed: d.seed, latest: d.latest}
	for k, u := range d.uses {
		n.uses[k] = use{at: u.at, base: u.last, last: u.last, age: -1, dated: true, missed: u.missed}
	}
	return n
}

// progress counts what a connection has done so far. An event without a connection ends the round of those that are open.
func (t *Table) progress(e *event.Event) {
	if e.Direction == 0 {
		t.told.endRound(e.UnixNano - max(e.Lifetime, 0).Nanoseconds())
		return
	}
	k := t.told.key(e)
	u, known := t.told.uses[k]
	if !e.Counted || !known && len(t.told.uses) >= maxTold {
		return
	}
	r := t.rowOf(e)
	u.takeBack()
	r.carry(e, &u)
	r.goOn(e, &u)
	t.told.set(k, u)
	if e.Owner != r.Owner {
		r.own(&e.Owner)
	}
}

// goOn counts the use of a connection that goes on, in a way that can be taken back.
func (r *Row) goOn(e *event.Event, u *use) {
	u.row, u.at, u.last, u.age, u.missed = r, e.UnixNano, amountOf(e), -1, 0
	u.into, u.silent = r.use(e, u)
	if e.Preexisting {
		return
	}
	r.StillOpen++
	if e.Lifetime >= 0 {
		u.age = e.Lifetime
		add(&r.Ages, uint64(u.age))
	}
}

// takeBack undoes goOn. Bytes stay: they only grow.
func (u *use) takeBack() {
	r := u.row
	if r == nil {
		return
	}
	u.row = nil
	switch used := uint64(u.last.exchanges); u.into {
	case newOnes:
		r.Exchanges.Remove(used)
		r.StillOpen--
	case carriedOnes:
		r.CarriedExchanges.Remove(used - min(used, uint64(u.base.exchanges)))
		r.EarlierExchanges -= uint64(u.base.exchanges)
	case undatedOnes:
		r.PreexistingExchanges.Remove(used)
	}
	if u.age >= 0 {
		r.Ages.Remove(uint64(u.age))
	}
	if u.silent {
		r.Silent--
	}
}

// gone is after how many rounds without it a connection is taken to be gone: a round can miss some.
const gone = 3

// endRound forgets connections of which nothing was told for some rounds, the last of which was begun at since. When ends
// were lost, these are among them, and what they carried is counted there.
func (d *told) endRound(since int64) {
	for k, u := range d.uses {
		if u.at >= since {
			continue
		}
		if u.missed++; u.missed < gone {
			d.uses[k] = u
			continue
		}
		delete(d.uses, k)
		if r := u.row; r != nil && r.lostEnds > 0 {
			r.lostEnds--
			u.takeBack()
			r.SentBytes -= min(r.SentBytes, u.last.sent-min(u.last.sent, u.base.sent))
			r.ReceivedBytes -= min(r.ReceivedBytes, u.last.received-min(u.last.received, u.base.received))
		}
	}
}

// carry counts the payload that a connection has carried since it was told of last.
func (r *Row) carry(e *event.Event, was *use) {
	if !e.Counted {
		return
	}
	grow(&r.SentBytes, was.last.sent, e.SentBytes)
	grow(&r.ReceivedBytes, was.last.received, e.ReceivedBytes)
}

// grow adds what is more now than it was. It can be less by a byte: the kernel counts a FIN for a moment.
func grow(sum *uint64, was, now uint64) {
	if now >= was {
		*sum += now - was
		return
	}
	*sum -= min(*sum, was-now)
}

// use counts what a connection was used for since the window began, as far as was says when that was. It says where.
func (r *Row) use(e *event.Event, was *use) (counted into, silent bool) {
	switch {
	case !e.Counted:
	case !e.Preexisting:
		add(&r.Exchanges, uint64(e.Exchanges()))
		counted = newOnes
	case was.dated:
		used, before := uint64(e.Exchanges()), uint64(was.base.exchanges)
		add(&r.CarriedExchanges, used-min(used, before))
		r.EarlierExchanges += before
		counted = carriedOnes
	default:
		add(&r.PreexistingExchanges, uint64(e.Exchanges()))
		counted = undatedOnes
	}
	silent = !e.Preexisting && e.Idle >= silence && e.Lifetime >= 0 && e.Idle >= e.Lifetime/2
	if silent {
		r.Silent++
	}
	return counted, silent
}
