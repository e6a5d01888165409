package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The picture's measures, in its own units. A cell is as wide as a character of most fonts, and whole, so that bars of
// several cells have no seams.
const (
	cellWidth  = 8.0
	cellHeight = 17.0
	baseline   = 13.0 // from the top of a line
	margin     = 14.0
	bar        = 34.0 // the title bar
	fontSize   = 13.3
)

// The theme: 16 colours of which each can be read on the background.
const (
	background = "#0d1117"
	foreground = "#d8dee6"
	barColour  = "#21262d"
	barText    = "#a5adb8"
)

var palette = [16]string{
	"#6e7681", "#ff7b72", "#56d364", "#e3b341", "#79b8ff", "#d2a8ff", "#56d4dd", "#d8dee6",
	"#8b949e", "#ffa198", "#7ee787", "#f2cc60", "#a5d6ff", "#e2c5ff", "#9bebf0", "#ffffff",
}

const fonts = `ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace`

// svg writes the picture. Each run of characters says where it begins and how long it is, so that columns stay columns
// in every font; what a bar is made of is drawn.
func (s screen) svg(b *bufio.Writer, title string, columns int) error {
	for _, row := range s {
		columns = max(columns, len(row))
	}
	width := 2*margin + float64(columns)*cellWidth
	height := bar + 2*margin + float64(len(s))*cellHeight
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title" `)
	fmt.Fprintf(b, `width="%s" height="%s" viewBox="0 0 %[1]s %[2]s">`+"\n", number(width), number(height))
	fmt.Fprintf(b, "<title id=\"title\">%s</title>\n", escaped(title))
	b.WriteString(styles())
	fmt.Fprintf(b, `<rect width="%s" height="%s" rx="8" fill="%s"/>`+"\n", number(width), number(height), background)
	fmt.Fprintf(b, `<path d="M0 %s V8 A8 8 0 0 1 8 0 H%s A8 8 0 0 1 %s 8 V%s Z" fill="%s"/>`+"\n",
		number(bar), number(width-8), number(width), number(bar), barColour)
	for i, fill := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(b, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`+"\n", 20+18*i, fill)
	}
	fmt.Fprintf(b, `<text class="bar" x="%s" y="21.5" text-anchor="middle">%s</text>`+"\n",
		number(width/2), escaped(title))
	for y, row := range s {
		writeRow(b, row, bar+margin+float64(y)*cellHeight)
	}
	_, err := b.WriteString("</svg>\n")
	return err
}

func styles() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<style>\ntext,.s{font:%gpx %s;fill:%s}\n.bar{font-size:12.5px;fill:%s}\n", fontSize, fonts, foreground, barText)
	b.WriteString(".b{font-weight:bold}.f{fill-opacity:.7}.i{font-style:italic}.u{text-decoration:underline}\n")
	for i, c := range palette {
		fmt.Fprintf(&b, ".c%d{fill:%s}", i, c)
	}
	b.WriteString("\n</style>\n")
	return b.String()
}

// writeRow writes the backgrounds of a line, then what stands on them.
func writeRow(b *bufio.Writer, row []cell, y float64) {
	for i := 0; i < len(row); {
		n := same(row[i:], func(a, c cell) bool { return a.back() == c.back() })
		if fill := row[i].back(); fill != "" {
			fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s" %s/>`+"\n",
				column(i), number(y), number(float64(n)*cellWidth), number(cellHeight), paint(fill))
		}
		i += n
	}
	for i := 0; i < len(row); {
		n := 1
		switch {
		case row[i].r == ' ' && !row[i].underline:
		case shape(row[i].r) != nil:
			n = same(row[i:], func(a, c cell) bool { return a == c && merges(a.r) })
			writeShape(b, row[i], i, n, y)
		default:
			n = run(row[i:])
			writeText(b, row[i:i+n], i, y)
		}
		i += n
	}
}

// same is how many of the first cells are like the first, one at least.
func same(row []cell, like func(a, c cell) bool) int {
	n := 1
	for n < len(row) && like(row[0], row[n]) {
		n++
	}
	return n
}

