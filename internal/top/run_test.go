package top

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/report"
)

// terminal is a pseudo terminal, and what was written on it.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	mu            sync.Mutex
	written       bytes.Buffer
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, master: master, slave: slave}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.written.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = slave.Close()
		_ = master.Close()
	})
	return p
}

func (p *terminal) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written.String()
}

func (p *terminal) settings() unix.Termios {
	s, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *s
}

// shows waits until something was written.
func (p *terminal) shows(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.screen(), text); {
		if time.Now().After(deadline) {
			p.t.Fatalf("%q is not shown:\n%q", text, p.screen())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// restored tells what was not put back.
func (p *terminal) restored(before unix.Termios) {
	p.t.Helper()
	if diff := cmp.Diff(before, p.settings()); diff != "" {
		p.t.Errorf("settings of the terminal (-before +after):\n%s", diff)
	}
	p.shows("\x1b[?1049l")
	out := p.screen()
	for _, pair := range [][2]string{
		{"\x1b[?1049h", "\x1b[?1049l"}, {"\x1b[?25l", "\x1b[?25h"}, {"\x1b[?2004h", "\x1b[?2004l"},
	} {
		if strings.LastIndex(out, pair[0]) > strings.LastIndex(out, pair[1]) {
			p.t.Errorf("%q was written and not taken back by %q", pair[0], pair[1])
		}
	}
}

// broken controls panic.
type broken struct{ asked }

func (*broken) Write() { panic("controls broke") }

func TestTheTerminalIsRestored(t *testing.T) {
	d := report.Build(incident().input())
	signalled := func(s syscall.Signal) func(*terminal, context.CancelFunc) {
		return func(*terminal, context.CancelFunc) { _ = syscall.Kill(os.Getpid(), s) }
	}
	typed := func(keys string) func(*terminal, context.CancelFunc) {
		return func(p *terminal, _ context.CancelFunc) { _, _ = p.master.WriteString(keys) }
	}
	for _, c := range []struct {
		name string
		end  func(*terminal, context.CancelFunc)
		want string // in the error; "": there is none
	}{
		{"q", typed("q"), ""},
		{"ctrl+c", typed("\x03"), ""},
		{"ctx ends", func(_ *terminal, stop context.CancelFunc) { stop() }, ""},
		{"SIGTERM", signalled(syscall.SIGTERM), ""},
		{"SIGHUP", signalled(syscall.SIGHUP), ""},
		{"SIGINT", signalled(syscall.SIGINT), ""},
		{"SIGQUIT", signalled(syscall.SIGQUIT), ""},
		{"a panic in Update", typed("w"), "controls broke"},
		{"a signal while typing", func(p *terminal, _ context.CancelFunc) {
			_, _ = p.master.WriteString("/abc")
			p.shows("of 6 rows")
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openTerminal(t)
			before := p.settings()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			updates := make(chan Update, 1)
			updates <- live(d)
			done := make(chan error, 1)
			go func() { done <- Run(ctx, Options{In: p.slave, Out: p.slave, Color: true}, updates, new(broken)) }()
			p.shows("pgbench")
			if cmp.Equal(before, p.settings()) {
				t.Error("the terminal is not raw while the view is shown: nothing is tested here")
			}
			c.end(p, stop)
			select {
			case err := <-done:
				if got := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(got, c.want) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it does not end")
			}
			p.restored(before)
		})
	}
}

func TestAPanicInViewIsTold(t *testing.T) {
	p := openTerminal(t)
	before := p.settings()
	defer func(old []func(*shape)) { steps = old }(steps)
	steps = []func(*shape){nil} // calling it panics while a frame with rows is drawn
	updates := make(chan Update, 1)
	go func() {
		p.shows("Waiting")
		updates <- Update{Document: &report.Document{Destinations: []report.Destination{{}}}}
	}()
	err := Run(t.Context(), Options{In: p.slave, Out: p.slave}, updates, new(asked))
	if err == nil || !strings.Contains(err.Error(), "nil pointer") || !strings.Contains(err.Error(), "shapeFor") {
		t.Errorf("error %v, want the panic and where it was", err)
	}
	p.restored(before)
}

func TestAPanicElsewhereIsKept(t *testing.T) {
	p := openTerminal(t)
	before := p.settings()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var crash Crash
	go func() {
		defer crash.Catch(stop)
		p.shows("Waiting")
		panic("the feed broke")
	}()
	if err := Run(ctx, Options{In: p.slave, Out: p.slave}, nil, new(asked)); err != nil {
		t.Errorf("error %v, for ctx has ended", err)
	}
	if err := crash.Err(); err == nil || !strings.Contains(err.Error(), "the feed broke") {
		t.Errorf("the panic is told as %v", err)
	}
	p.restored(before)
}

func TestNotesAreNotPassedOver(t *testing.T) {
	updates := make(chan Update, 3)
	updates <- Update{Note: "second"}
	updates <- Update{}
	updates <- Update{Final: true}
	if u := newest(Update{Note: "first"}, updates); u.Note != "second" || !u.Final {
		t.Errorf("the newest update is %+v, want the last with the last note", u)
	}
}
