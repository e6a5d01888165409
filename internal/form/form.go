// Package form is how results are written, whatever they say: numbers for people, and one JSON document.
package form

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// JSON writes document and a newline, on one line or indented. what is being written stands before an error: "write
// report".
func JSON(w io.Writer, document any, indent bool, what string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(document); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Commas puts one between thousands of a whole number, which can have a sign.
func Commas(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Grouped writes n with a comma between thousands.
func Grouped[N int | int64 | uint64](n N) string { return Commas(fmt.Sprint(n)) }

// Count writes "1 port", "1,234 ports", "2 addresses".
func Count[N int | int64 | uint64](n N, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return Grouped(n) + " " + noun + "es"
	}
	return Grouped(n) + " " + noun + "s"
}
