// Package tracer loads the BPF program, attaches it, and turns what the kernel says into events.
//
// It is the only user of cilium/ebpf. Nothing of the raw records leaves it.
package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/tcpstate/tcpstate/internal/event"
)

// defaultTick is soon enough for somebody who watches. The kernel side wakes the reader only when the ring fills past a
// mark, because a wake-up costs 10 to 100 times what the record costs.
const defaultTick = 100 * time.Millisecond

// Tracer is a loaded and attached tracer. It is not safe for concurrent use, but for [Tracer.Loss].
type Tracer struct {
	maps      bpfMaps
	variables bpfVariables
	copies    []*ebpf.Program          // of inet_sock_set_state, in the order of attaching
	programs  map[string]*ebpf.Program // all others that were loaded
	// links keeps the attachments referenced: the garbage collector would detach them silently.
	links   []link.Link
	reader  *ringbuf.Reader
	clock   clock
	window  Window
	drained func()
	tick    time.Duration

	tier            Tier
	probes          bool     // kernel memory can be read: not so under lockdown
	refused         []string // what better tiers were tried, and why they do not work
	syscallsRefused error    // why the kernel did not load them
	syscallHooks    []io.Closer
	absent          []string // optional hooks that could not be attached, and why
	untested        string   // why the self-test could not be made; "" when it passed
	timers          timers
	timeWaits       timeWaits
	round           *round // nil: none is under way
	unseen          []Unseen
	stop            atomic.Bool // asks read to return
	ended           bool        // the window has ended

	records uint64 // read from the ring
	ticked  uint64 // ... when it was empty last

	seenLosses map[bpfLossKey]bpfLoss
	lossCount  uint64
	unassigned uint64
}

// Window is the time between the moment when all hooks were attached and the one when tracing was told to end, before the
// first was detached, in nanoseconds since the Unix epoch. End is 0 while tracing.
type Window struct{ Start, End int64 }

// Window returns the traced time so far.
func (t *Tracer) Window() Window { return t.window }

// Run hands on what existed before the window (Existing events) and then every event, until ctx is done. Then it ends the
// window, reads what is left in the ring, and ends with one Open event per connection and timewait socket that was there
// at the end. The event is reused: emit must not keep the pointer.
//
// Run can be called once. A canceled ctx is the normal end and gives nil.
func (t *Tracer) Run(ctx context.Context, emit func(*event.Event)) error {
	cancel := context.AfterFunc(ctx, func() {
		t.stop.Store(true)
		_ = t.reader.Flush() // fails only when closed, and then read says so
	})
	defer cancel()
	if err := t.firstCensus(emit); err != nil {
		return err
	}
	if err := t.read(emit); err != nil {
		return err
	}
	if err := t.endWindow(emit); err != nil {
		return err
	}
	return t.finish(emit)
}

// endWindow makes the programs report nothing more but what was open and ends now, and waits for those that run.
func (t *Tracer) endWindow(emit func(*event.Event)) error {
	err := t.withTimers(func() error {
		if err := t.lastCheck(emit); err != nil {
			return err
		}
		t.ended = true
		if err := t.variables.Stopping.Set(uint32(1)); err != nil {
			return fmt.Errorf("end window: %w", err)
		}
		t.window.End = t.clock.now() // not before: nothing that is told must be later
		return nil
	})
	if err != nil {
		return err
	}
	waitForRCU()
	return t.settle(0)
}

// startWindow begins to look at all that happens.
func (t *Tracer) startWindow() error {
	if err := t.variables.TestingPort.Set(uint32(0)); err != nil {
		return fmt.Errorf("begin window: %w", err)
	}
	t.window.Start = t.clock.now()
	return nil
}

// finish tells what is open, detaches, and reads the last records: what ended while that was being told.
func (t *Tracer) finish(emit func(*event.Event)) error {
	if err := t.emitOpen(emit); err != nil {
		return err
	}
	if err := t.emitHeld(emit); err != nil {
		return err
	}
	if err := t.unlink(); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	waitForRCU()
	if err := t.reader.Flush(); err != nil {
		return fmt.Errorf("flush ring buffer: %w", err)
	}
	if err := t.read(emit); err != nil {
		return err
	}
	return t.emitLosses(emit, true)
}

// read hands on records until it is told to stop, at first those that are there already; once the window has ended, until
// the reader has been flushed and the ring is empty.
func (t *Tracer) read(emit func(*event.Event)) error {
	var rec ringbuf.Record
	var ev event.Event
	t.reader.SetDeadline(time.Now())
	for {
		if t.stop.Load() && !t.ended {
			return nil
		}
		err := t.reader.ReadInto(&rec)
		if err == nil {
			t.records++
			if err := t.decode(rec.RawSample, &ev); err != nil {
				return err
			}
			emit(&ev)
			continue
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := t.catchUp(emit); err != nil {
				return err
			}
			if t.drained != nil {
				t.drained()
			}
			t.reader.SetDeadline(time.Now().Add(t.tick))
		case errors.Is(err, ringbuf.ErrFlushed):
			return nil
		default:
			return fmt.Errorf("read ring buffer: %w", err)
		}
	}
}

// catchUp does what is due when the ring is empty. Where nothing came, nothing was lost for want of room either.
func (t *Tracer) catchUp(emit func(*event.Event)) error {
	if t.records != t.ticked {
		t.ticked = t.records
		if err := t.emitLosses(emit, false); err != nil {
			return err
		}
	}
	return t.reconcile(emit)
}

// Close frees everything. It detaches if Run has not.
func (t *Tracer) Close() error {
	errs := []error{t.unlink(), t.endRound()}
	if t.reader != nil {
		errs = append(errs, t.reader.Close())
		t.reader = nil
	}
	for _, p := range t.copies {
		errs = append(errs, p.Close())
	}
	for _, p := range t.programs {
		errs = append(errs, p.Close())
	}
	t.copies, t.programs = nil, nil
	errs = append(errs, t.maps.Close())
	t.maps = bpfMaps{}
	return errors.Join(errs...)
}

// unlink detaches in the reverse order of attaching: a further copy must not be left without those before it.
func (t *Tracer) unlink() error {
	errs := []error{t.detachSyscalls(), t.timers.detach()}
	for _, l := range slices.Backward(t.links) {
		errs = append(errs, l.Close())
	}
	t.links = nil
	return errors.Join(errs...)
}
