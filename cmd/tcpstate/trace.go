package main

import (
	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

type traceFlags struct {
	filter filter.Flags
	output output
	bounds bounds
	length duration
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
	boundFlags(cmd, &f.bounds)
	cmd.Flags().Var(&f.length, "for", "how long to trace; without it, until Ctrl-C")
	cmd.Flags().Lookup("for").DefValue = ""
	return cmd
}

func runTrace(e *env, f *traceFlags) (err error) {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.output.check(); err != nil {
		return err
	}
	out, err := f.output.open(e)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = asFailure(closeErr)
		}
	}()
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
	options := f.bounds.options()
	var watched *settings
	options.Drained = func() {
		write(lines.Flush())
		watched.refresh()
	}
	l, err := openLive(e, options, set)
	if err != nil {
		return err
	}
	defer l.tracer.Close()
	if err := out.begin(); err != nil {
		return err
	}
	l.header(e, f.length.Duration)
	ctx, ended := l.limit(ctx, f.length.Duration)
	defer ended()
	lines = traceWriter(e, f, out)
	write(lines.Flush())
	table := l.table(e, churn.Options{MaxRows: 2048, Partial: true}) // for its alerts
	watched = newSettings(l.tracer, table)
	err = l.run(ctx, func(ev *event.Event, s *service.Service) {
		table.Observe(ev)
		if ev.Kind != event.Open && ev.Kind != event.Existing { // states, not happenings
			write(lines.Write(ev, s))
		}
	})
	write(lines.Flush())
	l.footer(e)
	if err == nil {
		err = asFailure(writeErr)
	}
	return err
}

func traceWriter(e *env, f *traceFlags, out *result) *report.TraceWriter {
	if f.output.form == "json" {
		return report.NewTraceJSON(out)
	}
	return report.NewTraceColumns(out, f.output.options(e, out))
}
