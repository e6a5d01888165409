package top

import "github.com/tcpstate/tcpstate/internal/report"

// helpKeys are all keys, by where they work.
var helpKeys = []struct {
	heading string
	keys    [][2]string
}{
	{"TABLE", [][2]string{
		{"↑ ↓  j k", "choose a row; it stays chosen wherever it moves"},
		{"PgUp PgDn", "half a screen up or down"},
		{"g G  Home End", "first and last row; the first is always the worst"},
		{"Enter", "all about the chosen row; Esc or Backspace: back"},
		{"/", "filter by service, destination, verdict, error, unit, container"},
		{"s  S", "order by harm, new/s, open, TIME_WAIT, ports, failed, lifetime; reverse"},
	}},
	{"EVERYWHERE", [][2]string{
		{"p  Space", "pause: live, the view stands still and counting goes on"},
		{"w", "write the last minutes to a capture"},
		{"?", "this page, and back"},
		{"q  Ctrl-C", "quit"},
	}},
	{"CAPTURE (top -r)", [][2]string{
		{"← →", "10 s back or on; with Shift: 60 s"},
		{"+ -", "faster, slower"},
	}},
}

// legend says what the table's signs mean.
var legend = []string{
	"!! ports exhausted or connects failing · ! no pool, or too small a one · › chosen",
	"PORTS is how much of the port range is taken toward a destination; │ is one half, beyond which connect() is slow",
	"[code] of a finding is a page of the runbook: " + report.InstalledRunbook + "/CODE.md",
	"LAST 60 S is new connections in each second, every line with its own scale",
}

// helpLines are the keys, what the signs mean, and what the figures rest on.
func (m *model) helpLines() []string {
	s := &sheet{m: m, width: m.width}
	for i, part := range helpKeys {
		if i > 0 {
			s.blank()
		}
		s.add(line{{part.heading, title}})
		for _, k := range part.keys {
			s.text("  "+report.Pad(k[0], 15, false), "                 ", k[1], normal)
		}
	}
	s.heading("SIGNS")
	for _, l := range legend {
		s.text("  ", "  ", l, normal)
	}
	if d := m.document(); d != nil {
		s.heading("WHAT THE FIGURES REST ON")
		for _, n := range append(d.Notes(), d.Loss.Sentence()) {
			s.text("  ", "  ", n, normal)
		}
	}
	return s.lines
}
