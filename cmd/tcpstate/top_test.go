package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// crashes is the environment variable that makes a player panic after so many looks at its clock.
const crashes = "TCPSTATE_TEST_CRASH"

// crashingClock is that of a player which panics.
type crashingClock struct {
	wallClock
	left int
}

func (c *crashingClock) Now() time.Time {
	if c.left--; c.left < 0 {
		panic("the clock fell off the wall")
	}
	return time.Now()
}

func init() {
	if n, err := strconv.Atoi(os.Getenv(crashes)); err == nil {
		playedBy = &crashingClock{left: n}
	}
}

// terminal is a shell in a terminal of tmux, which runs one tcpstate.
type terminal struct {
	t      *testing.T
	dir    string
	socket string
}

// onTerminal runs tcpstate with args on a terminal, which goes with the test.
func onTerminal(t *testing.T, width, height int, env string, args ...string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv(testnet.MustTrace) != "" {
			t.Fatalf("no terminal, and %s is set: %v", testnet.MustTrace, err)
		}
		t.Skipf("no terminal: %v", err)
	}
	x := &terminal{t: t, dir: t.TempDir()}
	x.socket = filepath.Join(x.dir, "tmux")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(x.dir, "tcpstate")); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("cd %s; echo the shell; stty -a >before; %s ./tcpstate top %s 2>err; echo $? >code; stty -a >after; touch ended; exec sleep 600",
		x.dir, env, strings.Join(args, " "))
	x.tmux("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "sh", "-c", script)
	t.Cleanup(func() { x.tmux("kill-server") })
	return x
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	c := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := c.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// keys presses some, by tmux's names.
func (x *terminal) keys(keys ...string) {
	x.t.Helper()
	x.tmux(append([]string{"send-keys"}, keys...)...)
}

// screen is what is to be seen.
func (x *terminal) screen() string { x.t.Helper(); return x.tmux("capture-pane", "-p") }

// shows waits until the screen matches pattern, and returns it.
func (x *terminal) shows(pattern string) string {
	x.t.Helper()
	want := regexp.MustCompile(pattern)
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(20 * time.Millisecond) {
		s := x.screen()
		if want.MatchString(s) {
			return s
		}
		if time.Now().After(end) {
			x.t.Fatalf("the screen does not show %q:\n%s\nstandard error: %s", pattern, s, x.file("err"))
		}
	}
}

func (x *terminal) file(name string) string {
	x.t.Helper()
	text, err := os.ReadFile(filepath.Join(x.dir, name))
	if err != nil && !os.IsNotExist(err) {
		x.t.Fatal(err)
	}
	return string(text)
}

// pid is that of tcpstate.
func (x *terminal) pid() int {
	x.t.Helper()
	shell := strings.TrimSpace(x.tmux("display-message", "-p", "#{pane_pid}"))
	text, err := os.ReadFile("/proc/" + shell + "/task/" + shell + "/children")
	if err != nil {
		x.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		x.t.Fatalf("no tcpstate runs: %q", text)
	}
	return pid
}

// ended waits for the end, which must be with code, and wants the terminal to be as it was before.
func (x *terminal) ended(code int) {
	x.t.Helper()
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(x.dir, "ended")); err == nil {
			break
		}
		if time.Now().After(end) {
			x.t.Fatalf("top does not end:\n%s", x.screen())
		}
	}
	if got := strings.TrimSpace(x.file("code")); got != strconv.Itoa(code) {
		x.t.Errorf("exit code %s, want %d: %s", got, code, x.file("err"))
	}
	if before, after := x.file("before"), x.file("after"); before != after || before == "" {
		x.t.Errorf("stty -a before:\n%s\nand after:\n%s", before, after)
	}
	modes := x.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{bracket_paste_flag}")
	if got := strings.Fields(modes); got[0] != "0" || got[1] != "1" || got[2] != "0" {
		x.t.Errorf("alternate screen, cursor, mouse: %q, want 0 1 0", modes)
	}
	if s := x.screen(); !strings.Contains(s, "the shell") {
		x.t.Errorf("what was on the screen before is gone:\n%s", s)
	}
}

