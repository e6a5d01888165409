package tracer

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// What tests break in a running tracer.

// ForgetTimeWaits deletes n timewait sockets of a namespace from what is held, as if their end had been seen.
func (t *Tracer) ForgetTimeWaits(netns uint32, n int) error {
	for range n {
		key, _, err := t.anyTimeWait(netns)
		if err != nil {
			return err
		}
		if err := t.maps.Timewaits.Delete(key); err != nil {
			return err
		}
	}
	return t.recount(netns, uint64(n), func(c *bpfNamespace) *uint64 { return &c.Left })
}

// InventTimeWaits adds n timewait sockets to what is held, as if no program had been called for their ends.
func (t *Tracer) InventTimeWaits(netns uint32, n int) error {
	key, value, err := t.anyTimeWait(netns)
	if err != nil {
		return err
	}
	for i := range n {
		phantom := key + uint64(i) + 1
		if err := t.maps.Timewaits.Update(phantom, &value, ebpf.UpdateNoExist); err != nil {
			return err
		}
	}
	return t.recount(netns, uint64(n), func(c *bpfNamespace) *uint64 { return &c.Entered })
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
