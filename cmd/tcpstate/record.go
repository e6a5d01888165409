package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/recorder"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

type recordFlags struct {
	filter filter.Flags
	bounds bounds
	length duration
	path   string
	force  bool

	maxSize, rotateSize       size
	maxAge, rotateEvery, keep duration
	after                     duration
	incidents                 number
	triggers                  []string
	parsed                    []recorder.Trigger
}

// maxCapture bounds the flags that are sizes of captures.
const maxCapture = 1 << 44

func newRecord(e *env) *cobra.Command {
	f := recordFlags{
		maxSize: size{min: 4 * minRotate, max: maxCapture}, rotateSize: size{min: minRotate, max: maxCapture}, after: duration{time.Minute},
		incidents: number{n: 20, min: 1, max: 1 << 20},
	}
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Keep what happens in capture files, for later",
		Long: "record writes what happens to a capture, which report, trace and the others read (-r), on any host, without root.\n\n" +
			"With a folder it writes a series of files, the segments, and removes the oldest. With --keep it is a flight\n" +
			"recorder: the folder holds the last minutes, and when a --trigger holds, or at SIGUSR1, they are put aside in\n" +
			"incident-TIME, with what comes --after it.",
		Example: "  tcpstate record -w churn.tcps --for 1m\n" +
			"  tcpstate record -w /var/lib/tcpstate/ --rotate-every 10m --max-size 2G --max-age 24h\n" +
			"  tcpstate record -w /var/lib/tcpstate/ --keep 15m --trigger 'exhausted>0' --trigger 'used_ratio>0.8'",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runRecord(e, &f) },
	}
	filterFlags(cmd, &f.filter)
	boundFlags(cmd, &f.bounds)
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "write", "w", "", "write to `FILE`, or to segments in DIR")
	flags.BoolVar(&f.force, "force", false, "overwrite FILE")
	flags.Var(&f.length, "for", "how long to record; without it, until Ctrl-C")
	flags.Var(&f.maxSize, "max-size", "remove the oldest segments when all together are larger")
	flags.Var(&f.maxAge, "max-age", "remove segments that ended longer ago")
	flags.Var(&f.rotateSize, "rotate-size", "begin a new segment when one is as large")
	flags.Var(&f.rotateEvery, "rotate-every", "begin a new segment after that time")
	flags.Var(&f.keep, "keep", "flight recorder: keep the last `DURATION`, and put it aside on a trigger")
	flags.StringArrayVar(&f.triggers, "trigger", nil, "put aside what is kept when `COND` holds: exhausted>0, used_ratio>0.8, verdict==unpooled")
	flags.Var(&f.after, "after", "how long to go on before what led to a trigger is put aside")
	flags.Var(&f.incidents, "incidents", "how many incidents there may be in the folder: no more is put aside then; after each, triggers rest for as long as --keep")
	for _, name := range []string{"for", "max-age", "rotate-every", "keep", "max-size", "rotate-size"} {
		flags.Lookup(name).DefValue = ""
	}
	return cmd
}

// inFolder reports whether segments are asked for.
func (f *recordFlags) inFolder() bool {
	st, err := os.Stat(f.path)
	return strings.HasSuffix(f.path, "/") || err == nil && st.IsDir()
}

func (f *recordFlags) check() error {
	if f.path == "" {
		return errors.New("--write is missing: write -w FILE.tcps, or -w DIR/ for segments")
	}
	if f.path == "-" {
		return errors.New("--write: a capture goes to a file, not to standard output: write -w FILE.tcps, or -w DIR/")
	}
	if !f.inFolder() {
		for _, x := range []struct {
			name string
			set  bool
		}{
			{"--max-size", f.maxSize.bytes > 0}, {"--max-age", f.maxAge.Duration > 0}, {"--rotate-size", f.rotateSize.bytes > 0},
			{"--rotate-every", f.rotateEvery.Duration > 0}, {"--keep", f.keep.Duration > 0}, {"--trigger", len(f.triggers) > 0},
		} {
			if x.set {
				return fmt.Errorf("%s needs a folder for segments: write -w DIR/ instead of %q", x.name, f.path)
			}
		}
		return nil
	}
	if len(f.triggers) > 0 && f.keep.Duration == 0 {
		return errors.New("--trigger needs --keep DURATION: how much of what came before is to be kept")
	}
	if f.keep.Duration > 0 && f.keep.Duration < minKeep {
		return fmt.Errorf("--keep: %s is too short: %s at least", f.keep.Duration, minKeep)
	}
	for _, text := range f.triggers {
		t, err := recorder.ParseTrigger(text, verdictWords())
		if err != nil {
			return fmt.Errorf("--trigger: %w", err)
		}
		f.parsed = append(f.parsed, t)
	}
	return nil
}

