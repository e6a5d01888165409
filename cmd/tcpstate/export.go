package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

type exportFlags struct {
	filter filter.Flags
	period period
	output output
	mask   maskFlags
	formed bool // --output was given
	zstd   bool
	states bool
}

func newExport(e *env) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export FILE…",
		Short: "Write captures as JSON lines or CSV, or as a capture of less: filtered, without addresses",
		Long: "export writes the events of captures, one after the other: as JSON lines, which are those of trace -o json, as CSV with\n" +
			"a line of titles, or as a capture again. The name that --write gives says which (.csv, .tcps), and whether it is\n" +
			"compressed (.zst). What is damaged is left out and told on standard error; a line of kind lost says how many events are\n" +
			"missing there at most. FILE can be - for standard input, or a folder of captures.",
		Example: "  tcpstate export churn.tcps -w churn.json.zst\n" +
			"  tcpstate export churn.tcps --since 14:30 --until 14:35 --failure-only -o csv\n" +
			"  tcpstate export churn.tcps --anonymize --anonymize-names -w for-support.tcps",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.formed = cmd.Flags().Changed("output")
			return runExport(e, &f, args)
		},
	}
	filterFlags(cmd, &f.filter)
	periodFlags(cmd, &f.period)
	outputFlags(cmd, &f.output, "json", "csv", "tcps")
	maskFlagsOf(cmd, &f.mask)
	flags := cmd.Flags()
	flags.BoolVar(&f.zstd, "zstd", false, "compress JSON lines or CSV with zstd; also when FILE ends in .zst")
	flags.BoolVar(&f.states, "states", false, "also lines of kind existing and open: what was there when the recording began, and when it ended")
	flags.BoolVar(&f.output.force, "force", false, "overwrite the capture that --write names")
	return cmd
}

// check settles the form. The name of the file says which, where no flag does.
func (f *exportFlags) check(files []string) error {
	if len(files) == 0 {
		return errors.New("export needs a FILE: name captures, or - for standard input")
	}
	if i := slices.Index(files, "-"); i >= 0 && slices.Contains(files[i+1:], "-") {
		return errors.New(`"-" is given twice: standard input can be read once`)
	}
	plain, compressed := strings.CutSuffix(f.output.path, ".zst")
	named := strings.HasSuffix(plain, captureEnd)
	if !f.formed {
		f.output.form = formOf(plain)
	}
	if err := f.output.check(); err != nil {
		return err
	}
	f.zstd = f.zstd || compressed
	switch {
	case f.output.form != "tcps" && named:
		return fmt.Errorf("--write: %q is a capture's name, but the form is %s: write -o tcps, or another name", f.output.path, f.output.form)
	case f.output.form == "tcps" && f.zstd:
		return errors.New("--zstd: captures are compressed already: leave it out, and .zst at the end of the name")
	case f.output.form == "tcps" && len(files) > 1:
		return fmt.Errorf("-o tcps makes a capture of one capture, not of %d: export each by itself", len(files))
	}
	return f.mask.check()
}

func formOf(path string) string {
	switch {
	case strings.HasSuffix(path, ".csv"):
		return "csv"
	case strings.HasSuffix(path, captureEnd):
		return "tcps"
	}
	return "json"
}

func runExport(e *env, f *exportFlags, args []string) (err error) {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	files, err := captureFiles(args)
	if err != nil {
		return err
	}
	if err := f.check(files); err != nil {
		return err
	}
	x := &export{e: e, flags: f, set: set}
	if x.mapper, err = f.mask.mapper(); err != nil {
		return err
	}
	if err := readable(files, f.output.path); err != nil {
		return err
	}
	if x.options, err = f.period.options(files...); err != nil {
		return err
	}
	if err := x.open(); err != nil {
		return err
	}
	for _, file := range files {
		if err = x.file(file); err != nil {
			break
		}
	}
	return errors.Join(err, x.close())
}

// readable finds out, before anything is written, whether all files are captures, and that none is what is written to.
func readable(files []string, result string) error {
	to, err := os.Stat(result)
	if err != nil {
		to = nil // it will be made
	}
	for _, file := range files {
		if file == "-" {
			continue
		}
		from, err := os.Stat(file)
		if err != nil {
			return failure{err}
		}
		if to != nil && os.SameFile(from, to) {
			return failure{fmt.Errorf("%s would be overwritten while it is read: give --write another name", file)}
		}
		if !from.Mode().IsRegular() {
			continue // a pipe can be read once
		}
		r, err := capture.Open(file, capture.ReadOptions{})
		if err != nil {
			return failure{err}
		}
		if err := r.Close(); err != nil {
			return failure{err}
		}
	}
	return nil
}

