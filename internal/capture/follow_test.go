package capture

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// follower reads a file as it grows.
type follower struct {
	events chan event.Event
	end    chan error
}

func follow(ctx context.Context, t *testing.T, path string) *follower {
	t.Helper()
	f := &follower{make(chan event.Event, 1<<16), make(chan error, 1)}
	go func() {
		r, err := Open(path, ReadOptions{Follow: ctx})
		if err != nil {
			f.end <- err
			return
		}
		defer r.Close()
		for {
			i, err := r.Next()
			if err != nil {
				f.end <- err
				return
			}
			switch i.Kind {
			case KindEvent:
				f.events <- *i.Event
			case KindDamage:
				f.end <- errors.New(i.Damage.What)
				return
			}
		}
	}()
	return f
}

// expect waits for events.
func (f *follower) expect(t *testing.T, want []event.Event) {
	t.Helper()
	for i := range want {
		select {
		case got := <-f.events:
			if got != want[i] {
				t.Fatalf("event %d: %+v", i, got)
			}
		case err := <-f.end:
			t.Fatalf("event %d: the end: %v", i, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("event %d does not come", i)
		}
	}
}

func TestFollowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tcps")
	file, err := Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, second := follow(ctx, t, path), follow(ctx, t, path) // before there is anything in it
	w, err := NewWriter(file, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := generated()[:3000]
	for part := range 3 {
		some := events[part*1000 : part*1000+1000]
		for i := range some {
			w.Event(&some[i])
		}
		w.flush()
		first.expect(t, some)
	}
	cancel() // whoever stops waiting gets all that there is
	if err := <-first.end; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-second.end

	third := follow(t.Context(), t, path)
	third.expect(t, events)
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	if err := <-third.end; !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// A block that is written in pieces is waited for.
func TestFollowingByBytes(t *testing.T) {
	want, file := small(t)
	path := filepath.Join(t.TempDir(), "x.tcps")
	growing, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer growing.Close()
	f := follow(t.Context(), t, path)
	go func() {
		for i := 0; i < len(file); i += 300 {
			_, _ = growing.Write(file[i:min(i+300, len(file))])
			time.Sleep(30 * time.Millisecond)
		}
	}()
	var events []event.Event
	for _, i := range of(want, KindEvent) {
		events = append(events, *i.Event)
	}
	f.expect(t, events)
	if err := <-f.end; !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}
