package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

func init() {
	testnet.RunChild(testnet.Children{"record": childRecord})
}

// slow is a disk that takes nothing until it is told to.
type slow struct {
	bytes.Buffer
	stuck atomic.Bool
	free  chan struct{}
}

func (s *slow) Write(b []byte) (int, error) {
	if s.stuck.Load() {
		<-s.free
	}
	return s.Buffer.Write(b)
}

// Events are dropped, counted, and told in the file; settings and services are kept.
func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	disk := &slow{free: make(chan struct{})}
	w, err := NewWriter(disk, Header{}, Options{Queue: 4})
	if err != nil {
		t.Fatal(err)
	}
	disk.stuck.Store(true)
	const total = 20 * MaxBlockEvents
	e := blank(generatedStart)
	for i := range total {
		e.UnixNano++
		e.SentBytes = uint64(i)
		w.Event(&e) // a writer that waits would wait for ever
		if i == 15*MaxBlockEvents {
			put(t, w, &Item{Kind: KindSettings, Settings: &host.Settings{Netns: 5}})
		}
	}
	close(disk.free)
	for range 100 { // and it goes on
		e.UnixNano++
		w.Event(&e)
	}
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	all := mustRead(t, disk.Bytes(), ReadOptions{})
	if d := of(all, KindDamage); len(d) != 0 {
		t.Errorf("damage: %s", told(d))
	}
	var plain, lost uint64
	for _, i := range of(all, KindEvent) {
		if i.Event.Kind == event.Lost {
			lost += i.Event.Count
		} else {
			plain++
		}
	}
	// The queue and what came after; and a block that was being written, perhaps.
	if stats := w.Stats(); plain+lost != total+100 || plain < 4*MaxBlockEvents+100 || lost < 13*MaxBlockEvents || stats.Dropped != lost {
		t.Errorf("%d events and %d lost, want %d; %+v", plain, lost, total+100, stats)
	}
	if s := of(all, KindSettings); len(s) != 1 || s[0].Settings.Netns != 5 {
		t.Errorf("settings: %+v", s)
	}
	end := of(all, KindEnd)
	if len(end) != 1 || end[0].End.Totals.Dropped == 0 || end[0].End.Totals.Lost != lost {
		t.Errorf("end: %+v", end[0].End.Totals)
	}
}

// While the disk is stuck, blocks fill up: a few events a second are not dropped for a long time.
func TestAStuckDiskLosesNothingWhileLittleHappens(t *testing.T) {
	disk := &slow{free: make(chan struct{})}
	w, err := NewWriter(disk, Header{}, Options{Queue: 2})
	if err != nil {
		t.Fatal(err)
	}
	disk.stuck.Store(true)
	e := blank(generatedStart)
	for range 600 { // seconds
		e.UnixNano += int64(time.Second)
		w.Event(&e)
		w.Tick(e.UnixNano + int64(blockTime))
	}
	close(disk.free)
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	if n := len(of(mustRead(t, disk.Bytes(), ReadOptions{}), KindEvent)); n != 600 || w.Stats().Dropped != 0 {
		t.Errorf("%d events, want 600: %+v", n, w.Stats())
	}
}

