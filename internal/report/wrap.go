package report

import (
	"strings"
	"unicode"
)

// cells is how many columns of a terminal s takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

// cellsOf is 2 for the wide characters of East Asian scripts and emoji, 0 for marks that combine with the one before.
func cellsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// words splits text at blanks, but keeps a number and its unit together.
func words(text string) []string {
	var words []string
	for _, word := range strings.Split(text, " ") {
		last := len(words) - 1
		if unit := strings.TrimRight(word, ".,;:"); (unit == "s" || unit == "%") && last >= 0 && !strings.Contains(words[last], " ") {
			words[last] += " " + word
			continue
		}
		words = append(words, word)
	}
	return words
}

// wrap writes text behind first, broken at blanks so that lines fit in width (0: never); further lines begin with rest.
func wrap(b *strings.Builder, width int, first, rest, text string) {
	line, used := first, cells(first)
	empty := true
	for _, word := range words(text) {
		n := cells(word)
		if width > 0 && !empty && used+1+n > width {
			b.WriteString(line + "\n")
			line, used, empty = rest, cells(rest), true
		}
		if width > 0 && used+n > width {
			word = shorten(word, max(width-used, 8))
			n = cells(word)
		}
		if !empty {
			line += " "
			used++
		}
		line += word
		used += n
		empty = false
	}
	b.WriteString(line + "\n")
}
