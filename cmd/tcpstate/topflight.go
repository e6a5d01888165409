package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/service"
)

// lastMinutes is the tap that keeps what happened lately, for the key w. A view outlives it: where nothing can be kept,
// it says so and is off.
type lastMinutes struct {
	in     string // where its folder is made
	keep   time.Duration
	size   uint64
	notes  *notes
	folder string // of its own; "": off
	locked *os.File
	series *series // nil: off

	moves works
}

func newLastMinutes(f *topFlags, n *notes) *lastMinutes {
	in := f.keepIn
	if in == "" {
		in = os.Getenv("TMPDIR")
	}
	if in == "" {
		in = "/var/tmp" // /tmp is memory on many hosts
	}
	return &lastMinutes{in: in, keep: f.keep.Duration, size: uint64(f.maxSize.bytes), notes: n}
}

func (m *lastMinutes) begin(l *live) (err error) {
	removeOrphans(m.in)
	if m.folder, err = os.MkdirTemp(m.in, privatePrefix); err != nil {
		m.off(err)
		return nil
	}
	m.locked, _ = lockFolder(m.folder) // without the lock somebody may remove it, which is told then
	f := recordFlags{path: m.folder, maxSize: size{bytes: int(m.size)}, keep: duration{m.keep}}
	s := &series{options: f.options(), say: func(format string, args ...any) { m.notes.say(fmt.Sprintf(format, args...)) }}
	if err := s.begin(l); err != nil {
		m.off(err)
		return nil
	}
	m.series = s
	return nil
}

// off ends the recording, not the view.
func (m *lastMinutes) off(err error) {
	m.series = nil
	m.notes.say(fmt.Sprintf("nothing is kept for the key w: %v (--keep-in names another folder)", err))
}

func (m *lastMinutes) event(e *event.Event) {
	if m.series != nil {
		m.series.event(e)
	}
}

func (m *lastMinutes) settings(s *host.Settings) {
	if m.series != nil {
		m.series.settings(s)
	}
}

func (m *lastMinutes) service(id event.Identity, s *service.Service) {
	if m.series != nil {
		m.series.service(id, s)
	}
}

func (m *lastMinutes) tick() error {
	if m.series == nil {
		return nil
	}
	if err := m.series.tick(); err != nil {
		m.off(err)
	}
	return nil
}

// end has nothing to do: what is kept goes with the view.
func (m *lastMinutes) end(*live, *ending) error { return nil }

// write puts the last minutes aside, in a new folder in dir. Links are made at once; another file system takes a copy,
// for which nobody waits.
func (m *lastMinutes) write(dir string) {
	if m.series == nil {
		m.notes.say("nothing was kept that could be written")
		return
	}
	name := "tcpstate-" + time.Now().UTC().Format("20060102T150405Z")
	target := filepath.Join(dir, name)
	if err := os.Mkdir(target, 0o700); err != nil {
		m.notes.say(fmt.Sprintf("write the last minutes: %v", err))
		return
	}
	aside, err := m.series.recorder.Keep(m.folder, name)
	if err != nil {
		m.notes.say(fmt.Sprintf("write the last minutes: %v", errors.Join(err, os.RemoveAll(target))))
		return
	}
	m.moves.start(m.notes, target, func() (string, error) {
		return fmt.Sprintf("the last %s are in %s: tcpstate report -r %s", m.keep, target, target), move(aside, target)
	})
}

// written says what was.
func (m *lastMinutes) written() []string { return m.moves.wait() }

// remove ends the recording, and removes what nobody asked for.
func (m *lastMinutes) remove() {
	m.moves.wait()
	if m.series != nil {
		_ = m.series.recorder.Close(nil) // it is removed
	}
	if m.folder != "" {
		_ = os.RemoveAll(m.folder)
	}
	if m.locked != nil {
		_ = m.locked.Close()
	}
}

// privatePrefix is how the names of private folders begin.
const privatePrefix = "tcpstate-top-"

// removeOrphans removes the folders in dir of views that were killed: those of this user that nobody has locked, and that
// are not just being made.
func removeOrphans(dir string) {
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), privatePrefix+"*"))
	if err != nil {
		return
	}
	for _, folder := range found {
		st, err := os.Lstat(folder)
		if err != nil || !st.IsDir() || time.Since(st.ModTime()) < time.Minute {
			continue
		}
		if own, ok := st.Sys().(*syscall.Stat_t); !ok || int(own.Uid) != os.Geteuid() {
			continue
		}
		if f, err := lockFolder(folder); err == nil {
			_ = os.RemoveAll(folder)
			_ = f.Close()
		}
	}
}

// lockFolder locks a folder until it is closed, or the process ends. An error: another process has it.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// move makes the folder from, which holds files only, the folder to, which is empty.
func move(from, to string) error {
	if err := os.Rename(from, to); err == nil {
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(from)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
