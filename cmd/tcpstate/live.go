package main

import (
	"context"
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
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/sockets"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// live is the running kernel as a source of events, each with its service, filtered.
type live struct {
	tracer   *tracer.Tracer
	services *service.Resolver
	filter   *filter.Set
	excluded uint64
	part     bool // events are left out: the kernel's own counts say nothing about the rest
}

func openLive(e *env, o tracer.Options, f *filter.Set) (*live, error) {
	// Once before attaching, lest the first events meet unknown listeners, and once after it, lest one is missed.
	o.Listeners = listeners(e)
	t, err := tracer.Open(o)
	if err != nil {
		return nil, failure{err}
	}
	if err := t.AddListeners(listeners(&env{})); err != nil {
		_ = t.Close()
		return nil, failure{err}
	}
	return &live{tracer: t, services: service.NewResolver(service.Options{}), filter: f}, nil
}

// listeners finds who listens already. On a large host that takes a second; events wait in the ring.
func listeners(e *env) []event.Listener {
	found, err := sockets.Listeners(sockets.Options{})
	if err != nil && e.verbose {
		e.say("who listens already (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH show all of them): %v", err)
	}
	return found
}

// run hands on every event that passes the filter, until ctx is done.
func (l *live) run(ctx context.Context, emit func(*event.Event, *service.Service)) error {
	err := l.tracer.Run(ctx, func(e *event.Event) {
		s := l.services.See(&e.Owner)
		if !l.filter.Match(e, s) {
			l.excluded++
			return
		}
		emit(e, s)
	})
	return asFailure(err)
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

// table counts events, and says on standard error what somebody should know at once.
func (l *live) table(e *env, o churn.Options) *churn.Table {
	o.Start = l.tracer.Window().Start
	o.Alert = func(a churn.Alert) { e.say("%s", l.alertLine(&a)) }
	return churn.New(o)
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
	return fmt.Sprintf("%s half of the ports are taken: each connect() of %s from %s toward %s now searches thousands", at, name, b.Local, b.Remote)
}

// untilSignal returns a context that ends with SIGINT or SIGTERM. A second signal ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// limit makes ctx end when d has been traced, 0 for never. Loading takes its time, too, and does not count.
func (l *live) limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(time.Unix(0, l.tracer.Window().Start).Add(d)))
}

// header says on standard error what is being traced, since when nothing happens nothing else would.
func (l *live) header(e *env, d time.Duration) {
	how := "until Ctrl-C"
	if d != 0 {
		how = fmt.Sprintf("for %s, or until Ctrl-C", d)
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
