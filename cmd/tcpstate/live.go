package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/sockets"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// live is the running kernel as a stream.
type live struct {
	tracer   *tracer.Tracer
	services *service.Resolver
	settings *settings
	taker    *taker

	filter     *filter.Set
	expression string // the filter's; "": none
	excluded   uint64
	tap        tap
	length     time.Duration
	rounds     rounds

	cancel context.CancelCauseFunc // of the run
	broken error                   // of the tap
}

// traced says what is to be traced, and how.
type traced struct {
	filter     *filter.Set
	expression string
	length     time.Duration // 0: until ctx ends
	tap        tap           // nil: record nothing
	rounds     rounds        // of telling how what is open is used, to a taker of progress
}

// tap is what a stream passes on its way.
type tap interface {
	begin(*live) error
	event(*event.Event)
	settings(*host.Settings)
	service(event.Identity, *service.Service)
	tick() error
	end(*live, *ending) error
}

func openLive(e *env, o tracer.Options, what traced) (*live, error) {
	l := &live{filter: what.filter, expression: what.expression, tap: what.tap, length: what.length}
	if l.tap == nil {
		l.tap = (*recording)(nil)
	}
	if !l.filter.Partial() { // else nothing is judged
		l.rounds = what.rounds
	}
	l.services = service.NewResolver(service.Options{Learned: l.learned})
	o.Drained = l.idle
	// Once before attaching, lest the first events meet unknown listeners, and once after it, lest one is missed.
	o.Listeners = listeners(e)
	t, err := tracer.Open(o)
	if err != nil {
		return nil, failure{err}
	}
	l.tracer = t
	if err := t.AddListeners(listeners(&env{})); err != nil {
		_ = t.Close()
		return nil, failure{err}
	}
	if err := l.tap.begin(l); err != nil {
		_ = t.Close()
		return nil, err
	}
	return l, nil
}

// listeners finds who listens already. On a large host that takes a second; events wait in the ring.
func listeners(e *env) []event.Listener {
	found, err := sockets.Listeners(sockets.Options{})
	if err != nil && e.verbose {
		e.say("who listens already (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH show all of them): %v", err)
	}
	return found
}

func (l *live) window() churn.Window {
	return churn.Window{Start: l.tracer.Window().Start, Partial: l.filter.Partial()}
}

// run hands on every event that passes the filter.
func (l *live) run(ctx context.Context, t *taker) error {
	if l.length > 0 { // loading takes its time, too, and does not count
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Until(time.Unix(0, l.tracer.Window().Start).Add(l.length)))
		defer stop()
	}
	ctx, l.cancel = context.WithCancelCause(ctx)
	defer l.cancel(nil)
	l.taker = t
	l.settings = newSettings(l.tracer, l.setting)
	err := l.tracer.Run(ctx, func(e *event.Event) {
		l.rounds.see(e)
		s := l.services.See(&e.Owner)
		if !l.filter.Match(e, s) {
			l.excluded++
			return
		}
		l.settings.use(e)
		l.tap.event(e)
		t.event(e, s)
	})
	return asFailure(errors.Join(err, l.broken))
}

func (l *live) setting(s *host.Settings) {
	l.tap.settings(s)
	l.taker.takeSettings(s)
}

func (l *live) learned(id event.Identity, s *service.Service) { l.tap.service(id, s) }

// idle is called between two events, when there are none.
func (l *live) idle() {
	if l.settings == nil {
		return
	}
	l.settings.refresh()
	if err := l.tap.tick(); err != nil && l.broken == nil {
		l.broken = err
		l.cancel(err)
	}
	l.tellProgress()
	l.taker.takeIdle()
}

func (l *live) owner(o *event.Owner) *service.Service { return l.services.Service(o) }

func (l *live) close() error { return asFailure(l.tracer.Close()) }

// end reads once more what is set, and what the tracer knows.
func (l *live) end() (*ending, error) {
	last, err := l.soFar(l.tracer.Window().End)
	if err != nil {
		return nil, err
	}
	last.Snapshot = last.Facts.TimeWait != nil
	return last, l.tap.end(l, last)
}

// soFar is what would be known if the window ended now.
func (l *live) soFar(end int64) (*ending, error) {
	l.settings.finish()
	check, err := l.tracer.TimeWaitCheck()
	if err != nil {
		return nil, failure{err}
	}
	facts, err := l.facts()
	if err != nil {
		return nil, err
	}
	facts.TimeWait, facts.Namespaces = l.timeWait(&check), l.settings.namespaces(&check)
	return &ending{End: end, Facts: facts}, nil
}

