package diff

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/report"
)

// noPort is the errno of a connect that found no local port.
const noPort = "EADDRNOTAVAIL"

// figuresOf adds up the rows of one service toward one destination; nil when there are none.
func figuresOf(d *report.Document, rows []*report.Destination, missing *uint64) *Figures {
	if len(rows) == 0 {
		return nil
	}
	f := &Figures{Rows: len(rows), Failed: make(map[string]uint64), seconds: float64(d.Window.Seconds)}
	if missing != nil {
		f.missing = float64(*missing)
	}
	f.TimeWait.Now = new(uint64)
	for _, r := range rows {
		f.add(r)
	}
	if len(rows) == 1 {
		f.Lifetime = rows[0].Lifetime
	}
	f.foldErrors()
	f.derive()
	f.Ports = fullest(d, rows)
	return f
}

func (f *Figures) add(r *report.Destination) {
	if v := r.Verdict.Name; v != nil && (f.Verdict == nil || worse(*v, *f.Verdict)) {
		name := clean(*v)
		f.Verdict = &name
	}
	f.Opened = sum(f.Opened, r.Opened)
	f.closed = sum(f.closed, r.Closed)
	f.Open.Now = sum(f.Open.Now, r.Open.Now)
	f.Open.Peak = sum(f.Open.Peak, r.Open.Peak)
	f.Open.Preexisting = sum(f.Open.Preexisting, r.Open.Preexisting)
	f.Exchanges = sum(f.Exchanges, r.Exchanges.Total)
	f.lost = sum(f.lost, r.DetailsLost)
	f.TimeWait.Entered = sum(f.TimeWait.Entered, r.TimeWait.Entered)
	if r.TimeWait.Now == nil {
		f.TimeWait.Now = nil
	} else if f.TimeWait.Now != nil {
		now := sum(*f.TimeWait.Now, *r.TimeWait.Now)
		f.TimeWait.Now = &now
	}
	for name, n := range r.Failed {
		if n > 0 {
			name = clean(name)
			f.Failed[name] = sum(f.Failed[name], n)
		}
	}
}

// maxErrors is how many errnos are told apart, beside EADDRNOTAVAIL.
const maxErrors = 7

// foldErrors adds the rarest errors up, where there are too many.
func (f *Figures) foldErrors() {
	names := f.errors()
	if len(names) <= maxErrors {
		return
	}
	for _, name := range names[maxErrors:] {
		if name != "OTHER" {
			f.Failed["OTHER"] = sum(f.Failed["OTHER"], f.Failed[name])
			delete(f.Failed, name)
		}
	}
}

// errors are the errnos but EADDRNOTAVAIL, the most frequent first.
func (f *Figures) errors() []string {
	var names []string
	for name := range f.Failed {
		if name != noPort {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Failed[b], f.Failed[a]), strings.Compare(a, b))
	})
	return names
}

// failures are all failed connects but those that found no port.
func (f *Figures) failures() (n uint64) {
	for name, count := range f.Failed {
		if name != noPort {
			n = sum(n, count)
		}
	}
	return n
}

// derive computes what follows from the counts.
func (f *Figures) derive() {
	f.OpenedRate, f.TimeWait.EnteredRate = f.rate(f.Opened), f.rate(f.TimeWait.Entered)
	f.FailedRate = make(map[string]*report.Decimal, len(f.Failed))
	for name, n := range f.Failed {
		f.FailedRate[name] = f.rate(n)
	}
	f.PerConnection = ratio(float64(f.Exchanges), float64(sum(f.Opened, f.Open.Preexisting)))
	f.Avoidable = ratio(float64(f.Opened-min(f.Open.Peak, f.Opened)), float64(f.Opened))
	if f.workUnknown() == "" {
		f.InWindow = &f.Exchanges
		f.ExchangeRate = f.rate(f.Exchanges)
		f.PerThousand = ratio(1000*float64(f.Opened), float64(f.Exchanges))
	}
}

// maxLost is the share of events without details up to which the exchanges are taken to be all.
const maxLost = 0.05

// workUnknown says why nobody knows how much the connections were used in the window, "" when it is known. The kernel
// counts a connection's exchanges from its beginning on.
func (f *Figures) workUnknown() string {
	switch {
	case f.Open.Preexisting > 0:
		return "connections from before the window were also used before it"
	case float64(f.lost) > maxLost*float64(sum(f.Opened, f.closed)):
		return "the details of many connections were lost"
	}
	return ""
}

// work is how many exchanges there were in the window; 0: not known, or none.
func (f *Figures) work() float64 {
	if f.InWindow == nil {
		return 0
	}
	return float64(*f.InWindow)
}

// idle: nothing was connected and nothing used, so that nothing can be said.
func (f *Figures) idle() bool {
	return f == nil || f.Opened == 0 && f.Exchanges == 0 && f.failures() == 0 && f.Failed[noPort] == 0
}

// busy orders rows by how much is going on.
func (f *Figures) busy() uint64 {
	if f == nil {
		return 0
	}
	return sum(sum(f.Opened, f.failures()), f.Failed[noPort])
}

func (f *Figures) rate(n uint64) *report.Decimal { return ratio(float64(n), f.seconds) }

// fullest is the budget of local ports toward the rows' destination of which most is used.
func fullest(d *report.Document, rows []*report.Destination) *Ports {
	var most *report.Port
	for i := range d.Ports {
		p := &d.Ports[i]
		if drawnOn(p, rows) && (most == nil || used(p) > used(most)) {
			most = p
		}
	}
	if most == nil {
		return nil
	}
	return &Ports{
		Used: most.Used, Capacity: most.Capacity, UsedRatio: most.UsedRatio, Seconds: most.Seconds, Exhausted: most.Exhausted,
	}
}

func drawnOn(p *report.Port, rows []*report.Destination) bool {
	return slices.ContainsFunc(rows, func(r *report.Destination) bool {
		from := r.Local.Addr == nil || equal(r.Local.Addr, p.Src)
		return from && place(&r.Dst) == place(&p.Dst) && equal(r.Netns, p.Netns)
	})
}

// used orders budgets: by the share that is used where that is known, which is above all of which it is not.
func used(p *report.Port) float64 {
	if p.UsedRatio == nil {
		return -1 / (1 + float64(p.Used))
	}
	return float64(*p.UsedRatio)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// ratio is nil where there is nothing to divide by.
func ratio(a, b float64) *report.Decimal {
	if b <= 0 {
		return nil
	}
	d := report.Decimal(a / b)
	return &d
}

// sum does not wrap around: what a file says need not be true.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