// run is how many cells are written as one text: of one look, without two blanks in a row, which would become one. What
// is not ASCII stands alone, for it may come from another font.
func run(row []cell) int {
	if row[0].r > '~' {
		return 1
	}
	n := same(row, func(a, c cell) bool { return a.style == c.style && c.r <= '~' })
	for i := 1; i < n; i++ {
		if row[i].r == ' ' && (i+1 == n || row[i+1].r == ' ') {
			return i
		}
	}
	return n
}

func writeText(b *bufio.Writer, cells []cell, x int, y float64) {
	var text strings.Builder
	for _, c := range cells {
		text.WriteRune(c.r)
	}
	fmt.Fprintf(b, `<text x="%s" y="%s" textLength="%s" lengthAdjust="spacingAndGlyphs"%s>%s</text>`+"\n",
		column(x), number(y+baseline), number(float64(len(cells))*cellWidth), cells[0].looks(), escaped(text.String()))
}

func writeShape(b *bufio.Writer, c cell, x, n int, y float64) {
	for _, r := range shape(c.r) {
		w := r.w * cellWidth
		if n > 1 {
			w = float64(n) * cellWidth
		}
		fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s"%s/>`+"\n",
			number(margin+(float64(x)+r.x)*cellWidth), number(y+r.y*cellHeight), number(w), number(r.h*cellHeight), c.looks("s"))
	}
}

// rect is a part of a cell, in shares of it.
type rect struct{ x, y, w, h float64 }

// shape is what a character of bars and lines is made of, nil for all others.
func shape(r rune) []rect {
	switch {
	case r >= '▁' && r <= '█':
		h := float64(r-'▁'+1) / 8
		return []rect{{0, 1 - h, 1, h}}
	case r >= '▉' && r <= '▏':
		return []rect{{0, 0, float64('▏'-r+1) / 8, 1}}
	}
	switch r {
	case '─':
		return []rect{{0, 8. / 17, 1, 1. / 17}}
	case '━':
		return []rect{{0, 7. / 17, 1, 3. / 17}}
	case '│':
		return []rect{{3. / 8, 0, 1. / 8, 1}}
	case '┤':
		return []rect{{3. / 8, 0, 1. / 8, 1}, {0, 8. / 17, 3. / 8, 1. / 17}}
	}
	return nil
}

// merges: as many of them as there are in a row are one shape.
func merges(r rune) bool { return r >= '▁' && r <= '█' || r == '─' || r == '━' }

// fore and back are the colours that are seen.
func (s *style) fore() string {
	if !s.reverse {
		return s.text
	}
	if s.ground == "" {
		return background
	}
	return s.ground
}

func (s *style) back() string {
	switch {
	case !s.reverse:
		return s.ground
	case s.text == "":
		return foreground
	}
	return s.text
}

// looks are the attributes of a text or, with a class of its own, of a shape.
func (s *style) looks(classes ...string) string {
	colour := s.fore()
	if strings.HasPrefix(colour, "c") {
		classes = append(classes, colour)
	}
	for _, c := range []struct {
		is   bool
		name string
	}{{s.bold, "b"}, {s.faint, "f"}, {s.italic, "i"}, {s.underline, "u"}} {
		if c.is {
			classes = append(classes, c.name)
		}
	}
	var b strings.Builder
	if len(classes) > 0 {
		fmt.Fprintf(&b, ` class="%s"`, strings.Join(classes, " "))
	}
	if strings.HasPrefix(colour, "#") {
		fmt.Fprintf(&b, ` style="fill:%s"`, colour)
	}
	return b.String()
}

func paint(colour string) string {
	if strings.HasPrefix(colour, "#") {
		return fmt.Sprintf(`fill="%s"`, colour)
	}
	return fmt.Sprintf(`class="%s"`, colour)
}

func column(i int) string { return number(margin + float64(i)*cellWidth) }

// number has two digits after the point at most.
func number(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
