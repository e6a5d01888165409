package main

import (
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

type reportFlags struct {
	filter filter.Flags
	output output
	bounds bounds
	length duration
	sort   string
	limit  number

	destinations number
}

func newReport(e *env) *cobra.Command {
	f := reportFlags{
		length:       duration{10 * time.Second},
		limit:        number{max: math.MaxInt32},
		destinations: number{n: churn.DefaultMaxRows, min: 1, max: 1 << 20},
	}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Say which service churns to which destination, whether it pools, what fails, what to do first",
		Example: "  tcpstate report\n" +
			"  tcpstate report --for 1m -o json --dst 10.0.0.0/8:5432",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runReport(e, &f) },
	}
	filterFlags(cmd, &f.filter)
	outputFlags(cmd, &f.output, "columns", "wide", "json", "jsonpretty")
	boundFlags(cmd, &f.bounds)
	flags := cmd.Flags()
	flags.Var(&f.length, "for", "how long to trace")
	flags.StringVar(&f.sort, "sort", "", "order destinations by `[-]FIELD`; without it, by harm")
	flags.Var(&f.limit, "limit", "show the first `N` destinations; 0: all")
	flags.Var(&f.destinations, "destinations", "how many destinations are kept apart; those beyond are summed up")
	return cmd
}

// check finds what is wrong with the flags before anything is traced.
func (f *reportFlags) check() error {
	if f.sort != "" {
		if err := report.CheckSort(f.sort); err != nil {
			return err
		}
	}
	return f.output.check()
}

// reportTick costs half of what the default does. Nobody watches; but a process is looked up when its events are read.
const reportTick = 200 * time.Millisecond

func runReport(e *env, f *reportFlags) (err error) {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
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
	options := f.bounds.options()
	options.Tick = reportTick
	var watched *settings
	options.Drained = func() { watched.refresh() }
	l, err := openLive(e, options, set)
	if err != nil {
		return err
	}
	defer l.tracer.Close()
	l.header(e, f.length.Duration)
	ctx, ended := l.limit(ctx, f.length.Duration)
	defer ended()
	table := l.table(e, churn.Options{MaxRows: f.destinations.n, Partial: set.Partial()})
	watched = newSettings(l.tracer, table)
	if err := l.run(ctx, func(ev *event.Event, _ *service.Service) { table.Observe(ev) }); err != nil {
		return err
	}
	doc, err := l.document(watched, expression(f.filter))
	if err != nil {
		return err
	}
	if f.sort != "" {
		if err := doc.SortBy(f.sort); err != nil {
			return err
		}
	}
	doc.Limit(f.limit.n)
	if err := out.begin(); err != nil {
		return err
	}
	return asFailure(writeReport(e, f, out, doc))
}

// document ends the table's window and builds the report of it.
func (l *live) document(watched *settings, filter string) (*report.Document, error) {
	l.part = l.part || filter != ""
	table := watched.table
	table.Close(l.tracer.Window().End)
	table.Snapshot(l.tracer.TimeWaitsKnown())
	watched.finish()
	losses, err := l.losses()
	if err != nil {
		return nil, err
	}
	check, err := l.tracer.TimeWaitCheck()
	if err != nil {
		return nil, failure{err}
	}
	name, kernel := thisHost()
	return report.Build(report.Input{
		Table: table, Service: l.services.Service, Facts: report.Facts{
			Host: name, Kernel: kernel, Source: "live",
			TimeWaitTier: l.tracer.TimeWaitTier(), Hooks: l.tracer.Hooks(),
			Filter: filter, Excluded: l.excluded, Losses: losses,
			TimeWait: l.timeWait(&check), Namespaces: watched.namespaces(&check), HooksAbsent: l.tracer.HooksAbsent(),
		}}), nil
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
	if !check.Known || l.part {
		return t
	}
	sum := uint64(0)
	for _, n := range check.Namespaces {
		sum += uint64(max(0, n.Kernel))
	}
	t.Kernel = &sum
	return t
}

func writeReport(e *env, f *reportFlags, out *result, doc *report.Document) error {
	switch f.output.form {
	case "json":
		return report.WriteJSON(out, doc, false)
	case "jsonpretty":
		return report.WriteJSON(out, doc, true)
	default:
		return report.WriteColumns(out, doc, f.output.options(e, out))
	}
}
