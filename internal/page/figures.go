package page

import (
	"html/template"
	"net"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// none stands for a figure that was not measured.
const none = "-"

// The bounds of one text of a page, in columns of a terminal: what a capture calls a name can be of any length.
const (
	maxText = 600
	maxName = 100
)

var functions = template.FuncMap{
	"count": count, "plain": plain, "rate": report.Rate, "seconds": report.Seconds, "raw": raw, "dash": dash,
	"place": place, "clip": clip, "name": name, "moment": momentOf, "text": text, "share": share, "span": span,
	"plural": form.Count[uint64], "number": func(n int) uint64 { return uint64(max(n, 0)) },
}

// count writes a whole number with commas, none where it is nil.
func count(n any) string {
	if digits := plain(n); digits != none {
		return form.Commas(digits)
	}
	return none
}

// plain writes a whole number as it is: pids and inode numbers are names.
func plain(n any) string {
	switch n := n.(type) {
	case int:
		return strconv.Itoa(n)
	case uint64:
		return strconv.FormatUint(n, 10)
	case *int:
		if n != nil {
			return strconv.Itoa(*n)
		}
	case *uint64:
		if n != nil {
			return strconv.FormatUint(*n, 10)
		}
	case *uint32:
		if n != nil {
			return strconv.FormatUint(uint64(*n), 10)
		}
	}
	return none
}

// raw is a figure that the script sorts by.
func raw(d *report.Decimal) string {
	if d == nil {
		return none
	}
	return strconv.FormatFloat(float64(*d), 'g', 4, 64)
}

// share is a bar's length in percent, "" where it would not be seen.
func share(d *report.Decimal) string {
	if d == nil || *d < 0.005 {
		return ""
	}
	return coordinate(100 * min(float64(*d), 1))
}

func dash(s string) string {
	if s == "" {
		return none
	}
	return s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// clip bounds a text, and keeps its ends.
func clip(s string) string { return shortened(s, maxText) }

// name bounds a name in a table or a heading.
func name(s string) string { return shortened(s, maxName) }

// shortened also makes a text printable, which a Document's are already: no other may turn a page's letters around.
func shortened(s string, width int) string {
	if s = event.Printable(s); len(s) <= width {
		return s
	}
	return report.Shorten(s, width)
}

// place writes the end of a budget.
func place(r report.Remote, numeric bool) string {
	host := text(r.Addr)
	if r.Name != "" && !numeric {
		host = r.Name
	}
	switch {
	case host == "":
		return "unknown"
	case r.Port == nil:
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(*r.Port)))
}

// span writes a port range.
func span(r *[2]uint16) string {
	if r == nil {
		return none
	}
	return strconv.Itoa(int(r[0])) + "–" + strconv.Itoa(int(r[1]))
}
