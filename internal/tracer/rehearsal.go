package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Rehearsal returns a function that does all that a tracer does while it runs and that a kernel may ask a capability for:
// what it asks for differs from version to version. The function belongs between two events (see [Options].Drained), and
// can be called once.
func (t *Tracer) Rehearsal() (func() error, error) {
	again := func() error { return nil }
	if t.tier == TierTimers { // whose hooks come and go
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "rehearsal", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "timer_start",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, License: "GPL",
		})
		if err != nil {
			return nil, fmt.Errorf("load program: %w", err)
		}
		again = func() error {
			l, err := link.AttachTracing(link.TracingOptions{Program: p})
			if err == nil {
				err = l.Close()
			}
			return errors.Join(err, p.Close())
		}
	}
	return func() error {
		errs := []error{again()}
		_, err := t.Checkpoint(func(*event.Event) {})
		errs = append(errs, err)
		_, _, err = t.BlockedPorts()
		errs = append(errs, err)
		_, err = t.countTimeWaits()
		errs = append(errs, err, t.settle(settleAge))
		_, err = t.Loss()
		return errors.Join(append(errs, err)...)
	}, nil
}
