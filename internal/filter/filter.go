// Package filter chooses events: the language of --filter and the short forms of its common sentences.
//
// An expression is comparisons joined by commas, all of which must hold: dst.port==5432,comm==java. The names are those
// of the JSON that trace prints, the operators == != >= <= > < and ~ (a regular expression in RE2 syntax, found anywhere
// in the text). A value in double quotes may hold commas; \" is a quote in it.
//
// A field that is null for an event equals nothing but null: == and the orderings are false, != is true, as in jq.
// Texts are never null: what is not known is "".
package filter

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// Filter is a parsed expression. It can be used from several goroutines at once.
type Filter struct {
	terms []term
}

// Match reports whether e, owned by s, is chosen. A nil or empty Filter chooses everything; s may be nil.
//
// A Lost event stands for events whose details are gone. It is chosen unless what is known of them (kind, direction,
// netns, service, addresses, error, closed_by) rules them out.
func (f *Filter) Match(e *event.Event, s *service.Service) bool {
	if f == nil {
		return true
	}
	for i := range f.terms {
		if !f.terms[i].match(e, s) {
			return false
		}
	}
	return true
}

// operator is how a field is compared.
type operator uint8

const (
	equal operator = iota + 1
	notEqual
	atLeast
	atMost
	greater
	less
	matches
	prefix // short forms only
)

// term is one comparison. Which of the values is used depends on the field's class.
type term struct {
	field  *field
	op     operator
	null   bool
	number uint64
	set    set // names: those that are chosen, != already turned round
	net    netip.Prefix
	text   string
	re     *regexp.Regexp
}

func (t *term) match(e *event.Event, s *service.Service) bool {
	if e.Kind == event.Lost {
		return t.matchLost(e, s)
	}
	return t.compare(e, s)
}

// matchLost reports whether the lost events can have been such that t holds.
func (t *term) matchLost(e *event.Event, s *service.Service) bool {
	switch {
	case t.field == kindField:
		return t.matchLostKind(e.Of)
	case t.field == pidField:
		return s == nil || t.null || t.op != equal || s.MayHavePID(uint32(t.number))
	case t.field.known == nil || !t.field.known(e):
		return true
	}
	return t.compare(e, s)
}

// matchLostKind: kind==lost asks for the records of losses themselves and kind!=lost refuses them; otherwise it is
// about the kind of event that was lost.
func (t *term) matchLostKind(of event.Kind) bool {
	lost := t.set.has(uint64(event.Lost))
	possible := of == 0 || t.set.has(uint64(of))
	if t.op == notEqual {
		return lost && possible
	}
	return lost || possible
}

// compare applies the operator to the field's value in e.
func (t *term) compare(e *event.Event, s *service.Service) bool {
	switch t.field.class {
	case text:
		return t.compareText(t.field.text(e, s))
	case address:
		return t.compareAddress(t.field.address(e))
	}
	v, ok := t.field.value(e, s)
	switch {
	case t.null:
		return ok == (t.op == notEqual)
	case !ok:
		return t.op == notEqual
	case t.field.class == names:
		return t.set.has(v)
	}
	return compareNumber(v, t.op, t.number)
}

func (t *term) compareText(v string) bool {
	switch t.op {
	case equal:
		return v == t.text
	case notEqual:
		return v != t.text
	case prefix:
		return strings.HasPrefix(v, t.text)
	default:
		return t.re.MatchString(v)
	}
}

func (t *term) compareAddress(v netip.Addr) bool {
	if t.null {
		return v.IsValid() == (t.op == notEqual)
	}
	return t.net.Contains(v) == (t.op == equal)
}

func compareNumber(v uint64, op operator, than uint64) bool {
	switch op {
	case equal:
		return v == than
	case notEqual:
		return v != than
	case atLeast:
		return v >= than
	case atMost:
		return v <= than
	case greater:
		return v > than
	default:
		return v < than
	}
}
