package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxExpression is the length of the longest expression, in bytes. Nobody types that much.
const maxExpression = 4096

// Parse reads an expression. The error is one line that names the offending word, where it is (characters, from 1), and
// what would be right.
func Parse(expr string) (*Filter, error) {
	if len(expr) > maxExpression {
		return nil, fmt.Errorf("filter %q…: %d bytes long; at most %d are read", expr[:32], len(expr), maxExpression)
	}
	p := parser{expr: expr}
	f, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", expr, err)
	}
	return f, nil
}

// parser walks over an expression; pos is the next byte.
type parser struct {
	expr string
	pos  int
}

func (p *parser) parse() (*Filter, error) {
	f := &Filter{}
	p.skipBlanks()
	if p.rest() == "" {
		return f, nil
	}
	for {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		f.terms = append(f.terms, t)
		if p.rest() == "" {
			return f, nil
		}
		p.pos++ // the comma, at which a value ends
		p.skipBlanks()
	}
}

// term reads field, operator, value.
func (p *parser) term() (term, error) {
	start := p.pos
	name := p.word()
	if name == "" {
		return term{}, p.errorAt(start, "a field is missing", `write it like dst.port==5432`)
	}
	f := lookUp(name)
	if f == nil {
		return term{}, p.unknownField(start, name)
	}
	p.skipBlanks()
	start = p.pos
	op, err := p.operator(name)
	if err == nil {
		err = p.locate(start, checkOperator(f, op))
	}
	if err != nil {
		return term{}, err
	}
	p.skipBlanks()
	start = p.pos
	value, quoted, err := p.value()
	if err != nil {
		return term{}, err
	}
	t, err := newTerm(f, op, value, quoted)
	return t, p.locate(start, err)
}

// word reads a field's name: up to a blank, comma or operator.
func (p *parser) word() string {
	rest := p.rest()
	n := strings.IndexAny(rest, " \t,=!<>~&|")
	if n < 0 {
		n = len(rest)
	}
	p.pos += n
	return rest[:n]
}

// spellings of the operators; what others write for them comes with what is right here.
var spellings = []struct {
	text string
	op   operator
	use  string
}{
	{text: "=~", use: "~"},
	{text: "!~", use: "!= or a regular expression that finds the rest"},
	{text: "==", op: equal},
	{text: "!=", op: notEqual},
	{text: ">=", op: atLeast},
	{text: "<=", op: atMost},
	{text: "<>", use: "!="},
	{text: ">", op: greater},
	{text: "<", op: less},
	{text: "~", op: matches},
	{text: "=", use: "=="},
}

func (p *parser) operator(field string) (operator, error) {
	for _, s := range spellings {
		if !strings.HasPrefix(p.rest(), s.text) {
			continue
		}
		if s.op == 0 {
			return 0, p.errorAt(p.pos, fmt.Sprintf("unknown operator %q", s.text), "use "+s.use)
		}
		p.pos += len(s.text)
		return s.op, nil
	}
	return 0, p.errorAt(p.pos, fmt.Sprintf("no operator after %q", field), "use one of == != >= <= > < ~")
}

// value reads a value, up to the comma or the end.
func (p *parser) value() (v string, quoted bool, err error) {
	if strings.HasPrefix(p.rest(), `"`) {
		v, err = p.quoted()
		return v, true, err
	}
	start := p.pos
	v, _, _ = strings.Cut(p.rest(), ",")
	p.pos += len(v)
	v = strings.TrimRight(v, " \t")
	if v == "" {
		return "", false, p.errorAt(start, "a value is missing", `write "" for the empty text`)
	}
	// Most likely a second comparison; as a text it would never match, and look like a quiet host.
	for _, sign := range [...]string{"&&", "||", "==", "!=", ">=", "<="} {
		if i := strings.Index(v, sign); i >= 0 {
			return "", false, p.errorAt(start+i, fmt.Sprintf("unexpected %q", sign),
				`a comma means "and"; put a value that holds it in double quotes`)
		}
	}
	return v, false, nil
}

// quoted reads a value in double quotes and the blanks behind it.
func (p *parser) quoted() (string, error) {
	start := p.pos
	var b strings.Builder
	for i := start + 1; i < len(p.expr); i++ {
		switch c := p.expr[i]; {
		case c == '\\' && strings.HasPrefix(p.expr[i+1:], `"`):
			b.WriteByte('"')
			i++
		case c == '"':
			p.pos = i + 1
			p.skipBlanks()
			if r := p.rest(); r != "" && r[0] != ',' {
				return "", p.errorAt(p.pos, fmt.Sprintf("unexpected %q after a quoted value", firstRune(r)), "a comma goes between comparisons")
			}
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorAt(start, "the quote is not closed", `end the value with "`)
}

func (p *parser) rest() string { return p.expr[p.pos:] }

func (p *parser) skipBlanks() {
	p.pos = len(p.expr) - len(strings.TrimLeft(p.rest(), " \t"))
}

// column turns a byte offset into the character's number, from 1.
func (p *parser) column(pos int) int { return utf8.RuneCountInString(p.expr[:pos]) + 1 }

// mistake is what is wrong, naming the word, and what would be right.
type mistake struct{ what, hint string }

func (m mistake) Error() string { return m.what + "; " + m.hint }

func mistakef(hint, format string, args ...any) error {
	return mistake{what: fmt.Sprintf(format, args...), hint: hint}
}

func (p *parser) errorAt(pos int, what, hint string) error {
	return fmt.Errorf("%s at %d; %s", what, p.column(pos), hint)
}

// locate puts the position into a mistake.
func (p *parser) locate(pos int, err error) error {
	var m mistake
	if errors.As(err, &m) {
		return p.errorAt(pos, m.what, m.hint)
	}
	return err
}

func (p *parser) unknownField(pos int, name string) error {
	if hint, ok := unfiltered[name]; ok {
		return p.errorAt(pos, fmt.Sprintf("%q cannot be compared", name), hint)
	}
	known := make([]string, 0, len(fields)+len(aliases))
	for _, f := range fields {
		known = append(known, f.name)
	}
	for alias := range aliases {
		known = append(known, alias)
	}
	hint := "fields are named as in the JSON of trace, like dst.port or comm"
	if n := nearest(name, known); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	return p.errorAt(pos, fmt.Sprintf("unknown field %q", name), hint)
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}
