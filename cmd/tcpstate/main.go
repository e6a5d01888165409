// Command tcpstate finds the service that uses up a host's ports because it connects without pooling.
package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tcpstate/tcpstate/internal/demo"
)

// version is set by the linker: see the Makefile.
var version = "devel"

func main() {
	if role := demo.Role(); role != "" {
		os.Exit(demo.Play(role))
	}
	// A closed pipe comes back as an error of the write, so that tracing ends in order.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes of all verbs but check and diff.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the program without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	env := &env{stdout: stdout, stderr: stderr, args: args}
	err := newRoot(env).Execute()
	if env.help.err != nil {
		err = failure{env.help.err}
	}
	return env.exitCode(err)
}
