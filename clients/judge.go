package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	unpooled   = "unpooled"
	undersized = "undersized-pool"
	pooled     = "pooled"
	failing    = "connect-failing"
	tooFew     = "too-few-to-tell"
)

// counter is a number of connections that grows, counted by somebody else than tcpstate.
type counter struct {
	by   string
	read func() (uint64, error)
}

// pair is what is expected of one client and one server.
type pair struct {
	comm, server, dst, verdict string
	opened                     counter
	failed                     func() (map[string]uint64, error)
	closedBy                   string
	before                     uint64
}

// begin reads the counter before tracing begins.
func (p *pair) begin() (err error) {
	p.before, err = p.opened.read()
	return err
}

// expected is a pair when the clients have ended.
type expected struct {
	comm, server, dst, verdict string
	// opened is by the count of countedBy, failed by the client's.
	opened    uint64
	countedBy string
	failed    map[string]uint64
	// closedBy says who closed first, always; "" where that is a race, or of no interest.
	closedBy string
}

// end reads the counters, when they have stood still for a while: logs may be written late.
func (p *pair) end(pause func(time.Duration)) (expected, error) {
	e := expected{
		comm: p.comm, server: p.server, dst: p.dst, verdict: p.verdict, countedBy: p.opened.by, closedBy: p.closedBy,
		failed: map[string]uint64{},
	}
	last, err := p.opened.read()
	for range 20 {
		if err != nil {
			return e, err
		}
		pause(100 * time.Millisecond)
		var now uint64
		now, err = p.opened.read()
		if now == last {
			break
		}
		last = now
	}
	if err == nil && p.failed != nil {
		e.failed, err = p.failed()
	}
	e.opened = last - p.before
	return e, err
}

func (e *expected) line() string {
	text := fmt.Sprintf("%-15s  %-15s → %-16s %5d opened", e.verdict, e.comm, e.dst, e.opened)
	for _, name := range slices.Sorted(maps.Keys(e.failed)) {
		text += fmt.Sprintf(", %d %s", e.failed[name], name)
	}
	return text + ", counted by " + e.countedBy
}

// outcome is a case, the report, and what is wrong.
type outcome struct {
	name     string
	netns    uint32
	want     []expected
	doc      *document
	problems []string
}

// outcome compares the report with what was expected of the case.
func (s *stage) outcome(doc *document) *outcome {
	o := &outcome{name: s.name, netns: s.netns, doc: doc}
	for _, p := range s.pairs {
		if s.failed() {
			return o
		}
		e, err := p.end(func(d time.Duration) { pause(s.ctx, d) })
		s.fail(err)
		o.want = append(o.want, e)
	}
	if !s.failed() {
		o.problems = judge(doc, s.netns, o.want)
	}
	return o
}

// judge says what of the report about a namespace is not as expected.
func judge(doc *document, netns uint32, want []expected) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !doc.exact() {
		say("totals are not exact: %v", doc.Loss)
	}
	if s := doc.Window.Seconds; s < 5 || s > longest.Seconds()-1 {
		say("the window is %.1f s", s)
	}
	for i := range doc.Destinations {
		r := &doc.Destinations[i]
		if r.Netns == netns && r.Direction == "outbound" && r.active() && !known(r, want) {
			say("nobody expected this row:\n%s", r.show())
		}
	}
	for i := range want {
		for _, p := range judgeOne(doc, netns, &want[i]) {
			say("%s", p)
		}
		opened, accepted := toward(want, want[i].dst), accepted(doc, netns, want[i].dst)
		if want[i].server != "" && accepted != opened {
			say("inbound rows of %s: %d opened, not %d%s", want[i].dst, accepted, opened, inbound(doc, netns))
		}
	}
	return problems
}

// toward is how many connections all clients of a server have opened.
func toward(want []expected, dst string) (n uint64) {
	for i := range want {
		if want[i].dst == dst {
			n += want[i].opened
		}
	}
	return n
}

// accepted is how many connections the server's rows have.
func accepted(doc *document, netns uint32, at string) (n uint64) {
	for i := range doc.Destinations {
		if r := &doc.Destinations[i]; r.Netns == netns && r.Direction == "inbound" && r.Local.String() == at {
			n += value(r.Opened)
		}
	}
	return n
}

func known(r *row, want []expected) bool {
	return slices.ContainsFunc(want, func(e expected) bool { return r.Service.Comm == e.comm && r.Dst.String() == e.dst })
}

// active rows are those in which something happened; others hold the TIME_WAITs of what happened before.
func (r *row) active() bool { return r.Opened == nil || *r.Opened > 0 || len(r.Failed) > 0 }

