package main

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/page"
	"github.com/tcpstate/tcpstate/internal/report"
)

type reportFlags struct {
	filter   filter.Flags
	output   output
	bounds   bounds
	length   duration
	captures captures
	sort     string
	limit    number

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
			"  tcpstate report --for 1m -o json --dst 10.0.0.0/8:5432\n" +
			"  tcpstate report -r incident.tcps -w incident.html",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("output") {
				f.output.form = f.output.named()
			}
			return runReport(e, &f)
		},
	}
	filterFlags(cmd, &f.filter)
	outputFlags(cmd, &f.output, "columns", "wide", "json", "jsonpretty", "html", "md", "csv")
	captureFlags(cmd, &f.output, &f.captures)
	boundFlags(cmd, &f.bounds)
	flags := cmd.Flags()
	flags.Lookup("write").Usage += ". Without --output, FILE.html, .md, .csv and .json are written in that form"
	f.captures.lengthFlag(cmd, &f.length, "how long to trace")
	flags.StringVar(&f.sort, "sort", "", "order destinations by `[-]FIELD`; without it, by harm")
	flags.Var(&f.limit, "limit", "show the first `N` destinations; 0: all")
	flags.Var(&f.destinations, "destinations", "how many destinations are kept apart; those beyond are summed up")
	return cmd
}

// named is the form that the file's name asks for, else the first.
func (o *output) named() string {
	form := strings.TrimPrefix(filepath.Ext(o.path), ".")
	if slices.Contains([]string{"html", "md", "csv", "json"}, form) {
		return form
	}
	return o.forms[0]
}

// check finds what is wrong with the flags before anything is traced.
func (f *reportFlags) check() error {
	if f.sort != "" {
		if err := report.CheckSort(f.sort); err != nil {
			return err
		}
	}
	return f.captures.check()
}

func runReport(e *env, f *reportFlags) error {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	return f.output.to(e, func(out *result) error {
		ctx, stop := untilSignal()
		defer stop()
		doc, err := f.document(ctx, e, set)
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
	})
}

// The rows that get charts, the worst first.
const (
	chartedRows = 12
	pageRows    = 200 // on a page each has a place of its own
)

func (f *reportFlags) charted() int {
	switch f.output.form {
	case "html":
		return pageRows
	case "json", "jsonpretty":
		return chartedRows
	}
	return 0 // nothing is drawn
}

// document makes the report, of a capture or of what happens now.
func (f *reportFlags) document(ctx context.Context, e *env, set *filter.Set) (doc *report.Document, err error) {
	o := churn.Options{MaxRows: f.destinations.n}
	if f.captures.asked() {
		replays, err := openReplays(ctx, &f.captures, set, expression(f.filter))
		if err != nil {
			return nil, err
		}
		return reportedAll(ctx, replays, o, f.charted())
	}
	options := f.bounds.options()
	options.Tick = reportTick
	l, err := openLive(e, options, traced{filter: set, expression: expression(f.filter), length: f.length.Duration, tap: f.output.recording})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := l.close(); err == nil {
			err = closeErr
		}
	}()
	l.header(e)
	o.Alert = l.alert(e)
	return reported(ctx, l, o, f.charted())
}

func writeReport(e *env, f *reportFlags, out *result, doc *report.Document) error {
	switch f.output.form {
	case "json":
		return report.WriteJSON(out, doc, false)
	case "jsonpretty":
		return report.WriteJSON(out, doc, true)
	case "html":
		return page.Write(out, doc, page.Options{Version: version, Numeric: f.output.numeric})
	case "md":
		return report.WriteMarkdown(out, doc, f.output.options(e, out))
	case "csv":
		if n := doc.DestinationsOmitted; n > 0 {
			e.say("%d more rows are left out by --limit", n)
		}
		return report.WriteCSV(out, doc)
	default:
		return report.WriteColumns(out, doc, f.output.options(e, out))
	}
}
