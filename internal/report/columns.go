package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/form"
)

// Options choose how columns are written.
type Options struct {
	// Width is what lines must fit in, 100 when 0. Wide: nothing is shortened or left out.
	Width int
	Wide  bool
	// Color uses the terminal's colours. Numeric shows addresses instead of their names.
	Color, Numeric bool
	// Verbose adds what was attached.
	Verbose bool
	// Location is the time zone of clock times; nil: the local one.
	Location *time.Location
}

const defaultWidth = 100

// width is 0 for no limit.
func (o *Options) width() int {
	switch {
	case o.Wide:
		return 0
	case o.Width <= 0:
		return defaultWidth
	}
	return o.Width
}

// The escape sequences of colours.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// WriteColumns writes d for people: what was traced, the findings, the tables, and what was lost.
func WriteColumns(w io.Writer, d *Document, o Options) error {
	var b strings.Builder
	d.writeHead(&b, &o)
	if len(d.Destinations) == 0 {
		wrap(&b, o.width(), "", "", d.nothing())
	}
	if len(d.Destinations)+len(d.BindFailures) > 0 {
		d.writeFindings(&b, &o)
		d.writeOutbound(&b, &o)
		d.writeFailures(&b, &o)
		d.writeBindFailures(&b, &o)
		d.writePorts(&b, &o)
		d.writeInbound(&b, &o)
	}
	if n := d.DestinationsOmitted; n > 0 {
		fmt.Fprintf(&b, "\n%s not shown.\n", form.Count(uint64(n), "more row"))
	}
	d.writeNotes(&b, &o)
	b.WriteByte('\n')
	wrap(&b, o.width(), "", "", d.Loss.sentence())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (d *Document) writeHead(b *strings.Builder, o *Options) {
	head := "tcpstate report"
	if d.Host.Name != "" {
		head += ": " + d.Host.Name
	}
	if d.Host.Kernel != "" {
		head += ", Linux " + d.Host.Kernel
	}
	if d.Host.Source != "" {
		head += ", " + d.Host.Source
	}
	if d.Window.Start != nil {
		head += fmt.Sprintf(", %s from %s", d.Window.length(), clock(*d.Window.Start, o))
	}
	wrap(b, o.width(), "", "  ", head)
	events := form.Count(d.Filter.Matched, "event")
	if d.Filter.Expression != "" {
		events += " matched " + d.Filter.Expression
	}
	if d.Filter.Excluded > 0 {
		events += ", " + form.Grouped(d.Filter.Excluded) + " did not match"
	}
	wrap(b, o.width(), "", "  ", events)
	if o.Verbose {
		if d.Host.TimeWaitTier != "" {
			wrap(b, o.width(), "", "  ", "TIME_WAIT: "+d.Host.TimeWaitTier)
		}
		for _, h := range d.Host.Hooks {
			wrap(b, o.width(), "  ", "    ", h)
		}
	}
}

func clock(t Time, o *Options) string {
	at := time.Unix(0, int64(t))
	if o.Location != nil {
		return at.In(o.Location).Format("2006-01-02 15:04:05 MST")
	}
	return at.Format("2006-01-02 15:04:05 MST")
}

// nothing says why there are no rows, so that a filter never looks like a quiet host.
func (d *Document) nothing() string {
	switch {
	case d.Filter.Excluded > 0:
		return fmt.Sprintf("No connection matched the filter; %s did not match.", form.Count(d.Filter.Excluded, "event"))
	case d.Loss.EventsLost > 0:
		return fmt.Sprintf("No connection was seen, and %s lost.", were(d.Loss.EventsLost, "event"))
	}
	return fmt.Sprintf("No connection was opened, closed or failed in %s.", d.Window.length())
}

func were(n uint64, noun string) string {
	if n == 1 {
		return form.Count(n, noun) + " was"
	}
	return form.Count(n, noun) + " were"
}

// shownFindings is how many findings are written out unless all are asked for.
const shownFindings = 10

func (d *Document) writeFindings(b *strings.Builder, o *Options) {
	b.WriteString("\nFINDINGS\n")
	if len(d.Findings) == 0 {
		b.WriteString("  none\n")
		return
	}
	shown := d.Findings
	if !o.Wide {
		shown = shown[:min(len(shown), shownFindings)]
	}
	for i := range shown {
		shown[i].write(b, o)
	}
	if n := len(d.Findings) - len(shown) + d.FindingsOmitted; n > 0 {
		fmt.Fprintf(b, "  and %s\n", form.Count(uint64(n), "more finding"))
	}
	if !o.links() {
		wrap(b, o.width(), "  ", "  ", "What to do about a [code] is in "+InstalledRunbook+"/CODE.md, or "+RunbookPages)
	}
}

// links says that each finding is written with the address of its page.
func (o *Options) links() bool { return o.Verbose || o.Wide }

func (f *Finding) write(b *strings.Builder, o *Options) {
	mark := pad(strings.ToUpper(f.Severity), 8, false)
	var text strings.Builder
	wrap(&text, o.width(), "  "+mark+"  ", strings.Repeat(" ", 12), f.Summary+" ["+f.Code+"]")
	for _, e := range f.Evidence {
		wrap(&text, o.width(), strings.Repeat(" ", 12)+"- ", strings.Repeat(" ", 14), e)
	}
	for _, a := range f.Advice {
		wrap(&text, o.width(), strings.Repeat(" ", 12)+"> ", strings.Repeat(" ", 14), a)
	}
	if o.links() { // whole, however narrow it is
		text.WriteString(strings.Repeat(" ", 12) + "? " + f.Runbook + "\n")
	}
	if color := map[string]string{Critical: red, Warning: yellow}[f.Severity]; o.Color && color != "" {
		b.WriteString(strings.Replace(text.String(), mark, color+mark+plain, 1))
		return
	}
	b.WriteString(text.String())
}
