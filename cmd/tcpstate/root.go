package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// env is what a verb has of the process: results go to stdout, all else to stderr.
type env struct {
	stdout, stderr io.Writer
	args           []string
	verbose        bool
	help           sticky // help, version and completion scripts, which cobra writes
}

// failure is an error of a verb at work, as opposed to one of its usage.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// outcome is an exit code that is a verb's result, and nothing to be told.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

// newRoot builds the command line. All that cobra itself finds wrong is usage.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tcpstate",
		Short: "Finds the service that runs a host out of ports because it connects without pooling",
		Long: "tcpstate watches TCP connections in the kernel and says which service opens them to which destination, whether\n" +
			"it pools them, what fails and why. Results go to standard output, all else to standard error.",
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	e.help.Writer = e.stdout
	root.SetOut(&e.help)
	root.SetErr(e.stderr)
	root.SetArgs(e.args)
	root.SetFlagErrorFunc(e.flagError)
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.PersistentFlags().BoolVarP(&e.verbose, "verbose", "v", false, "say what was attached, and print the verifier's log when loading fails")
	for _, verb := range []func(*env) *cobra.Command{newTrace, newReport, newTop, newRecord, newDiff, newExport, newInfo, newDoctor, newPlan, newCheck, newAgent, newDemo, newMan, newVersion} {
		root.AddCommand(verb(e))
	}
	strictCompletion(root)
	return root
}

// sticky remembers the first error of its writes, for cobra forgets some.
type sticky struct {
	io.Writer
	err error
}

func (s *sticky) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if s.err == nil && err != nil {
		s.err = fmt.Errorf("write result: %w", err)
	}
	return n, err
}

// exitCode prints what went wrong, once, on one line, and turns it into an exit code.
func (e *env) exitCode(err error) int {
	var f failure
	var o outcome
	switch {
	case err == nil || closedPipe(err):
		return exitDone
	case errors.As(err, &o):
		return int(o)
	case errors.As(err, &f):
		e.say("%v", f.error)
		var le *tracer.LoadError
		if e.verbose && errors.As(err, &le) && le.VerifierLog != "" {
			fmt.Fprintln(e.stderr, le.VerifierLog)
		}
		return exitFailed
	default:
		e.say("%v", err)
		return exitUsage
	}
}

// say prints one line to standard error. Whatever it quotes cannot act on a terminal, nor fill it.
func (e *env) say(format string, args ...any) {
	fmt.Fprintln(e.stderr, "tcpstate: "+bounded(event.Printable(fmt.Sprintf(format, args...))))
}

// maxLine is more than any line needs that quotes nothing strange.
const maxLine = 1000

// bounded cuts the middle out of a line that is too long: what is wrong stands at its beginning, what would be right at
// its end.
func bounded(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxLine/2], "") + "…" + strings.ToValidUTF8(line[len(line)-maxLine/2:], "")
}

// closedPipe: whoever read our output has seen enough.
func closedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, fs.ErrClosed) }
