package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

type traceFlags struct {
	filter   filter.Flags
	output   output
	bounds   bounds
	length   duration
	captures captures
}

func newTrace(e *env) *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Show what is happening now: one line an event, as it happens",
		Example: "  tcpstate trace --failure-only\n" +
			"  tcpstate trace -o json --for 10s --filter 'dst.port==5432,kind==connect'",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runTrace(e, &f) },
	}
	filterFlags(cmd, &f.filter)
	outputFlags(cmd, &f.output, "columns", "wide", "json")
	captureFlags(cmd, &f.output, &f.captures)
	boundFlags(cmd, &f.bounds)
	f.captures.lengthFlag(cmd, &f.length, "how long to trace; without it, until Ctrl-C")
	cmd.Flags().Lookup("for").DefValue = ""
	return cmd
}

func runTrace(e *env, f *traceFlags) error {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.captures.check(); err != nil {
		return err
	}
	return f.output.to(e, func(out *result) error { return f.run(e, set, out) })
}

// run writes what happens to out.
func (f *traceFlags) run(e *env, set *filter.Set, out *result) (err error) {
	ctx, stop := untilSignal()
	defer stop()

	var lines *report.TraceWriter
	var writeErr error
	write := func(err error) {
		if err != nil && writeErr == nil {
			writeErr = err
			stop() // nobody reads on
		}
	}
	streams, alert, err := f.open(ctx, e, set)
	if err != nil {
		return err
	}
	defer func() {
		for _, src := range streams {
			if closeErr := src.close(); err == nil {
				err = closeErr
			}
		}
	}()
	if err := out.begin(); err != nil {
		return err
	}
	lines = traceWriter(e, f, out)
	write(lines.Flush())
	for _, src := range streams {
		if err := traceOne(ctx, e, src, alert, lines, write); err != nil {
			return err
		}
	}
	return asFailure(writeErr)
}

// traceOne writes a stream's events to lines.
func traceOne(ctx context.Context, e *env, src stream, alert func(churn.Alert), lines *report.TraceWriter, write func(error)) error {
	table := churn.New(churn.Options{MaxRows: 2048, Start: src.window().Start, Partial: true, Alert: alert}) // for its alerts
	t := &taker{
		event: func(ev *event.Event, s *service.Service) {
			table.Observe(ev)
			if ev.Kind != event.Open && ev.Kind != event.Existing { // states, not happenings
				write(lines.Write(ev, s))
			}
		},
		settings: table.SetHost,
		idle:     func() { write(lines.Flush()) },
	}
	err := src.run(ctx, t)
	write(lines.Flush())
	if err == nil {
		_, err = src.end()
	}
	src.footer(e)
	return err
}

// open returns what is to be shown, and what to do about alerts.
func (f *traceFlags) open(ctx context.Context, e *env, set *filter.Set) ([]stream, func(churn.Alert), error) {
	if f.captures.asked() {
		replays, err := openReplays(ctx, &f.captures, set, expression(f.filter))
		streams := make([]stream, len(replays))
		for i, r := range replays {
			streams[i] = r
		}
		return streams, nil, err
	}
	l, err := openLive(e, f.bounds.options(), traced{filter: set, expression: expression(f.filter), length: f.length.Duration, tap: f.output.recording})
	if err != nil {
		return nil, nil, err
	}
	l.header(e)
	return []stream{l}, l.alert(e), nil
}

func traceWriter(e *env, f *traceFlags, out *result) *report.TraceWriter {
	if f.output.form == "json" {
		return report.NewTraceJSON(out)
	}
	return report.NewTraceColumns(out, f.output.options(e, out))
}