func TestSettingsDoNotFillTheMemoryBehindASlowDisk(t *testing.T) {
	disk := &slow{free: make(chan struct{})}
	w, err := NewWriter(disk, Header{}, Options{Queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	disk.stuck.Store(true)
	s := &Service{Exe: strings.Repeat("x", 1000)}
	for range 20_000 {
		put(t, w, &Item{Kind: KindService, Service: s})
		if n := w.encoder.block.factBytes; n > maxCarried+2*flushFacts {
			t.Fatalf("%d bytes wait", n)
		}
	}
	close(disk.free)
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	all := mustRead(t, disk.Bytes(), ReadOptions{})
	var missing uint64
	for _, d := range of(all, KindDamage) {
		missing += d.Damage.FactsMissing
	}
	if n := uint64(len(of(all, KindService))); n+missing != 20_000 || missing == 0 || w.Stats().FactsDropped != missing {
		t.Errorf("%d services and %d missing; %+v", n, missing, w.Stats())
	}
}

// small disk is full after so many bytes, and can be cut.
type smallDisk struct {
	content []byte
	room    int
}

func (d *smallDisk) Write(b []byte) (int, error) {
	n := min(len(b), d.room-len(d.content))
	d.content = append(d.content, b[:n]...)
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *smallDisk) Seek(int64, int) (int64, error) { return int64(len(d.content)), nil }

func (d *smallDisk) Truncate(n int64) error {
	d.content = d.content[:n]
	return nil
}

func TestAFullDiskKeepsWholeBlocks(t *testing.T) {
	events := generated()
	whole := write(t, items(events), nil)
	header := blocks(t, whole)[0].end
	for room := header; room < len(whole); room += len(whole) / 37 {
		disk := &smallDisk{room: room}
		w, err := NewWriter(disk, Header{Host: "here", WindowStart: generatedStart}, Options{Queue: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			w.Event(&events[i])
		}
		if err := w.Close(End{}); !errors.Is(err, syscall.ENOSPC) || !errors.Is(w.Err(), syscall.ENOSPC) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		if all := blocks(t, disk.content); all[len(all)-1].end != len(disk.content) { // blocks fails at a part of one
			t.Fatalf("room for %d bytes: %d are there", room, len(disk.content))
		}
		all := mustRead(t, disk.content, ReadOptions{})
		n := len(of(all, KindEvent))
		d := of(all, KindDamage)
		if len(d) != 1 || !d[0].Damage.Unknown || w.Stats().Events != uint64(n) || w.Stats().Dropped != uint64(len(events)-n) {
			t.Fatalf("room for %d bytes: %d events, %+v, %s", room, n, w.Stats(), told(d))
		}
	}
}

// onTmpfs calls f with a folder of size bytes, in a mount namespace of its own.
func onTmpfs(t *testing.T, size string, f func(dir string)) {
	testnet.RequireTracing(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with its namespace
		for _, err := range []error{
			unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size),
		} {
			if err != nil {
				t.Error(err)
				return
			}
		}
		f(dir)
	}()
	<-done
}

func TestAFileSystemOf2MiB(t *testing.T) {
	onTmpfs(t, "2m", func(dir string) {
		path := filepath.Join(dir, "x.tcps")
		f, err := Create(path, false)
		if err != nil {
			t.Error(err)
			return
		}
		w, err := NewWriter(f, Header{}, Options{Queue: 1000})
		if err != nil {
			t.Error(err)
			return
		}
		events := generated()
		for range 30 {
			for i := range events {
				w.Event(&events[i])
			}
		}
		if err := errors.Join(w.Close(End{})); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		all := blocks(t, file)
		if n := all[len(all)-1].end; n != len(file) || n < 1900<<10 || w.Stats().Bytes != uint64(n) {
			t.Errorf("%d bytes of whole blocks in %d, %+v", n, len(file), w.Stats())
		}
	})
}

// childRecord records 100,000 events a second until it is killed. Beside the capture it keeps the time of the last one
// that it handed over.
func childRecord(args []string) {
	f := testnet.Must1(Create(args[0], false))
	progress := testnet.Must1(os.Create(args[1]))
	w := testnet.Must1(NewWriter(f, Header{}, Options{}))
	events := generated()
	for n := 0; ; {
		for range 100 {
			e := events[n%len(events)]
			e.UnixNano = time.Now().UnixNano()
			w.Event(&e)
			n++
		}
		at := time.Now().UnixNano()
		w.Tick(at)
		testnet.Must1(progress.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(at)), 0))
		time.Sleep(time.Millisecond)
	}
}

