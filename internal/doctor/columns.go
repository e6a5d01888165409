package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
)

// Options choose how columns are written.
type Options struct {
	Width int // of lines; commands to be copied are never broken
	Color bool
	// All shows every check of every namespace. Without it, of namespaces that this process does not live in, only
	// those that are not in order.
	All bool
}

// The escape sequences of colours.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

var colors = map[Status]string{OK: green, Unknown: yellow, Warning: yellow, Critical: bold + red}

// WriteJSON writes d as one JSON document and a newline, on one line or indented.
func WriteJSON(w io.Writer, d *Document, indent bool) error {
	return form.JSON(w, d, indent, "write audit")
}

// WriteColumns writes d for people.
func WriteColumns(w io.Writer, d *Document, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "tcpstate doctor: %s\n%s\n", d.Host, d.Counts.String())
	for i := range d.Namespaces {
		n := &d.Namespaces[i]
		fmt.Fprintf(&b, "\nNETWORK NAMESPACE %s\n", n)
		d.writeChecks(&b, &o, func(c *Check) bool { return c.Netns != nil && *c.Netns == n.Netns }, o.All || n.Own)
	}
	b.WriteString("\nTHE WHOLE HOST\n")
	d.writeChecks(&b, &o, func(c *Check) bool { return c.Netns == nil }, true)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write audit: %w", err)
	}
	return nil
}

func (h HostName) String() string { return h.Name + ", Linux " + h.Kernel }

// String writes "1 critical, 2 warnings, 3 unknown, 4 ok".
func (c *Counts) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Critical, "critical"}, {c.Unknown, "unknown"}, {c.Info, "for information"}, {c.OK, "ok"}} {
		if part.n > 0 {
			parts = append(parts, form.Grouped(part.n)+" "+part.what)
		}
		if part.what == "critical" && c.Warning > 0 {
			parts = append(parts, form.Count(c.Warning, "warning"))
		}
	}
	return strings.Join(parts, ", ")
}

// String names a namespace: "4026531840 (this one, the host's)".
func (n *Namespace) String() string {
	s := fmt.Sprint(n.Netns)
	var about []string
	if n.Own {
		about = append(about, "this one")
	}
	if n.Host != nil && *n.Host {
		about = append(about, "the host's")
	}
	if !n.Own && n.Path != "" {
		about = append(about, n.Path)
	}
	if len(about) > 0 {
		s += " (" + strings.Join(about, ", ") + ")"
	}
	return s
}

func (d *Document) writeChecks(b *strings.Builder, o *Options, of func(*Check) bool, all bool) {
	quiet := 0
	for i := range d.Checks {
		c := &d.Checks[i]
		switch {
		case !of(c):
		case all || c.Status.rank() >= Unknown.rank():
			c.write(b, o)
		default:
			quiet++
		}
	}
	if quiet > 0 {
		fmt.Fprintf(b, "  %s in order (-v shows all)\n", were(quiet))
	}
}

func were(n int) string {
	if n == 1 {
		return "1 check is"
	}
	return form.Grouped(n) + " checks are"
}

// indent is what the lines below a check's first begin with.
const indent = "            "

func (c *Check) write(b *strings.Builder, o *Options) {
	status := fmt.Sprintf("%-8s", strings.ToUpper(string(c.Status)))
	if color := colors[c.Status]; o.Color && color != "" {
		status = color + status + plain
	}
	set := "-"
	if c.Set != nil {
		set = *c.Set
	}
	fmt.Fprintf(b, "  %s  ", status)
	wrap(b, o.Width-len(indent), indent, c.Code+": "+set)
	b.WriteString(indent)
	wrap(b, o.Width-len(indent), indent, c.Meaning)
	if c.Write != nil {
		fmt.Fprintf(b, "%swrite: %s\n", indent, *c.Write)
	}
	b.WriteString(indent)
	wrap(b, o.Width-len(indent), indent, "known by: "+c.Source)
}

// wrap writes text in lines of width where it has blanks; those after the first begin with rest.
func wrap(b *strings.Builder, width int, rest, text string) {
	used := 0
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case used+1+n > width:
			b.WriteString("\n" + rest)
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	b.WriteByte('\n')
}
