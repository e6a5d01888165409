package diff

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/report"
)

// made is a row as the tables write it.
type made struct {
	name, unit, container string
	pid, netns            uint32
	dst                   string // 10.0.0.9 when ""
	verdict               string
	opened, exchanges     uint64
	preexisting, lost     uint64
	timeWait              uint64
	failed                map[string]uint64
	inbound               bool
	local                 string // 10.0.0.1 when ""
}

func (m made) row() report.Destination {
	port := uint16(5432)
	r := report.Destination{
		Service:   report.Service{Name: m.name, Kind: "process", PID: &m.pid, Unit: m.unit, ContainerID: m.container},
		Direction: "outbound", Netns: &m.netns, Dst: report.Remote{Addr: &m.dst, Port: &port},
		Opened: m.opened, Closed: m.opened, Failed: m.failed, DetailsLost: m.lost,
		Open:      report.Open{Peak: min(m.opened, 5), Preexisting: m.preexisting},
		TimeWait:  report.TimeWait{Entered: m.timeWait, Now: &m.timeWait},
		Exchanges: report.Exchanges{Total: m.exchanges},
	}
	r.Local.Addr = &m.local
	if m.inbound {
		r.Direction = "inbound"
	}
	if m.dst == "" {
		m.dst = "10.0.0.9"
	}
	if m.local == "" {
		m.local = "10.0.0.1"
	}
	if m.verdict != "" {
		r.Verdict.Name = &m.verdict
	}
	return r
}

// reportWith makes a whole report of ten seconds.
func reportWith(rows ...made) *report.Document {
	d := &report.Document{Schema: report.Schema, Window: report.Window{Seconds: 10}, Loss: report.Loss{TotalsExact: true}}
	for _, m := range rows {
		d.Destinations = append(d.Destinations, m.row())
	}
	return d
}

func comparison(before, after *report.Document) *Document {
	return Compare(Input{"a.json", before}, Input{"b.json", after})
}

var (
	unpooled = made{name: "pgbench", verdict: "unpooled", opened: 4660, exchanges: 13980, timeWait: 4655}
	pooled   = made{name: "pgbench", verdict: "pooled", opened: 4, exchanges: 12000, timeWait: 0}
)

func with(m made, change func(*made)) made {
	change(&m)
	return m
}

