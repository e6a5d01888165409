package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// Port is one budget of local ports: those that connections from one source address to one destination can have, in one
// network namespace, whoever opens them. What depends on the namespace's settings is null when those are not known.
type Port struct {
	Host  string  `json:"host,omitempty"` // where a document is of several
	Netns *uint32 `json:"netns"`
	Src   *string `json:"src"`
	Dst   Remote  `json:"dst"`
	// Range is net.ipv4.ip_local_port_range, both ends included. Reserved is how many of its ports are in
	// net.ipv4.ip_local_reserved_ports.
	Range    *[2]uint16 `json:"range"`
	Reserved *int       `json:"reserved"`
	// Capacity is what the range leaves: less the reserved ports and the blocked ones. UsedRatio is Used in it.
	Capacity  *int     `json:"capacity"`
	Used      uint64   `json:"used"`
	UsedRatio *Decimal `json:"used_ratio"`
	// ByState counts the used ports by the state of the socket that holds them; a timewait socket is TIME_WAIT in both
	// of its substates.
	ByState    map[string]uint64 `json:"by_state"`
	OpenedRate *Decimal          `json:"opened_per_second"`
	// Seconds is until no port is left if it goes on like this, TIME_WAITs that end counted in; 0: none is left now;
	// nil: it does not come to that.
	Seconds *Decimal `json:"seconds_to_exhaustion"`
	// Exhausted counts the connects that found no port; ExhaustedSince is when the first did, nil: none.
	Exhausted      uint64 `json:"exhausted"`
	ExhaustedSince *Time  `json:"exhausted_since"`

	// Opened are the connections established in the window.
	Opened uint64 `json:"opened"`
	// Blocked is how many ports of the range bind() or listen() holds: no connect() of anyone can choose them.
	Blocked *int `json:"blocked"`
	// Reusable is the part of Used that is TIME_WAIT and whose port connect() would take over.
	Reusable uint64 `json:"reusable"`
	// SlowConnects counts the connects that got a port of the second half, for all of the first half were taken; SlowSince
	// is the first of them. ConnectFast and ConnectSlow are how long connects took before and since.
	SlowConnects uint64     `json:"slow_connects"`
	SlowSince    *Time      `json:"slow_since"`
	ConnectFast  *Quantiles `json:"connect_seconds_before_half"`
	ConnectSlow  *Quantiles `json:"connect_seconds_past_half"`
	// TupleInUse counts connects whose port came from bind() and was taken toward this destination; BoundConnects are
	// all whose port came from bind().
	TupleInUse    uint64 `json:"tuple_in_use"`
	BoundConnects uint64 `json:"bound_connects"`
	// BindExhausted counts the bind() calls to port 0, from the same or from any address, that found no port.
	BindExhausted uint64 `json:"bind_exhausted"`
	// Services are those that connect within this budget, the busiest first.
	Services        []string `json:"services"`
	ServicesOmitted int      `json:"services_omitted"`
	// Basis is exact when Used is what the kernel held at the end, else inferred from the events.
	Basis string `json:"basis"`
	// Charts are there for the budgets of the rows that have them.
	Charts *PortCharts `json:"charts"`

	figures churn.BudgetFigures
	budget  *churn.Budget
}

// maxServices bounds the services named in a budget.
const maxServices = 8

func (p *Port) place() string { return joinPlace(p.Dst.Addr, p.Dst.Port) }

// ports describes the budgets of the table, the tightest first.
func (in *Input) ports(rows []Destination, w churn.Window) []Port {
	users := usersOf(rows)
	budgets := in.Table.Budgets()
	ports := make([]Port, 0, len(budgets))
	for _, b := range budgets {
		p := in.portOf(b, b.Figures(w))
		p.name(users[b])
		ports = append(ports, p)
	}
	sortByNeed(ports)
	return ports
}