// export is an export under way.
type export struct {
	e       *env
	flags   *exportFlags
	set     *filter.Set
	options capture.ReadOptions
	mapper  *mapper // nil: nothing is replaced
	sink    sink
	closers []io.Closer // the last one first
}

// sink is what events are written to.
type sink interface {
	// begin is called for each capture before its events.
	begin(*replay, *mask) error
	event(*event.Event, *service.Service) error
	// fact takes settings and services.
	fact(*capture.Item) error
	// end is called for each capture after its events.
	end(*replay, *mask) error
}

// open opens what is written to, and empties it.
func (x *export) open() error {
	o := &x.flags.output
	binary := o.form == "tcps" || x.flags.zstd
	if o.path == "-" && binary && terminalWidth(x.e.stdout) > 0 {
		return failure{errors.New("a terminal cannot show what is compressed: name a file with --write")}
	}
	if o.form == "tcps" && o.path != "-" {
		file, err := capture.Create(o.path, o.force)
		if err != nil {
			return failure{err}
		}
		x.closers = append(x.closers, file)
		x.sink = &captureSink{to: file}
		return nil
	}
	out, err := o.open(x.e)
	if err != nil {
		return err
	}
	x.closers = append(x.closers, out)
	if err := out.begin(); err != nil {
		return errors.Join(err, x.close())
	}
	if o.form == "tcps" {
		x.sink = &captureSink{to: out}
		return nil
	}
	return x.openLines(out)
}

// openLines makes a sink of lines: JSON, then perhaps CSV, then perhaps zstd.
func (x *export) openLines(out io.Writer) error {
	if x.flags.zstd {
		z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
		if err != nil {
			return errors.Join(failure{err}, x.close())
		}
		x.closers = append(x.closers, z)
		out = z
	}
	if x.flags.output.form == "csv" {
		c := newCSVWriter(out)
		x.closers = append(x.closers, c)
		out = c
	}
	x.sink = &lineSink{lines: report.NewTraceJSON(out), states: x.flags.states}
	return nil
}

func (x *export) close() error {
	var errs []error
	for _, c := range slices.Backward(x.closers) {
		errs = append(errs, c.Close())
	}
	return asFailure(errors.Join(errs...))
}

// file exports one capture.
func (x *export) file(path string) (err error) {
	r, err := openReplay(path, x.set, expression(x.flags.filter), x.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	m := newMask(x.mapper)
	if err := x.sink.begin(r, m); err != nil {
		return asFailure(err)
	}
	err = x.items(r, m)
	r.footer(x.e)
	return errors.Join(err, asFailure(x.sink.end(r, m)))
}

// items hands everything in r to the sink. What the filter and the names of services need are the originals.
func (x *export) items(r *replay, m *mask) (err error) {
	put := func(e *event.Event, s *service.Service) {
		if err == nil {
			err = asFailure(x.sink.event(m.event(e, s)))
		}
	}
	s, t := r.segments[0], &taker{event: put}
	for err == nil {
		item, readErr := s.reader.Next()
		switch {
		case errors.Is(readErr, io.EOF):
			return err
		case readErr != nil:
			return failure{fmt.Errorf("%s %w", s.name, readErr)}
		}
		r.take(s, item, t)
		switch item.Kind {
		case capture.KindSettings, capture.KindService:
			m.fact(item)
			err = asFailure(x.sink.fact(item))
		case capture.KindDamage:
			if n := item.Damage.EventsMissing; n > 0 {
				put(missing(r.latest, n), nil)
			}
		}
	}
	return err
}

// missing stands for n events that are missing in a capture.
func missing(at int64, n uint64) *event.Event {
	return &event.Event{
		Kind: event.Lost, UnixNano: at, Count: n,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
	}
}

// lineSink writes what happened, as trace does, and leaves out the rest.
type lineSink struct {
	lines  *report.TraceWriter
	states bool
}

func (l *lineSink) begin(*replay, *mask) error { return nil }

func (l *lineSink) event(e *event.Event, s *service.Service) error {
	if !l.states && (e.Kind == event.Open || e.Kind == event.Existing) {
		return nil
	}
	return l.lines.Write(e, s)
}

func (l *lineSink) fact(*capture.Item) error { return nil }

func (l *lineSink) end(*replay, *mask) error { return l.lines.Flush() }
