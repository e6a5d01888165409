// Package demo is a small incident to look at: in a network namespace of its own, a server, a client with a pool, a
// client without one, and a client that calls a port where nobody listens.
//
// Each is a process of its own, so that the tracer has to tell them apart as it would on a real host: the running
// program starts itself again, with the role in its environment.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client is one client of the incident, with what it is and what became of it by its own count.
type Client struct {
	Name    string // its process name
	What    string // what it does, to be read by a person
	Verdict string // what must be found
	Addr    string // where it connects
	// Connected and Failed are the client's own counts, known when the incident has ended.
	Connected, Failed uint64
}

const (
	serverAddr = "127.0.0.1:5432"
	deadAddr   = "127.0.0.1:9"
)

// Incident is the running workload.
type Incident struct {
	// Netns is the inode number of its network namespace.
	Netns   uint32
	Clients []*Client

	processes []*process
	done      chan struct{}
}

type process struct {
	client *Client // nil: the server
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ended  chan struct{}   // closed when it has ended and out is complete
	out    strings.Builder // what it printed after it was ready
}

// stop asks the process to end by closing its standard input, and takes what it printed.
func (p *process) stop() error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if p.client == nil {
		return nil
	}
	return p.client.counts(p.out.String())
}

// Start makes the namespace and the processes in it. Stop must be called. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
func Start(ctx context.Context) (*Incident, error) {
	in := &Incident{
		Clients: []*Client{
			{Name: "demo-unpooled", What: "opens a connection for each request", Verdict: "unpooled", Addr: serverAddr},
			{Name: "demo-pooled", What: "keeps 4 connections and sends all requests over them", Verdict: "pooled", Addr: serverAddr},
			{Name: "demo-deadport", What: "calls a port where nobody listens", Verdict: "connect-failing", Addr: deadAddr},
		},
		done: make(chan struct{}),
	}
	started := make(chan error)
	go in.host(ctx, started)
	if err := <-started; err != nil {
		close(in.done)
		in.kill()
		return nil, err
	}
	return in, nil
}

// host keeps one thread in the namespace for as long as the incident lasts: processes begin in the namespace of the
// thread that starts them, and die with it. The thread is locked and never unlocked, so it ends with this function.
func (in *Incident) host(ctx context.Context, started chan<- error) {
	runtime.LockOSThread()
	started <- in.enter(ctx)
	<-in.done
}

func (in *Incident) enter(ctx context.Context) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return fmt.Errorf("read namespace: %w", err)
	}
	in.Netns = uint32(st.Ino)
	if err := in.launch(ctx, "demo-server", nil); err != nil {
		return err
	}
	for _, c := range in.Clients {
		if err := in.launch(ctx, c.Name, c); err != nil {
			return err
		}
	}
	return nil
}

// launch starts a process and waits until it says that it is ready.
func (in *Incident) launch(ctx context.Context, role string, c *Client) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", role, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", role, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", role, err)
	}
	p := &process{client: c, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	in.processes = append(in.processes, p)
	ready := make([]byte, 1)
	if _, err := io.ReadFull(stdout, ready); err != nil {
		return fmt.Errorf("start %s: it ended at once: %w", role, err)
	}
	go func() {
		_, _ = io.Copy(&p.out, io.LimitReader(stdout, 1024))
		_ = cmd.Wait() // a process that was killed is no error here: its counts are missing, which is one
		close(p.ended)
	}()
	return nil
}

// Stop ends the clients, then the server, and takes the clients' own counts.
func (in *Incident) Stop() error {
	defer close(in.done)
	var errs []error
	for i := len(in.processes) - 1; i >= 0; i-- { // the server began first and ends last
		errs = append(errs, in.processes[i].stop())
	}
	return errors.Join(errs...)
}

func (in *Incident) kill() {
	for _, p := range in.processes {
		_ = p.cmd.Process.Kill()
	}
}

// counts reads "connected failed" as a client prints them at its end.
func (c *Client) counts(out string) error {
	fields := strings.Fields(out)
	if len(fields) != 2 {
		return fmt.Errorf("%s printed %q, not its two counts", c.Name, out)
	}
	var err error
	if c.Connected, err = strconv.ParseUint(fields[0], 10, 64); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	if c.Failed, err = strconv.ParseUint(fields[1], 10, 64); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// loopbackUp is `ip link set lo up`.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
