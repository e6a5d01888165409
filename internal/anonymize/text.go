package anonymize

import (
	"net/netip"
	"regexp"
	"strings"
)

// Text replaces the addresses in text, wherever they stand: 10.0.0.7, 10.0.0.7:5432, ip-10-0-0-7, 10_0_0_7, fd00::7,
// [fd00::7]:5432, ::ffff:10.0.0.7. What only looks like one, as a version of four numbers does, is replaced, too.
func (m *Mapper) Text(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' || r == ':' }) < 0 {
		return text
	}
	return m.sixes(quad.ReplaceAllStringFunc(text, m.four))
}

var quad = regexp.MustCompile(`[0-9]+(?:\.[0-9]+){3}|[0-9]+(?:-[0-9]+){3}|[0-9]+(?:_[0-9]+){3}`)

// four replaces an IPv4 address, with whatever is between its numbers.
func (m *Mapper) four(word string) string {
	between := string(word[strings.IndexAny(word, ".-_")])
	a, err := netip.ParseAddr(strings.ReplaceAll(word, between, "."))
	if err != nil {
		return word
	}
	return strings.ReplaceAll(m.Addr(a).String(), ".", between)
}

// sixes replaces the IPv6 addresses in text.
func (m *Mapper) sixes(text string) string {
	if strings.Count(text, ":") < 2 {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && inSix(text[end]) {
			end++
		}
		if end == i {
			out.WriteByte(text[i])
			i++
			continue
		}
		from, to := whole(text, i, end)
		out.WriteString(text[i:from])
		out.WriteString(m.groups(text[from:to]))
		out.WriteString(text[to:end])
		i = end
	}
	return out.String()
}

// whole narrows text[from:to] to groups that are not parts of longer words, as the first of "failed::7" is, nor of an
// IPv4 address, which has been replaced.
func whole(text string, from, to int) (int, int) {
	word := text[from:to]
	if from > 0 && letter(text[from-1]) {
		from += strings.IndexByte(word+":", ':')
	}
	if rest := text[to:]; rest != "" && letter(rest[0]) || len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' {
		to -= len(word) - 1 - strings.LastIndexByte(word, ':')
	}
	if from > to || strings.EqualFold(text[from:to], "::ffff:") {
		return to, to
	}
	return from, to
}

// longest is how long an IPv6 address can be without IPv4 in it.
const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")

// groups replaces every address in word, which is groups and colons: from each group on the longest that is one.
func (m *Mapper) groups(word string) string {
	var out strings.Builder
	for word != "" {
		if n, to := m.longestSix(word); n > 0 {
			out.WriteString(to)
			word = word[n:]
			continue
		}
		n := strings.IndexByte(word, ':') + 1
		if n == 0 {
			n = len(word)
		}
		out.WriteString(word[:n])
		word = word[n:]
	}
	return out.String()
}

// longestSix is how long the longest address is that word begins with, 0 for none, and what it becomes.
func (m *Mapper) longestSix(word string) (n int, to string) {
	for n := min(len(word), longest); n > 1; n-- {
		if n < len(word) && word[n] != ':' && word[n-1] != ':' {
			continue // in the middle of a group
		}
		if a, err := netip.ParseAddr(word[:n]); err == nil {
			return n, m.Addr(a).String()
		}
	}
	return 0, ""
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func inSix(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' || c == ':' }
