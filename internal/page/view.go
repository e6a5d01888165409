package page

import (
	"html/template"
	"net/url"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// view is a document laid out.
type view struct {
	*report.Document
	Options Options
	Style   template.CSS
	Script  template.JS
	Policy  string

	// Worst is the first finding; nil: there is none. First and Further are all of them.
	Worst          *finding
	First, Further []finding
	Cards          []card
	// Errors are the errnos of the cards, each with the pattern that it has in all of them.
	Errors []string
	Rows   []row
	// RowsLeft, PortsLeft, BindsLeft and FindingsLeft are how many are not on the page.
	RowsLeft, PortsLeft, BindsLeft uint64
	Budgets                        []*report.Port
	Binds                          []report.BindFailure
	// Spaces are the settings of network namespaces, Unknown those of which none is known.
	Spaces        []space
	Unknown       []string
	SpacesLeft    int
	Sections      template.HTML
	SectionsShown int
}

// finding is one with the place where its row is described.
type finding struct {
	*report.Finding
	Row *row // nil: no row of its own
}

// row is a destination with its place on the page, from 1.
type row struct {
	*report.Destination
	N       int
	Port    *report.Port // the budget of local ports that it draws on; nil: not known
	Section bool         // it has a section of its own

	numeric bool
}

func newView(d *report.Document, o Options) *view {
	v := &view{
		Document: d, Options: o, Style: template.CSS(style), Script: template.JS(script), Policy: policy(),
		Rows: make([]row, min(len(d.Destinations), maxRows)),
	}
	for i := range v.Rows {
		r := &d.Destinations[i]
		v.Rows[i] = row{Destination: r, N: i + 1, Port: d.PortOf(r), numeric: o.Numeric}
	}
	v.RowsLeft = uint64(len(d.Destinations) - len(v.Rows) + d.DestinationsOmitted)
	v.layFindings()
	v.layCards()
	v.layBudgets()
	v.Binds = d.BindFailures[:min(len(d.BindFailures), maxBinds)]
	v.BindsLeft = uint64(len(d.BindFailures) - len(v.Binds))
	v.layNamespaces()
	return v
}

// rowKey is how a finding names its row.
type rowKey struct{ host, service, place string }

func (v *view) layFindings() {
	rows := make(map[rowKey]*row)
	for i := range v.Rows {
		r := &v.Rows[i]
		k := rowKey{r.Host, r.Service.Name, r.Where(true)}
		if !r.Outbound() {
			k = rowKey{r.Host, "", r.Here()}
		}
		if rows[k] == nil {
			rows[k] = r
		}
	}
	all := make([]finding, len(v.Findings))
	for i := range v.Findings {
		f := &v.Findings[i]
		all[i] = finding{f, rows[rowKey{f.Host, f.Service, f.Destination}]}
	}
	if len(all) > 0 {
		v.Worst = &all[0]
	}
	n := min(len(all), openFindings)
	v.First, v.Further = all[:n], all[n:]
}

func (v *view) layBudgets() {
	for i := range v.Ports {
		if p := &v.Ports[i]; len(v.Budgets) < maxPorts {
			v.Budgets = append(v.Budgets, p)
		}
	}
	v.PortsLeft = uint64(len(v.Ports)-len(v.Budgets)) + v.PortsOmitted
}

// Mood is how bad the answer at the top is: a severity, or none. That nothing was seen at all is neither good nor bad.
func (v *view) Mood() string {
	switch {
	case v.Worst != nil:
		return v.Worst.Severity
	case len(v.Destinations)+len(v.BindFailures) > 0:
		return "none"
	}
	return report.Info
}

// Observed says that the ends of TIME_WAITs were, on one host at least: of several there is no sum.
func (v *view) Observed() bool { return v.Ports != nil }

// Links says which sections there are to go to.
func (v *view) Links() []link {
	links := []link{{"findings", "Findings"}}
	for _, l := range []struct {
		there bool
		link
	}{
		{len(v.Cards) > 0, link{"time", "Over time"}}, {len(v.Rows) > 0, link{"destinations", "Destinations"}},
		{len(v.Budgets) > 0, link{"ports", "Ports"}}, {len(v.Rows) > 0, link{"details", "Each destination"}},
		{len(v.Namespaces) > 0, link{"host", "Host settings"}}, {true, link{"quality", "What this rests on"}},
	} {
		if l.there {
			links = append(links, l.link)
		}
	}
	return links
}

type link struct{ ID, Text string }

// Outbound says that this host connected.
func (r *row) Outbound() bool { return r.Direction == event.Outbound.String() }

// Place is the other end as people want it; of an inbound row, both ends.
func (r *row) Place() string {
	if !r.Outbound() {
		return "from " + r.Where(r.numeric) + " to " + r.Here()
	}
	return r.Where(r.numeric)
}

// marks are the classes of verdicts, by which they have their shape and colour.
var marks = map[string]string{
	"connect-failing": "bad", "unpooled": "warn", "undersized-pool": "warn", "pooled": "good", "too-few-to-tell": "dull",
}

// Mark is the class of the verdict.
func (r *row) Mark() string { return marks[text(r.Verdict.Name)] }

// Advice pairs what to change with where that is from.
func (r *row) Advice() []advice {
	all := make([]advice, len(r.Verdict.Advice))
	for i, text := range r.Verdict.Advice {
		all[i].Text = text
		if i < len(r.Verdict.Sources) {
			all[i].Source = r.Verdict.Sources[i]
		}
	}
	return all
}

type advice struct{ Text, Source string }

// Site is where the source leads, "" where it cannot be followed.
func (a advice) Site() string {
	u, err := url.Parse(a.Source)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Host
}

// FailedBy are the row's errors, most frequent first.
func (r *row) FailedBy() []counted {
	var all []counted
	for _, name := range r.Errors() {
		all = append(all, counted{name, r.Failed[name]})
	}
	return all
}

type counted struct {
	Name  string
	Count uint64
}

// Identity is what is known of the service, beside its name.
func (r *row) Identity() []fact {
	s := &r.Service
	return known([]fact{
		{"Kind", s.Kind}, {"Process", plain(s.PID)}, {"Command", s.Comm}, {"Executable", s.Exe}, {"Runs on", s.Runtime},
		{"Client library", s.Library}, {"Unit", s.Unit}, {"Container", s.ContainerID}, {"Pod", s.Pod}, {"Cgroup", s.Cgroup},
		{"Network namespace", plain(r.Netns)}, {"Source address", text(r.Local.Addr)}, {"Destination", r.Where(true)},
	})
}

// fact is a line of a list.
type fact struct{ Name, Value string }

// known leaves out what is not.
func known(all []fact) []fact {
	var some []fact
	for _, f := range all {
		if f.Value != "" && f.Value != none {
			some = append(some, f)
		}
	}
	return some
}

// moment is a time in UTC, for people and for the script.
type moment struct{ Machine, Text string }

func momentOf(t *report.Time) *moment {
	if t == nil {
		return nil
	}
	at := t.At(time.UTC)
	return &moment{at.Format("2006-01-02T15:04:05.000Z"), at.Format("2006-01-02 15:04:05 UTC")}
}
