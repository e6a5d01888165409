package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// screen is what a terminal shows, without the empty lines at its end.
type screen [][]cell

// cell is one character and how it looks.
type cell struct {
	r rune
	style
}

// style is what SGR sequences set. A colour is "" for the terminal's own, "c0" to "c15", or "#rrggbb".
type style struct {
	text, ground                            string
	bold, faint, italic, underline, reverse bool
}

// read takes SGR sequences for what they mean and leaves all others out.
func read(text string) screen {
	var s screen
	var now style
	for line := range strings.Lines(text) {
		var row []cell
		for line = strings.TrimRight(line, "\r\n"); line != ""; {
			if sequence, rest, ok := escape(line); ok {
				now.apply(sequence)
				line = rest
				continue
			}
			r, n := utf8.DecodeRuneInString(line)
			row = append(row, cell{r, now})
			line = line[n:]
		}
		s = append(s, row)
	}
	for len(s) > 0 && strings.TrimSpace(s.line(len(s)-1)) == "" {
		s = s[:len(s)-1]
	}
	return s
}

func (s screen) line(i int) string {
	var b strings.Builder
	for _, c := range s[i] {
		b.WriteRune(c.r)
	}
	return b.String()
}

// escape cuts the sequence off that line begins with. What it sets is "" unless it is an SGR.
func escape(line string) (sequence, rest string, ok bool) {
	after, ok := strings.CutPrefix(line, "\x1b[")
	if !ok {
		return "", strings.TrimPrefix(line, "\x1b"), strings.HasPrefix(line, "\x1b")
	}
	end := strings.IndexFunc(after, func(r rune) bool { return r >= '@' && r <= '~' })
	switch {
	case end < 0:
		return "", "", true
	case after[end] != 'm':
		return "", after[end+1:], true
	}
	return after[:end] + "m", after[end+1:], true
}

func (s *style) apply(sequence string) {
	parameters, ok := strings.CutSuffix(sequence, "m")
	if !ok {
		return
	}
	codes := strings.FieldsFunc(parameters, func(r rune) bool { return r == ';' || r == ':' })
	if len(codes) == 0 {
		*s = style{}
	}
	for len(codes) > 0 {
		n, _ := strconv.Atoi(codes[0])
		codes = codes[1:]
		switch n {
		case 38:
			s.text, codes = colour(codes)
		case 48:
			s.ground, codes = colour(codes)
		default:
			s.set(n)
		}
	}
}

func (s *style) set(n int) {
	switch {
	case n == 0:
		*s = style{}
	case n == 1:
		s.bold = true
	case n == 2:
		s.faint = true
	case n == 3:
		s.italic = true
	case n == 4:
		s.underline = true
	case n == 7:
		s.reverse = true
	case n == 22:
		s.bold, s.faint = false, false
	case n == 23:
		s.italic = false
	case n == 24:
		s.underline = false
	case n == 27:
		s.reverse = false
	case n >= 30 && n <= 37:
		s.text = fmt.Sprintf("c%d", n-30)
	case n == 39:
		s.text = ""
	case n >= 40 && n <= 47:
		s.ground = fmt.Sprintf("c%d", n-40)
	case n == 49:
		s.ground = ""
	case n >= 90 && n <= 97:
		s.text = fmt.Sprintf("c%d", n-82)
	case n >= 100 && n <= 107:
		s.ground = fmt.Sprintf("c%d", n-92)
	}
}

// colour reads what is behind 38 or 48: 5 and one of 256 colours, or 2 and three components.
func colour(codes []string) (string, []string) {
	number := func(i int) int {
		n, _ := strconv.Atoi(codes[i])
		return n
	}
	switch {
	case len(codes) >= 2 && codes[0] == "5":
		return indexed(number(1)), codes[2:]
	case len(codes) >= 4 && codes[0] == "2":
		return fmt.Sprintf("#%02x%02x%02x", number(1)&255, number(2)&255, number(3)&255), codes[4:]
	}
	return "", nil
}

// indexed is a colour of xterm's palette: 16 of the theme, a cube of 6×6×6, and 24 greys.
func indexed(n int) string {
	switch {
	case n < 16:
		return fmt.Sprintf("c%d", max(n, 0))
	case n < 232:
		level := func(i int) int {
			if i == 0 {
				return 0
			}
			return 55 + 40*i
		}
		n -= 16
		return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
	}
	grey := 8 + 10*(min(n, 255)-232)
	return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey)
}