// facts are what is known at any time.
func (l *live) facts() (report.Facts, error) {
	losses, err := l.losses()
	if err != nil {
		return report.Facts{}, err
	}
	name, kernel := thisHost()
	return report.Facts{
		Host: name, Kernel: kernel, Source: "live", TimeWaitTier: l.tracer.TimeWaitTier(), Hooks: l.tracer.Hooks(),
		Filter: l.expression, Excluded: l.excluded, Losses: losses, HooksAbsent: l.tracer.HooksAbsent(),
	}, nil
}

// timeWait says how TIME_WAIT was followed. With a filter the kernel's count says nothing about what matched.
func (l *live) timeWait(check *tracer.TimeWaitCheck) *report.TimeWaitInput {
	if !l.tracer.TimeWaitsKnown() {
		return nil
	}
	t := &report.TimeWaitInput{
		Tier: l.tracer.TimeWaitTierNumber(), How: l.tracer.TimeWaitTier(), Exact: check.Exact(),
		Checks: check.Checks, Differences: check.Differences, Censuses: check.Censuses, Repaired: check.Repaired,
	}
	if !check.Known || l.expression != "" {
		return t
	}
	sum := uint64(0)
	for _, n := range check.Namespaces {
		sum += uint64(max(0, n.Kernel))
	}
	t.Kernel = &sum
	return t
}

// losses are the tracer's own counts, for the report.
func (l *live) losses() (report.Losses, error) {
	loss, err := l.tracer.Loss()
	if err != nil {
		return report.Losses{}, failure{err}
	}
	return report.Losses{
		EventsLost:       loss.RingFull,
		EventsUnassigned: loss.Unassigned + loss.ChainCut,
		SocketsEvicted:   loss.Sockets + loss.TimeWaits,
		RecursionLost:    loss.Recursion,
		EndsUnseen:       loss.Unseen,
		EventsRepeated:   loss.Repeated,
		ServicesRefused:  l.services.Refused(),
	}, nil
}

// alert says on standard error what somebody should know at once.
func (l *live) alert(e *env) func(churn.Alert) {
	return func(a churn.Alert) { e.say("%s", l.alertLine(&a)) }
}

// alertLine is one sentence with the time of the event.
func (l *live) alertLine(a *churn.Alert) string {
	who, b := l.services.See(&a.Owner), a.Budget
	name := a.Owner.Comm.String()
	if who != nil {
		name = event.Printable(who.Name)
	}
	at := time.Unix(0, a.UnixNano).Format("15:04:05.000")
	if a.Kind == churn.OutOfPorts {
		return fmt.Sprintf("%s out of ports: %s finds no local port from %s toward %s", at, name, b.Local, b.Remote)
	}
	return fmt.Sprintf("%s half of the ports are taken: each connect() of %s from %s toward %s now searches that half in vain", at, name, b.Local, b.Remote)
}

// untilSignal returns a context that ends with SIGINT or SIGTERM. A second signal ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// header says on standard error what is being traced, since when nothing happens nothing else would.
func (l *live) header(e *env) {
	how := "until Ctrl-C"
	if l.length != 0 {
		how = fmt.Sprintf("for %s, or until Ctrl-C", l.length)
	}
	_, kernel := thisHost()
	e.say("tracing TCP in all network namespaces on Linux %s %s", kernel, how)
	if e.verbose {
		for _, h := range l.tracer.Hooks() {
			e.say("attached: %s", h)
		}
	}
}

// footer says on standard error what was lost.
func (l *live) footer(e *env) {
	loss, err := l.tracer.Loss()
	if err != nil {
		e.say("%v", err)
		return
	}
	e.say("%s", lossLine(loss))
}

func lossLine(l tracer.Loss) string {
	var parts []string
	for _, part := range []struct {
		n    uint64
		what string
	}{
		{l.RingFull, "events came without details because the ring buffer was full (--ring makes it larger)"},
		{l.Unassigned, "of these belong to no known destination"},
		{l.Recursion, "transitions were not shown by the kernel"},
		{l.Unseen, "connections ended unseen, for the kernel called no program"},
		{l.Repeated, "events may have been counted twice"},
		{l.Sockets, "connections were not remembered (--sockets raises the bound)"},
		{l.TimeWaits, "TIME_WAITs were not remembered (--time-waits raises the bound)"},
		{l.Calls, "calls of bind() and connect() ended unseen, which matters for those that failed at once"},
		{l.ChainCut, "ends could not be looked up in the kernel's table"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "nothing was lost"
	}
	exact := "totals are exact"
	if !l.TotalsExact() {
		exact = "totals are not exact"
	}
	return "lost: " + strings.Join(parts, "; ") + "; " + exact
}

// thisHost returns this host's name and kernel release, made printable.
func thisHost() (name, kernel string) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", ""
	}
	return event.Printable(unix.ByteSliceToString(u.Nodename[:])), event.Printable(unix.ByteSliceToString(u.Release[:]))
}