func (in *Input) portOf(b *churn.Budget, f churn.BudgetFigures) Port {
	p := Port{
		Netns: known(b.Netns), Src: localOf(netip.AddrPortFrom(b.Local, 0)).Addr, Dst: in.remoteOf(b.Remote), Opened: b.Opened,
		Used: uint64(f.Used), Reusable: uint64(f.Reusable), ByState: byState(f.ByState),
		Exhausted: f.Exhausted, ExhaustedSince: timeOf(f.ExhaustedSince), TupleInUse: f.TupleInUse, BoundConnects: f.Bound, BindExhausted: f.BindExhausted,
		SlowConnects: f.SlowOpened, SlowSince: timeOf(f.SlowSince),
		ConnectFast: measured(f.ConnectFast), ConnectSlow: measured(f.ConnectSlow),
		Services: []string{}, Basis: event.Inferred.String(), figures: f, budget: b,
	}
	p.OpenedRate = pointer(Decimal(f.OpenedPerSecond))
	if f.Exact {
		p.Basis = event.Exact.String()
	}
	if f.Settings != nil {
		p.settle(&f)
	}
	return p
}

// settle fills in what follows from the namespace's settings.
func (p *Port) settle(f *churn.BudgetFigures) {
	p.Range = &[2]uint16{f.Settings.RangeLow, f.Settings.RangeHigh}
	p.Capacity, p.UsedRatio = pointer(f.Capacity), pointer(Decimal(f.UsedRatio))
	if f.Settings.Reserved != nil {
		p.Reserved = pointer(f.Reserved)
	}
	if f.Settings.Blocked != nil {
		p.Blocked = pointer(f.Blocked)
	}
	if f.Comes {
		p.Seconds = pointer(Decimal(max(f.SecondsToExhaustion, 0)))
	}
}

// name tells which services connect within the budget.
func (p *Port) name(users []string) {
	n := min(len(users), maxServices)
	p.Services = append(p.Services, users[:n]...)
	p.ServicesOmitted = len(users) - n
}

// usersOf are the services of each budget by how much they connect, each once.
func usersOf(rows []Destination) map[*churn.Budget][]string {
	all := make(map[*churn.Budget]map[string]uint64)
	for i := range rows {
		r := &rows[i]
		if r.budget == nil {
			continue
		}
		if all[r.budget] == nil {
			all[r.budget] = make(map[string]uint64)
		}
		all[r.budget][r.Service.Name] += r.Opened + r.harm.failed
	}
	users := make(map[*churn.Budget][]string, len(all))
	for k, weights := range all {
		for name := range weights {
			users[k] = append(users[k], name)
		}
		slices.SortFunc(users[k], func(a, b string) int {
			return cmp.Or(cmp.Compare(weights[b], weights[a]), strings.Compare(a, b))
		})
	}
	return users
}

func byState(counts map[event.State]uint64) map[string]uint64 {
	m := make(map[string]uint64, len(counts))
	for s, n := range counts {
		if n > 0 {
			m[s.String()] += n
		}
	}
	return m
}

// measured is nil when nothing was measured.
func measured(h *churn.Histogram) *Quantiles {
	if h.Count() == 0 {
		return nil
	}
	q := quantiles(h)
	return &q
}

// sortByNeed puts the budgets first of which least is left.
func sortByNeed(ports []Port) {
	sortInPlace(ports, func(a, b *Port) int {
		c := cmp.Or(cmp.Compare(value(b.UsedRatio), value(a.UsedRatio)), cmp.Compare(b.Exhausted, a.Exhausted), cmp.Compare(b.Used, a.Used))
		if c != 0 {
			return c
		}
		return cmp.Or(strings.Compare(a.place(), b.place()), strings.Compare(value(a.Src), value(b.Src)), cmp.Compare(value(a.Netns), value(b.Netns)))
	})
}

// Needed is the share of the capacity that is taken and that connect() would not take over.
func (p *Port) Needed() float64 {
	c := value(p.Capacity)
	if p.UsedRatio == nil {
		return 0
	}
	if c <= 0 {
		return float64(*p.UsedRatio)
	}
	return max(float64(*p.UsedRatio)-float64(p.Reusable)/float64(c), 0)
}
