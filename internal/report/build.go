package report

import (
	"net/netip"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// Input is all that a Document is made of.
type Input struct {
	Table *churn.Table
	// Service finds the owner's service. Nil, or a nil answer: only what the kernel said is known.
	Service func(*event.Owner) *service.Service
	// Name finds the name of an address. Nil: no names.
	Name func(netip.Addr) string
	// Charted is how many rows get their charts, the worst first; Chart names others by their ID.
	Charted int
	Chart   []int
	Facts
}

// Facts are what a report needs beside events, settings and services: what is known when the window has ended.
type Facts struct {
	Host, Kernel, Source string
	// TimeWaitTier and Hooks say what was attached, for those who ask (-v).
	TimeWaitTier string
	Hooks        []string

	// Filter is the expression that chose the events, "" for none; Excluded is how many it did not match.
	Filter   string
	Excluded uint64

	Losses Losses

	// TimeWait says how the ends of TIME_WAITs were observed. Nil: they were not.
	TimeWait *TimeWaitInput
	// Namespaces are the network namespaces that there are.
	Namespaces []NamespaceInput
	// Damage is what is wrong with the capture that the events come from.
	Damage Damage
	// HooksAbsent are the optional programs that are not attached, each with the reason and what it would have told.
	HooksAbsent []string
}

// Losses are what the tracer knows to be missing, beyond the Lost events that the table has counted.
type Losses struct {
	// EventsLost is the tracer's own count; the larger of it and the table's is reported.
	EventsLost uint64
	// These make totals inexact.
	EventsUnassigned, SocketsEvicted, RecursionLost, EndsUnseen, EventsRepeated uint64
	ServicesRefused                                                             uint64
}

// Build makes the document: rows judged, ordered by harm, findings first.
func Build(in Input) *Document {
	w := in.Table.Window()
	d := &Document{
		Schema: Schema,
		Window: Window{Start: timeOf(w.Start), End: timeOf(w.End), Seconds: Decimal(w.Seconds())},
		Host: Host{
			Name: event.Printable(in.Host), Kernel: event.Printable(in.Kernel), Source: event.Printable(in.Source),
			TimeWaitTier: event.Printable(in.TimeWaitTier), Hooks: printables(in.Hooks),
		},
		Filter:      Filter{Expression: event.Printable(in.Filter), Matched: in.Table.Counts().Events, Excluded: in.Excluded},
		Findings:    []Finding{},
		HooksAbsent: printables(in.HooksAbsent),
	}
	rows := in.Table.Rows()
	d.Destinations = make([]Destination, 0, len(rows))
	survey := verdict.NewSurvey(rows)
	for _, r := range rows {
		d.Destinations = append(d.Destinations, in.destination(r, w, survey))
	}
	d.Loss = in.loss(d.Destinations)
	d.TimeWait = in.timeWait(d.Destinations)
	d.namespaces(&in)
	if in.TimeWait != nil { // else nobody knows which ports have come back
		d.Ports, d.PortsOmitted = in.ports(d.Destinations, w), in.Table.BudgetsOmitted()
	}
	d.BindFailures, d.BindFailuresOmitted = in.bindFailures(), in.Table.BindFailuresOmitted()
	sortByHarm(d.Destinations)
	byID := make(map[int]*churn.Row, len(rows))
	for _, r := range rows {
		byID[r.ID] = r
	}
	d.link()
	d.chart(&in, byID)
	d.find(w)
	return d
}

func (in *Input) loss(rows []Destination) Loss {
	c := in.Table.Counts()
	l := Loss{
		EventsLost:       max(c.Lost, in.Losses.EventsLost),
		EventsUnassigned: max(c.Unassigned, in.Losses.EventsUnassigned),
		EventsMerged:     c.Merged,
		SocketsEvicted:   in.Losses.SocketsEvicted,
		ServicesRefused:  in.Losses.ServicesRefused,
		RecursionLost:    in.Losses.RecursionLost,
		EndsUnseen:       in.Losses.EndsUnseen,
		EventsRepeated:   in.Losses.EventsRepeated,
	}
	if n := len(in.Damage.Places) + in.Damage.More; n > 0 {
		l.Capture = in.Damage.loss()
	}
	l.TotalsExact = l.Capture == nil && l.EventsUnassigned == 0 && l.SocketsEvicted == 0 && l.RecursionLost == 0 &&
		l.EndsUnseen == 0 && l.EventsRepeated == 0
	for i := range rows {
		if rows[i].Service.Kind == service.KindUnknown && !rows[i].harm.other {
			l.ServicesUnknown += rows[i].Opened + rows[i].harm.failed
		}
	}
	return l
}

func (in *Input) destination(r *churn.Row, w churn.Window, survey *verdict.Survey) Destination {
	owner := in.service(r)
	v := survey.Judge(r, w, verdict.Program{Comm: owner.Comm, Exe: owner.Exe, Runtime: owner.Runtime, Library: owner.Library})
	_, peak := r.Peak()
	d := Destination{
		ID: r.ID, Recent: r.Recent(w.End), Service: owner, Direction: r.Direction.String(), Netns: known(r.Netns),
		Local: localOf(r.Local), Dst: in.remote(r),
		Opened: r.Opened, Closed: r.Closed, Failed: failedBy(r),
		ClosedBy: ClosedBy{
			Local: r.ClosedBy[event.ClosedLocal], Remote: r.ClosedBy[event.ClosedRemote],
			Both: r.ClosedBy[event.ClosedBoth], Reset: r.ClosedBy[event.ClosedReset],
		},
		Open:     openOf(r, peak),
		TimeWait: in.timeWaitOf(r),
		Lifetime: quantiles(r.Lifetimes), Connect: quantiles(r.ConnectTimes),
		Sent: r.SentBytes, Received: r.ReceivedBytes,
		Exchanges: exchanges(r), DetailsLost: r.LostDetails(),
		Verdict: verdictOf(&v), budget: r.Budget(),
	}
	if s := w.Seconds(); s > 0 {
		d.OpenedRate = pointer(Decimal(float64(r.Opened) / s))
	}
	d.where = d.place()
	d.harm, d.leak = harmOf(r, &d), leakOf(r, w)
	return d
}

func verdictOf(v *verdict.Verdict) Verdict {
	out := Verdict{
		Name: known(string(v.Name)), Kind: known(string(v.Kind)), Confidence: known(string(v.Confidence)),
		Evidence: list(v.Evidence), Advice: []string{}, Sources: []string{},
	}
	for _, a := range v.Advice {
		out.Advice, out.Sources = append(out.Advice, a.Text), append(out.Sources, a.Source)
	}
	return out
}

func openOf(r *churn.Row, peak uint64) Open {
	o := Open{Now: r.Open(), Peak: peak, Preexisting: r.Preexisting, Connecting: r.Connecting}
	if r.Connecting > 0 {
		o.Oldest = pointer(Decimal(r.OldestConnect.Seconds()))
	}
	if o.CloseWait = r.States().Count(event.CloseWait); o.CloseWait > 0 {
		o.OldestCloseWait = pointer(Decimal(r.States().OldestIdle(event.CloseWait).Seconds()))
	}
	return o
}

func (in *Input) service(r *churn.Row) Service {
	if r.Unnamed() {
		return Service{Name: otherName, Kind: service.KindUnknown}
	}
	return in.ownedBy(&r.Owner)
}

func (in *Input) ownedBy(o *event.Owner) Service {
	var s *service.Service
	if in.Service != nil {
		s = in.Service(o)
	}
	return serviceOf(s, o)
}

// otherName stands for all that a full table did not keep apart.
const otherName = "~other"

// serviceOf describes s, or what the kernel said about o when s is nil.
func serviceOf(s *service.Service, o *event.Owner) Service {
	if s == nil {
		s = stranger(o)
	}
	pid := o.PID
	if pid == 0 {
		pid = s.PID
	}
	return Service{
		Name: event.Printable(s.Name), Kind: s.Kind, PID: known(pid), Comm: event.Printable(s.Comm),
		Exe: event.Printable(s.Exe), Runtime: s.Runtime, Library: s.Library, Unit: event.Printable(s.Unit), ContainerID: event.Printable(s.ContainerID),
		Pod: event.Printable(s.Pod), CgroupID: known(s.CgroupID), Cgroup: event.Printable(s.Cgroup), Processes: known(s.Processes),
	}
}

// stranger is a service of which only the kernel's facts are known.
func stranger(o *event.Owner) *service.Service {
	s := &service.Service{Kind: service.KindUnknown, PID: o.PID, Comm: o.Comm.String(), CgroupID: o.CgroupID}
	if s.Name = s.Comm; s.Name == "" {
		s.Name = service.KindUnknown
	}
	if s.Comm != "" || s.PID != 0 {
		s.Kind = service.KindProcess
	}
	return s
}

func localOf(a netip.AddrPort) Local {
	if !a.Addr().IsValid() {
		return Local{}
	}
	return Local{Addr: known(a.Addr().String()), Port: known(a.Port())}
}

func (in *Input) remote(r *churn.Row) Remote {
	if r.Other {
		return Remote{Addr: known(otherName)}
	}
	return in.remoteOf(r.Remote)
}

func (in *Input) remoteOf(a netip.AddrPort) Remote {
	l := localOf(a)
	d := Remote{Addr: l.Addr, Port: l.Port}
	if in.Name != nil && l.Addr != nil {
		d.Name = event.Printable(in.Name(a.Addr()))
	}
	return d
}

func failedBy(r *churn.Row) map[string]uint64 {
	m := make(map[string]uint64)
	for err, n := range r.Failures {
		m[errorName(err)] += n
	}
	return m
}

func errorName(err event.Error) string {
	switch err {
	case churn.OtherFailures:
		return "OTHER"
	case event.NoError:
		return event.UnknownError.String()
	}
	return err.String()
}

func quantiles(h *churn.Histogram) Quantiles {
	if h.Count() == 0 {
		return Quantiles{}
	}
	q := [...]Decimal{
		Decimal(h.Quantile(0.5) / 1e9), Decimal(h.Quantile(0.9) / 1e9), Decimal(h.Quantile(0.99) / 1e9), Decimal(float64(h.Max()) / 1e9),
	}
	return Quantiles{P50: &q[0], P90: &q[1], P99: &q[2], Max: &q[3]}
}

func exchanges(r *churn.Row) Exchanges {
	x := Exchanges{Total: r.Exchanges.Sum() + r.CarriedExchanges.Sum() + r.PreexistingExchanges.Sum()}
	if r.Exchanges.Count() > 0 {
		p10, p50, most := Decimal(r.Exchanges.Quantile(0.1)), Decimal(r.Exchanges.Quantile(0.5)), r.Exchanges.Max()
		x.P10, x.P50, x.Max = &p10, &p50, &most
	}
	return x
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func printables(s []string) []string {
	clean := make([]string, len(s))
	for i := range s {
		clean[i] = event.Printable(s[i])
	}
	return clean
}
