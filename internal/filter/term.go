package filter

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// newTerm makes a comparison of a value as typed. null, unless quoted, is the absence of one.
func newTerm(f *field, op operator, value string, quoted bool) (term, error) {
	t := term{field: f, op: op}
	if value == "null" && !quoted && f.class != text {
		if op != equal && op != notEqual {
			return term{}, mistakef("use == or !=", "null has no order")
		}
		t.null = true
		return t, nil
	}
	var err error
	switch f.class {
	case number:
		t.number, err = parseNumber(f, value)
	case duration:
		t.number, err = parseDuration(value)
	case address:
		t.net, err = parseNetwork(value)
	case names:
		t.set, err = chooseNames(f, op, value)
	default:
		err = t.setText(value)
	}
	return t, err
}

// checkOperator refuses operators that make no sense for a field.
func checkOperator(f *field, op operator) error {
	ordered := f.class == number || f.class == duration
	switch {
	case ordered && op == matches:
		return mistakef("use == != >= <= > or <", `"~" is for text and %s is a number`, f.name)
	case f.class == address && op != equal && op != notEqual:
		return mistakef("use == or != with an address or CIDR", "%s is an address, which has no order and no letters", f.name)
	case !ordered && op != equal && op != notEqual && op != matches && op != prefix:
		return mistakef("use == != or ~", "%s is text, which has no order", f.name)
	}
	return nil
}

func parseNumber(f *field, value string) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, mistakef("write it like "+f.name+"==1", "%q is not a whole number", value)
	}
	if err != nil || n > f.max {
		return 0, mistakef(fmt.Sprintf("%s is at most %d", f.name, f.max), "%q is out of range", value)
	}
	return n, nil
}

// parseDuration reads seconds (0.01) or a Go duration (10ms), and gives nanoseconds.
func parseDuration(value string) (uint64, error) {
	if d, err := time.ParseDuration(value); err == nil && d >= 0 {
		return uint64(d), nil
	}
	seconds, err := strconv.ParseFloat(value, 64)
	ns := math.Round(seconds * 1e9)
	if err != nil || !(ns >= 0 && ns < math.MaxInt64) {
		return 0, mistakef("write seconds (0.01) or a unit (10ms)", "%q is not a duration", value)
	}
	return uint64(ns), nil
}

// parseNetwork reads an address, or a network in CIDR form. IPv4-mapped addresses are IPv4, as in events.
func parseNetwork(value string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(value); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return netip.Prefix{}, mistakef("write it like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32", "%q is not an address or CIDR", value)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// chooseNames finds the names that are meant. One that does not exist would never match: that is an error.
func chooseNames(f *field, op operator, value string) (set, error) {
	chosen := func(n string) bool { return strings.EqualFold(n, value) }
	if op == matches {
		re, err := compile(value)
		if err != nil {
			return set{}, err
		}
		chosen = re.MatchString
	}
	var s set
	for i, n := range f.names {
		if n != "" && chosen(n) {
			s.add(uint64(i))
		}
	}
	if s == (set{}) {
		return set{}, unknownName(f, value)
	}
	if op == notEqual {
		s.invert()
	}
	return s, nil
}

func unknownName(f *field, value string) error {
	if n := nearest(strings.ToLower(value), f.names); n != "" {
		return mistakef(fmt.Sprintf("did you mean %q?", n), "%q is no %s", value, f.name)
	}
	var known []string
	for _, n := range f.names {
		if n != "" {
			known = append(known, n)
		}
	}
	if len(known) > 16 {
		return mistakef("write it like ECONNREFUSED", "%q is no %s", value, f.name)
	}
	return mistakef("use one of "+strings.Join(known, ", "), "%q is no %s", value, f.name)
}

func (t *term) setText(value string) (err error) {
	if t.op == matches {
		t.re, err = compile(value)
		return err
	}
	// The kernel cuts a program's name, so a longer one is never equal. Escapes make it look longer than it is.
	if maxComm := len(event.Comm{}) - 1; t.field == commField && len(value) > maxComm && !strings.Contains(value, `\`) {
		cut := strings.ToValidUTF8(value[:maxComm], "")
		return mistakef(fmt.Sprintf("did you mean %q?", cut), "%q is longer than the %d bytes the kernel keeps of a name", value, maxComm)
	}
	t.text = value
	return nil
}

func compile(value string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(value)
	if err == nil {
		return re, nil
	}
	why := err.Error()
	var se *syntax.Error
	if errors.As(err, &se) {
		why = fmt.Sprintf("%s: %q", se.Code, se.Expr)
	}
	return nil, mistakef("write it in RE2 syntax", "%q is not a regular expression (%s)", value, why)
}
