package tracer

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// What tests break in a running tracer.

// ForgetTimeWaits deletes n timewait sockets of a namespace from what is held, as if their end had been seen. It
// returns their ends.
func (t *Tracer) ForgetTimeWaits(netns uint32, n int) (forgotten [][2]netip.AddrPort, err error) {
	for range n {
		key, value, err := t.anyTimeWait(netns)
		if err != nil {
			return nil, err
		}
		if err := t.maps.Timewaits.Delete(key); err != nil {
			return nil, err
		}
		forgotten = append(forgotten, endsOf(&value))
	}
	return forgotten, t.recount(netns, uint64(n), func(c *bpfNamespace) *uint64 { return &c.Left })
}

// InventTimeWaits adds n timewait sockets to what is held, as if no program had been called for their ends. It returns
// their ends.
func (t *Tracer) InventTimeWaits(netns uint32, n int) (invented [][2]netip.AddrPort, err error) {
	key, value, err := t.anyTimeWait(netns)
	if err != nil {
		return nil, err
	}
	for i := range n {
		phantom := key + uint64(i) + 1
		value.Sport = uint16(i + 1)
		if err := t.maps.Timewaits.Update(phantom, &value, ebpf.UpdateNoExist); err != nil {
			return nil, err
		}
		invented = append(invented, endsOf(&value))
	}
	return invented, t.recount(netns, uint64(n), func(c *bpfNamespace) *uint64 { return &c.Entered })
}

func endsOf(w *bpfTimewait) [2]netip.AddrPort {
	return [2]netip.AddrPort{addrPort(w.Src, w.Sport), addrPort(w.Dst, w.Dport)}
}

func (t *Tracer) anyTimeWait(netns uint32) (key uint64, value bpfTimewait, err error) {
	const live = 1
	it := t.maps.Timewaits.Iterate()
	for it.Next(&key, &value) {
		if value.Netns == netns && value.Life == live {
			return key, value, nil
		}
	}
	return 0, value, fmt.Errorf("no timewait socket is held in network namespace %d: %w", netns, it.Err())
}

func (t *Tracer) recount(netns uint32, n uint64, field func(*bpfNamespace) *uint64) error {
	var c bpfNamespace
	if err := t.maps.Namespaces.Lookup(netns, &c); err != nil {
		return err
	}
	*field(&c) += n
	return t.maps.Namespaces.Update(netns, &c, ebpf.UpdateExist)
}
