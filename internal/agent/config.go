package agent

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Key is a setting that a configuration can have. Its name is that of a flag.
type Key struct {
	// Set takes a value as text; a list is taken value by value.
	Set func(string) error
	// List: there can be several values. Bool: it is true or false.
	List, Bool bool
	// Empty makes a list empty, which its default may not be. Nil: it cannot be.
	Empty func()
}

// Mistake is what is wrong in a line of a configuration.
type Mistake struct {
	Line int // 0: in none
	Text string
}

func (m Mistake) String() string {
	if m.Line == 0 {
		return m.Text
	}
	return fmt.Sprintf("line %d: %s", m.Line, m.Text)
}

// Mistakes are all that is wrong with a configuration, as one error of one line.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	var all []string
	for _, x := range m {
		all = append(all, x.String())
	}
	return strings.Join(all, "; ")
}

// maxConfig bounds a configuration, bytes.
const maxConfig = 1 << 20

// ReadConfig reads settings from YAML: a key and its value, or its list of values, a line. It is strict, and returns all
// Mistakes there are.
func ReadConfig(r io.Reader, keys map[string]Key) error {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return err
	}
	if len(text) > maxConfig {
		return Mistakes{{Text: fmt.Sprintf("it has more than %d bytes", maxConfig)}}
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	var document yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil // nothing but comments
	} else if err != nil {
		return syntax(string(text), err)
	}
	c := config{keys: keys, lines: make(map[string]int)}
	var more yaml.Node
	switch err := d.Decode(&more); {
	case err == nil:
		c.wrong(&more, "a second document begins here: there can be one only")
	case !errors.Is(err, io.EOF):
		return syntax(string(text), err)
	}
	c.read(document.Content[0])
	if len(c.mistakes) == 0 {
		return nil
	}
	sort.SliceStable(c.mistakes, func(i, k int) bool { return c.mistakes[i].Line < c.mistakes[k].Line })
	return c.mistakes
}

// syntax is what the parser found wrong. The line that it names, if it names one, can be one before, or where what is
// wrong begins.
func syntax(text string, err error) Mistakes {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if _, rest, ok := strings.Cut(rest, ": "); ok {
			what = rest
		}
	}
	return Mistakes{{wrongLine(text), event.Printable(strings.ReplaceAll(what, "\n", " "))}}
}

// maxSought is in how many lines it is looked for the one that is wrong: each takes a reading of all before it.
const maxSought = 500

// wrongLine is the line after the last up to which text is YAML; 0: it is too long to be looked through.
func wrongLine(text string) int {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > maxSought || len(text) > maxSought*80 {
		return 0
	}
	for n := len(lines) - 1; n > 0; n-- {
		if isYAML(strings.Join(lines[:n], "")) {
			return n + 1
		}
	}
	return 1
}

func isYAML(text string) bool {
	d := yaml.NewDecoder(strings.NewReader(text))
	for {
		var n yaml.Node
		if err := d.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

type config struct {
	keys     map[string]Key
	lines    map[string]int
	mistakes Mistakes
}

func (c *config) wrong(n *yaml.Node, format string, args ...any) {
	c.mistakes = append(c.mistakes, Mistake{n.Line, event.Printable(fmt.Sprintf(format, args...))})
}

func (c *config) read(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		c.wrong(n, "want lines like  window: 5m")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		c.set(n.Content[i], n.Content[i+1])
	}
}

func (c *config) set(name, value *yaml.Node) {
	key, ok := c.keys[name.Value]
	switch {
	case name.Kind != yaml.ScalarNode:
		c.wrong(name, "a key must be a word")
		return
	case !ok:
		c.wrong(name, "unknown key %.64q%s", name.Value, c.near(name.Value))
		return
	case c.lines[name.Value] > 0:
		c.wrong(name, "%s is there twice: line %d has it, too", name.Value, c.lines[name.Value])
		return
	}
	c.lines[name.Value] = name.Line
	if value.Kind != yaml.SequenceNode {
		c.one(name.Value, key, value)
		return
	}
	if !key.List {
		c.wrong(value, "%s takes one value, not a list", name.Value)
		return
	}
	if len(value.Content) == 0 {
		if key.Empty == nil {
			c.wrong(value, "%s wants one value at least", name.Value)
			return
		}
		key.Empty()
	}
	for _, v := range value.Content {
		c.one(name.Value, key, v)
	}
}

// one sets one value. Words like yes are no booleans in YAML 1.2, so they are told to be wrong, not taken for text.
func (c *config) one(name string, key Key, v *yaml.Node) {
	switch {
	case v.Kind == yaml.AliasNode || v.Anchor != "":
		c.wrong(v, "%s: anchors and aliases are not taken: write the value", name)
	case v.Kind != yaml.ScalarNode:
		c.wrong(v, "%s wants a value, not a list or a mapping", name)
	case v.Tag == "!!null":
		c.wrong(v, "%s has no value", name)
	case key.Bool && v.Tag != "!!bool":
		c.wrong(v, "%s: %.64q is neither true nor false", name, v.Value)
	case !key.Bool && v.Tag == "!!bool":
		c.wrong(v, "%s: %.64q is a truth value; put it in quotes if it is a name", name, v.Value)
	case v.Tag != "!!bool" && v.Tag != "!!int" && v.Tag != "!!float" && v.Tag != "!!str":
		c.wrong(v, "%s: %.64q is no text and no number (%s)", name, v.Value, v.ShortTag())
	default:
		if err := key.Set(v.Value); err != nil {
			c.wrong(v, "%s: %v", name, err)
		}
	}
}

// near names the key that may have been meant.
func (c *config) near(word string) string {
	best, least := "", 3
	for name := range c.keys {
		if d := distance(word, name); d < least || d == least && best != "" && name < best {
			best, least = name, d
		}
	}
	switch {
	case best != "":
		return ": did you mean " + best + "?"
	case strings.Contains(word, "_") && c.keys[strings.ReplaceAll(word, "_", "-")].Set != nil:
		return ": did you mean " + strings.ReplaceAll(word, "_", "-") + "?"
	}
	return " (tcpstate agent --help lists them: they are the names of the flags)"
}

// distance is how many letters must be changed, added or left out to make one word of another.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(a) {
		last := i
		row[0] = i + 1
		for k := range len(b) {
			change := last
			if a[i] != b[k] {
				change++
			}
			last = row[k+1]
			row[k+1] = min(change, row[k]+1, row[k+1]+1)
		}
	}
	return row[len(b)]
}

// Names are the keys there are, in their order.
func Names(keys map[string]Key) []string {
	var all []string
	for name := range keys {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