func TestTopShowsOnATerminalWhatTheClientCounts(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	to := netip.MustParseAddrPort("10.1.0.2:7001")
	keep(t, ns, "storage", to)
	client := newCaller(t, ns, "checkout")
	private := t.TempDir()
	x := onTerminal(t, 120, 40, "", "--netns", of(ns), "--keep", "1m", "--keep-in", private)
	x.shows(`tcpstate top`)
	const calls = 180
	client.call(t, cycle, to, calls, 40*time.Millisecond, calls)

	x.shows(`checkout +10\.1\.0\.2:7001 +unpooled .* 1[78]\d `) // TIME_WAITs; see childKeeper
	x.shows(`Nothing was lost`)
	x.keys("j", "k", "/", "c", "h", "e", "c", "k", "Enter")
	x.keys("Enter")
	x.shows(`opened 180 +closed 180`)
	x.keys("?")
	x.shows(`(?i)quit`)
	x.keys("Escape")
	x.keys("p")
	x.keys("w")
	s := x.shows(`the last 1m0s are in \S*tcpstate-\d+T\d+Z`)
	folder := regexp.MustCompile(`tcpstate-\d+T\d+Z`).FindString(s)
	x.keys("q")
	x.keys("q")
	x.ended(exitDone)
	if !strings.Contains(x.file("err"), folder) {
		t.Errorf("standard error does not tell of %s: %s", folder, x.file("err"))
	}
	d := command("report", "-o", "json", "-r", filepath.Join(x.dir, folder)).start(t).wait(t, exitDone).document(t)
	agrees(t, "the capture that w wrote", toward(t, d, to.Port()), map[string]string{
		"service.name": "checkout", "opened": "180", "closed": "180", "verdict.name": "unpooled", "time_wait.entered": "180",
	})
	if left, err := os.ReadDir(private); err != nil || len(left) > 0 {
		t.Errorf("its own folder is left behind: %v, %v", left, err)
	}
}

// However it ends, the terminal is as it was.
func TestTheTerminalIsRestored(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*terminal)
		code int
	}{
		{"q", func(x *terminal) { x.keys("q") }, exitDone},
		{"Ctrl-C", func(x *terminal) { x.keys("C-c") }, exitDone},
		{"SIGTERM", func(x *terminal) { x.kill(syscall.SIGTERM) }, exitDone},
		{"SIGHUP", func(x *terminal) { x.kill(syscall.SIGHUP) }, exitDone},
		{"SIGINT", func(x *terminal) { x.kill(syscall.SIGINT) }, exitDone},
		{"SIGQUIT", func(x *terminal) { x.kill(syscall.SIGQUIT) }, exitDone},
		{"SIGABRT", func(x *terminal) { x.kill(syscall.SIGABRT) }, exitFailed},
		{"SIGSEGV", func(x *terminal) { x.kill(syscall.SIGSEGV) }, exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := onTerminal(t, 80, 24, "", "-r", sampleIn(t))
			x.shows("orders")
			c.end(x)
			x.ended(c.code)
		})
	}
	t.Run("crash", func(t *testing.T) {
		t.Parallel()
		x := onTerminal(t, 80, 24, crashes+"=60", "-r", sampleIn(t))
		x.ended(exitFailed)
		for _, want := range []string{"the clock fell off the wall", "crashingClock", "goroutine "} {
			if !strings.Contains(x.file("err"), want) {
				t.Errorf("standard error does not tell %q: %s", want, x.file("err"))
			}
		}
	})
}

func (x *terminal) kill(s syscall.Signal) {
	x.t.Helper()
	if err := syscall.Kill(x.pid(), s); err != nil {
		x.t.Fatal(err)
	}
}

// A capture is played and steered by keys, and its end is the report's.
func TestTopPlaysACaptureOnATerminal(t *testing.T) {
	x := onTerminal(t, 140, 40, "", "-r", sampleIn(t), "--speed", "max")
	x.shows(`orders +10\.20\.0\.50:5432 +unpooled`)
	x.shows(`opened 739 out`)
	x.keys("w")
	x.shows(`tcpstate-\d+T\d+Z\.tcps has `)
	x.keys("q")
	x.ended(exitDone)
	files, err := filepath.Glob(filepath.Join(x.dir, "tcpstate-*.tcps"))
	if err != nil || len(files) != 1 {
		t.Fatalf("captures: %q, %v", files, err)
	}
	d := command("report", "-o", "json", "-r", files[0]).start(t).wait(t, exitDone).document(t)
	agrees(t, "the capture that w wrote", toward(t, d, 5432), map[string]string{"service.name": "orders"})
}

// A terminal that takes nothing for a while costs no event.
func TestATerminalThatStandsStillCostsNoEvent(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	x := onTerminal(t, 120, 40, "", "--netns", of(ns), "--delay", "100ms", "--no-record")
	x.shows(`tcpstate top`)
	tty := x.tty()
	defer tty.Close()
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
		t.Fatal(err)
	}
	still := x.screen()
	for range 10 {
		x.keys("j")
		s.calls(t, "client", 200, 0)
	}
	time.Sleep(time.Second)
	if x.screen() != still {
		t.Fatal("the terminal does not stand still")
	}
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, unix.TCOON); err != nil {
		t.Fatal(err)
	}
	x.shows(`opened 2,000 out`)
	x.shows(`Nothing was lost`)
	x.keys("q")
	x.ended(exitDone)
}

// tty opens the terminal.
func (x *terminal) tty() *os.File {
	x.t.Helper()
	f, err := os.OpenFile(strings.TrimSpace(x.tmux("display-message", "-p", "#{pane_tty}")), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	return f
}

// sampleIn is the path of the sample capture from anywhere.
func sampleIn(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
