package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/tcpstate/tcpstate/internal/event"
)

// AddListeners makes known who listened already, so that what they accept has an owner and old connections a direction.
// What the kernel has said already is not overwritten. Those found before Open belong into its Options; called again
// after it, those that began to listen in between are known, too.
func (t *Tracer) AddListeners(known []event.Listener) error {
	for _, l := range known {
		key := bpfListenerKey{Addr: l.Local.Addr().As16(), Netns: l.Netns, Port: uint32(l.Local.Port())}
		var value bpfListener
		value.Owner.CgroupId, value.Owner.Pid = l.Owner.CgroupID, l.Owner.PID
		value.Owner.Basis, value.Owner.Comm = uint8(l.Owner.Basis), l.Owner.Comm
		err := t.maps.Listeners.Update(&key, &value, ebpf.UpdateNoExist)
		if err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("add listener %s: %w", l.Local, err)
		}
	}
	return nil
}
