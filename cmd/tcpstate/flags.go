package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// filterFlags adds the filters that all verbs share.
func filterFlags(cmd *cobra.Command, f *filter.Flags) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Filter, "filter", nil, "only events for which `EXPR` holds, e.g. 'dst.port==5432,comm==java' (== != >= <= > < ~; comma is and)")
	flags.StringArrayVar(&f.Dst, "dst", nil, "only connections with the remote end in `CIDR[:PORT]`")
	flags.StringArrayVar(&f.Port, "port", nil, "only connections with the service at port `N`")
	flags.StringArrayVar(&f.PID, "pid", nil, "only connections of process `N`")
	flags.StringArrayVar(&f.Comm, "comm", nil, "only connections of processes called `NAME`")
	flags.StringArrayVar(&f.Unit, "unit", nil, "only connections of systemd unit `NAME`")
	flags.StringArrayVar(&f.Container, "container", nil, "only connections of the container with id (or its beginning) `ID`")
	flags.StringArrayVar(&f.Netns, "netns", nil, "only connections in network namespace `PATH|inode`")
	flags.BoolVarP(&f.IPv4, "ipv4", "4", false, "only IPv4")
	flags.BoolVarP(&f.IPv6, "ipv6", "6", false, "only IPv6")
	flags.BoolVar(&f.FailureOnly, "failure-only", false, "only failures")
}

// expression is what was asked for, as one line for the report.
func expression(f filter.Flags) string {
	var parts []string
	for _, flag := range []struct {
		name   string
		values []string
	}{
		{"--filter", f.Filter}, {"--dst", f.Dst}, {"--port", f.Port}, {"--pid", f.PID}, {"--comm", f.Comm},
		{"--unit", f.Unit}, {"--container", f.Container}, {"--netns", f.Netns},
	} {
		for _, v := range flag.values {
			parts = append(parts, flag.name+" "+v)
		}
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"-4", f.IPv4}, {"-6", f.IPv6}, {"--failure-only", f.FailureOnly}} {
		if flag.set {
			parts = append(parts, flag.name)
		}
	}
	return strings.Join(parts, " ")
}

// output is where a result goes, and in which form.
type output struct {
	form    string
	forms   []string
	path    string
	numeric bool
	noColor bool

	captures  bool       // a FILE that ends in .tcps is a capture of what is traced
	force     bool       // overwrite one
	recording *recording // set by open
}

// captureEnd is how the names of captures end.
const captureEnd = ".tcps"

// captureFlags adds what a verb has that can write a capture beside its result, or read one instead of tracing.
func captureFlags(cmd *cobra.Command, o *output, c *captures) {
	o.captures = true
	flags := cmd.Flags()
	flags.StringArrayVarP(&c.read, "read", "r", nil, "read the capture `FILE`, or those in a folder, instead of tracing; - is standard input; can be repeated")
	periodFlags(cmd, &c.period)
	flags.BoolVar(&c.follow, "follow", false, "go on reading the capture that --read names while it is being written")
	flags.BoolVar(&o.force, "force", false, "overwrite the capture that --write names")
	flags.Lookup("write").Usage = "write the result to `FILE`; - is standard output. FILE.tcps: the events, as a capture, and the result to standard output"
}

func outputFlags(cmd *cobra.Command, o *output, forms ...string) {
	o.forms = forms
	flags := cmd.Flags()
	flags.StringVarP(&o.form, "output", "o", forms[0], "`FORM` of the result: "+strings.Join(forms, ", "))
	flags.StringVarP(&o.path, "write", "w", "-", "write the result to `FILE`; - is standard output")
	flags.BoolVarP(&o.numeric, "numeric", "n", false, "no names for addresses and ports (none are looked up so far)")
	flags.BoolVar(&o.noColor, "no-color", false, "no colours (also NO_COLOR, and when standard output is no terminal)")
}

func (o *output) check() error {
	if o.path == "" {
		return errors.New("--write: the name is empty; write a file's name, or - for standard output")
	}
	if !slices.Contains(o.forms, o.form) {
		return fmt.Errorf("unknown output form %q in --output: it is one of %s", o.form, strings.Join(o.forms, ", "))
	}
	return nil
}

// open returns the file that the result goes to. What the file holds stays until result.begin, so that a trace that
// cannot even start does not cost an older result.
func (o *output) open(e *env) (w *result, err error) {
	if o.captures && strings.HasSuffix(o.path, captureEnd) {
		if o.recording, err = newRecording(o.path, o.force); err != nil {
			return nil, err
		}
	}
	if o.path == "-" || o.recording != nil {
		return &result{Writer: e.stdout, terminal: terminalWidth(e.stdout)}, nil
	}
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, failure{fmt.Errorf("write result: %w", err)}
	}
	return &result{Writer: f, file: f}, nil
}

