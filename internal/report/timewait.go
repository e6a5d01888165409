package report

import (
	"fmt"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// TimeWaitInput says how TIME_WAIT was observed, and how often that was compared with the kernel's own count.
type TimeWaitInput struct {
	Tier int    // 1 functions, 2 tracepoints, 3 census
	How  string // the same in words
	// Exact: every TIME_WAIT is seen to begin and to end. Else what began and ended between two censuses is missing.
	Exact bool
	// Kernel is the kernel's own count at the end, of all namespaces that were seen; nil: not read.
	Kernel *uint64
	// Checks is how often the two counts were compared, Differences how often they differed for longer than a moment,
	// Censuses how often all sockets were listed, and Repaired how many TIME_WAITs a census put right.
	Checks, Differences, Censuses, Repaired uint64
}

// NamespaceInput is one network namespace.
type NamespaceInput struct {
	Netns uint32 // 0: not known
	// Seen: its sockets were listed and its settings read. Why says why not.
	Seen bool
	Why  string
	// TimeWait is the kernel's own count at the end; nil: not read.
	TimeWait *uint64
	Settings *host.Settings // nil: not known
}

// TimeWaitTotal is TIME_WAIT on the whole host. Now is the sum over the destinations, Kernel the kernel's own count.
type TimeWaitTotal struct {
	Tier        int     `json:"tier"`
	How         string  `json:"how"`
	Exact       bool    `json:"exact"`
	Now         uint64  `json:"now"`
	Kernel      *uint64 `json:"kernel"`
	Checks      uint64  `json:"checks"`
	Differences uint64  `json:"differences"`
	Censuses    uint64  `json:"censuses"`
	Repaired    uint64  `json:"repaired"`
}

// Namespace is one network namespace. Settings that are not known are null.
type Namespace struct {
	Host  string  `json:"host,omitempty"` // where a document is of several
	Netns *uint32 `json:"netns"`
	Seen  bool    `json:"seen"`
	// WhyUnseen says why the sockets that were there before the window are not known.
	WhyUnseen string            `json:"why_unseen"`
	TimeWait  NamespaceTimeWait `json:"time_wait"`
	Range     *[2]uint16        `json:"port_range"`
	Reserved  *int              `json:"reserved"`
	Reuse     *int              `json:"tcp_tw_reuse"`
	Delay     *Decimal          `json:"tcp_tw_reuse_delay_seconds"`
	Stamps    *bool             `json:"tcp_timestamps"`
	Buckets   *int              `json:"tcp_max_tw_buckets"`
	Fin       *Decimal          `json:"tcp_fin_timeout_seconds"`
}

// NamespaceTimeWait is TIME_WAIT in one namespace: the sum over the destinations, and the kernel's own count. Now is
// nil where what was there before the window is not known.
type NamespaceTimeWait struct {
	Now    *uint64 `json:"now"`
	Kernel *uint64 `json:"kernel"`
}

// maxNamespaces bounds the namespaces of a document.
const maxNamespaces = 256

// timeWaitOf counts the TIME_WAITs of a row. How many are held is not known when their ends were not observed.
func (in *Input) timeWaitOf(r *churn.Row) TimeWait {
	t := TimeWait{
		Entered: r.TimeWaitEntered, Overflowed: r.TimeWaitOverflow, Existing: r.TimeWaitExisting, Ended: r.TimeWaitEnded,
		EndedBy: EndedBy{
			Expired: r.EndedBy[event.Expired], Reused: r.EndedBy[event.Reused], Killed: r.EndedBy[event.Killed],
			Unknown: r.EndedBy[0],
		},
	}
	if in.TimeWait == nil {
		return t
	}
	now := r.TimeWaitNow()
	t.Now = &now
	if n, ok := r.TimeWaitFinWait2(); ok {
		t.FinWait2 = &n
	}
	return t
}

func (in *Input) timeWait(rows []Destination) *TimeWaitTotal {
	w := in.TimeWait
	if w == nil {
		return nil
	}
	t := &TimeWaitTotal{
		Tier: w.Tier, How: event.Printable(w.How), Exact: w.Exact, Kernel: w.Kernel,
		Checks: w.Checks, Differences: w.Differences, Censuses: w.Censuses, Repaired: w.Repaired,
	}
	for i := range rows {
		t.Now += value(rows[i].TimeWait.Now)
	}
	return t
}

// namespaces describes the first of the network namespaces and counts the others.
func (d *Document) namespaces(in *Input) {
	held := make(map[uint32]uint64)
	for i := range d.Destinations {
		r := &d.Destinations[i]
		held[value(r.Netns)] += value(r.TimeWait.Now)
	}
	n := min(len(in.Namespaces), maxNamespaces)
	d.Namespaces, d.NamespacesOmitted = make([]Namespace, n), len(in.Namespaces)-n
	for i := range d.Namespaces {
		d.Namespaces[i] = in.Namespaces[i].describe()
		if now := held[in.Namespaces[i].Netns]; in.TimeWait != nil && in.Namespaces[i].Seen {
			d.Namespaces[i].TimeWait.Now = &now
		}
	}
}

func (i *NamespaceInput) describe() Namespace {
	n := Namespace{
		Netns: known(i.Netns), Seen: i.Seen, WhyUnseen: event.Printable(i.Why),
		TimeWait: NamespaceTimeWait{Kernel: i.TimeWait},
	}
	s := i.Settings
	if s == nil {
		return n
	}
	n.Range = &[2]uint16{s.RangeLow, s.RangeHigh}
	if s.Reserved != nil {
		n.Reserved = pointer(s.Reserved.CountIn(s.RangeLow, s.RangeHigh))
	}
	n.Reuse, n.Delay = pointer(s.TimeWaitReuse), pointer(Decimal(s.TimeWaitReuseDelay.Seconds()))
	n.Stamps, n.Buckets = pointer(s.Timestamps), pointer(s.MaxTimeWait)
	n.Fin = pointer(Decimal(s.FinTimeout.Seconds()))
	return n
}

// tier says how TIME_WAIT was observed.
func (t *TimeWaitTotal) tier() string { return fmt.Sprintf("tier %d: %s", t.Tier, t.How) }

// difference compares what was counted with what the kernel counted.
func (t *TimeWaitTotal) difference() string {
	if t.Kernel == nil {
		return fmt.Sprintf("%s counted; the kernel's own count was not read", form.Grouped(t.Now))
	}
	return fmt.Sprintf("%s counted, %s held by the kernel", form.Grouped(t.Now), form.Grouped(*t.Kernel))
}

// checked says how often the counts were compared, and how that went.
func (t *TimeWaitTotal) checked() string {
	return fmt.Sprintf("compared with the kernel's count %s: %s; %s; %s put right",
		form.Count(t.Checks, "time"), form.Count(t.Differences, "difference"), censuses(t.Censuses), form.Grouped(t.Repaired))
}

func censuses(n uint64) string {
	if n == 1 {
		return "1 census"
	}
	return form.Grouped(n) + " censuses"
}
