package recorder

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

const start = int64(1_700_000_000_000_000_000)

// world is what exists, for checkpoints, and a recorder of it.
type world struct {
	*Recorder
	t      *testing.T
	now    int64
	exists []event.Event
	meets  func() // while a checkpoint is taken
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{t: t, now: start}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Header = func(_ int, at int64) (capture.Header, error) { return capture.Header{WindowStart: at}, nil }
	o.End = func(int64) (json.RawMessage, error) { return json.RawMessage("{}"), nil }
	o.Known = func(settings func(*host.Settings), services func(*capture.Service)) {
		settings(&host.Settings{Netns: 1})
		services(&capture.Service{Name: "app"})
	}
	o.Checkpoint = func(emit func(*event.Event)) (int64, error) {
		at := w.now
		for i := range w.exists {
			e := w.exists[i]
			e.Kind, e.UnixNano = event.Existing, at
			emit(&e)
		}
		if w.meets != nil {
			w.meets()
		}
		return at, nil
	}
	var err error
	if w.Recorder, err = New(o, start); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) happens(kind event.Kind, port uint16, after time.Duration) {
	w.now += int64(after)
	w.Event(w.event(kind, port))
}

func (w *world) event(kind event.Kind, port uint16) *event.Event {
	e := &event.Event{
		UnixNano: w.now, Kind: kind, Direction: event.Outbound, Netns: 1, Local: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port),
		Remote: netip.MustParseAddrPort("10.0.0.2:80"), Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown,
		Remaining: event.Unknown,
	}
	if kind == event.Existing {
		e.NewState = event.Established
	}
	return e
}

func (w *world) tick() {
	if err := w.Tick(time.Unix(0, w.now)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) files() []string {
	files, err := filepath.Glob(filepath.Join(w.o.Dir, "*.tcps"))
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// segments are the events of each file, as kinds with the local port.
func (w *world) segments() (all [][]string) {
	for _, f := range w.files() {
		all = append(all, read(w.t, f))
	}
	return all
}

func read(t *testing.T, path string) (kinds []string) {
	t.Helper()
	r, err := capture.Open(path, capture.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return kinds
		}
		if err != nil {
			t.Fatal(err)
		}
		switch item.Kind {
		case capture.KindEvent:
			kinds = append(kinds, item.Event.Kind.String()+" "+item.Event.Local.String()[len("10.0.0.1:"):])
		case capture.KindDamage:
			t.Errorf("%s: %s", path, item.Damage.What)
		}
	}
}

func TestSegmentsEndAndBeginWithWhatExists(t *testing.T) {
	w := newWorld(t, Options{RotateEvery: time.Minute})
	w.happens(event.Connect, 1, 0)
	w.happens(event.Connect, 2, time.Second)
	w.happens(event.Close, 1, time.Second)
	w.exists = []event.Event{*w.event(event.Existing, 2)}
	w.now += int64(time.Minute)
	w.tick()
	w.happens(event.Close, 2, time.Second)
	if err := w.Close(json.RawMessage("{}")); err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"connect 1", "connect 2", "close 1"}, {"existing 2", "close 2"}}
	if diff := cmp.Diff(want, w.segments()); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
}

// What happens while a checkpoint is taken may be in it or not: in the new segment everything has one beginning and at
// most one end.
func TestNothingIsMissingOrTwiceAtASeam(t *testing.T) {
	w := newWorld(t, Options{})
	young := *w.event(event.Existing, 4)
	young.NewState, young.Remaining = event.TimeWaitState, timeWaitLength-10*time.Millisecond
	old := *w.event(event.Existing, 5)
	old.NewState, old.Remaining = event.TimeWaitState, 20*time.Second
	younger := young
	younger.Local = netip.AddrPortFrom(younger.Local.Addr(), 6)
	w.exists = []event.Event{*w.event(event.Existing, 2), young, old, younger}
	var meanwhile []*event.Event
	w.meets = func() {
		w.now += int64(time.Millisecond)
		meanwhile = []*event.Event{
			w.event(event.Close, 1),       // ended before the checkpoint came to it
			w.event(event.Close, 2),       // after
			w.event(event.Connect, 3),     // began after the checkpoint, and ended
			w.event(event.Close, 3),       //
			w.event(event.TimeWait, 4),    // is in the checkpoint, and begins here
			w.event(event.TimeWaitEnd, 7), // ended before the checkpoint came to it
		}
		// The recorder takes the time at the end of the checkpoint from the clock, which is far from the test's.
	}
	if err := w.Rotate(); err != nil {
		t.Fatal(err)
	}
	w.seam.until = w.now
	for _, e := range meanwhile {
		w.Event(e)
	}
	w.happens(event.Connect, 8, time.Second)
	if err := w.Close(json.RawMessage("{}")); err != nil {
		t.Fatal(err)
	}
	got := w.segments()[1]
	slices.Sort(got)
	want := []string{
		"close 1", "close 2", "close 3", "connect 3", "connect 8", "existing 1", "existing 2",
		"existing 4", // the connection that ended in time_wait 4, which the checkpoint did not list
		"existing 5", "existing 6", "existing 7", "time_wait 4", "time_wait_end 7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the new segment (-want +got):\n%s", diff)
	}
}

