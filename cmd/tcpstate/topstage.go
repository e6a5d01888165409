package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tcpstate/tcpstate/internal/top"
)

// stage is where updates are shown: on the terminal, or as plain lines where there is none.
type stage struct {
	*feed
	wishes *wishes
	outer  *env
	e      *env // outer, but for standard error while the screen is drawn: that goes to the notes
	flags  *topFlags
	plain  bool
	after  func() []string // what is to be said when the screen is the user's again; nil: nothing
}

func newStage(e *env, f *topFlags) *stage {
	s := &stage{feed: newFeed(), wishes: newWishes(), outer: e, e: e, flags: f}
	s.plain = terminalWidth(e.stdout) == 0 || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb"
	if !s.plain {
		quiet := *e
		quiet.stderr = &s.notes
		s.e = &quiet
	}
	return s
}

// show shows what produce sends, until either ends. The terminal is as it was when it returns, whatever happens.
func (s *stage) show(produce func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	killed := untilKilled(ctx, cancel)
	var crash top.Crash
	ended := make(chan error, 1)
	go func() {
		var err error
		defer func() { ended <- err }()
		defer crash.Catch(cancel)
		err = produce(ctx)
		cancel()
	}()
	var produced, shown error
	if s.plain {
		produced, shown = s.lines(cancel, ended)
	} else {
		shown = s.view(ctx)
		cancel()
		produced = <-ended
	}
	if s.after != nil {
		for _, line := range s.after() {
			s.outer.say("%s", line)
		}
	}
	if err := crash.Err(); err != nil {
		return s.crashed(err)
	}
	if produced != nil {
		return produced
	}
	if shown != nil {
		return asFailure(shown)
	}
	return killed()
}

// untilKilled calls cancel at a signal that would end the process, and leave the terminal as it is now: a second one does.
// What it returns says, in the end, whether it was one that is no way to ask for an end.
func untilKilled(ctx context.Context, cancel context.CancelFunc) func() error {
	come := make(chan os.Signal, 1)
	signal.Notify(come, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGALRM, syscall.SIGXCPU)
	looked := make(chan error, 1)
	go func() {
		defer cancel()
		defer signal.Stop(come)
		select {
		case <-ctx.Done():
			looked <- nil
		case s := <-come:
			switch s {
			case os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
				looked <- nil
			default:
				looked <- failure{fmt.Errorf("ended by a signal: %v", s)}
			}
		}
	}()
	return func() error {
		cancel()
		return <-looked
	}
}

// crashed tells of a panic: its first line as every error, then the stack.
func (s *stage) crashed(err error) error {
	what, stack, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintln(s.outer.stderr, strings.TrimSpace(stack))
	return failure{fmt.Errorf("%s", what)}
}

// view draws the updates on the terminal until ctx ends or the user quits.
func (s *stage) view(ctx context.Context) error {
	return top.Run(ctx, s.options(), s.updates, s.wishes)
}

// options are those of the view.
func (s *stage) options() top.Options {
	out, _ := s.outer.stdout.(*os.File)
	return top.Options{
		In: os.Stdin, Out: out, Numeric: s.flags.output.numeric, Sort: s.flags.sort, Limit: s.flags.limit.n,
		Color: !s.plain && !s.flags.output.noColor && os.Getenv("NO_COLOR") == "",
	}
}

// lines writes the updates as plain lines, the last one in any case.
func (s *stage) lines(cancel context.CancelFunc, ended <-chan error) (produced, shown error) {
	put := func(u top.Update) {
		if shown != nil {
			return
		}
		if shown = top.Lines(s.outer.stdout, u, s.options()); shown != nil {
			cancel() // nobody reads on
		}
	}
	for {
		select {
		case u := <-s.updates:
			put(u)
		case produced = <-ended:
			select {
			case u := <-s.updates:
				put(u)
			default:
			}
			return produced, shown
		}
	}
}