// inbound shows the inbound rows of a namespace.
func inbound(doc *document, netns uint32) (text string) {
	for i := range doc.Destinations {
		if r := &doc.Destinations[i]; r.Netns == netns && r.Direction == "inbound" {
			text += "\n" + r.show()
		}
	}
	return text
}

// judgeOne compares the rows of one client and one server.
func judgeOne(doc *document, netns uint32, want *expected) []string {
	var own []*row
	var problems []string
	for i := range doc.Destinations {
		r := &doc.Destinations[i]
		switch {
		case r.Netns != netns:
		case r.Direction == "outbound" && r.Service.Comm == want.comm && r.Dst.String() == want.dst && r.active():
			own = append(own, r)
		case r.Direction == "inbound" && r.Local.String() == want.dst:
			if r.Verdict.Name != nil {
				problems = append(problems, fmt.Sprintf("the server is blamed for its clients:\n%s", r.show()))
			}
			if r.Service.Comm != want.server && r.active() {
				problems = append(problems, fmt.Sprintf("the server is %s:\n%s", want.server, r.show()))
			}
		}
	}
	if len(own) != 1 {
		return append(problems, fmt.Sprintf("%d rows of %s to %s, not one", len(own), want.comm, want.dst))
	}
	problems = append(problems, own[0].differences(want)...)
	return problems
}

// differences compares a row, and shows it when there are any.
func (r *row) differences(want *expected) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if name := r.verdict(); name != want.verdict {
		say("verdict %s, not %s", name, want.verdict)
	}
	if r.Opened == nil || *r.Opened != want.opened {
		say("%d opened, not %d, as counted by %s", value(r.Opened), want.opened, want.countedBy)
	}
	if !maps.Equal(r.Failed, want.failed) {
		say("failed %v, not %v, as counted by the client", r.Failed, want.failed)
	}
	if r.Service.Name != want.comm {
		say("the service's name is %q, not %q", r.Service.Name, want.comm)
	}
	if want.closedBy != "" && (r.ClosedBy[want.closedBy] == 0 || r.ClosedBy[want.closedBy] != sum(r.ClosedBy)) {
		say("closed_by %v, not %s only", r.ClosedBy, want.closedBy)
	}
	if !sentences(r.Verdict.Evidence) || len(r.Verdict.Evidence) == 0 {
		say("evidence is missing or empty: %q", r.Verdict.Evidence)
	}
	advised := want.verdict == unpooled || want.verdict == undersized || want.verdict == failing
	if !sentences(r.Verdict.Advice) || advised && len(r.Verdict.Advice) == 0 {
		say("advice is missing or empty: %q", r.Verdict.Advice)
	}
	if len(found) > 0 {
		found = append(found, r.show())
	}
	return found
}

func (r *row) verdict() string {
	if r.Verdict.Name == nil {
		return "null"
	}
	return *r.Verdict.Name
}

// show is the row for a person: why the verdict is what it is, and everything else.
func (r *row) show() string {
	var text strings.Builder
	for _, e := range r.Verdict.Evidence {
		fmt.Fprintf(&text, "evidence: %s\n", e)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, r.text); err == nil {
		text.Write(line.Bytes())
	}
	return text.String()
}

// sentences reports whether none of them is empty.
func sentences(all []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return strings.TrimSpace(s) == "" })
}

func value(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

func sum(m map[string]uint64) uint64 {
	var n uint64
	for _, v := range m {
		n += v
	}
	return n
}

// spoilt are wrong expectations, each of which must be noticed.
var spoilt = []struct {
	what  string
	spoil func(*expected)
}{
	{"another verdict", func(e *expected) {
		e.verdict = map[bool]string{true: unpooled, false: pooled}[e.verdict == pooled]
	}},
	{"one connection more", func(e *expected) { e.opened++ }},
	{"one connection less", func(e *expected) { e.opened-- }},
	{"a failed connect", func(e *expected) { e.failed = map[string]uint64{"ECONNREFUSED": sum(e.failed) + 1} }},
	{"another client", func(e *expected) { e.comm = "nobody" }},
	{"another server", func(e *expected) { e.server = "nobody" }},
	{"another destination", func(e *expected) { e.dst = "127.0.0.1:1" }},
	{"another closer", func(e *expected) { e.closedBy = "reset" }},
}

// unnoticed are the wrong expectations with which the case passes all the same.
func (o *outcome) unnoticed() []string {
	var names []string
	for _, s := range spoilt {
		want := slices.Clone(o.want)
		s.spoil(&want[0])
		if len(judge(o.doc, o.netns, want)) == 0 {
			names = append(names, s.what)
		}
	}
	if len(judge(o.doc, o.netns, o.want[1:])) == 0 {
		names = append(names, "a row that nobody expects")
	}
	if len(judge(o.doc, o.netns+1, o.want)) == 0 {
		names = append(names, "another network namespace")
	}
	return names
}
