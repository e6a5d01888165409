package report

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// joinPlace writes "10.2.3.4:5432", "[::1]:80", or the address alone when there is no port.
func joinPlace(addr *string, port *uint16) string {
	switch {
	case addr == nil:
		return "unknown"
	case port == nil:
		return *addr
	}
	return net.JoinHostPort(*addr, strconv.Itoa(int(*port)))
}

// shorten keeps the ends of s, which tell names apart best, and puts "…" between them.
func shorten(s string, width int) string {
	if cells(s) <= width || width < 1 {
		return s
	}
	r := []rune(s)
	tail := len(r)
	for right := width / 2; tail > 0 && cellsOf(r[tail-1]) <= right; {
		tail--
		right -= cellsOf(r[tail])
	}
	head := 0
	for left := width - 1 - cells(string(r[tail:])); head < tail && cellsOf(r[head]) <= left; head++ {
		left -= cellsOf(r[head])
	}
	return string(r[:head]) + "…" + string(r[tail:])
}

// pad fills s up to width with blanks: behind it, or before it when right.
func pad(s string, width int, right bool) string {
	blanks := strings.Repeat(" ", max(width-cells(s), 0))
	if right {
		return blanks + s
	}
	return s + blanks
}

// short writes n in at most six characters.
func short(n uint64) string {
	if n < 1_000_000 {
		return strconv.FormatUint(n, 10)
	}
	v := float64(n)
	for _, unit := range "kMGTPE" {
		if v /= 1000; v < 999.5 {
			return significant(v) + string(unit)
		}
	}
	return "many"
}

// significant writes v, not negative, in three digits or so.
func significant(v float64) string {
	switch {
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v == 0:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// length writes how long the window was.
func (w *Window) length() string { return significant(float64(w.Seconds)) + " s" }

// duration writes d in at most six characters: "40µs", "3.1ms", "12.5s", "3m05s", "5h12m", "3d04h", "120d".
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < 1000*time.Microsecond:
		return strconv.FormatInt(d.Microseconds(), 10) + "µs"
	case d < 999500*time.Microsecond:
		return tenth(float64(d)/1e6) + "ms"
	case d < 100*time.Second:
		return tenth(d.Seconds()) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 100*24*time.Hour:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

func tenth(v float64) string {
	if v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// durationOf writes a number of seconds, "-" when it was not measured.
func durationOf(s *Decimal) string {
	if s == nil {
		return "-"
	}
	return duration(time.Duration(float64(*s) * 1e9))
}
