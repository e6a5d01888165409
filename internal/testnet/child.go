package testnet

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// childEnv names what a re-executed test binary is to do instead of testing.
const childEnv = "TCPSTATE_TEST_CHILD"

// Children are what a test binary can do as a child process, by name.
type Children map[string]func(args []string)

// RunChild does what the environment asks for and exits, or returns if this process is no child. Call it from an init
// function of the test package: init runs on the process's main thread.
func RunChild(children Children) {
	name, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			fmt.Println("FAILED", thrown)
			os.Exit(1)
		}
	}()
	children[name](os.Args[1:])
	os.Exit(0)
}

// Child is a running child process, in the namespace of the thread that started it.
type Child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// StartChild starts child name. Its descriptors 3, 4, … are files, which are closed here. It dies with the
// namespace's thread. Call it inside [Namespace.Do].
func StartChild(name string, args []string, files ...*os.File) *Child {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	c := &Child{cmd: cmd, in: Must1(cmd.StdinPipe())}
	c.out = bufio.NewReader(Must1(cmd.StdoutPipe()))
	Must(cmd.Start())
	for _, f := range files {
		Must(f.Close())
	}
	return c
}

// PID is the child's process id.
func (c *Child) PID() uint32 { return uint32(c.cmd.Process.Pid) }

// Line waits for a line from the child's standard output.
func (c *Child) Line() string {
	s, err := c.out.ReadString('\n')
	if err != nil || strings.HasPrefix(s, "FAILED") {
		Fail("child: %q, %v", s, err)
	}
	return strings.TrimSpace(s)
}

// Say writes a line to the child's standard input.
func (c *Child) Say(line string) { Must1(io.WriteString(c.in, line+"\n")) }

// Release closes the child's standard input, which it may be waiting for (see [AwaitRelease]), and waits for its end.
func (c *Child) Release() {
	Must(c.in.Close())
	c.Wait()
}

// Wait waits for a child that ends by itself.
func (c *Child) Wait() { Must(c.cmd.Wait()) }

// Kill kills the child with SIGKILL and waits for its end.
func (c *Child) Kill() {
	Must(c.cmd.Process.Kill())
	// It was killed, and Wait says so.
	_ = c.cmd.Wait()
}

// AwaitRelease blocks a child until its parent calls [Child.Release].
func AwaitRelease() { _, _ = io.Copy(io.Discard, os.Stdin) }

// SetComm renames the calling process: the name of its thread group's leader, which is what ps shows.
func SetComm(name string) { Must(os.WriteFile("/proc/self/comm", []byte(name), 0)) }
