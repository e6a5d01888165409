package tracer

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// round is a reading of the connections that are open, one after the other in the order of map conns, while all else goes
// on.
type round struct {
	iter    *link.Iter
	reader  io.ReadCloser
	records *recordReader
	began   int64 // Unix nanoseconds
	told    uint64
	took    time.Duration // CPU time so far
}

// Round is what telling of all open connections came to.
type Round struct {
	Told uint64        // connections
	Took time.Duration // CPU time, with that of emit
}

// Progress tells how the connections that are open have been used so far, as Progress events, some of them at a time: it
// returns after step, or a little later, and goes on from there the next time. When all were told it ends the round with a
// Progress event of no connection, whose Lifetime is for how long the round lasted, and returns what it came to. One that was
// established or has ended since the round was begun may be in it or not. It belongs between two events, like
// [Tracer.Checkpoint]. Under lockdown nothing is known, and it returns an empty round.
func (t *Tracer) Progress(step time.Duration, emit func(*event.Event)) (*Round, error) {
	p := t.programs["open_connections"]
	if p == nil || t.ended {
		return &Round{}, nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadTime()
	if t.round == nil {
		if err := t.beginRound(); err != nil {
			return nil, errors.Join(fmt.Errorf("read open connections: %w", err), t.endRound())
		}
	}
	r := t.round
	over, err := t.goOn(r, time.Now().Add(step), emit)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read open connections: %w", err), t.endRound())
	}
	if over {
		now := t.clock.now()
		emit(&event.Event{
			Kind: event.Progress, UnixNano: now, Lifetime: time.Duration(now - r.began), ConnectTime: event.Unknown,
			Idle: event.Unknown, Remaining: event.Unknown, Count: r.told,
		})
		err = t.endRound()
	}
	r.took += threadTime() - began
	if !over {
		return nil, nil
	}
	return &Round{Told: r.told, Took: r.took}, err
}

// goOn reads until then, and reports whether that was all.
func (t *Tracer) goOn(r *round, then time.Time, emit func(*event.Event)) (over bool, err error) {
	var ev event.Event
	for {
		over, err = r.records.some(func(b []byte) error {
			if err := t.decode(b, &ev); err != nil {
				return err
			}
			if ev.Kind != event.Open || ev.NewState == event.SynSent || ev.NewState == event.SynRecv {
				return nil
			}
			ev.Kind = event.Progress
			r.told++
			emit(&ev)
			return nil
		})
		if over || err != nil || !time.Now().Before(then) {
			return over, err
		}
	}
}

func (t *Tracer) beginRound() (err error) {
	r := &round{began: t.clock.now()}
	t.round = r
	if r.iter, err = link.AttachIter(link.IterOptions{Program: t.programs["open_connections"], Map: t.maps.Conns}); err != nil {
		return fmt.Errorf("attach iterator: %w", err)
	}
	if r.reader, err = r.iter.Open(); err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	r.records = newRecordReader(r.reader, recordSize)
	return nil
}

// endRound lets go of a round that is over, or given up.
func (t *Tracer) endRound() error {
	r := t.round
	if r == nil {
		return nil
	}
	t.round = nil
	var errs []error
	if r.reader != nil {
		errs = append(errs, r.reader.Close())
	}
	if r.iter != nil {
		errs = append(errs, r.iter.Close())
	}
	return errors.Join(errs...)
}

// threadTime is what the calling thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // cannot be: every kernel has that clock
	}
	return time.Duration(ts.Nano())
}