func TestKilledWriterLosesASecondAtMost(t *testing.T) {
	runtime.LockOSThread() // children die with the thread
	defer runtime.UnlockOSThread()
	dir := t.TempDir()
	for i := range 5 {
		path, progress := filepath.Join(dir, string(rune('a'+i))), filepath.Join(dir, "progress"+string(rune('a'+i)))
		c := testnet.StartChild("record", []string{path, progress})
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if info, err := os.Stat(path); err == nil && info.Size() > 10_000 || time.Since(began) > 20*time.Second {
				break
			}
		}
		time.Sleep(time.Duration(200+137*i) * time.Millisecond)
		c.Kill()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all := mustRead(t, file, ReadOptions{})
		d := of(all, KindDamage)
		if len(d) != 1 || !d[0].Damage.Unknown || !strings.Contains(d[0].Damage.What, "the end is missing") {
			t.Errorf("damage: %s", told(d))
		}
		last, err := os.ReadFile(progress)
		events := of(all, KindEvent)
		if err != nil || len(events) == 0 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		missing := time.Duration(int64(binary.LittleEndian.Uint64(last)) - events[len(events)-1].Event.UnixNano)
		if missing > time.Second {
			t.Errorf("%s is missing", missing)
		}
	}
}

func TestTicksWriteWhatIsOld(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := blank(generatedStart)
	w.Event(&e)
	w.Tick(generatedStart + int64(blockTime) - 1)
	if n := w.encoder.block.events; n != 1 {
		t.Errorf("%d events wait, want 1", n)
	}
	w.Tick(generatedStart + int64(blockTime))
	if n := w.encoder.block.events; n != 0 {
		t.Errorf("%d events wait, want none", n)
	}
	put(t, w, &Item{Kind: KindService, Service: &Service{}})
	w.Tick(generatedStart + int64(blockTime))
	if n := len(w.encoder.block.facts); n != 0 {
		t.Errorf("%d services wait, want none", n)
	}
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(End{}); err == nil {
		t.Error("closed twice")
	}
}

func TestHandingOverAllocatesNothing(t *testing.T) {
	w, err := NewWriter(io.Discard, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := generated()
	n := 0
	next := func() {
		w.Event(&events[n%len(events)])
		n++
	}
	for range 10 * len(events) { // every block has been used
		next()
	}
	if got := testing.AllocsPerRun(100_000, next); got >= 0.01 {
		t.Errorf("%g allocations an event", got)
	}
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsTooLarge(t *testing.T) {
	if _, err := NewWriter(io.Discard, Header{Host: strings.Repeat("x", maxPayload)}, Options{}); err == nil {
		t.Error("a header of 4 MiB")
	}
	w, err := NewWriter(io.Discard, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Service(&Service{Exe: strings.Repeat("x", maxCarried)}); err == nil {
		t.Error("a service of 1 MiB")
	}
	if err := w.Close(End{Facts: []byte(`"` + strings.Repeat("x", maxPayload) + `"`)}); err == nil {
		t.Error("an end of 4 MiB")
	}
	w, err = NewWriter(io.Discard, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(End{Facts: []byte(`{`)}); err == nil {
		t.Error("an end that is no JSON")
	}
}

func TestFilesAreMadeSafely(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	other := at("other")
	if err := os.WriteFile(other, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(other, at("link")), os.Symlink(at("nothing"), at("dangling")), os.Mkdir(at("folder"), 0o755), unix.Mkfifo(at("pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		force bool
		want  string // in the error; "": it is made
	}{
		{"new", false, ""},
		{"new", false, "--force"},
		{"new", true, ""},
		{"newer", true, ""},
		{"other", false, "--force"},
		{"link", false, "no regular file"},
		{"link", true, "no regular file"},
		{"dangling", true, "no regular file"},
		{"folder", true, "no regular file"},
		{"pipe", true, "no regular file"},
		{"missing/x", true, "no such file"},
		{"other", true, ""},
	} {
		f, err := Create(at(c.name), c.force)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, force %v: %v, want %s", c.name, c.force, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, force %v: %v", c.name, c.force, err)
			continue
		}
		info, err := os.Lstat(at(c.name))
		if err != nil || info.Mode() != 0o600 || info.Size() != 0 {
			t.Errorf("%s: %v, %v", c.name, info, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{"dangling", "folder", "link", "new", "newer", "other", "pipe"}; !slices.Equal(names, want) {
		t.Errorf("left: %v", names)
	}
}

// Replacing a file takes nothing from who reads the old one.
func TestReplacingKeepsTheOldFileForItsReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	f, err := Create(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(old); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
}