func TestResults(t *testing.T) {
	failing := func(errno string, n uint64) func(*made) {
		return func(m *made) { m.failed = map[string]uint64{errno: n} }
	}
	tests := []struct {
		name          string
		before, after made
		want          Result
		changes       string // what is not the same
	}{
		{"a pool", unpooled, pooled, Better, "verdict=better connections=better time_wait=better"},
		{"a pool taken away", pooled, unpooled, Worse, "verdict=worse connections=worse time_wait=worse"},
		{"nothing", unpooled, unpooled, Same, ""},
		{"noise", unpooled, with(unpooled, func(m *made) { m.opened, m.exchanges, m.timeWait = 4400, 13100, 4390 }), Same, ""},
		{"certain, and too little to be told", unpooled, with(unpooled, func(m *made) { m.exchanges = 16000 }), Same, ""},
		{"a fifth less", unpooled, with(unpooled, func(m *made) { m.exchanges = 18000 }), Better, "connections=better time_wait=better"},
		{"half the work is no fix", unpooled, with(unpooled, func(m *made) { m.opened, m.exchanges, m.timeWait = 2330, 6990, 2330 }), Same, ""},
		{"three times the work is no regression", unpooled, with(unpooled, func(m *made) { m.opened, m.exchanges, m.timeWait = 13980, 41940, 13980 }), Same, ""},
		{"a pool, and much more work", unpooled, with(pooled, func(m *made) { m.exchanges = 500_000 }), Better,
			"verdict=better connections=better time_wait=better"},
		{"idle after", unpooled, made{name: "pgbench", verdict: "too-few-to-tell"}, CannotTell, ""},
		{"idle before", made{name: "pgbench", verdict: "too-few-to-tell"}, unpooled, CannotTell, ""},
		{"too few after", unpooled, made{name: "pgbench", verdict: "too-few-to-tell", opened: 5, exchanges: 15, timeWait: 5}, CannotTell, "verdict=cannot-tell"},
		{"few, and worse beyond noise", pooled, made{name: "pgbench", verdict: "too-few-to-tell", opened: 19, exchanges: 60}, Worse,
			"verdict=cannot-tell connections=worse"},
		{"a pool from before the window", unpooled, made{name: "pgbench", verdict: "pooled", preexisting: 4, exchanges: 1_000_000}, Better,
			"verdict=better connections=cannot-tell"},
		{"fewer, for unknown work", with(unpooled, func(m *made) { m.preexisting = 1 }), with(unpooled, func(m *made) { m.opened = 1000 }),
			CannotTell, "connections=cannot-tell"},
		{"details lost", unpooled, with(unpooled, func(m *made) { m.exchanges, m.lost = 6990, 4660 }), Same, ""},
		{"undersized is better than none", unpooled, with(unpooled, func(m *made) { m.verdict = "undersized-pool" }), Better, "verdict=better"},
		{"undersized is worse than pooled", pooled, with(pooled, func(m *made) { m.verdict = "undersized-pool" }), Worse, "verdict=worse"},
		{"three failures where there were none", unpooled, with(unpooled, failing("ECONNREFUSED", 3)), Worse, "failures=worse"},
		{"two failures", unpooled, with(unpooled, failing("ECONNREFUSED", 2)), Same, ""},
		{"as many failures of another kind", with(unpooled, failing("ETIMEDOUT", 50)), with(unpooled, failing("ECONNREFUSED", 52)), Same, ""},
		{"ports found again", with(unpooled, failing("EADDRNOTAVAIL", 812)), unpooled, Better, "ports_exhausted=better"},
		{"ports run out", unpooled, with(unpooled, failing("EADDRNOTAVAIL", 812)), Worse, "ports_exhausted=worse"},
		{"a fix that costs failures", unpooled, with(pooled, failing("ECONNREFUSED", 40)), Worse,
			"verdict=better connections=better time_wait=better failures=worse"},
		{"failures in step with the work", with(unpooled, failing("ECONNRESET", 1000)),
			with(unpooled, func(m *made) {
				m.opened, m.exchanges, m.timeWait, m.failed = 9320, 27960, 9310, map[string]uint64{"ECONNRESET": 2000}
			}), Same, ""},
		{"all connects fail", unpooled, made{name: "pgbench", verdict: "connect-failing", failed: map[string]uint64{"ECONNREFUSED": 400}}, Worse,
			"connections=cannot-tell failures=worse"},
		{"the server closes first now", unpooled, with(unpooled, func(m *made) { m.timeWait = 0 }), Better, "time_wait=better"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := comparison(reportWith(tt.before), reportWith(tt.after))
			var changes []string
			for _, c := range d.Rows[0].Changes {
				if c.Result != Same {
					changes = append(changes, c.Figure+"="+string(c.Result))
				}
			}
			if got := strings.Join(changes, " "); got != tt.changes || d.Rows[0].Result != tt.want || d.Result != tt.want {
				t.Errorf("%s, row %s: %q, want %s: %q", d.Result, d.Rows[0].Result, got, tt.want, tt.changes)
			}
			if d.ExitCode != map[Result]int{Better: 0, Same: 0, Worse: 1, CannotTell: 3}[tt.want] {
				t.Errorf("exit code %d", d.ExitCode)
			}
			if begin := map[Result]string{Same: "no change: ", CannotTell: "cannot tell: "}[tt.want]; !strings.HasPrefix(d.Summary, begin) {
				t.Errorf("summary %q", d.Summary)
			}
		})
	}
}

