package advice

import (
	"slices"
	"strings"
)

// section is the advice for one trouble.
type section struct {
	place    place
	verdicts []string // nil: any
	kinds    []string // "" is a case without a kind; nil: any
	side     side
	// What must be so; false: need not.
	portsExhausted, tupleInUse, closedByServer bool

	rows []row // one of them fits everybody
}

// place is where a section's advice stands in the answer.
type place uint8

const (
	between place = iota
	atFirst
	atLast
)

type side uint8

const (
	outbound side = iota
	inbound
	bothSides
)

// row is one piece of advice, and for whom. A list that is nil asks for nothing; "" in it means not known.
type row struct {
	programs  []string // without version: see fitsProgram
	runtimes  []string
	libraries []string
	protocols []string

	text, source string
}

func (s *section) fits(c *Case) bool {
	if s.side != bothSides && (s.side == inbound) != c.Inbound {
		return false
	}
	if s.portsExhausted && !c.PortsExhausted || s.tupleInUse && !c.TupleInUse || s.closedByServer && !c.ClosedByServer {
		return false
	}
	return (s.verdicts == nil || slices.Contains(s.verdicts, c.Verdict)) &&
		(s.kinds == nil || slices.Contains(s.kinds, knownKind(c.Kind)))
}

// knownKind is the kind, or "" for one that has no section.
func knownKind(kind string) string {
	switch kind {
	case Leak, RetryStorm, DualStack, RecycledPool, ServerCloses, KeepAliveLimit, IdleTimeout, HealthCheck, LoadGenerator,
		Restart, Relay:
		return kind
	}
	return ""
}

// best returns the advice of the rows that fit and ask for most.
func (s *section) best(c *Case) []Advice {
	var found []Advice
	most := -1
	for i := range s.rows {
		r := &s.rows[i]
		rank := r.rank(c)
		if rank < 0 || rank < most {
			continue
		}
		if rank > most {
			found, most = found[:0], rank
		}
		found = append(found, Advice{Text: r.text, Source: r.source})
	}
	return found
}

// rank says how much r asks for that c has, -1 if c lacks some of it.
func (r *row) rank(c *Case) int {
	rank := 0
	for _, asks := range []struct {
		asked, met bool
		rank       int
	}{
		{r.programs != nil, fitsProgram(r.programs, c.Program), 8},
		{r.runtimes != nil, slices.Contains(r.runtimes, c.Runtime), 4},
		{r.libraries != nil, slices.Contains(r.libraries, c.Library), 2},
		{r.protocols != nil, slices.Contains(r.protocols, c.Protocol), 1},
	} {
		switch {
		case !asks.asked:
		case !asks.met:
			return -1
		default:
			rank += asks.rank
		}
	}
	return rank
}

// fitsProgram reports whether a process's name is one of programs, or begins with one and goes on with a version or a
// title: "wrk2", "php-fpm8.2", "puma: cluster w", "HikariPool-1 co".
func fitsProgram(programs []string, name string) bool {
	for _, p := range programs {
		rest, ok := strings.CutPrefix(name, p)
		if ok && endsName(rest) {
			return true
		}
	}
	return false
}

// endsName reports whether a name ends before rest.
func endsName(rest string) bool {
	if rest == "" || strings.IndexByte(" :[(.", rest[0]) >= 0 {
		return true
	}
	version := strings.TrimPrefix(rest, "-")
	return version != "" && version[0] >= '0' && version[0] <= '9'
}
