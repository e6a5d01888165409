package report

import (
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// BindFailure counts the bind() calls of one service to one address that failed.
type BindFailure struct {
	Host    string  `json:"host,omitempty"` // where a document is of several
	Service Service `json:"service"`
	Netns   *uint32 `json:"netns"`
	// Local is what was asked for: the address, and the port asked for last, null for any.
	Local Local `json:"local"`
	Since *Time `json:"since"`
	// Exhausted: any port would have done, and none was left. Taken: another socket has the port. NotLocal: the namespace
	// does not have the address.
	Exhausted uint64 `json:"exhausted"`
	Taken     uint64 `json:"taken"`
	NotLocal  uint64 `json:"not_local"`
}

func (in *Input) bindFailures() []BindFailure {
	all := []BindFailure{}
	for _, f := range in.Table.BindFailures() {
		all = append(all, BindFailure{
			Service: in.ownedBy(&f.Owner), Netns: known(f.Netns), Local: localOf(f.Local), Since: timeOf(f.Since),
			Exhausted: f.Exhausted, Taken: f.Taken, NotLocal: f.NotLocal,
		})
	}
	return all
}

func (b *BindFailure) place() string { return joinPlace(b.Local.Addr, b.Local.Port) }

// address is the address alone; the unspecified one stands for all that the namespace has.
func (b *BindFailure) address() string {
	switch a := value(b.Local.Addr); a {
	case "", "0.0.0.0", "::":
		return "any address"
	default:
		return a
	}
}

// failed says how often a call failed, and since when.
func (b *BindFailure) failed(call string, n uint64) string {
	s := call + " failed " + form.Count(n, "time")
	if b.Since != nil {
		s += ", the first time at " + b.Since.text()
	}
	return s
}

// bindCause is how many calls failed for one reason.
type bindCause struct {
	n     uint64
	err   event.Error
	cause event.Cause
}

func (b *BindFailure) causes() []bindCause {
	all := []bindCause{
		{b.Exhausted, event.EADDRINUSE, event.PortsExhausted}, {b.Taken, event.EADDRINUSE, event.PortTaken},
		{b.NotLocal, event.EADDRNOTAVAIL, event.NotLocal},
	}
	return slices.DeleteFunc(all, func(c bindCause) bool { return c.n == 0 })
}

func (d *Document) writeBindFailures(b *strings.Builder, o *Options) {
	t := table{columns: []column{
		{title: "SERVICE", good: 12, least: 8}, {title: "ADDRESS", good: 21, least: 16}, {title: "FAILED", right: true},
		{title: "ERROR"}, {title: "CAUSE"},
	}}
	for i := range d.BindFailures {
		f := &d.BindFailures[i]
		for _, c := range f.causes() {
			t.add(f.Service.Name, f.place(), form.Grouped(c.n), c.err.String(), c.cause.String())
		}
	}
	if len(t.rows) == 0 {
		return
	}
	b.WriteString("\nFAILED BINDS\n")
	t.write(b, o.width())
	if n := d.BindFailuresOmitted; n > 0 {
		b.WriteString(form.Count(n, "more failed call") + " not told apart.\n")
	}
}
