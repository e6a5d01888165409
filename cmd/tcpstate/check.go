package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/check"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
)

type checkFlags struct {
	filter            filter.Flags
	bounds            bounds
	length            duration
	captures          captures
	warning, critical share
	within            duration
	findings          []string
}

func newCheck(e *env) *cobra.Command {
	f := checkFlags{length: duration{10 * time.Second}, warning: share{70}, critical: share{85}}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say in one line and an exit code, for a monitoring system, whether ports run out",
		Long: "check traces for a while and says in one line how many ports toward the fullest destination are taken, with\n" +
			"performance data, as monitoring plugins do. Ports of TIME_WAITs that connect() takes over (tcp_tw_reuse) do not\n" +
			"count as taken.\n\n" +
			"The exit code is 0 OK, 1 WARNING, 2 CRITICAL (also when a connect() or bind() has found no port) or 3 UNKNOWN,\n" +
			"which is also that of a mistake of usage. All goes to standard output.",
		Example: "  tcpstate check --warning 70 --critical 85\n" +
			"  tcpstate check --for 5s --within 5m --finding unpooled=warning --finding connect-failing=critical",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return unknownOutcome(e, runCheck(e, &f)) },
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error { return unknownOutcome(e, noArguments(cmd, args)) }
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return unknownOutcome(e, e.flagError(cmd, err)) })
	filterFlags(cmd, &f.filter)
	boundFlags(cmd, &f.bounds)
	flags := cmd.Flags()
	f.captures.lengthFlag(cmd, &f.length, "how long to trace")
	flags.StringArrayVarP(&f.captures.read, "read", "r", nil, "read the capture `FILE`, or those in a folder, instead of tracing; - is standard input; can be repeated")
	periodFlags(cmd, &f.captures.period)
	flags.Var(&f.warning, "warning", "how much of the ports taken is a warning")
	flags.Var(&f.critical, "critical", "how much of the ports taken is critical")
	flags.Var(&f.within, "within", "it is a warning when no port will be left within that time")
	flags.StringArrayVar(&f.findings, "finding", nil, "count a finding of the report, too: `CODE=warning` or CODE=critical; can be repeated")
	flags.Lookup("within").DefValue = ""
	return cmd
}

// unknownOutcome says what went wrong as a monitoring plugin does.
func unknownOutcome(e *env, err error) error {
	var o outcome
	if err == nil || errors.As(err, &o) || closedPipe(err) {
		return err
	}
	r := check.Result{Status: check.Unknown, Text: bounded(err.Error())}
	if _, err := fmt.Fprintln(e.stdout, r.Line()); err != nil {
		return failure{fmt.Errorf("write result: %w", err)}
	}
	return outcome(check.Unknown)
}

func (f *checkFlags) limits() (check.Limits, error) {
	l := check.Limits{Warning: f.warning.percent, Critical: f.critical.percent, Within: f.within.Seconds()}
	if l.Warning > l.Critical {
		return l, fmt.Errorf("--warning %s is more than --critical %s: it would never warn", &f.warning, &f.critical)
	}
	l.Findings = make(map[string]check.Status)
	for _, text := range f.findings {
		code, status, _ := strings.Cut(text, "=")
		switch cmp.Or(status, "warning") {
		case "warning":
			l.Findings[code] = check.Warning
		case "critical":
			l.Findings[code] = check.Critical
		default:
			return l, fmt.Errorf("--finding: %q in %q: write %s=warning or %s=critical",
				event.Printable(status), event.Printable(text), event.Printable(code), event.Printable(code))
		}
		if err := report.CheckCode(code); err != nil {
			return l, fmt.Errorf("--finding: %w", err)
		}
	}
	return l, nil
}

func runCheck(e *env, f *checkFlags) error {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	limits, err := f.limits()
	if err != nil {
		return err
	}
	if err := f.captures.check(); err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	doc, err := f.document(ctx, e, set)
	if err != nil {
		return err
	}
	r := check.Examine(doc, limits)
	if _, err := fmt.Fprintln(e.stdout, r.Line()); err != nil {
		return failure{fmt.Errorf("write result: %w", err)}
	}
	if r.Status == check.OK {
		return nil
	}
	return outcome(r.Status)
}

func (f *checkFlags) document(ctx context.Context, e *env, set *filter.Set) (doc *report.Document, err error) {
	if f.captures.asked() {
		replays, err := openReplays(ctx, &f.captures, set, expression(f.filter))
		if err != nil {
			return nil, err
		}
		return reportedAll(ctx, replays, churn.Options{}, 0)
	}
	options := f.bounds.options()
	options.Tick = reportTick
	l, err := openLive(e, options, traced{filter: set, expression: expression(f.filter), length: f.length.Duration})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := l.close(); err == nil {
			err = closeErr
		}
	}()
	if e.verbose { // some monitoring systems show what a plugin says on standard error
		l.header(e)
	}
	return reported(ctx, l, churn.Options{}, 0)
}

// share is a flag value that is a percentage, with its sign or without.
type share struct{ percent float64 }

// Set reads s.
func (s *share) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		return fmt.Errorf("%q is no percentage: write for example 70 or 70%%", text)
	}
	if !(v > 0 && v <= 100) {
		return fmt.Errorf("%q is out of bounds: more than 0%%, at most 100%%", text)
	}
	s.percent = v
	return nil
}

func (s *share) String() string { return strconv.FormatFloat(s.percent, 'g', -1, 64) + "%" }

// Type names the value in the help.
func (s *share) Type() string { return "PERCENT" }
