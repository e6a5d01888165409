package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/top"
)

// Whoever makes updates never waits: a newer one takes the place of the older, and what was to be said is said.
func TestTheNewestUpdateIsTheOneThatIsShown(t *testing.T) {
	f := newFeed()
	for i := range 5 {
		if i == 1 || i == 3 {
			fmt.Fprintf(&f.notes, "tcpstate: note %d\n", i)
		}
		f.send(top.Update{Document: &report.Document{DestinationsOmitted: i}})
	}
	u := <-f.updates
	if u.Document.DestinationsOmitted != 4 || u.Note != "note 1 · note 3" {
		t.Errorf("update %d with note %q, want 4 with both notes", u.Document.DestinationsOmitted, u.Note)
	}
	select {
	case u := <-f.updates:
		t.Errorf("a second update: %d", u.Document.DestinationsOmitted)
	default:
	}
}

func TestNotesAreBounded(t *testing.T) {
	var n notes
	for i := range 1000 {
		n.say(fmt.Sprintf("line %d %s", i, strings.Repeat("x", 300)))
	}
	if all := n.take(); len(all) > maxLine+10 || !strings.HasPrefix(all, "line 0") || !strings.HasSuffix(all, "…") {
		t.Errorf("%d bytes: %.20q … %q", len(all), all, all[len(all)-10:])
	}
	if n.take() != "" {
		t.Error("notes are said twice")
	}
}

func TestKeysThatNobodyHasTimeForAreBounded(t *testing.T) {
	w := newWishes()
	for range 10 * maxWishes {
		w.Seek(time.Second)
	}
	if n := len(w.take()); n != maxWishes {
		t.Errorf("%d wishes wait, want %d", n, maxWishes)
	}
}

// A recording that cannot be made is told; the view goes on.
func TestAViewGoesOnWithoutARecording(t *testing.T) {
	var n notes
	m := newLastMinutes(&topFlags{keepIn: filepath.Join(t.TempDir(), "nosuch")}, &n)
	if err := m.begin(nil); err != nil {
		t.Fatal(err)
	}
	m.event(&event.Event{})
	if err := m.tick(); err != nil {
		t.Error(err)
	}
	m.write(t.TempDir())
	m.remove()
	for _, want := range []string{"nothing is kept for the key w", "nosuch", "--keep-in", "nothing was kept that could be written"} {
		if !strings.Contains(n.waiting[0]+n.waiting[1], want) {
			t.Errorf("the notes do not say %q: %q", want, n.waiting)
		}
	}
}

// Folders of views that were killed are removed by the next one; those of views that run are not.
func TestWhatAKilledViewLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"tcpstate-top-killed", "tcpstate-top-runs", "tcpstate-top-young", "other"} {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "a.tcps"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "tcpstate-top-young" {
			if err := os.Chtimes(folder, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	lock, err := lockFolder(filepath.Join(dir, "tcpstate-top-runs"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	removeOrphans(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got, want := strings.Join(left, " "), "other tcpstate-top-runs tcpstate-top-young"; got != want {
		t.Errorf("left are %s, want %s", got, want)
	}
}

// What is put aside on another file system is copied.
func TestWhatIsPutAsideGoesToAnyFileSystem(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(shm(t), "to")
	for _, dir := range []string{from, to} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(from, "a.tcps"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := move(from, to); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "a.tcps")); string(text) != "content" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(from); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// shm is a folder on a file system of its own where there is one, as there mostly is.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tcpstate-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// The two verbs have the same forms, or --once is not what report says.
func TestTopHasTheFormsOfReport(t *testing.T) {
	var forms [2]string
	for i, verb := range []string{"report", "top"} {
		var out, err bytes.Buffer
		args := []string{verb, "-r", sampleCapture, "-o", "nosuch"}
		if verb == "top" {
			args = append(args, "--once")
		}
		if code := run(args, &out, &err); code != exitUsage {
			t.Fatalf("%s: exit code %d: %s", verb, code, err.String())
		}
		_, forms[i], _ = strings.Cut(err.String(), "it is one of ")
	}
	if forms[0] != forms[1] || forms[0] == "" {
		t.Errorf("report has %q, top %q", forms[0], forms[1])
	}
}

// A capture that is being written is followed: what is there at once, then what comes, and its end.
func TestACaptureThatIsBeingWrittenIsPlayed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growing.tcps")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	half := len(text) / 2
	if _, err := file.Write(text[:half]); err != nil {
		t.Fatal(err)
	}
	f := &topFlags{captures: captures{read: []string{path}, follow: true}, delay: duration{minDelay}, speed: speed{1}}
	x := newPlayedBy(t, f)
	x.player.clock = wallClock{}
	var waited top.Update
	x.press = func(u top.Update) {
		switch len(x.seen) {
		case 3: // it waits for more, and keys work
			waited = u
			x.wishes.Watch(u.Document.Destinations[0].ID)
		case 4:
			if u.Document.Destinations[0].Charts == nil {
				t.Error("no charts while it waits")
			}
			x.wishes.Seek(-time.Hour)
		case 6:
			if _, err := file.Write(text[half:]); err != nil {
				t.Error(err)
			}
		}
	}
	u := x.run(t).end(t)
	if waited.Final || waited.Document.Window.Seconds >= u.Document.Window.Seconds {
		t.Errorf("while it waited it was at %v s of %v s, final: %v", waited.Document.Window.Seconds, u.Document.Window.Seconds, waited.Final)
	}
	want := whatReportSays(t, path, capture.ReadOptions{})
	isReport(t, u, want)
}

// A pipe that is closed ends a live view, too.
func TestAClosedPipeEndsALiveView(t *testing.T) {
	testnet.RequireTracing(t)
	p := command("top", "--netns", "1", "--delay", "100ms")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = w
	p.start(t)
	_ = w.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	p.wait(t, exitDone)
}

// Ctrl-C ends the lines with those of the finished report, as --for does.
func TestTheLastLinesAreOfTheFinishedReport(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	p := trace(t, "top", "--netns", of(ns), "--delay", "200ms")
	s.calls(t, "client", 30, 20)
	lines := strings.Split(strings.TrimSpace(p.stop(t).stdout.String()), "\n")
	last := lines[len(lines)-1]
	for _, want := range []string{"opened_out=30 ", "opened_in=30 ", "failed=20 ", "time_wait=30 "} {
		if !strings.Contains(last, want) {
			t.Errorf("the last line has no %q: %s", want, last)
		}
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "service=client") && strings.Contains(l, "failed=20") }) {
		t.Errorf("no line tells of the client: %s", p.stdout.String())
	}
}
