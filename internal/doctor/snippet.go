package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// snippetWidth is that of comments.
const snippetWidth = 100

// WriteSysctl writes what is to be changed as a file for /etc/sysctl.d, nothing but comments if nothing is. Only
// lines of namespace live take effect, and those of the whole host: a file is read by one namespace, and the lines of
// others, which may contradict, are comments.
func WriteSysctl(w io.Writer, d *Document, live uint32) error {
	var b strings.Builder
	comment(&b, "tcpstate doctor: %s: %s", d.Host, d.Counts.String())
	written := 0
	for i := range d.Namespaces {
		n := &d.Namespaces[i]
		checks := d.toWrite(&n.Netns)
		if len(checks) == 0 {
			continue
		}
		prefix := ""
		fmt.Fprintf(&b, "\n# Network namespace %s.\n", n)
		if n.Netns != live {
			prefix = "# "
		}
		if slices.ContainsFunc(checks, (*Check).isSysctl) {
			elsewhere(&b, n, live)
		}
		written += writeLines(&b, checks, prefix)
	}
	if checks := d.toWrite(nil); len(checks) > 0 {
		b.WriteString("\n# The whole host.\n")
		written += writeLines(&b, checks, "")
	}
	if written == 0 {
		comment(&b, "Nothing to change.")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write audit: %w", err)
	}
	return nil
}

// elsewhere says how lines get into a namespace that is not the host's, or not the one that is written for.
func elsewhere(b *strings.Builder, n *Namespace, live uint32) {
	switch isHost := n.Host != nil && *n.Host; {
	case isHost && n.Netns == live:
		comment(b, "Put this file into /etc/sysctl.d, then: sysctl --system")
		return
	case isHost:
		comment(b, "Lines of the host's, not of the namespace that this file is for: run tcpstate doctor there.")
		return
	case n.Host == nil && n.Own:
		comment(b, "If it is the host's, put this file into /etc/sysctl.d, then: sysctl --system. If not, apply it by")
	default:
		comment(b, "It is not the host's: /etc/sysctl.d does not reach it. Apply these lines by")
	}
	if n.Own {
		comment(b, "  sysctl -p FILE  in this namespace;")
	} else {
		comment(b, "  nsenter --net=%s sysctl -p FILE  after tcpstate doctor -o sysctl --netns %d > FILE;",
			n.Path, n.Netns)
	}
	comment(b, "lasting for a container: docker run --sysctl NAME=VALUE, or a Kubernetes pod's securityContext.sysctls.")
}

// toWrite are the checks of a namespace, nil for the whole host, that are not in order.
func (d *Document) toWrite(netns *uint32) []*Check {
	var checks []*Check
	for i := range d.Checks {
		c := &d.Checks[i]
		same := c.Netns == netns || c.Netns != nil && netns != nil && *c.Netns == *netns
		if same && c.Status.rank() >= Unknown.rank() {
			checks = append(checks, c)
		}
	}
	return checks
}

// isSysctl says whether there is a line for sysctl.d.
func (c *Check) isSysctl() bool { return c.Write != nil && *c.WriteTo == toSysctl }

// writeLines returns how many lines for sysctl.d there are, comments or not.
func writeLines(b *strings.Builder, checks []*Check, prefix string) (n int) {
	for _, c := range checks {
		c.writeLine(b, prefix)
		if c.isSysctl() {
			n++
		}
	}
	return n
}

// writeLine writes the line and, as comments, why. What is no sysctl is a comment altogether.
func (c *Check) writeLine(b *strings.Builder, prefix string) {
	set := ""
	if c.Set != nil {
		set = ", now " + *c.Set
	}
	comment(b, "%s %s%s: %s", c.Status, c.Code, set, c.Meaning)
	switch {
	case c.Write == nil:
	case c.isSysctl():
		fmt.Fprintf(b, "%s%s\n", prefix, *c.Write)
	default:
		comment(b, "no sysctl, but for the [Service] section of a systemd unit: %s", *c.Write)
	}
}

// comment writes lines that begin with #.
func comment(b *strings.Builder, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	b.WriteString("# " + lead)
	wrap(b, snippetWidth, "# ", text)
}