// minKeep is the shortest flight recorder; it is kept in keepSegments segments.
const (
	minKeep      = 10 * time.Second
	keepSegments = 10
	// defaultRotate is how large segments are where nothing else is said.
	defaultRotate = 64 << 20
	minRotate     = 64 << 10
)

func (f *recordFlags) options() recorder.Options {
	o := recorder.Options{
		Dir: f.path, RotateSize: uint64(f.rotateSize.bytes), RotateEvery: f.rotateEvery.Duration,
		MaxSize: uint64(f.maxSize.bytes), MaxAge: f.maxAge.Duration,
	}
	if f.keep.Duration > 0 {
		o.RotateEvery, o.MaxAge = f.keep.Duration/keepSegments, f.keep.Duration+f.after.Duration+2*lookEvery
	}
	if o.RotateSize == 0 {
		o.RotateSize = defaultRotate
	}
	if o.MaxSize > 0 {
		o.RotateSize = max(min(o.RotateSize, o.MaxSize/4), minRotate)
	}
	return o
}

func runRecord(e *env, f *recordFlags) error {
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	what := traced{filter: set, expression: expression(f.filter), length: f.length.Duration}
	p := &progress{e: e, terminal: terminalWidth(e.stderr) > 0, began: time.Now()}
	var flight *flightRecorder
	if f.inFolder() {
		if err := os.MkdirAll(f.path, 0o700); err != nil {
			return failure{err}
		}
		s := &series{options: f.options(), say: e.say}
		what.tap, p.stats = s, func() capture.Stats { st, _ := s.recorder.Stats(); return st }
		if f.keep.Duration > 0 {
			flight = newFlightRecorder(e.say, f, s)
		}
	} else {
		r, err := newRecording(f.path, f.force)
		if err != nil {
			return err
		}
		what.tap, p.stats = r, func() capture.Stats { return r.writer.Stats() }
	}
	ctx, stop := untilSignal()
	defer stop()
	l, err := openLive(e, f.bounds.options(), what)
	if err != nil {
		return err
	}
	defer l.close()
	l.header(e)
	return record(ctx, l, p, flight)
}

// record runs the stream past its tap to the end.
func record(ctx context.Context, l *live, p *progress, flight *flightRecorder) error {
	t := &taker{
		event:    func(e *event.Event, _ *service.Service) { flight.see(e) },
		settings: func(s *host.Settings) { flight.set(s) },
		idle:     func() { p.tell(l); flight.look() },
	}
	flight.begin(l)
	err := l.run(ctx, t)
	if err == nil {
		_, err = l.end()
		flight.finish()
	}
	p.end()
	l.footer(p.e)
	return err
}

// progress is one line on a terminal that is written again and again.
type progress struct {
	e        *env
	terminal bool
	stats    func() capture.Stats
	began    time.Time
	last     time.Time
}

func (p *progress) tell(l *live) {
	if !p.terminal || time.Since(p.last) < time.Second {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.e.stderr, "\r\x1b[K%s", p.line(l))
}

func (p *progress) line(l *live) string {
	st := p.stats()
	each := "-"
	if st.Events > 0 {
		each = fmt.Sprintf("%.1f", float64(st.Bytes)/float64(st.Events))
	}
	lost := st.Dropped
	if loss, err := l.tracer.Loss(); err == nil {
		lost += loss.RingFull
	}
	return fmt.Sprintf("%s  %d events, %d bytes, %s bytes per event, %d lost", time.Since(p.began).Truncate(time.Second), st.Events, st.Bytes, each, lost)
}

func (p *progress) end() {
	st := p.stats()
	if p.terminal {
		fmt.Fprint(p.e.stderr, "\r\x1b[K")
	}
	p.e.say("recorded %d events in %d bytes", st.Events, st.Bytes)
	if st.Dropped > 0 {
		p.e.say("%d events were not recorded because the disk was too slow or full; the capture says so", st.Dropped)
	}
}

// onUser1 returns a channel that gets a value at SIGUSR1.
func onUser1() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c
}

func verdictWords() []string {
	words := []string{}
	for _, n := range verdict.Names() {
		words = append(words, string(n))
	}
	slices.Sort(words)
	return words
}
