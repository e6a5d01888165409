// Package verdict tells a pooled service from an unpooled one by how its connections to one destination were used.
//
// The rule and its thresholds come from 136 recorded cases of real clients; who closed first, ports and rates stand
// beside a verdict and are never part of it.
package verdict

import (
	"fmt"

	"github.com/tcpstate/tcpstate/internal/advice"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// Name is what a verdict is called in every output.
type Name string

// The verdicts. None stands for rows that get no verdict: inbound ones, for the host at the other end opened those.
const (
	None           Name = ""
	Unpooled       Name = "unpooled"
	UndersizedPool Name = "undersized-pool"
	Pooled         Name = "pooled"
	ConnectFailing Name = "connect-failing"
	TooFewToTell   Name = "too-few-to-tell"
)

// Names returns every Name but None.
func Names() []Name { return []Name{Unpooled, UndersizedPool, Pooled, ConnectFailing, TooFewToTell} }

// Verdict is a judgement about one row, why, and what to do about it.
type Verdict struct {
	Name Name
	Kind Kind
	// Confidence is "" for TooFewToTell and for None.
	Confidence Confidence
	// Evidence says in words, with their numbers, what the verdict rests on; then what else is worth knowing.
	Evidence []string
	// Advice says what to do, first things first.
	Advice []advice.Advice
}

// minWindow is the shortest window that is judged: 5 s, less what a timer may be early.
const minWindow = 4.95

// Withheld says why nothing can be judged in a window, "" when it can.
func Withheld(w churn.Window) string {
	switch {
	case w.Partial:
		return "the filter leaves out some events of each connection: no verdict on the others"
	case w.Seconds() < minWindow:
		return fmt.Sprintf("the window is %s s: less than 5 s is not enough for a verdict", decimal(w.Seconds()))
	}
	return ""
}

// Judge applies the rule to r, whose connections p opens.
func (s *Survey) Judge(r *churn.Row, w churn.Window, p Program) Verdict {
	switch {
	case r.Direction != event.Outbound:
		return inbound(r, w, &p)
	case r.Other:
		return Verdict{Name: TooFewToTell, Evidence: []string{"many destinations were counted together here: they cannot be judged as one"}}
	}
	f := measure(r, w)
	v := Verdict{Name: TooFewToTell}
	if why := Withheld(w); why != "" {
		v.Evidence = []string{why}
	} else {
		v = s.decide(r, w, &p, &f)
	}
	v.Evidence = append(v.Evidence, beside(r, &f)...)
	v.Advice = advise(&v, r, &p)
	return v
}

// decide judges f, and withholds the verdict when lost details could turn it.
func (s *Survey) decide(r *churn.Row, w churn.Window, p *Program, f *figures) Verdict {
	c := rule.apply(f)
	if why := f.unsure(c); why != "" {
		return Verdict{Name: TooFewToTell, Evidence: []string{why}}
	}
	v := Verdict{Name: c.name(), Evidence: []string{c.sentence(f)}}
	if k := s.recognise(r, w, p, f, c); k.kind != "" {
		v.Kind = k.kind
		v.Evidence = append(v.Evidence, k.sentence)
	}
	if v.Name == TooFewToTell {
		return v
	}
	var why string
	if v.Confidence, why = sureness(f, c); why != "" {
		v.Evidence = append(v.Evidence, why)
	}
	return v
}

// unsure says why c cannot be relied on, "" when it can.
func (f *figures) unsure(c conclusion) string {
	for _, v := range f.variants() {
		if n := rule.apply(&v).name(); n != c.name() {
			return fmt.Sprintf("details of %d of %d events were lost, and the verdict could be %s or %s", f.lostDetails, f.details, c.name(), n)
		}
	}
	if n := rule.apply(f.newOnly()).name(); c.name() == Pooled && (n == Unpooled || n == UndersizedPool) {
		return fmt.Sprintf(
			"most exchanges are those of connections opened before tracing began, and nothing says when they took place; the new ones alone look %s", n)
	}
	return ""
}
