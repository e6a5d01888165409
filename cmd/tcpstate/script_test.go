package main

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

// The command line without privileges: testdata/script holds what users type and what they are told.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		// A mistake that is not noticed would trace for ever.
		Deadline: time.Now().Add(time.Minute),
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLE", sampleCapture)
			e.Setenv("INCIDENT", incidentCapture)
			e.Setenv("ESC", "\x1b[31mred")
			e.Setenv("NEWLINE", "two\nlines")
			e.Setenv("INVALID", "\xff\xfe")
			e.Setenv("RIGHTTOLEFT", "\u202egnp")
			e.Setenv("LONG", strings.Repeat("x", 100_000))
			e.Setenv("LONGBLANK", strings.Repeat("x ", 50_000))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"refused": refused, "code": code},
	})
}

// refused is "refused CODE COMMAND…": the command must exit with CODE, print nothing on standard output and exactly one
// harmless line of readable length on standard error.
func refused(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) < 2 {
		ts.Fatalf("usage: refused CODE COMMAND…")
	}
	code(ts, false, args)
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("standard output is not empty: %.200q", out)
	}
	if why := strange(ts.ReadFile("stderr")); why != "" {
		ts.Fatalf("standard error: %s", why)
	}
}

// code is "code CODE COMMAND…": the command must exit with CODE.
func code(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) < 2 {
		ts.Fatalf("usage: code CODE COMMAND…")
	}
	ended := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		ended = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(ended) != want {
		ts.Fatalf("exit code %d, want %s", ended, want)
	}
}

// strange says what is wrong with text as the one line that a mistake is told in, "" if nothing is.
func strange(text string) string {
	line, more, ended := strings.Cut(text, "\n")
	switch {
	case !ended || more != "":
		return "not exactly one line: " + strconv.Quote(text[:min(len(text), 300)])
	case !strings.HasPrefix(line, "tcpstate: "):
		return "no line of tcpstate: " + strconv.Quote(line)
	case len(line) > maxLine+50:
		return strconv.Itoa(len(line)) + " bytes long"
	}
	return acting(line)
}

// acting names the first thing in text that could act on a terminal or is no text at all.
func acting(text string) string {
	if !utf8.ValidString(text) {
		return "invalid UTF-8"
	}
	for _, r := range text {
		if unicode.Is(unicode.C, r) || r == utf8.RuneError {
			return strconv.QuoteRune(r) + " unescaped"
		}
	}
	return ""
}
