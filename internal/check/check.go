// Package check turns a report into one line and a status, as monitoring systems want them (the plugin API of Nagios,
// which Icinga, Naemon, Zabbix and others speak): is this host about to run out of ports?
package check

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// Status is the exit code.
type Status int

// The statuses, by their exit codes.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

func (s Status) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// Limits are what is too much.
type Limits struct {
	// Warning and Critical are percentages of the ports toward one destination that are taken and that connect() cannot
	// take over.
	Warning, Critical float64
	// Within is how many seconds ahead the end of the ports is a warning; 0: it is none.
	Within float64
	// Findings are codes of findings that count, too, with what they are.
	Findings map[string]Status
}

// Result is what there is to say.
type Result struct {
	Status Status
	Text   string
	// Runbook is the page that says what to do; "": there is none.
	Runbook string
	Data    []Datum
}

// Datum is a figure for the monitoring system to keep.
type Datum struct {
	Label          string
	Value          *float64 // nil: not known
	Unit           string   // "%", "s" or ""
	Warn, Crit     *float64
	Least, Highest *float64
}

// Examine judges d.
func Examine(d *report.Document, l Limits) Result {
	r := Result{Data: figures(d, &l)}
	if d.Ports == nil {
		r.Status, r.Text = Unknown, "how many ports are held is not known: the ends of TIME_WAITs were not observed"
		return r
	}
	p, status := worst(d, &l)
	r.Status, r.Text = status, describe(p, d)
	if p != nil && p.UsedRatio == nil && status == OK {
		r.Status, r.Text = Unknown, "the port range is not known: "+r.Text
	}
	if n := bindFailures(d); n > 0 && status < Critical {
		r.Status, r.Text = Critical, form.Count(n, "bind() call")+" found no port: "+r.Text
	}
	for i := range d.Findings {
		f := &d.Findings[i]
		if s, ok := l.Findings[f.Code]; ok && s > r.Status {
			r.Status, r.Text, r.Runbook = s, at(f.Host)+strings.TrimSuffix(f.Summary, "."), f.Runbook
		}
	}
	if !d.Loss.TotalsExact {
		r.Text += "; totals are not exact"
	}
	return r
}

// bindFailures counts the calls for any port that found none.
func bindFailures(d *report.Document) (n uint64) {
	for i := range d.BindFailures {
		n += d.BindFailures[i].Exhausted
	}
	return n
}

// worst is the budget of which least is left, and how bad that is; nil: there is none.
func worst(d *report.Document, l *Limits) (*report.Port, Status) {
	var found *report.Port
	status := OK
	for i := range d.Ports {
		p := &d.Ports[i]
		s := l.of(p)
		if found == nil || s > status || s == status && p.Needed() > found.Needed() {
			found, status = p, s
		}
	}
	return found, status
}

func (l *Limits) of(p *report.Port) Status {
	percent := 100 * p.Needed()
	switch {
	case p.Exhausted > 0, percent >= l.Critical:
		return Critical
	case percent >= l.Warning, p.Seconds != nil && float64(*p.Seconds) < l.Within:
		return Warning
	}
	return OK
}

// describe says what there is of the fullest budget.
func describe(p *report.Port, d *report.Document) string {
	if p == nil {
		return "nothing was connected in " + seconds(float64(d.Window.Seconds))
	}
	s := at(p.Host)
	if p.Exhausted > 0 {
		s += form.Count(p.Exhausted, "connect") + " found no port: "
	}
	s += form.Grouped(p.Used)
	if p.Capacity != nil {
		s += " of " + form.Count(uint64(*p.Capacity), "port")
	} else {
		s += " ports"
	}
	s += " taken from " + text(p.Src) + " toward " + place(p)
	if len(p.Services) > 0 {
		s += " by " + strings.Join(p.Services, ", ")
	}
	if p.Capacity != nil {
		s += " (" + decimal(100*p.Needed()) + "%"
		if p.Reusable > 0 {
			s += ": connect() takes over " + form.Grouped(p.Reusable) + " of them"
		}
		s += ")"
	}
	if p.Seconds != nil && *p.Seconds > 0 {
		s += ", all of them in " + seconds(float64(*p.Seconds))
	}
	return s
}

