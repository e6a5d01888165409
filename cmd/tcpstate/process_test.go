package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tcpstate/tcpstate/internal/demo"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// The test binary is tcpstate itself when it is called by that name, and the test's clients and servers when
// [testnet.StartChild] says so.
func TestMain(m *testing.M) {
	if demo.Role() != "" {
		main() // the demo starts its processes from /proc/self/exe
	}
	testscript.Main(m, map[string]func(){"tcpstate": main})
}

// process is a running tcpstate.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr printed
	ended          chan struct{}
	code           int // once ended
}

// printed collects what a process prints, readable while it runs.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *printed) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *printed) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// command is tcpstate with args, not started.
func command(args ...string) *process {
	p := &process{cmd: exec.Command("/proc/self/exe", args...), ended: make(chan struct{})}
	p.cmd.Args[0] = "tcpstate"
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	return p
}

// start starts p, which is killed if it outlives the test.
func (p *process) start(tb testing.TB) *process {
	tb.Helper()
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %q: %v", p.cmd.Args, err)
	}
	go func() {
		_ = p.cmd.Wait() // the code says all
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// trace starts tcpstate and waits until it traces.
func trace(tb testing.TB, args ...string) *process {
	tb.Helper()
	return traceAll(tb, args)[0]
}

// atOnce is how many may load at the same time: each takes a CPU for a second.
const atOnce = 2

// traceAll starts several and waits until all trace. Their ring buffers are large unless args say otherwise:
// tests of other packages run at the same time, and what those do must not push out the details that are looked for.
func traceAll(tb testing.TB, lines ...[]string) []*process {
	tb.Helper()
	testnet.RequireTracing(tb)
	var started []*process
	for i, args := range lines {
		if !slices.Contains(args, "--ring") {
			args = append(slices.Clone(args), "--ring", "32M")
		}
		if i >= atOnce {
			started[i-atOnce].untilTracing(tb)
		}
		started = append(started, command(args...).start(tb))
	}
	for _, p := range started {
		p.untilTracing(tb)
	}
	return started
}

// untilTracing waits for the line that says so.
func (p *process) untilTracing(tb testing.TB) {
	tb.Helper()
	for end := time.Now().Add(testnet.Patience); !strings.Contains(p.stderr.String(), "tcpstate: tracing TCP"); {
		select {
		case <-p.ended:
			tb.Fatalf("%q ended with %d: %s", p.cmd.Args, p.code, p.stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			tb.Fatalf("%q does not trace: %s", p.cmd.Args, p.stderr.String())
		}
	}
}

// wait waits for the end, which must be with code.
func (p *process) wait(tb testing.TB, code int) *process {
	tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(testnet.Patience):
		tb.Fatalf("%q does not end: %s", p.cmd.Args, p.stderr.String())
	}
	if p.code != code {
		tb.Errorf("%q ended with %d, want %d: %s", p.cmd.Args, p.code, code, p.stderr.String())
	}
	return p
}

// signal sends one.
func (p *process) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		tb.Fatalf("signal %q: %v", p.cmd.Args, err)
	}
}

// stop is Ctrl-C, which must be a good end.
func (p *process) stop(tb testing.TB) *process {
	tb.Helper()
	p.signal(tb, syscall.SIGINT)
	return p.wait(tb, exitDone)
}

// stopAll is Ctrl-C for all of a terminal's processes.
func stopAll(tb testing.TB, processes []*process) {
	tb.Helper()
	for _, p := range processes {
		p.signal(tb, syscall.SIGINT)
	}
	for _, p := range processes {
		p.wait(tb, exitDone)
	}
}
