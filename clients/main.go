// Command clients runs real clients against real servers, traces them with tcpstate, and compares its verdicts with
// those that follow from how each client was set up, and its counts with the servers' own.
//
// It is started by clients/run, as root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

type options struct {
	tool, programs, cache string
	pattern               *regexp.Regexp
	sideBySide            int
	list, selfTest, keep  bool
	install               bool
	// mustRun makes a case that is skipped a failure, unless what it needs cannot be installed.
	mustRun bool
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "clients: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "clients: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{mustRun: os.Getenv("TCPSTATE_MUST_TRACE") == "1"}
	flags := flag.NewFlagSet("clients/run", flag.ContinueOnError)
	flags.StringVar(&o.tool, "tool", "./tcpstate", "the tcpstate under test")
	flags.StringVar(&o.programs, "programs", "clients/programs", "where the clients' sources are")
	flags.StringVar(&o.cache, "cache", os.Getenv("CLIENTS_CACHE"), "where built and fetched clients are kept")
	pattern := flags.String("run", "", "only cases that match this regular expression")
	flags.IntVar(&o.sideBySide, "side-by-side", 4, "how many cases share a report, each in a network namespace of its own")
	flags.BoolVar(&o.list, "list", false, "print the cases")
	flags.BoolVar(&o.selfTest, "self-test", false, "run one case and prove that wrong expectations are noticed")
	flags.BoolVar(&o.install, "install", true, "install what is missing")
	flags.BoolVar(&o.keep, "keep", false, "keep the servers' logs and the reports")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(os.Stdout)
		flags.Usage()
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w; -h lists the flags", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: cases are chosen with --run PATTERN", flags.Arg(0))
	}
	if o.sideBySide < 1 || o.sideBySide > 16 {
		return nil, fmt.Errorf("--side-by-side %d: 1 to 16", o.sideBySide)
	}
	var err error
	o.pattern, err = regexp.Compile(*pattern)
	return o, err
}

func run(ctx context.Context, o *options) error {
	cases := choose(o)
	if len(cases) == 0 {
		return fmt.Errorf("no case matches %q; --list prints them", o.pattern)
	}
	if o.list {
		for _, c := range cases {
			fmt.Printf("%-24s %s\n", c.name, c.what)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, for tracing, network namespaces and packages")
	}
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	return l.run(ctx, cases)
}

func choose(o *options) []*scenario {
	var chosen []*scenario
	for _, c := range scenarios() {
		if o.selfTest && c.name != selfTestCase {
			continue
		}
		if o.pattern.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// scenarios are all cases in the order in which they are run.
func scenarios() []*scenario {
	var all []*scenario
	for _, group := range [][]*scenario{postgresCases, redisCases, memcachedCases, mariadbCases, httpCases, proxyCases, phpCases, oddCases} {
		all = append(all, group...)
	}
	return all
}

// tally counts results.
type tally struct{ passed, failed, skipped int }

// run runs the cases, some of them side by side, and prints a line for each.
func (l *lab) run(ctx context.Context, cases []*scenario) error {
	began := time.Now()
	if err := l.provide(ctx, cases); err != nil {
		return err
	}
	var t tally
	ready := l.present(cases, &t)
	for len(ready) > 0 && ctx.Err() == nil {
		n := min(l.sideBySide, len(ready))
		l.together(ctx, ready[:n], &t)
		ready = ready[n:]
	}
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	l.checkItself(&t)
	fmt.Printf("%.0f s\n%d passed, %d failed, %d skipped\n", time.Since(began).Seconds(), t.passed, t.failed, t.skipped)
	if t.failed > 0 {
		return errors.New("not all cases passed")
	}
	if t.passed == 0 {
		return errors.New("no case was run")
	}
	return nil
}

// present tells which cases can be run; the others are skipped, or fail where that must not be.
func (l *lab) present(cases []*scenario, t *tally) []*scenario {
	var ready []*scenario
	for _, c := range cases {
		why, excused := l.missing(c.needs)
		switch {
		case why == "":
			ready = append(ready, c)
		case excused || !l.mustRun:
			t.skipped++
			fmt.Printf("skipped %-24s %s\n", c.name, why)
		default:
			t.failed++
			fmt.Printf("FAIL    %-24s not run: %s\n", c.name, why)
		}
	}
	return ready
}

// checkItself spoils the expectations of a case that passed, one at a time: each time it must fail.
func (l *lab) checkItself(t *tally) {
	if l.passed == nil {
		return
	}
	unnoticed := l.passed.unnoticed()
	if len(unnoticed) == 0 {
		t.passed++
		fmt.Printf("ok      %-24s each wrong expectation of %s is noticed\n", "self-test", l.passed.name)
		return
	}
	t.failed++
	fmt.Printf("FAIL    %-24s not noticed: %s\n", "self-test", strings.Join(unnoticed, ", "))
}
