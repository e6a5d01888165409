package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

type infoFlags struct {
	output output
	verify bool
}

func newInfo(e *env) *cobra.Command {
	var f infoFlags
	cmd := &cobra.Command{
		Use:   "info FILE…",
		Short: "Say what captures contain, and whether they are whole",
		Long: "info says from which host and time a capture is, how many events of which kind it has, what was lost, and whether its end\n" +
			"is missing. That is told in the end of the file; --verify reads all of it, checks every block, and exits with 1 where\n" +
			"anything is damaged or missing. FILE can be - for standard input, or a folder of captures.",
		Example: "  tcpstate info churn.tcps\n" +
			"  tcpstate info --verify /var/lib/tcpstate/*.tcps",
		RunE: func(_ *cobra.Command, args []string) error { return runInfo(e, &f, args) },
	}
	outputFlags(cmd, &f.output, "columns", "json", "jsonpretty")
	cmd.Flags().BoolVar(&f.verify, "verify", false, "read everything and check it")
	return cmd
}

func runInfo(e *env, f *infoFlags, args []string) error {
	if len(args) == 0 {
		return errors.New("info needs a FILE: name captures, or - for standard input")
	}
	files, err := captureFiles(args)
	if err != nil {
		return err
	}
	return f.output.to(e, func(out *result) error {
		d := infoDocument{Schema: "tcpstate.info/v1", Captures: []captureInfo{}}
		failed := false
		for _, file := range files {
			c := examine(file, f.verify)
			failed = failed || c.Error != nil || f.verify && !c.whole()
			if c.Error != nil {
				e.say("%s", *c.Error)
			}
			d.Captures = append(d.Captures, c)
		}
		if err := out.begin(); err != nil {
			return err
		}
		if err := writeInfo(out, f.output.form, &d); err != nil {
			return failure{err}
		}
		if failed {
			return outcome(exitFailed)
		}
		return nil
	})
}

// infoDocument is the result as JSON.
type infoDocument struct {
	Schema   string        `json:"schema"`
	Captures []captureInfo `json:"captures"`
}

// captureInfo is one file. What is null is not known.
type captureInfo struct {
	File  string  `json:"file"`
	Error *string `json:"error"` // why it cannot be read; all else is null then, or empty

	Host     hostInfo     `json:"host"`
	Filter   string       `json:"filter"`
	Recorded recordedInfo `json:"recorded"`

	Events        *uint64           `json:"events"`
	ByKind        map[string]uint64 `json:"events_by_kind"`
	Lost          *uint64           `json:"events_lost"`
	Dropped       *uint64           `json:"events_dropped"`
	Facts         *uint64           `json:"facts"`
	Blocks        *uint64           `json:"blocks"`
	Bytes         *uint64           `json:"size_bytes"`
	BytesPerEvent *report.Decimal   `json:"bytes_per_event"`

	Complete *bool       `json:"complete"`
	Verified bool        `json:"verified"` // every block was read, and its content
	Damage   *damageInfo `json:"damage"`   // null: none was found
}

type hostInfo struct {
	Name     string   `json:"name"`
	Kernel   string   `json:"kernel"`
	BootID   string   `json:"boot_id"`
	Tcpstate string   `json:"tcpstate"` // the version that recorded
	Tier     *int     `json:"time_wait_tier"`
	Hooks    []string `json:"hooks"`
}

type recordedInfo struct {
	Start   *string         `json:"start"` // of the window
	First   *string         `json:"first"` // event
	Last    *string         `json:"last"`
	Seconds *report.Decimal `json:"seconds"` // from the first to the last

	first, last int64
}

type damageInfo struct {
	Places        []damagePlace `json:"places"`
	Omitted       uint64        `json:"places_omitted"`
	EventsMissing *uint64       `json:"events_missing"` // at most; null: nobody knows
}

type damagePlace struct {
	Offset        int64  `json:"offset_bytes"`
	What          string `json:"what"`
	EventsMissing uint64 `json:"events_missing"`
	FactsMissing  uint64 `json:"facts_missing"`
}

// examine reads one file.
func examine(path string, verify bool) captureInfo {
	c := captureInfo{File: event.Printable(path), ByKind: map[string]uint64{}, Host: hostInfo{Hooks: []string{}}}
	s, err := summary(path, verify)
	if err != nil {
		text := event.Printable(err.Error())
		c.Error = &text
		return c
	}
	c.set(s)
	c.Verified = verify && s.Whole
	return c
}

func summary(path string, verify bool) (*capture.Summary, error) {
	name, from := "standard input", os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		name, from = path, file
	}
	read := capture.Info
	if verify {
		read = capture.Verify
	}
	s, err := read(from)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return s, nil
}

