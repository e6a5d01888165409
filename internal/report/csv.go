package report

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
)

// WriteCSV writes the destinations for a spreadsheet: a line of titles, which are the names in the JSON with a dot
// before what is inside of another, and a line for each row. It is RFC 4180 with a bare newline, as `export -o csv`
// writes it: null is empty, "" is "". Texts that a spreadsheet would take for a formula begin with an apostrophe.
func WriteCSV(w io.Writer, d *Document) error {
	out := bufio.NewWriter(w)
	c := csvRow{titles: true}
	d.csv(&c, new(Destination))
	c.writeTo(out)
	c.titles = false
	for i := range d.Destinations {
		d.csv(&c, &d.Destinations[i])
		c.writeTo(out)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// csv writes a row, or the titles.
func (d *Document) csv(c *csvRow, r *Destination) {
	c.text("host", orElse(r.Host, d.Host.Name))
	c.service(&r.Service)
	c.text("direction", r.Direction)
	c.number("netns", r.Netns != nil, uint64(value(r.Netns)))
	c.optional("local.addr", r.Local.Addr)
	c.number("local.port", r.Local.Port != nil, uint64(value(r.Local.Port)))
	c.optional("dst.addr", r.Dst.Addr)
	c.number("dst.port", r.Dst.Port != nil, uint64(value(r.Dst.Port)))
	c.text("dst.name", r.Dst.Name)
	c.verdict(&r.Verdict)
	c.count("opened", r.Opened)
	c.count("closed", r.Closed)
	c.decimal("opened_per_second", r.OpenedRate)
	c.count("failed", r.failed())
	c.text("failed_by", r.failedBy())
	c.count("closed_by.local", r.ClosedBy.Local)
	c.count("closed_by.remote", r.ClosedBy.Remote)
	c.count("closed_by.both", r.ClosedBy.Both)
	c.count("closed_by.reset", r.ClosedBy.Reset)
	c.open(&r.Open)
	c.timeWait(&r.TimeWait)
	c.quantiles("lifetime_seconds", &r.Lifetime)
	c.quantiles("connect_seconds", &r.Connect)
	c.count("sent_bytes", r.Sent)
	c.count("received_bytes", r.Received)
	c.count("exchanges.total", r.Exchanges.Total)
	c.decimal("exchanges.p10", r.Exchanges.P10)
	c.decimal("exchanges.p50", r.Exchanges.P50)
	c.number("exchanges.max", r.Exchanges.Max != nil, value(r.Exchanges.Max))
	c.count("details_lost", r.DetailsLost)
	c.budget(d.PortOf(r))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// failedBy is "EADDRNOTAVAIL=812;ECONNREFUSED=3", the most frequent first.
func (d *Destination) failedBy() string {
	names := d.errors()
	for i, n := range names {
		names[i] = n + "=" + strconv.FormatUint(d.Failed[n], 10)
	}
	return strings.Join(names, ";")
}

func (c *csvRow) service(s *Service) {
	c.text("service.name", s.Name)
	c.text("service.kind", s.Kind)
	c.number("service.pid", s.PID != nil, uint64(value(s.PID)))
	c.text("service.comm", s.Comm)
	c.text("service.exe", s.Exe)
	c.text("service.runtime", s.Runtime)
	c.text("service.library", s.Library)
	c.text("service.unit", s.Unit)
	c.text("service.container_id", s.ContainerID)
	c.text("service.pod", s.Pod)
	c.number("service.cgroup_id", s.CgroupID != nil, value(s.CgroupID))
	c.text("service.cgroup", s.Cgroup)
	c.number("service.processes", s.Processes != nil, uint64(value(s.Processes)))
}

func (c *csvRow) verdict(v *Verdict) {
	c.optional("verdict.name", v.Name)
	c.optional("verdict.kind", v.Kind)
	c.optional("verdict.confidence", v.Confidence)
	c.text("verdict.evidence", strings.Join(v.Evidence, "; "))
	c.text("verdict.advice", strings.Join(v.Advice, "; "))
	c.text("verdict.sources", strings.Join(v.Sources, "; "))
}

func (c *csvRow) open(o *Open) {
	c.count("open.now", o.Now)
	c.count("open.peak", o.Peak)
	c.count("open.preexisting", o.Preexisting)
	c.count("open.connecting", o.Connecting)
	c.decimal("open.oldest_connecting_seconds", o.Oldest)
	c.count("open.close_wait", o.CloseWait)
	c.decimal("open.oldest_close_wait_idle_seconds", o.OldestCloseWait)
}

func (c *csvRow) timeWait(t *TimeWait) {
	c.count("time_wait.entered", t.Entered)
	c.number("time_wait.now", t.Now != nil, value(t.Now))
	c.count("time_wait.overflowed", t.Overflowed)
	c.number("time_wait.fin_wait2", t.FinWait2 != nil, value(t.FinWait2))
	c.count("time_wait.existing", t.Existing)
	c.count("time_wait.ended", t.Ended)
	c.count("time_wait.ended_by.expired", t.EndedBy.Expired)
	c.count("time_wait.ended_by.reused", t.EndedBy.Reused)
	c.count("time_wait.ended_by.killed", t.EndedBy.Killed)
	c.count("time_wait.ended_by.unknown", t.EndedBy.Unknown)
}

func (c *csvRow) quantiles(name string, q *Quantiles) {
	c.decimal(name+".p50", q.P50)
	c.decimal(name+".p90", q.P90)
	c.decimal(name+".p99", q.P99)
	c.decimal(name+".max", q.Max)
}

// budget writes what is left of the ports that the row uses; nil: nobody knows.
func (c *csvRow) budget(p *Port) {
	known := p != nil
	if !known {
		p = new(Port)
	}
	c.number("ports.used", known, p.Used)
	c.number("ports.capacity", p.Capacity != nil, uint64(max(value(p.Capacity), 0)))
	c.decimal("ports.used_ratio", p.UsedRatio)
	c.number("ports.reusable", known, p.Reusable)
	c.decimal("ports.seconds_to_exhaustion", p.Seconds)
	c.number("ports.exhausted", known, p.Exhausted)
}

// csvRow collects a line: the titles of its fields, or the fields.
type csvRow struct {
	line   []byte
	fields int
	titles bool
}

// writeTo ends the line and writes it. An error stays in out, and comes back from its Flush.
func (c *csvRow) writeTo(out *bufio.Writer) {
	_, _ = out.Write(append(c.line, '\n'))
	c.line, c.fields = c.line[:0], 0
}

// begin puts a comma before all fields but the first, and reports whether the value is wanted.
func (c *csvRow) begin(title string) bool {
	if c.fields++; c.fields > 1 {
		c.line = append(c.line, ',')
	}
	if c.titles {
		c.line = append(c.line, title...)
	}
	return !c.titles
}

func (c *csvRow) text(title, s string) {
	if !c.begin(title) {
		return
	}
	if first := strings.TrimLeft(s, " "); first != "" && strings.ContainsAny(first[:1], "=+-@") {
		s = "'" + s
	}
	c.line = form.AppendCSV(c.line, s)
}

func (c *csvRow) optional(title string, s *string) {
	if s == nil {
		c.begin(title)
		return
	}
	c.text(title, *s)
}

func (c *csvRow) count(title string, n uint64) { c.number(title, true, n) }

func (c *csvRow) number(title string, known bool, n uint64) {
	if c.begin(title) && known {
		c.line = strconv.AppendUint(c.line, n, 10)
	}
}

func (c *csvRow) decimal(title string, v *Decimal) {
	if c.begin(title) && v != nil && !math.IsNaN(float64(*v)) && !math.IsInf(float64(*v), 0) {
		c.line = v.append(c.line)
	}
}