// at names the host, where there are several.
func at(host string) string {
	if host == "" {
		return ""
	}
	return host + ": "
}

func place(p *report.Port) string {
	if p.Dst.Port == nil {
		return text(p.Dst.Addr)
	}
	return net.JoinHostPort(text(p.Dst.Addr), strconv.Itoa(int(*p.Dst.Port)))
}

func text(s *string) string {
	if s == nil {
		return "unknown"
	}
	return *s
}

// figures are of the fullest budget and of the whole host.
func figures(d *report.Document, l *Limits) []Datum {
	p, _ := worst(d, l)
	zero, all := 0.0, 100.0
	used := Datum{Label: "ports_used", Unit: "%", Warn: &l.Warning, Crit: &l.Critical, Least: &zero, Highest: &all}
	held := Datum{Label: "ports_held", Least: &zero}
	left := Datum{Label: "seconds_to_exhaustion", Unit: "s", Least: &zero}
	if p != nil {
		if p.UsedRatio != nil {
			used.Value = pointer(100 * p.Needed())
		}
		held.Value = pointer(float64(p.Used))
		if p.Capacity != nil {
			held.Highest = pointer(float64(*p.Capacity))
		}
		if p.Seconds != nil {
			left.Value = pointer(float64(*p.Seconds))
		}
	} else if d.Ports != nil {
		used.Value, held.Value = &zero, &zero
	}
	return append([]Datum{used, held, left}, totals(d)...)
}

// totals are of all that this host connects to.
func totals(d *report.Document) []Datum {
	var exhausted, failed, opened uint64
	for i := range d.Ports {
		exhausted += d.Ports[i].Exhausted
	}
	for i := range d.Destinations {
		r := &d.Destinations[i]
		if r.Direction != event.Outbound.String() {
			continue
		}
		opened += r.Opened
		for _, n := range r.Failed {
			failed += n
		}
	}
	zero := 0.0
	rate := Datum{Label: "connects_per_second", Least: &zero}
	if s := float64(d.Window.Seconds); s > 0 {
		rate.Value = pointer(float64(opened) / s)
	}
	waits := Datum{Label: "time_wait", Least: &zero}
	if d.TimeWait != nil {
		waits.Value = pointer(float64(d.TimeWait.Now))
	}
	return []Datum{
		{Label: "exhausted", Value: pointer(float64(exhausted)), Least: &zero},
		{Label: "failed", Value: pointer(float64(failed)), Least: &zero}, rate, waits,
	}
}

// Line is the result as one line: "TCPSTATE OK - text | data", with the runbook's page in brackets behind the text.
func (r *Result) Line() string {
	line := "TCPSTATE " + r.Status.String() + " - " + clean(r.Text)
	if r.Runbook != "" {
		line += " (" + clean(r.Runbook) + ")"
	}
	if len(r.Data) == 0 {
		return line
	}
	line += " |"
	for i := range r.Data {
		line += " " + r.Data[i].String()
	}
	return line
}

// maxText bounds what is said: some monitoring systems cut lines at 1 KiB.
const maxText = 500

// clean keeps text from beginning the data, or another line.
func clean(s string) string {
	s = strings.ReplaceAll(event.Printable(s), "|", "¦")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// String is 'label'=value[unit];[warn];[crit];[min];[max], with U for a value that is not known.
func (d *Datum) String() string {
	s := d.Label + "=U"
	if d.Value != nil {
		s = d.Label + "=" + decimal(*d.Value) + d.Unit
	}
	for _, v := range []*float64{d.Warn, d.Crit, d.Least, d.Highest} {
		if s += ";"; v != nil {
			s += decimal(*v)
		}
	}
	return strings.TrimRight(s, ";")
}

// decimal writes v with two digits after the point at most.
func decimal(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func seconds(v float64) string { return fmt.Sprintf("%s s", decimal(v)) }

func pointer(v float64) *float64 { return &v }