func (c *captureInfo) set(s *capture.Summary) {
	h := s.Header
	c.Host = hostInfo{Name: h.Host, Kernel: h.Kernel, BootID: h.BootID, Tcpstate: h.Version, Hooks: append([]string{}, h.Hooks...)}
	if h.Tier != 0 {
		c.Host.Tier = &h.Tier
	}
	c.Filter = h.Filter
	c.Recorded = recordedInfo{Start: instant(h.WindowStart), First: instant(s.First), Last: instant(s.Last), first: s.First, last: s.Last}
	if s.Events > 0 {
		seconds := report.Decimal(float64(s.Last-s.First) / 1e9)
		c.Recorded.Seconds = &seconds
	}
	c.Events, c.Lost, c.Dropped, c.Facts, c.Blocks, c.Bytes = &s.Events, &s.Lost, &s.Dropped, &s.Facts, &s.Blocks, &s.Bytes
	maps.Copy(c.ByKind, s.Kinds)
	if n, ok := s.BytesPerEvent(); ok {
		each := report.Decimal(n)
		c.BytesPerEvent = &each
	}
	c.Complete = &s.Complete
	if len(s.Damages) > 0 {
		c.Damage = damageOf(s)
	}
}

func damageOf(s *capture.Summary) *damageInfo {
	d := &damageInfo{Places: []damagePlace{}, Omitted: s.DamagesMore}
	for i := range s.Damages {
		x := &s.Damages[i]
		d.Places = append(d.Places, damagePlace{x.Offset, event.Printable(x.What), x.EventsMissing, x.FactsMissing})
	}
	if !s.MissingUnknown {
		d.EventsMissing = &s.EventsMissing
	}
	return d
}

// whole says that nothing is damaged or missing, as far as it was looked at.
func (c *captureInfo) whole() bool { return c.Damage == nil && c.Complete != nil && *c.Complete }

// instant is a time as in all JSON, nil where there is none.
func instant(unixNano int64) *string {
	if unixNano == 0 {
		return nil
	}
	t := time.Unix(0, unixNano).UTC().Format("2006-01-02T15:04:05.000000Z")
	return &t
}

func writeInfo(w io.Writer, as string, d *infoDocument) error {
	if as != "columns" {
		return form.JSON(w, d, as == "jsonpretty", "write result")
	}
	var b strings.Builder
	for i := range d.Captures {
		c := &d.Captures[i]
		if c.Error != nil {
			continue // it was told
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		c.columns(&b)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// columns are a line for each thing there is to say.
func (c *captureInfo) columns(b *strings.Builder) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(b, c.File)
	h := &c.Host
	if h.Name+h.Kernel+h.Tcpstate == "" {
		row("host", "unknown: the header is damaged, or says nothing")
	} else {
		row("host", "%s, Linux %s, recorded by tcpstate %s", orUnknown(h.Name), orUnknown(h.Kernel), orUnknown(h.Tcpstate))
	}
	if h.Tier != nil {
		row("TIME_WAIT", "followed by tier %d of 3", *h.Tier)
	}
	if c.Filter != "" {
		row("filter", "%s", c.Filter)
	}
	row("time", "%s", c.Recorded.text())
	row("events", "%s", c.counts())
	row("lost", "%d before they were recorded, %d for want of room", *c.Lost, *c.Dropped)
	row("facts", "%d settings and services", *c.Facts)
	each := "unknown, for there are no events"
	if c.BytesPerEvent != nil {
		each = strconv.FormatFloat(float64(*c.BytesPerEvent), 'f', 1, 64)
	}
	row("size", "%d bytes in %d blocks; bytes per event: %s", *c.Bytes, *c.Blocks, each)
	row("end", "%s", c.ends())
	row("damage", "%s", c.damageText())
	if c.Damage == nil {
		return
	}
	for _, p := range c.Damage.Places {
		fmt.Fprintf(b, "    at byte %d: %s%s\n", p.Offset, p.What, p.missing())
	}
	if c.Damage.Omitted > 0 {
		fmt.Fprintf(b, "    and %d more places\n", c.Damage.Omitted)
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func (r *recordedInfo) text() string {
	if r.Seconds == nil {
		return "no events"
	}
	const form = "2006-01-02 15:04:05.000"
	first, last := time.Unix(0, r.first), time.Unix(0, r.last)
	return fmt.Sprintf("%s to %s: %.1f s", first.Format(form), last.Format(form+" MST"), float64(*r.Seconds))
}

func (c *captureInfo) counts() string {
	parts := []string{}
	for _, kind := range slices.SortedFunc(maps.Keys(c.ByKind), func(a, b string) int {
		if c.ByKind[a] != c.ByKind[b] {
			return int(c.ByKind[b]) - int(c.ByKind[a])
		}
		return strings.Compare(a, b)
	}) {
		parts = append(parts, fmt.Sprintf("%d %s", c.ByKind[kind], kind))
	}
	if len(parts) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", *c.Events, strings.Join(parts, ", "))
}

func (c *captureInfo) ends() string {
	if *c.Complete {
		return "is there"
	}
	return "MISSING: the recording was cut off"
}

func (c *captureInfo) damageText() string {
	d := c.Damage
	switch {
	case d == nil && c.Verified:
		return "none: every block was checked"
	case d == nil:
		return "none in what was read; --verify checks every block"
	case d.EventsMissing == nil:
		return "nobody knows how many events are missing"
	}
	return fmt.Sprintf("%d events are missing at most", *d.EventsMissing)
}

func (p *damagePlace) missing() string {
	text := ""
	if p.EventsMissing > 0 {
		text = fmt.Sprintf("; %d events are missing at most", p.EventsMissing)
	}
	if p.FactsMissing > 0 {
		text += fmt.Sprintf("; %d settings and services are missing", p.FactsMissing)
	}
	return text
}
