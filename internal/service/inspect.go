package service

import (
	"io"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Reading a process's executable and maps may block: the file can be on a network or FUSE file system that hangs, and
// maps waits for the lock of a process that waits for such a file. The reader of events must not.
const (
	inspectWait = 50 * time.Millisecond // for one process
	maxOverruns = 10                    // after so many, nobody is inspected any more
)

// inspector finds out what runs a program. At most one inspection is under way; while one hangs there is no other.
type inspector struct {
	overruns int
	hanging  chan clues           // of the inspection that took too long; nil: none did
	look     func(*os.File) clues // replaced in tests
	wait     time.Duration        // likewise
}

// clues are what a process's files tell.
type clues struct {
	compiled string // from its executable
	mapped   string // from what it has loaded
	library  string
}

func newInspector() *inspector { return &inspector{wait: inspectWait} }

// runtime returns what runs the process in dir, and the client library that it has loaded. The names decide as far as
// they can; only where they do not are files read.
func (in *inspector) runtime(dir *os.Root, exe, comm string) (runtime, library string) {
	program := path.Base(exe)
	runtime = firstKnown(runtimeNamed(program), runtimeNamed(comm))
	if selfContained(runtime) {
		return runtime, ""
	}
	look := in.look
	if look == nil {
		executable := runtime == "" // whoever takes too long reads on when runtime is another
		look = func(dir *os.File) clues { return readClues(dir, executable) }
	}
	c := in.inspect(dir, look)
	if hosts[program] {
		return firstKnown(c.mapped, runtime), c.library
	}
	return firstKnown(runtime, c.compiled, c.mapped), c.library
}

// inspect runs look and waits for it, but not for long.
func (in *inspector) inspect(dir *os.Root, look func(*os.File) clues) clues {
	if in.hanging != nil {
		select {
		case <-in.hanging:
			in.hanging = nil
		default:
			return clues{}
		}
	}
	if in.overruns >= maxOverruns {
		return clues{}
	}
	own, err := dir.Open(".")
	if err != nil {
		return clues{}
	}
	found := make(chan clues, 1)
	go func() {
		defer own.Close()
		found <- look(own)
	}()
	tired := time.NewTimer(in.wait)
	defer tired.Stop()
	select {
	case c := <-found:
		return c
	case <-tired.C:
		in.overruns++
		in.hanging = found
		return clues{}
	}
}

// readClues reads maps and, where asked to, the executable. What may not be read tells nothing.
func readClues(dir *os.File, executable bool) (c clues) {
	if executable {
		if f, err := openIn(dir, "exe"); err == nil {
			c.compiled = elfRuntime(f)
			f.Close()
		}
	}
	if selfContained(c.compiled) {
		return c
	}
	if f, err := openIn(dir, "maps"); err == nil {
		c.mapped, c.library = readMaps(io.Reader(f))
		f.Close()
	}
	return c
}

// openIn opens a regular file below dir. Unlike [os.Root] it follows exe, which leads into the process's own root.
func openIn(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EINVAL}
	}
	return f, nil
}
