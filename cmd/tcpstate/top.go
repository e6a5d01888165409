package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
)

type topFlags struct {
	filter   filter.Flags
	output   output
	bounds   bounds
	length   duration
	captures captures
	sort     string
	limit    number

	destinations number

	delay    duration
	speed    speed
	once     bool
	formed   bool // --output was given
	keep     duration
	keepIn   string
	maxSize  size
	noRecord bool
}

// minDelay keeps a view from being drawn more often than anybody can read.
const minDelay = 100 * time.Millisecond

func newTop(e *env) *cobra.Command {
	f := topFlags{
		limit:        number{max: math.MaxInt32},
		destinations: number{n: churn.DefaultMaxRows, min: 1, max: 1 << 20},
		delay:        duration{time.Second},
		speed:        speed{1},
		keep:         duration{5 * time.Minute},
		maxSize:      size{bytes: 256 << 20, min: 4 * minRotate, max: maxCapture},
	}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the same as report, live on the terminal: the worst destinations first",
		Long: "top shows what report would say if it ended now, again and again: the worst destinations first, and with Enter one\n" +
			"of them with all that is known. The key ? tells the others. The last minutes are kept (--keep), and the key w writes\n" +
			"them to captures. With --read it plays a capture. Where standard output is no terminal it writes plain lines.",
		Example: "  tcpstate top\n" +
			"  tcpstate top -r churn.tcps --speed 10\n" +
			"  tcpstate top --once --for 5s -o json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.formed = cmd.Flags().Changed("output")
			return runTop(e, &f, cmd.Flags())
		},
	}
	filterFlags(cmd, &f.filter)
	outputFlags(cmd, &f.output, "columns", "wide", "json", "jsonpretty", "html", "md", "csv")
	captureFlags(cmd, &f.output, &f.captures)
	boundFlags(cmd, &f.bounds)
	flags := cmd.Flags()
	flags.Var(&f.delay, "delay", "how long from one refresh to the next")
	flags.BoolVar(&f.once, "once", false, "no view: what report would say, once, after --for (10s) or of the capture")
	flags.Var(&f.speed, "speed", "how fast a capture is played: 1 is as it happened, max as fast as it can be read")
	f.captures.lengthFlag(cmd, &f.length, "how long to trace; without it, until q or Ctrl-C")
	flags.StringVar(&f.sort, "sort", "", "order destinations by `[-]FIELD`; without it, by harm")
	flags.Var(&f.limit, "limit", "show the first `N` destinations; 0: all")
	flags.Var(&f.destinations, "destinations", "how many destinations are kept apart; those beyond are summed up")
	flags.Var(&f.keep, "keep", "how much of what happened last the key w writes")
	flags.StringVar(&f.keepIn, "keep-in", "", "keep it in a private folder in `DIR` until then; without it, in $TMPDIR or /var/tmp")
	flags.Var(&f.maxSize, "max-size", "how much of the disk that may take")
	flags.BoolVar(&f.noRecord, "no-record", false, "keep nothing for the key w")
	flags.Lookup("output").Usage = "with --once, the `FORM` of the result: " + strings.Join(f.output.forms, ", ")
	flags.Lookup("write").Usage = "the folder that the key w writes to, the current one without it; with --once, the `FILE` that the result goes to"
	flags.Lookup("for").DefValue = ""
	return cmd
}

// check finds what is wrong with the flags before anything is traced.
func (f *topFlags) check(given *pflag.FlagSet) error {
	live := !f.captures.asked()
	switch {
	case f.formed && f.output.form != "columns":
		return fmt.Errorf("--output %s is for one result: write --once, too, or leave it out", f.output.form)
	case f.delay.Duration < minDelay:
		return fmt.Errorf("--delay: %s is too short: %s at least", f.delay.Duration, minDelay)
	case f.keep.Duration < minKeep:
		return fmt.Errorf("--keep: %s is too short: %s at least", f.keep.Duration, minKeep)
	case live && given.Changed("speed"):
		return errors.New("--speed is for captures: write -r FILE, too")
	case f.output.path == "":
		return errors.New("--write: the name is empty; write a folder's name")
	}
	if f.sort != "" {
		if err := report.CheckSort(f.sort); err != nil {
			return err
		}
	}
	if st, err := os.Stat(f.writeTo()); err != nil || !st.IsDir() {
		return fmt.Errorf("--write: %q is no folder: name one that is there, or write --once for one result in a file", f.writeTo())
	}
	return f.captures.check()
}

// writeTo is the folder that the key w writes to.
func (f *topFlags) writeTo() string {
	if f.output.path == "-" {
		return "."
	}
	return f.output.path
}

// asReport are the flags of the report that --once is.
func (f *topFlags) asReport(given *pflag.FlagSet) *reportFlags {
	r := &reportFlags{
		filter: f.filter, output: f.output, bounds: f.bounds, length: f.length, captures: f.captures, sort: f.sort,
		limit: f.limit, destinations: f.destinations,
	}
	if !given.Changed("for") {
		r.length = duration{10 * time.Second}
	}
	return r
}

func runTop(e *env, f *topFlags, given *pflag.FlagSet) error {
	if f.once {
		return runReport(e, f.asReport(given))
	}
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.check(given); err != nil {
		return err
	}
	s := newStage(e, f)
	if f.captures.asked() {
		p, err := newPlayer(s, f, set)
		if err != nil {
			return err
		}
		return s.show(p.play)
	}
	return runLiveTop(s, f, set)
}

// speed is a flag value that is a factor, or max.
type speed struct{ factor float64 }

// fastest is as fast as a capture can be read.
var fastest = math.Inf(1)

// Set reads s.
func (v *speed) Set(s string) error {
	if s == "max" {
		v.factor = fastest
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%q is no speed: write for example 1, 10, 0.5 or max", s)
	}
	if !(f >= minSpeed && f <= maxSpeed) {
		return fmt.Errorf("%q is out of bounds: from %g to %g, or max", s, minSpeed, maxSpeed)
	}
	v.factor = f
	return nil
}

// The bounds of a speed that is not max.
const (
	minSpeed = 0.01
	maxSpeed = 10000.0
)

func (v *speed) String() string {
	if v.factor == fastest {
		return "max"
	}
	return strconv.FormatFloat(v.factor, 'g', -1, 64)
}

// Type names the value in the help.
func (v *speed) Type() string { return "FACTOR" }
