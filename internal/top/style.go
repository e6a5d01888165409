package top

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/tcpstate/tcpstate/internal/report"
)

// tone is what a piece of text is to look like.
type tone uint8

const (
	normal tone = iota
	strong
	faint
	good
	bad   // a warning
	worst // critical
	title
	sorted // the title of the column that orders the rows
	badge
	bar    // the taken part of a bar
	chosen // the name of the row that the keys act on
	tones
)

// painter gives text its look.
type painter [tones]lipgloss.Style

func newPainter(color bool) *painter {
	s := lipgloss.NewStyle
	p := &painter{
		normal: s(), strong: s().Bold(true), faint: s().Faint(true), good: s(), bad: s(), worst: s().Bold(true),
		title: s().Bold(true), sorted: s().Bold(true).Underline(true), badge: s().Reverse(true).Bold(true), bar: s(),
		chosen: s().Reverse(true),
	}
	if color {
		p[good], p[bad] = s().Foreground(lipgloss.Green), s().Foreground(lipgloss.Yellow)
		p[worst], p[bar] = s().Foreground(lipgloss.Red).Bold(true), s().Foreground(lipgloss.Cyan)
		p[title], p[sorted] = p[title].Foreground(lipgloss.Cyan), p[sorted].Foreground(lipgloss.Cyan)
	}
	return p
}

func (p *painter) paint(t tone, text string) string {
	if t == normal || text == "" {
		return text
	}
	return p[t].Render(text)
}

// toneOf is how a severity looks.
func toneOf(severity string) tone {
	switch severity {
	case report.Critical:
		return worst
	case report.Warning:
		return bad
	}
	return normal
}

// piece is text in one tone.
type piece struct {
	text string
	tone tone
}

// line is what stands beside each other on one line.
type line []piece

func (l line) cells() int {
	n := 0
	for _, p := range l {
		n += report.Cells(p.text)
	}
	return n
}

// line writes l in its tones, in no more than width cells.
func (p *painter) line(l line, width int) string {
	var b strings.Builder
	for _, piece := range l {
		if n := report.Cells(piece.text); n > width {
			piece.text, width = ansi.Truncate(piece.text, width, "…"), 0
		} else {
			width -= n
		}
		b.WriteString(p.paint(piece.tone, piece.text))
		if width == 0 {
			break
		}
	}
	return b.String()
}

// plainText returns s, of which every terminal and every way to count agree how wide it is: marks that combine, joined
// emoji and the like are taken out where they do not.
func plainText(s string) string {
	if ascii(s) || sameWidth(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch one := string(r); {
		case report.Cells(one) == 0, ansi.StringWidth(one) == 0:
		case !sameWidth(one), joins(r):
			b.WriteByte('?')
		default:
			b.WriteString(one)
		}
	}
	if s = b.String(); sameWidth(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func sameWidth(s string) bool {
	n := report.Cells(s)
	return n == ansi.StringWidth(s) && n == ansi.StringWidthWc(s)
}

// joins tells what becomes one picture with what stands before it: the halves of flags, and the colours of skin.
func joins(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff || r >= 0x1f3fb && r <= 0x1f3ff }
