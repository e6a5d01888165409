package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/top"
)

// shortClock is a clock on which waiting takes no time.
type shortClock struct {
	now  time.Time
	keys *wishes // when some wait, nobody waits for the clock
}

func (c *shortClock) Now() time.Time { return c.now }

func (c *shortClock) After(d time.Duration) <-chan time.Time {
	come := make(chan time.Time, 1)
	if len(c.keys.come) > 0 {
		return come
	}
	c.now = c.now.Add(d)
	come <- c.now
	return come
}

// played is a player in a test. What it sends comes to seen, on its own goroutine, where keys can be pressed and the clock
// moved: so everything happens at a definite moment.
type played struct {
	*player
	clock *shortClock
	seen  []top.Update
	press func(top.Update) // at each update
	quit  context.CancelFunc
}

func newPlayed(t *testing.T, path string, args ...string) *played {
	t.Helper()
	f := &topFlags{captures: captures{read: []string{path}}, speed: speed{1}, delay: duration{time.Second}}
	for i := 0; i < len(args); i += 2 {
		var err error
		switch args[i] {
		case "--since":
			err = f.captures.period.since.Set(args[i+1])
		case "--until":
			err = f.captures.period.until.Set(args[i+1])
		case "--speed":
			err = f.speed.Set(args[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return newPlayedBy(t, f)
}

func newPlayedBy(t *testing.T, f *topFlags) *played {
	t.Helper()
	f.destinations.n = churn.DefaultMaxRows
	s := newStage(&env{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}, f)
	p, err := newPlayer(s, f, new(filter.Set))
	if err != nil {
		t.Fatal(err)
	}
	x := &played{player: p, clock: &shortClock{now: time.Unix(1, 0), keys: s.wishes}}
	p.clock = x.clock
	p.send = func(u top.Update) {
		x.seen = append(x.seen, u)
		if x.press != nil {
			x.press(u)
		}
	}
	return x
}

// run plays to the end, or until the test quits.
func (x *played) run(t *testing.T) *played {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	x.quit = cancel
	if err := x.play(ctx); err != nil {
		t.Fatal(err)
	}
	return x
}

// end is the last update, which must be the final one.
func (x *played) end(t *testing.T) top.Update {
	t.Helper()
	if len(x.seen) == 0 || !x.seen[len(x.seen)-1].Final {
		t.Fatalf("the last of %d updates is not the final one", len(x.seen))
	}
	return x.seen[len(x.seen)-1]
}

// whatReportSays is the document of report -r.
func whatReportSays(t *testing.T, path string, o capture.ReadOptions) *report.Document {
	t.Helper()
	var set filter.Set
	r, err := openReplay(path, &set, "", o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	d, err := reported(context.Background(), r, churn.Options{MaxRows: churn.DefaultMaxRows}, chartedRows)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// asJSON is what report -o jsonpretty writes.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	if d, ok := v.(*report.Document); ok {
		var b bytes.Buffer
		if err := report.WriteJSON(&b, d, true); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// isReport wants a document to say exactly what report says.
func isReport(t *testing.T, u top.Update, want *report.Document) {
	t.Helper()
	if diff := cmp.Diff(asJSON(t, want), asJSON(t, u.Document)); diff != "" {
		t.Errorf("report and top at the end of the same capture (-report +top):\n%s", diff)
	}
}

func TestACaptureTakesAsLongAsItSaysAndEndsAsItsReport(t *testing.T) {
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	length := want.Window.Seconds
	for _, speed := range []string{"1", "20", "0.5", "max"} {
		x := newPlayed(t, sampleCapture, "--speed", speed)
		began := x.clock.now
		u := x.run(t).end(t)
		isReport(t, u, want)
		took, due := x.clock.now.Sub(began).Seconds(), float64(length)/x.pace.speed
		if math.Abs(took-due) > 2*playTick.Seconds() {
			t.Errorf("speed %s: took %.3f s, want %.3f s", speed, took, due)
		}
		if n, want := len(x.seen), int(due)+1; speed != "max" && (n < want-1 || n > want+1) {
			t.Errorf("speed %s: %d updates, want %d", speed, n, want)
		}
		if !u.Playback.Now.Equal(u.Playback.End) || u.Playback.End.Sub(u.Playback.Start).Seconds()-float64(length) > 1e-5 {
			t.Errorf("speed %s: at the end it is %+v", speed, u.Playback)
		}
	}
}

// What is shown in the middle is what report says of the part until then.
func TestTheMiddleOfACaptureIsTheReportUntilThere(t *testing.T) {
	x := newPlayed(t, sampleCapture).run(t)
	for i, u := range x.seen[:len(x.seen)-1] {
		if u.Final || u.Own != nil {
			t.Errorf("update %d is final or tells of its own cost", i)
		}
		if i%10 != 3 {
			continue
		}
		want := whatReportSays(t, sampleCapture, capture.ReadOptions{Until: u.Playback.Now.UnixNano()})
		for _, part := range []struct {
			name      string
			want, got any
		}{
			{"window", want.Window, u.Document.Window},
			{"loss", want.Loss, u.Document.Loss},
			{"destinations", withoutCharts(want.Destinations), withoutCharts(u.Document.Destinations)},
			{"ports", withoutPortCharts(want.Ports), withoutPortCharts(u.Document.Ports)},
		} {
			if diff := cmp.Diff(asJSON(t, part.want), asJSON(t, part.got)); diff != "" {
				t.Errorf("%s at %s (-report +top):\n%s", part.name, u.Playback.Now, diff)
			}
		}
	}
}

// withoutCharts are rows without charts, of which top makes but those that are looked at.
func withoutCharts(rows []report.Destination) []report.Destination {
	rows = append([]report.Destination(nil), rows...)
	for i := range rows {
		rows[i].Charts = nil
	}
	return rows
}

func withoutPortCharts(ports []report.Port) []report.Port {
	ports = append([]report.Port(nil), ports...)
	for i := range ports {
		ports[i].Charts, ports[i].Blocked = nil, nil // which ports bind() holds is read at the end
	}
	return ports
}

func TestAPausedCaptureStands(t *testing.T) {
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	x := newPlayed(t, sampleCapture)
	var before, paused, after top.Update
	x.press = func(u top.Update) {
		switch len(x.seen) {
		case 5:
			before = u
			x.wishes.Pause(true)
		case 6:
			paused = u
			x.clock.now = x.clock.now.Add(time.Hour)
			x.wishes.Pause(false)
		case 8:
			after = u
		}
	}
	isReport(t, x.run(t).end(t), want)
	if !paused.Playback.Paused || before.Playback.Paused || after.Playback.Paused {
		t.Errorf("paused: %v, %v, %v; want false, true, false", before.Playback.Paused, paused.Playback.Paused, after.Playback.Paused)
	}
	if d := paused.Playback.Now.Sub(before.Playback.Now); d < 0 || d > time.Second {
		t.Errorf("the pause is %s after the update before it", d)
	}
	if d := after.Playback.Now.Sub(paused.Playback.Now); d < 900*time.Millisecond || d > 3*time.Second {
		t.Errorf("after a pause of an hour and two updates, it is %s later", d)
	}
}

func TestTheSpeedCanBeChangedWhileACaptureIsPlayed(t *testing.T) {
	x := newPlayed(t, sampleCapture)
	began := x.clock.now
	x.press = func(top.Update) {
		if len(x.seen) == 10 {
			x.wishes.Speed(40)
		}
	}
	u := x.run(t).end(t)
	length := u.Playback.End.Sub(u.Playback.Start).Seconds()
	if took, want := x.clock.now.Sub(began).Seconds(), 10+(length-10)/40; math.Abs(took-want) > 4*playTick.Seconds() {
		t.Errorf("took %.3f s, want %.3f s", took, want)
	}
	if u.Playback.Speed != 40 {
		t.Errorf("speed %v, want 40", u.Playback.Speed)
	}
}

// Wherever it is gone to, and from wherever, in the end it is the same report, also where it had ended before.
func TestSeekingBackAndForthChangesNoFigure(t *testing.T) {
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	x := newPlayed(t, sampleCapture)
	x.stay = true
	start := time.Time{}
	at := func(u top.Update) float64 { return u.Playback.Now.Sub(start).Seconds() }
	near := func(u top.Update, seconds float64) {
		if math.Abs(at(u)-seconds) > 0.2 {
			t.Errorf("update %d is at %.3f s, want %.0f s", len(x.seen), at(u), seconds)
		}
	}
	finals := 0
	x.press = func(u top.Update) {
		start = u.Playback.Start
		switch {
		case u.Final:
			isReport(t, u, want)
			if finals++; finals == 3 {
				x.quit()
				return
			}
			x.wishes.Seek(-map[int]time.Duration{1: time.Hour, 2: 2 * time.Second}[finals])
			return
		case finals > 0:
			return
		}
		switch len(x.seen) {
		case 3:
			near(u, 3)
			x.wishes.Seek(30 * time.Second)
		case 4:
			near(u, 33)
			x.wishes.Seek(-20 * time.Second)
		case 5:
			near(u, 13)
			x.wishes.Seek(-time.Hour)
		case 6:
			near(u, 0)
			x.wishes.Pause(true)
			x.wishes.Seek(40 * time.Second)
			x.wishes.Seek(10 * time.Second)
		case 7:
			near(u, 50)
			if !u.Playback.Paused {
				t.Error("a seek ended the pause")
			}
			x.wishes.Seek(-5 * time.Second)
		case 8:
			near(u, 45)
			x.wishes.Pause(false)
			x.wishes.Seek(time.Hour)
		}
	}
	x.run(t)
	if finals != 3 {
		t.Fatalf("it came to the end %d times, want 3", finals)
	}
}

// The last events of a capture are of a moment after its end, when what is there was looked at.
func TestSeekingToTheEndOfAPausedCaptureShowsItsReport(t *testing.T) {
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	x := newPlayed(t, sampleCapture)
	x.stay = true
	x.press = func(top.Update) {
		switch len(x.seen) {
		case 3:
			x.wishes.Pause(true)
			x.wishes.Seek(time.Hour)
		case 4:
			x.quit()
		}
	}
	isReport(t, x.run(t).end(t), want)
}

func TestTheRowThatIsWatchedHasCharts(t *testing.T) {
	x := newPlayed(t, sampleCapture, "--speed", "10")
	x.stay = true
	watched := -1
	x.press = func(u top.Update) {
		for _, r := range u.Document.Destinations {
			if (r.Charts != nil) != (r.ID == watched) && !u.Final {
				t.Errorf("update %d: row %d has charts: %v; watched is %d", len(x.seen), r.ID, r.Charts != nil, watched)
			}
		}
		switch {
		case u.Final:
			x.quit()
		case len(x.seen) == 2:
			watched = u.Document.Destinations[1].ID
			x.wishes.Watch(watched)
		case len(x.seen) == 4:
			watched = -1
			x.wishes.Watch(-1)
		}
	}
	x.run(t)
}

func TestAPartOfACaptureIsPlayed(t *testing.T) {
	whole := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	from := time.Unix(0, int64(*whole.Window.Start)).Add(20 * time.Second)
	to := from.Add(30 * time.Second)
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{Since: from.UnixNano(), Until: to.UnixNano()})
	x := newPlayed(t, sampleCapture, "--since", from.Format(time.RFC3339Nano), "--until", to.Format(time.RFC3339Nano))
	began := x.clock.now
	u := x.run(t).end(t)
	isReport(t, u, want)
	if took := x.clock.now.Sub(began); took < 29*time.Second || took > 31*time.Second {
		t.Errorf("30 s took %s", took)
	}
	for _, u := range x.seen {
		if !u.Playback.Start.Equal(from) || !u.Playback.End.Equal(to) {
			t.Fatalf("from %s to %s, want %s to %s", u.Playback.Start, u.Playback.End, from, to)
		}
	}
}

func TestADamagedCaptureIsPlayedToItsEnd(t *testing.T) {
	text, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		text[len(text)/2+i] ^= 0x5a
	}
	path := filepath.Join(t.TempDir(), "damaged.tcps")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := whatReportSays(t, path, capture.ReadOptions{})
	if want.Loss.Capture == nil {
		t.Fatal("the capture is not damaged")
	}
	x := newPlayed(t, path, "--speed", "10").run(t)
	isReport(t, x.end(t), want)
	if u := x.seen[len(x.seen)-2]; u.Document.Loss.Capture == nil {
		t.Error("the damage that was met is told at the end only")
	}
}

// A capture that was cut off has no end: when its last event was.
func TestACaptureWithoutAnEndIsPlayed(t *testing.T) {
	text, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.tcps")
	if err := os.WriteFile(path, text[:len(text)*2/3], 0o600); err != nil {
		t.Fatal(err)
	}
	want := whatReportSays(t, path, capture.ReadOptions{})
	x := newPlayed(t, path, "--speed", "10").run(t)
	isReport(t, x.end(t), want)
	if end := x.seen[0].Playback.End; !end.Equal(time.Unix(0, int64(*want.Window.End))) && end.Sub(time.Unix(0, int64(*want.Window.End))).Abs() > time.Microsecond {
		t.Errorf("it ends at %s, want %s", end, time.Unix(0, int64(*want.Window.End)))
	}
}

// What can be read once has no way back, and says so.
func TestAPipeHasNoWayBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.tcps")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		text, _ := os.ReadFile(sampleCapture)
		_, _ = w.Write(text)
		_ = w.Close()
	}()
	defer r.Close()
	if err := os.Symlink("/proc/self/fd/"+strconv.Itoa(int(r.Fd())), path); err != nil {
		t.Fatal(err)
	}
	x := newPlayed(t, path, "--speed", "10")
	x.press = func(u top.Update) {
		switch len(x.seen) {
		case 2:
			x.wishes.Seek(-time.Minute)
		case 4:
			x.wishes.Seek(10 * time.Second)
		}
	}
	u := x.run(t).end(t)
	want := whatReportSays(t, sampleCapture, capture.ReadOptions{})
	want.Host.Source = u.Document.Host.Source
	isReport(t, u, want)
	if note := x.notes.take(); !strings.Contains(note, "read once") {
		t.Errorf("note: %q", note)
	}
}
