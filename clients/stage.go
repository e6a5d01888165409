package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stage is a network namespace with a case's servers and clients. The first thing that goes wrong is kept in err, and
// what is called after it does nothing.
type stage struct {
	*scenario
	lab *lab
	dir string
	ctx context.Context

	holder *exec.Cmd // keeps the namespace, until its standard input is closed
	input  io.Closer
	netns  uint32

	servers []*process
	clients []*client
	pairs   []*pair

	mu  sync.Mutex
	err error
}

// client is a program that is run when tracing has begun.
type client struct {
	argv []string
	env  []string
	out  string
}

// fail keeps the first error.
func (s *stage) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *stage) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// open makes a namespace and starts the case's servers in it.
func (l *lab) open(ctx context.Context, c *scenario) *stage {
	s := &stage{scenario: c, lab: l, ctx: ctx, dir: filepath.Join(l.dir, fmt.Sprintf("%s-%d", c.name, l.reportCount))}
	s.fail(os.Mkdir(s.dir, 0o755))
	s.fail(s.namespace())
	if s.failed() {
		return s
	}
	c.play(s)
	if len(s.clients) == 0 || len(s.pairs) == 0 {
		s.fail(errors.New("the case has no client or expects nothing"))
	}
	for _, p := range s.pairs {
		if !s.failed() {
			s.fail(p.begin())
		}
	}
	return s
}

// namespace starts the process that keeps the namespace. It ends with this one, however that ends, and with it all.
func (s *stage) namespace() error {
	s.holder = exec.Command("sh", "-c", "ip link set lo up && echo up && exec cat")
	s.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	s.holder.Stderr = os.Stderr
	input, err := s.holder.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.holder.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.holder.Start(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	s.input = input
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		return fmt.Errorf("set lo up in a new network namespace: %w", err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(s.proc("ns/net"), &st); err != nil {
		return err
	}
	s.netns = uint32(st.Ino)
	return nil
}

// proc is the path of a file about the namespace.
func (s *stage) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.holder.Process.Pid, name)
}

// inside is the command line that runs argv in the namespace: nsenter becomes argv.
func (s *stage) inside(argv []string) []string {
	return append([]string{"nsenter", "--net=" + s.proc("ns/net"), "--"}, argv...)
}

// environ names the servers, as client libraries expect it. All cases use the same addresses.
func (s *stage) environ() []string {
	return append(os.Environ(), "LC_ALL=C", "NODE_PATH="+s.lab.modules(), "HOME="+s.dir,
		"PGHOST=127.0.0.1", "PGPORT=5432", "PGUSER=postgres", "PGDATABASE=postgres", "PGSSLMODE=disable")
}

// serve starts a server; as says which user it runs as, "" for root.
func (s *stage) serve(as string, argv ...string) *process {
	if s.failed() {
		return &process{}
	}
	if as != "" {
		become, err := becoming(as)
		s.fail(err)
		argv = append(become, argv...)
	}
	log := filepath.Join(s.dir, fmt.Sprintf("server-%d.log", len(s.servers)))
	p, err := start(s.inside(argv), s.dir, s.environ(), log)
	if err != nil {
		s.fail(err)
		return &process{}
	}
	s.servers = append(s.servers, p)
	return p
}

// drive has a client run when tracing has begun.
func (s *stage) drive(argv ...string) *client {
	c := &client{argv: argv}
	s.clients = append(s.clients, c)
	return c
}

const loop = `n=$1 pause=$2; shift 2; for ((i = 0; i < n; i++)); do "$@" >/dev/null || exit; sleep "$pause"; done`

// repeat has a program run so many times, one after the other; pause is in seconds.
func (s *stage) repeat(times int, pause string, argv ...string) *client {
	return s.drive(append([]string{"bash", "-c", loop, "loop", strconv.Itoa(times), pause}, argv...)...)
}

// program is the path of a client's source.
func (s *stage) program(name string) string { return filepath.Join(s.lab.programs, name) }

// built is the path of a client that was built from its source.
func (s *stage) built(name string) string { return filepath.Join(s.lab.cache, "bin", name) }

// file writes a server's configuration, or what it serves.
func (s *stage) file(name, text string) string {
	path := filepath.Join(s.dir, name)
	s.fail(os.WriteFile(path, []byte(text), 0o644))
	return path
}

// perform runs the clients, side by side.
func (s *stage) perform(ctx context.Context) {
	if s.failed() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longest-5*time.Second)
	defer cancel()
	each(s.clients, func(i int) { s.fail(s.play1(ctx, s.clients[i])) })
	for _, p := range s.servers {
		if p.ended() {
			s.fail(fmt.Errorf("%s ended: %s", p.name(), tail(p.output())))
		}
	}
}

func (s *stage) play1(ctx context.Context, c *client) error {
	argv := s.inside(c.argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.dir, append(s.environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	c.out = string(out)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end in time: %s", c.argv[0], tail(c.out))
	case err != nil:
		return fmt.Errorf("%s: %w: %s", strings.Join(c.argv, " "), err, tail(c.out))
	}
	return nil
}

// listening waits until something listens on a port. It looks and does not connect: the server would count that.
func (s *stage) listening(p *process, port uint16) {
	s.wait(p, fmt.Sprintf("listens on port %d", port), func() bool {
		for _, table := range []string{"net/tcp", "net/tcp6"} {
			data, err := os.ReadFile(s.proc(table))
			if err == nil && listens(string(data), port) {
				return true
			}
		}
		return false
	})
}

// listens looks for state LISTEN, 0A, in a table of procfs.
func listens(table string, port uint16) bool {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}

// exists waits for a file.
func (s *stage) exists(p *process, path string) {
	s.wait(p, "has made "+path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// says waits for words in what a server prints.
func (s *stage) says(p *process, words string) {
	s.wait(p, "says: "+words, func() bool { return strings.Contains(p.output(), words) })
}

func (s *stage) wait(p *process, what string, done func() bool) {
	for limit := time.Now().Add(20 * time.Second); !s.failed() && !done(); pause(s.ctx, 20*time.Millisecond) {
		switch {
		case p.ended():
			s.fail(fmt.Errorf("%s ended: %s", p.name(), tail(p.output())))
		case s.ctx.Err() != nil:
			s.fail(s.ctx.Err())
		case time.Now().After(limit):
			s.fail(fmt.Errorf("waited for nothing: %s never %s: %s", p.name(), what, tail(p.output())))
		}
	}
}

// ask runs a program in the namespace and returns what it prints.
func (s *stage) ask(argv ...string) (string, error) {
	argv = s.inside(argv)
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = s.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", argv[3], err, tail(string(out)))
	}
	return string(out), nil
}

// close ends everything that was started, the last first, and the namespace.
func (s *stage) close() {
	for i := len(s.servers) - 1; i >= 0; i-- {
		s.servers[i].stop()
	}
	if s.input != nil {
		_ = s.input.Close()
		_ = s.holder.Wait()
	}
	if !s.lab.keep {
		_ = os.RemoveAll(s.dir)
	}
}

// tail is the end of an output, which is where programs say what went wrong.
func tail(s string) string {
	const most = 1500
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-most):]
}