// A segment in which nothing happens lasts as long as what is kept; the next one does not.
func TestAQuietSegmentGoesOn(t *testing.T) {
	for _, c := range []struct {
		maxAge time.Duration
		want   []int // segments after each minute, something happens in the fourth
	}{
		{0, []int{2, 3, 4, 5, 6, 7}},
		{3 * time.Minute, []int{1, 1, 2, 3, 3, 3}},
	} {
		w := newWorld(t, Options{RotateEvery: time.Minute, MaxAge: c.maxAge})
		var got []int
		for minute := range c.want {
			if minute == 3 {
				w.happens(event.Connect, 1, time.Second)
			}
			w.now = start + int64(minute+1)*int64(time.Minute)
			w.tick()
			got = append(got, w.number)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with %s kept: segments %v, want %v", c.maxAge, got, c.want)
		}
		if err := w.Close(nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOldSegmentsAreRemoved(t *testing.T) {
	w := newWorld(t, Options{RotateEvery: time.Minute, MaxAge: 3 * time.Minute})
	for range 10 {
		w.happens(event.Connect, 1, 61*time.Second)
		w.tick()
	}
	if n := len(w.files()); n != 4 { // those that ended in the last three minutes, and the current one
		t.Errorf("%d segments, want 4", n)
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
	// The next recorder in that folder removes them in their turn.
	o := w.o
	o.MaxSize, o.RotateSize = 1, 1<<20
	next, err := New(o, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Rotate(); err != nil {
		t.Fatal(err)
	}
	if n := len(w.files()); n != 1 {
		t.Errorf("%d segments with room for none, want the current one", n)
	}
	if err := next.Close(nil); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsKeptOutlivesItsSegments(t *testing.T) {
	w := newWorld(t, Options{RotateEvery: time.Minute, MaxAge: time.Minute})
	w.happens(event.Connect, 1, 0)
	kept := t.TempDir()
	folder, err := w.Keep(kept, "incident")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.happens(event.Connect, 2, 61*time.Second)
		w.tick()
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v; want the first segment", len(files), err)
	}
	if got := read(t, filepath.Join(folder, files[0].Name())); !slices.Equal(got, []string{"connect 1"}) {
		t.Errorf("%q", got)
	}
	if _, err := w.Keep(kept, "incident"); err == nil {
		t.Error("an incident was put over another")
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
}

// A flight recorder outlives a full disk: it says so once, keeps what there is, counts what is missing, and goes on when
// there is room.
func TestAFullDiskIsOutlived(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tcpstate-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	w := newWorld(t, Options{Dir: dir, RotateEvery: time.Minute})
	w.happens(event.Connect, 1, 0)
	if err := os.WriteFile(filler, make([]byte, 44<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	for port := range uint16(20) { // random ports do not compress
		for i := range uint16(4000) {
			w.happens(event.Connect, 1000+port*7919+i*3571, time.Millisecond)
		}
		for range 3 {
			w.now += int64(time.Second)
			err := w.Tick(time.Unix(0, w.now))
			if full := (*FullError)(nil); errors.As(err, &full) {
				told++
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond) // the writer is another goroutine
		}
	}
	if told != 1 || w.writer != nil {
		t.Fatalf("told %d times that the disk is full, want once", told)
	}
	w.happens(event.Connect, 2, 0)
	if st, gaps := w.Stats(); st.Dropped == 0 || gaps != 1 {
		t.Errorf("%d dropped, %d gaps", st.Dropped, gaps)
	}
	if _, err := w.Keep(t.TempDir(), "incident"); err != nil && !errors.Is(err, syscall.EXDEV) { // another file system
		t.Errorf("put aside with a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.now += int64(2 * time.Second)
	w.tick()
	if w.writer == nil {
		t.Fatal("there is room, and nothing is recorded")
	}
	w.happens(event.Connect, 3, time.Second)
	if err := w.Close(json.RawMessage("{}")); err != nil {
		t.Fatal(err)
	}
	files := w.files()
	if got := read(t, files[len(files)-1]); !slices.Equal(got, []string{"connect 3"}) {
		t.Errorf("the segment after the gap has %q", got)
	}
	if w.number < 3 { // the gap has a number of its own, so that nobody reads on across it
		t.Errorf("segment number %d, want 3 at least", w.number)
	}
}
