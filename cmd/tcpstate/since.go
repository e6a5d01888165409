package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/capture"
)

// period is the part of captures that is asked for.
type period struct{ since, until moment }

func periodFlags(cmd *cobra.Command, p *period) {
	const form = ": a clock time (14:30, 14:30:05), RFC 3339, or how long before the end (-5m)"
	cmd.Flags().Var(&p.since, "since", "only what happened from this `TIME` on"+form)
	cmd.Flags().Var(&p.until, "until", "only what happened before this `TIME`"+form)
}

// options are the bounds for reading the captures at paths, Unix nanoseconds; 0: none. Clock times and times before the
// end are looked up in the captures, together: from the beginning of the first to the end of the last.
func (p *period) options(paths ...string) (o capture.ReadOptions, err error) {
	if !p.since.given() && !p.until.given() {
		return o, nil
	}
	var first, last int64
	if !p.since.absolute() || !p.until.absolute() {
		if first, last, err = p.extent(paths); err != nil {
			return o, err
		}
	}
	o.Since, o.Until = p.bounds(first, last, time.Local)
	if o.Until != 0 && o.Until <= o.Since {
		return o, fmt.Errorf("--until %s is not after --since %s", p.until.text, p.since.text)
	}
	return o, nil
}

// extent is when the first event of all captures happened, and the last.
func (p *period) extent(paths []string) (first, last int64, err error) {
	for _, path := range paths {
		s, err := p.look(path)
		if err != nil {
			return 0, 0, err
		}
		if s.First != 0 && (first == 0 || s.First < first) {
			first = s.First
		}
		last = max(last, s.Last)
	}
	return first, last, nil
}

// look reads what the capture at path contains. A pipe can be read only once, and not for that.
func (p *period) look(path string) (*capture.Summary, error) {
	if path == "-" {
		return nil, p.unknown("standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, failure{err}
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, p.unknown(path)
	}
	s, err := capture.Info(f)
	if err != nil {
		return nil, failure{fmt.Errorf("%s %w", path, err)}
	}
	return s, nil
}

// unknown names the flag that cannot be understood without knowing where a capture begins and ends.
func (p *period) unknown(name string) error {
	flag, m := "--since", &p.since
	if m.absolute() {
		flag, m = "--until", &p.until
	}
	return fmt.Errorf("%s %s: when %s begins and ends is known only when all is read: give a file, or a time like %s",
		flag, m.text, name, time.RFC3339)
}

// bounds turns the period into Unix nanoseconds, for a capture from first to last.
func (p *period) bounds(first, last int64, zone *time.Location) (since, until int64) {
	since = p.since.resolve(first, last, 0, zone)
	until = p.until.resolve(first, last, since, zone)
	return since, until
}

// moment is a flag value that is a point in time: 14:30, 14:30:05, RFC 3339, or -5m before the end of a capture.
type moment struct {
	text    string // "": not given
	at      time.Time
	isClock bool          // of at only the time of day counts
	before  time.Duration // the end; where at is not set
}

// Set reads s.
func (m *moment) Set(s string) (err error) {
	v := moment{text: s}
	if before, ok := strings.CutPrefix(s, "-"); ok {
		if v.before, err = time.ParseDuration(before); err != nil || strings.HasPrefix(before, "-") || strings.HasPrefix(before, "+") {
			return fmt.Errorf("%q is no time before the end: write for example -5m or -1h30m", s)
		}
		*m = v
		return nil
	}
	for _, form := range []string{"15:04", time.TimeOnly, time.RFC3339} {
		if v.at, err = time.Parse(form, s); err == nil {
			v.isClock = form != time.RFC3339
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%q is no time: write a clock time (14:30 or 14:30:05), RFC 3339 (%s) or a time before the end (-5m)", s, time.RFC3339)
	}
	if y := v.at.Year(); !v.isClock && (y <= 1970 || y > 2200) { // what Unix nanoseconds cannot tell
		return fmt.Errorf("%q is not between the years 1971 and 2200", s)
	}
	*m = v
	return nil
}

func (m *moment) String() string { return m.text }

// Type names the value in the help.
func (m *moment) Type() string { return "TIME" }

func (m *moment) given() bool { return m.text != "" }

// absolute says whether m needs no capture to be understood.
func (m *moment) absolute() bool { return !m.given() || !m.at.IsZero() && !m.isClock }

// resolve returns m in Unix nanoseconds, 0 when it was not given. A clock time is the first one in the capture, behind
// previous. Where the capture has none, it is on that of the capture's days where it is nearest.
func (m *moment) resolve(first, last, previous int64, zone *time.Location) int64 {
	switch {
	case !m.given():
		return 0
	case m.absolute():
		return m.at.UnixNano()
	case !m.isClock:
		return max(1, last-int64(m.before)) // 0 would be no bound
	}
	start := max(first, previous+1)
	day, end := time.Unix(0, start).In(zone), time.Unix(0, last).In(zone)
	today, tomorrow := m.on(day, 0), m.on(day, 1)
	switch {
	case today >= start && today <= last, dayOf(day) == dayOf(end):
		return today
	case tomorrow <= last:
		return tomorrow
	case start-today < tomorrow-last:
		return today
	default:
		return tomorrow
	}
}

// on is the clock time m, some days after day.
func (m *moment) on(day time.Time, days int) int64 {
	y, month, d := day.Date()
	h, minute, second := m.at.Clock()
	return time.Date(y, month, d+days, h, minute, second, m.at.Nanosecond(), day.Location()).UnixNano()
}

func dayOf(t time.Time) string { return t.Format(time.DateOnly) }