// options are those of the column forms.
func (o *output) options(e *env, r *result) report.Options {
	width := 100
	if r.terminal > 0 && r.terminal < width {
		width = max(r.terminal, 60)
	}
	return report.Options{
		Width: width, Wide: o.form == "wide", Numeric: o.numeric, Verbose: e.verbose,
		Color: r.terminal > 0 && !o.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// terminalWidth returns the columns of the terminal behind w, 0 when it is none.
func terminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return max(int(size.Col), 1)
}

// duration is a flag value like 10s: positive, and with its unit.
type duration struct{ time.Duration }

// Set reads s.
func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		if _, number := strconv.ParseFloat(s, 64); number == nil {
			return fmt.Errorf("%q has no unit: write %ss or %sm", s, s, s)
		}
		return fmt.Errorf("%q is no duration: write for example 10s, 5m or 1h30m", s)
	}
	if v <= 0 {
		return fmt.Errorf("%q is not longer than nothing: write for example 10s", s)
	}
	d.Duration = v
	return nil
}

func (d *duration) String() string { return d.Duration.String() }

// Type names the value in the help.
func (d *duration) Type() string { return "DURATION" }

// size is a flag value like 8MiB.
type size struct {
	bytes    int
	min, max int
}

// Set reads s.
func (z *size) Set(s string) error {
	number, shift := strings.ToLower(strings.TrimSpace(s)), 0
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"kib", 10}, {"mib", 20}, {"gib", 30}, {"k", 10}, {"m", 20}, {"g", 30}} {
		if rest, ok := strings.CutSuffix(number, unit.suffix); ok {
			number, shift = rest, unit.shift
			break
		}
	}
	v, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is no size: write for example 8M or 65536", s)
	}
	bytes := v << shift
	if bytes < uint64(z.min) || bytes > uint64(z.max) {
		return fmt.Errorf("%q is out of bounds: from %d to %d bytes", s, z.min, z.max)
	}
	z.bytes = int(bytes)
	return nil
}

func (z *size) String() string {
	if z.bytes != 0 && z.bytes%(1<<20) == 0 {
		return strconv.Itoa(z.bytes>>20) + "M"
	}
	return strconv.Itoa(z.bytes)
}

// Type names the value in the help.
func (z *size) Type() string { return "SIZE" }

// number is a flag value that is a whole number from min to max.
type number struct{ n, min, max int }

// Set reads s.
func (v *number) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is no whole number: write one from %d to %d", s, v.min, v.max)
	}
	if err != nil || n < v.min || n > v.max {
		return fmt.Errorf("%q is out of bounds: from %d to %d", s, v.min, v.max)
	}
	v.n = n
	return nil
}

func (v *number) String() string { return strconv.Itoa(v.n) }

// Type names the value in the help.
func (v *number) Type() string { return "N" }

// percent is a flag value like 1%.
type percent struct{ part float64 }

// Set reads s.
func (p *percent) Set(s string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil {
		return fmt.Errorf("%q is no percentage: write for example 1%% or 0.5%%", s)
	}
	if !(v > 0 && v <= 100) {
		return fmt.Errorf("%q is out of bounds: more than 0%%, at most 100%%", s)
	}
	p.part = v / 100
	return nil
}

func (p *percent) String() string { return strconv.FormatFloat(100*p.part, 'g', -1, 64) + "%" }

// Type names the value in the help.
func (p *percent) Type() string { return "PERCENT" }

// tier is a flag value that names a way to follow TIME_WAIT.
type tier struct{ tracer.Tier }

// Set reads s.
func (t *tier) Set(s string) (err error) {
	t.Tier, err = tracer.ParseTier(s)
	return err
}

// Type names the value in the help.
func (t *tier) Type() string { return "NAME" }

// bounds are the tracer's limits, and how it may work.
type bounds struct {
	ring      size
	sockets   number
	timeWaits number
	tier      tier
	timerCost percent
	syscalls  bool
}

func boundFlags(cmd *cobra.Command, b *bounds) {
	b.ring = size{bytes: tracer.DefaultRingBytes, min: tracer.MinRingBytes, max: tracer.MaxRingBytes}
	b.sockets = number{n: tracer.DefaultSockets, min: 1, max: 16 << 20}
	b.timeWaits = number{n: tracer.DefaultTimeWaits, min: 1, max: 16 << 20}
	b.timerCost = percent{tracer.DefaultTimerCost}
	flags := cmd.Flags()
	flags.Var(&b.ring, "ring", "size of the ring buffer between kernel and tcpstate, rounded up to a power of two")
	flags.Var(&b.sockets, "sockets", "how many connections are remembered at once")
	flags.Var(&b.timeWaits, "time-waits", "how many TIME_WAITs are remembered at once; each takes 128 bytes of the kernel's memory while it is held")
	flags.Var(&b.tier, "time-wait-by", "how TIME_WAIT is followed: "+strings.Join(tracer.TierNames(), ", "))
	flags.Var(&b.timerCost, "timer-cost", "how much of a CPU --time-wait-by timers may take; above it, ends are found by a census")
	flags.BoolVar(&b.syscalls, "syscalls", true, "also hook the ends of bind() and connect(), for failures that change no socket's state; every system call then takes some 30 ns longer")
}

func (b *bounds) options() tracer.Options {
	return tracer.Options{
		RingBytes: b.ring.bytes, Sockets: b.sockets.n, TimeWaits: b.timeWaits.n, Tier: b.tier.Tier, TimerCost: b.timerCost.part,
		Syscalls: b.syscalls,
	}
}