func TestMatching(t *testing.T) {
	worker := func(change func(*made)) made { return with(with(unpooled, func(m *made) { m.name = "java" }), change) }
	id := strings.Repeat("5e", 32)
	tests := []struct {
		name          string
		before, after []made
		want          []string // SERVICE UNIT DST ROWS→ROWS
	}{
		{"another pid and local address", []made{unpooled}, []made{with(unpooled, func(m *made) { m.pid, m.local = 77, "10.0.0.2" })},
			[]string{"pgbench  10.0.0.9:5432 1→1"}},
		{"another container and network namespace",
			[]made{worker(func(m *made) { m.container, m.netns = "old", 1 })}, []made{worker(func(m *made) { m.container, m.netns = "new", 2 })},
			[]string{"java  10.0.0.9:5432 1→1"}},
		{"containers more and fewer are added up",
			[]made{worker(func(m *made) { m.container = "a" }), worker(func(m *made) { m.container = "b" })},
			[]made{worker(func(m *made) { m.container = "c" })}, []string{"java  10.0.0.9:5432 2→1"}},
		{"a container that stays is not mixed with others",
			[]made{worker(func(m *made) { m.container = "a" }), worker(func(m *made) { m.container = "b" })},
			[]made{worker(func(m *made) { m.container = "c" }), worker(func(m *made) { m.container = "b" })},
			[]string{"java  10.0.0.9:5432 1→1", "java  10.0.0.9:5432 1→1"}},
		{"units keep services of one name apart",
			[]made{worker(func(m *made) { m.unit = "a.service" }), worker(func(m *made) { m.unit = "b.service" })},
			[]made{worker(func(m *made) { m.unit = "b.service" }), worker(func(m *made) { m.unit = "a.service" })},
			[]string{"java a.service 10.0.0.9:5432 1→1", "java b.service 10.0.0.9:5432 1→1"}},
		{"a transient unit", []made{worker(func(m *made) { m.unit = "run-r1.scope" })}, []made{worker(func(m *made) { m.unit = "run-r2.scope" })},
			[]string{"java run-r2.scope 10.0.0.9:5432 1→1"}},
		{"a container that gave its id for a name",
			[]made{worker(func(m *made) { m.name, m.container = id, id })},
			[]made{worker(func(m *made) { m.name, m.container = id[1:], id[1:] })}, []string{"container  10.0.0.9:5432 1→1"}},
		{"another destination is another row", []made{unpooled}, []made{with(pooled, func(m *made) { m.dst = "10.0.0.10" })},
			[]string{"pgbench  10.0.0.10:5432 0→1", "pgbench  10.0.0.9:5432 1→0"}},
		{"inbound rows are not compared", []made{unpooled, with(unpooled, func(m *made) { m.inbound = true })}, []made{unpooled},
			[]string{"pgbench  10.0.0.9:5432 1→1"}},
		{"what a full table added up is not compared", []made{unpooled, with(unpooled, func(m *made) { m.name = "~other" })}, []made{unpooled},
			[]string{"pgbench  10.0.0.9:5432 1→1"}},
		{"idle in both", []made{unpooled, {name: "sshd", verdict: "too-few-to-tell", timeWait: 0}}, []made{unpooled, {name: "sshd"}},
			[]string{"pgbench  10.0.0.9:5432 1→1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := comparison(reportWith(tt.before...), reportWith(tt.after...))
			var got []string
			for i := range d.Rows {
				r := &d.Rows[i]
				rows := func(f *Figures) string {
					if f == nil {
						return "0"
					}
					return number(float64(f.Rows))[:1]
				}
				got = append(got, strings.Join([]string{r.Service.Name, r.Service.Unit, place(&r.Dst), rows(r.Before) + "→" + rows(r.After)}, " "))
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is added up keeps its totals, the worst verdict, and nothing that cannot be added.
func TestSums(t *testing.T) {
	seconds := report.Decimal(0.5)
	a, b := unpooled, with(pooled, func(m *made) {
		m.container, m.failed = "b", map[string]uint64{"ETIMEDOUT": 2, "EADDRNOTAVAIL": 1}
	})
	in := reportWith(a, b)
	in.Destinations[0].Lifetime.P50 = &seconds
	f := figuresOf(in, []*report.Destination{&in.Destinations[1], &in.Destinations[0]}, new(uint64))
	if f.Rows != 2 || f.Opened != 4664 || f.Exchanges != 25980 || f.TimeWait.Entered != 4655 || f.Open.Peak != 9 ||
		*f.Verdict != "unpooled" || f.Lifetime.P50 != nil || f.failures() != 2 || f.Failed[noPort] != 1 || *f.FailedRate["ETIMEDOUT"] != 0.2 {
		t.Errorf("%+v", f)
	}
	in.Destinations[1].TimeWait.Now = nil
	if f := figuresOf(in, []*report.Destination{&in.Destinations[1], &in.Destinations[0]}, new(uint64)); f.TimeWait.Now != nil {
		t.Error("TIME_WAITs held are known where one row's are not")
	}
	if f := figuresOf(in, []*report.Destination{&in.Destinations[0]}, new(uint64)); f.Lifetime.P50 == nil || *f.Lifetime.P50 != seconds {
		t.Error("the lifetime of one row is lost")
	}
}

func TestWhatCannotBeTold(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(before, after *report.Document)
		want  Result
		says  string
	}{
		{"a short window", func(_, after *report.Document) { after.Window.Seconds = 4.9 }, CannotTell, "the window of AFTER is 4.90 s"},
		{"no window", func(before, _ *report.Document) { before.Window.Seconds = 0 }, CannotTell, "the window of BEFORE is 0"},
		{"a capture without an end", func(before, _ *report.Document) {
			before.Loss.TotalsExact, before.Loss.Capture = false, &report.CaptureDamage{}
		}, CannotTell, "BEFORE is not whole"},
		{"losses that nobody counted", func(_, after *report.Document) { after.Loss.TotalsExact = false }, CannotTell, "AFTER is not whole"},
		{"some events lost", func(_, after *report.Document) {
			after.Loss.TotalsExact, after.Loss.EndsUnseen = false, 100
		}, Better, "unpooled before, pooled after"},
		{"no row in common", func(_, after *report.Document) { after.Destinations = nil }, CannotTell, "no service connects to the same destination"},
		{"moved", func(_, after *report.Document) {
			after.Destinations = []report.Destination{with(pooled, func(m *made) { m.dst = "127.0.0.1" }).row()}
		}, CannotTell, "no service connects to the same destination"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Enough of both that the lost events of the case above are no large share of them.
			before, after := reportWith(unpooled), reportWith(with(pooled, func(m *made) { m.opened, m.exchanges = 600, 500_000 }))
			tt.spoil(before, after)
			d := comparison(before, after)
			if d.Result != tt.want || !strings.Contains(d.Summary, tt.says) {
				t.Errorf("%s: %s, want %s with %q", d.Result, d.Summary, tt.want, tt.says)
			}
			if tt.want == CannotTell {
				for _, r := range d.Rows {
					if r.Result != CannotTell {
						t.Errorf("%s is %s all the same", r.title(), r.Result)
					}
				}
			}
		})
	}
}

// Events that may be missing are room for doubt: a difference that they could explain is none.
func TestLossesWiden(t *testing.T) {
	after := with(unpooled, func(m *made) { m.opened, m.exchanges, m.timeWait = 4660, 20000, 4655 })
	whole := comparison(reportWith(unpooled), reportWith(after))
	lossy := reportWith(after)
	lossy.Loss.TotalsExact, lossy.Loss.EventsUnassigned = false, 2500
	if d := comparison(reportWith(unpooled), lossy); whole.Result != Better || d.Result == Better || d.Result == Worse {
		t.Errorf("%s without losses, %s with: %s", whole.Result, d.Result, d.Summary)
	}
	// A verdict made of a few events of which many may be missing is not believed.
	lossy = reportWith(pooled)
	lossy.Loss.TotalsExact, lossy.Loss.SocketsEvicted = false, 100
	if c := comparison(reportWith(unpooled), lossy).Rows[0].Changes[0]; c.Result != CannotTell {
		t.Errorf("%+v", c)
	}
}

// The more is compared, the more must each differ: chance must not make a regression of many rows that did not change.
func TestNoise(t *testing.T) {
	one, many := newJudge(1), newJudge(1000)
	if math.Abs(one.deviations-3) > 1e-9 || many.deviations < 4.3 || many.deviations > 5 {
		t.Errorf("%v and %v standard deviations", one.deviations, many.deviations)
	}
	tests := []struct {
		a, b sample
		want int
	}{
		{sample{100, 10, 0}, sample{100, 10, 0}, 0},
		{sample{100, 10, 0}, sample{142, 10, 0}, 0}, // 42 < 3 * sqrt(242)
		{sample{100, 10, 0}, sample{150, 10, 0}, 1}, // 50 > 3 * sqrt(250)
		{sample{150, 10, 0}, sample{100, 10, 0}, -1},
		{sample{150, 10, 0}, sample{100, 10, 5}, 0},
		{sample{1e6, 10, 0}, sample{1.19e6, 10, 0}, 0}, // certain, and less than a fifth
		{sample{1e6, 10, 0}, sample{1.21e6, 10, 0}, 1},
		{sample{1e6, 10, 0}, sample{1e6, 20, 0}, -1},
		{sample{0, 10, 0}, sample{8, 10, 0}, 0},
		{sample{0, 10, 0}, sample{10, 10, 0}, 1},
		{sample{10, 10, 0}, sample{0, 10, 0}, -1},
		{sample{0, 10, 0}, sample{0, 10, 0}, 0},
	}
	for _, tt := range tests {
		if got := one.compare(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// Ports are judged only where nothing from before the window can be among them.
func TestPortsUsed(t *testing.T) {
	in := func(seconds float64, used uint64, work uint64) *report.Document {
		d := reportWith(with(unpooled, func(m *made) { m.exchanges, m.opened, m.timeWait = work, work/3, work/3 }))
		d.Window.Seconds = report.Decimal(seconds)
		r, capacity, part := d.Destinations[0], 28232, report.Decimal(float64(used)/28232)
		d.Ports = []report.Port{
			{Netns: r.Netns, Src: r.Local.Addr, Dst: report.Remote{Addr: r.Dst.Addr, Port: new(uint16)}, UsedRatio: &capacityOne},
			{Netns: r.Netns, Src: r.Local.Addr, Dst: r.Dst, Used: used, Capacity: &capacity, UsedRatio: &part},
		}
		return d
	}
	tests := []struct {
		name          string
		before, after *report.Document
		want          Result
	}{
		{"more for the same work", in(60, 3000, 90_000), in(60, 20_000, 90_000), Worse},
		{"fewer for the same work", in(60, 20_000, 90_000), in(60, 3000, 90_000), Better},
		{"in step with the work", in(60, 3000, 90_000), in(60, 6000, 180_000), Same},
		{"a few", in(60, 100, 90_000), in(60, 1000, 90_000), Same},
		{"what came before the window", in(30, 3000, 90_000), in(30, 20_000, 90_000), ""},
	}
	for _, tt := range tests {
		d := comparison(tt.before, tt.after)
		var got Result
		for _, c := range d.Rows[0].Changes {
			if c.Figure == PortsUsedFigure {
				got = c.Result
			}
		}
		if got != tt.want || d.Rows[0].After.Ports == nil || d.Rows[0].After.Ports.Used != tt.after.Ports[1].Used {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

var capacityOne = report.Decimal(1)

// What is shown: changes, and news that are alarming; the busiest where there are none; all when all is asked for.
func TestSelect(t *testing.T) {
	named := func(m made, name string) made { return with(m, func(m *made) { m.name = name }) }
	before := reportWith(named(unpooled, "fixed"), named(unpooled, "kept"), named(pooled, "gone"), named(pooled, "broken"))
	after := reportWith(named(pooled, "fixed"), named(unpooled, "kept"), named(unpooled, "new"), named(pooled, "quiet"), named(unpooled, "broken"))
	names := func(all bool, limit int) string {
		d := comparison(before, after)
		d.Select(all, limit)
		var names []string
		for _, r := range d.Rows {
			names = append(names, r.Service.Name)
		}
		if len(names)+d.RowsOmitted != 6 {
			t.Errorf("%d shown and %d omitted", len(names), d.RowsOmitted)
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct {
		all   bool
		limit int
		want  string
	}{{false, 0, "broken fixed new"}, {false, 2, "broken fixed"}, {true, 0, "broken fixed new kept quiet gone"}, {true, 1, "broken"}} {
		if got := names(tt.all, tt.limit); got != tt.want {
			t.Errorf("all %v, limit %d: %s, want %s", tt.all, tt.limit, got, tt.want)
		}
	}
	d := comparison(before, after)
	if d.Counts != (Counts{Better: 1, Worse: 1, Same: 1, OnlyBefore: 1, OnlyAfter: 2}) {
		t.Errorf("%+v", d.Counts)
	}
	if d.Select(false, 0); !slices.ContainsFunc(d.Notes, func(n string) bool { return strings.Contains(n, "new → 10.0.0.9:5432 is new: unpooled") }) {
		t.Errorf("%q", d.Notes)
	}
	quiet := comparison(reportWith(unpooled), reportWith(unpooled))
	if quiet.Select(false, 0); len(quiet.Rows) != 1 {
		t.Error("what did not change is not shown though nothing else is")
	}
}

// Texts of a foreign file do not act on a terminal, nor break a table, nor grow.
func TestHostile(t *testing.T) {
	bad := "\x1b[31m|x|\u202e\n`<b>" + strings.Repeat("y", 100_000)
	m := func(v string) made {
		return made{
			name: bad, unit: bad, dst: bad, verdict: v, opened: math.MaxUint64, exchanges: math.MaxUint64,
			failed: map[string]uint64{bad: math.MaxUint64, "A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 6, "G": 7, "H": math.MaxUint64},
		}
	}
	before, after := reportWith(m(bad), m("unpooled")), reportWith(m("pooled"), m("pooled"))
	before.Host.Name, after.Filter.Expression = bad, bad
	before.Window.Seconds = 1e308
	d := Compare(Input{bad, before}, Input{"b", after})
	var columns, md, text bytes.Buffer
	for _, err := range []error{WriteColumns(&columns, d, Options{Width: 100}), WriteMarkdown(&md, d), WriteJSON(&text, d, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for form, out := range map[string]string{"columns": columns.String(), "md": md.String(), "json": text.String()} {
		if strings.ContainsAny(out, "\x1b\u202e\r") || len(out) > 30_000 {
			t.Errorf("%s: %d bytes: %.300q", form, len(out), out)
		}
	}
	if strings.Contains(md.String(), "|x|") || strings.Contains(md.String(), "<b>") {
		t.Error("Markdown is not escaped")
	}
	if len(d.Rows[0].Before.Failed) > maxErrors+2 {
		t.Errorf("%d errnos", len(d.Rows[0].Before.Failed))
	}
	if !json.Valid(text.Bytes()) {
		t.Error("no JSON")
	}
}

func TestReadReport(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a report", `{"schema":"tcpstate.report/v1","window":{"start":"2026-11-22T10:00:00.000000Z","seconds":10.0},"unheard_of":[1]}` + "\n", ""},
		{"another document", `{"schema":"tcpstate.plan/v1"}`, `has schema "tcpstate.plan/v1": what is compared has tcpstate.report/v1`},
		{"no schema", `{"window":{}}`, "has no schema"},
		{"a trace", `{"kind":"connect"}` + "\n" + `{"kind":"close"}`, "at byte 20: invalid character '{' after top-level value"},
		{"a list", `[1,2]`, "is no document of tcpstate report -o json: at byte 1: "},
		{"cut off", `{"schema":"tcpstate.report/v1","window":{`, "at byte 41: unexpected end of JSON input"},
		{"a word for a number", `{"schema":"tcpstate.report/v1","window":{"seconds":"ten"}}`, "is no document of tcpstate report -o json: at byte "},
		{"a count below nothing", `{"schema":"tcpstate.report/v1","destinations":[{"opened":-1}]}`, "cannot unmarshal number -1"},
		{"a window below nothing", `{"schema":"tcpstate.report/v1","window":{"seconds":-1}}`, "has a window of -1 s"},
		{"a time that is none", `{"schema":"tcpstate.report/v1","window":{"start":"noon"}}`, "read time"},
		{"too long", `{"schema":"tcpstate.report/v1"}` + strings.Repeat(" ", 1000), "is longer than 0 MiB"},
	}
	for _, tt := range tests {
		_, err := readReport(strings.NewReader(tt.text), 500)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && err == nil:
			t.Errorf("%s: %v", tt.name, err)
		case err != nil && !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: %q, want %q", tt.name, err, tt.want)
		}
	}
}

// A document of this version's own report survives being written and read.
func TestReportsRoundTrip(t *testing.T) {
	in := reportWith(unpooled, with(pooled, func(m *made) { m.name = "other" }))
	var b bytes.Buffer
	if err := report.WriteJSON(&b, in, true); err != nil {
		t.Fatal(err)
	}
	out, err := ReadReport(&b)
	if err != nil {
		t.Fatal(err)
	}
	d := comparison(in, out)
	if d.Result != Same || d.Counts.Same != 2 {
		t.Errorf("%s %+v", d.Summary, d.Counts)
	}
}

func TestNumbers(t *testing.T) {
	d := func(v float64) *report.Decimal { x := report.Decimal(v); return &x }
	for _, tt := range []struct{ got, want string }{
		{number(0), "0"}, {number(0.001), "<0.01"}, {number(0.55), "0.55"}, {number(9.999), "10.0"}, {number(99.96), "100"},
		{number(28232), "28,232"}, {number(math.NaN()), "-"}, {number(math.Inf(1)), "-"}, {number(1e300), "1.00e+300"},
		{percentage(d(100), d(0)), "-100 %"}, {percentage(d(10000), d(1)), "-99.9 %"}, {percentage(d(100), d(112)), "+12.0 %"},
		{percentage(d(1), d(70)), "× 70.0"}, {percentage(d(1), d(1)), ""}, {percentage(d(0), d(1)), ""}, {percentage(nil, d(1)), ""},
		{length(d(0.0000125)), "12.5 µs"}, {length(d(0.0248)), "24.8 ms"}, {length(d(5.81)), "5.81 s"}, {length(nil), "-"},
		{shorten("abcdefgh", 5), "ab…gh"}, {shorten("äöü", 3), "äöü"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
