package report

import (
	"regexp"
	"strings"
)

// In Markdown nearly every sign can mean something, and to GitHub, GitLab and chats even a plain @name or #1 does. So
// nothing is escaped here sign by sign: what is not plainly a word or a number becomes code, in which nothing means
// anything and nobody is notified. It also is what addresses and settings should look like.

// plainWord is a word that means nothing but itself: letters, with hyphens or apostrophes inside, or a number, perhaps
// with a unit.
var plainWord = regexp.MustCompile(
	`^(?:\p{L}+(?:['’-]\p{L}+)*|(?:\d[\d,]*(?:\.\d+)?(?:ns|µs|ms|[smhdkMGTPE%])?)+)$`)

// listNumber would begin a list.
var listNumber = regexp.MustCompile(`^\d+[.)]$`)

const (
	opening = `("'“`
	closing = `.,;:!?)"'”…`
)

// prose writes a sentence. Names that stand in it are code as a whole, whatever they are.
func prose(text string, names ...string) string {
	var b strings.Builder
	for rest := strings.Trim(text, " "); rest != ""; {
		word, more := nextWord(rest, names)
		if b.Len() == 0 && listNumber.MatchString(word) {
			word = code(word)
		}
		b.WriteString(word)
		if rest = strings.TrimLeft(more, " "); len(rest) < len(more) && rest != "" {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// nextWord writes the word that text begins with, and returns what is behind it.
func nextWord(text string, names []string) (word, rest string) {
	head := text[:len(text)-len(strings.TrimLeft(text, opening))]
	for _, before := range []string{"", head} { // a name can begin with a bracket itself
		for _, n := range names {
			if after, ok := strings.CutPrefix(text[len(before):], n); ok && n != "" && endsHere(after) {
				tail, rest := cutWord(after)
				return before + code(n) + tail, rest
			}
		}
	}
	word, rest = cutCall(text, len(head))
	core := trimClosing(word[len(head):])
	tail := word[len(head)+len(core):]
	if core == "" || plainWord.MatchString(core) {
		return word, rest
	}
	return head + code(core) + tail, rest
}

// endsHere reports whether a name ends before text: nothing but punctuation comes up to the next blank.
func endsHere(text string) bool {
	word, _ := cutWord(text)
	return strings.Trim(word, closing) == ""
}

func cutWord(text string) (word, rest string) {
	if i := strings.IndexByte(text, ' '); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// longestCall is how long something with blanks between its brackets is, at the most, to be one word: "f(x=1, y=2)".
const longestCall = 60

// cutCall is cutWord, but a bracket that opens behind the first bytes is closed in the same word.
func cutCall(text string, first int) (word, rest string) {
	word, rest = cutWord(text)
	if inside := word[first:]; strings.Count(inside, "(") <= strings.Count(inside, ")") {
		return word, rest
	}
	end := strings.IndexByte(text, ')')
	if end < 0 || end > longestCall {
		return word, rest
	}
	more, rest := cutWord(text[end:])
	return text[:end] + more, rest
}

// trimClosing cuts punctuation off the end of a word, but not the bracket that belongs to one inside: "bind()".
func trimClosing(word string) string {
	for {
		cut := strings.TrimRight(word, strings.ReplaceAll(closing, ")", ""))
		if strings.HasSuffix(cut, ")") && strings.Count(cut, ")") > strings.Count(cut, "(") {
			cut = cut[:len(cut)-1]
		}
		if cut == word {
			return word
		}
		word = cut
	}
}

// code writes text as code, between more backticks than there are in a row inside.
func code(text string) string {
	if text == "" {
		return ""
	}
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if strings.Trim(text, "` ") != text { // a backtick would join the fence, and blanks at both ends would go
		text = " " + text + " "
	}
	return fence + text + fence
}

// shownName is how long a name in a table may be.
const shownName = 64

// name is what a cell of a table says that came from outside. A "|" ends a cell even in code, unless there is a
// backslash before it, which must not be escaped itself.
func name(text string) string {
	if text = shorten(text, shownName); text == "" || text == "-" {
		return "-"
	}
	text = strings.ReplaceAll(text, `\|`, `\x7c`)
	return strings.ReplaceAll(code(text), "|", `\|`)
}
