package recorder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Trigger is a condition on which what led to it is kept: "exhausted>0", "used_ratio>0.8", "verdict==unpooled".
type Trigger struct {
	text, field, operator string
	number                float64
	word                  string
}

// Reading is what triggers look at.
type Reading struct {
	// Exhausted and Failed are connects since the last reading that found no port, and that failed for whatever reason.
	Exhausted, Failed uint64
	UsedRatio         float64 // of the fullest port budget
	TimeWait          uint64  // held now
	OpenedPerSecond   float64
	Verdicts          []string // of all services and destinations, lately
}

// numbers are the fields that are numbers, verdictField is the one that is a word.
var numbers = map[string]func(*Reading) float64{
	"exhausted":         func(r *Reading) float64 { return float64(r.Exhausted) },
	"failed":            func(r *Reading) float64 { return float64(r.Failed) },
	"used_ratio":        func(r *Reading) float64 { return r.UsedRatio },
	"time_wait":         func(r *Reading) float64 { return float64(r.TimeWait) },
	"opened_per_second": func(r *Reading) float64 { return r.OpenedPerSecond },
}

const verdictField = "verdict"

// operators, the longer ones first.
var operators = []string{">=", "<=", "==", "!=", ">", "<"}

// ParseTrigger reads FIELD OPERATOR VALUE. words are the values that verdict can have.
func ParseTrigger(text string, words []string) (Trigger, error) {
	for _, op := range operators {
		field, value, ok := strings.Cut(text, op)
		if !ok {
			continue
		}
		t := Trigger{text: text, field: strings.TrimSpace(field), operator: op, word: strings.TrimSpace(value)}
		return t, t.check(words)
	}
	return Trigger{}, fmt.Errorf("%q has no operator: write for example exhausted>0, used_ratio>0.8 or verdict==unpooled", text)
}

func (t *Trigger) check(words []string) (err error) {
	if t.field == verdictField {
		if t.operator != "==" && t.operator != "!=" {
			return fmt.Errorf("%q: verdict takes == or !=, not %s", t.text, t.operator)
		}
		if !slices.Contains(words, t.word) {
			return fmt.Errorf("%q: %q is no verdict: one of %s", t.text, t.word, strings.Join(words, ", "))
		}
		return nil
	}
	if numbers[t.field] == nil {
		return fmt.Errorf("%q: %q is no field: one of exhausted, failed, opened_per_second, time_wait, used_ratio, verdict", t.text, t.field)
	}
	if t.number, err = strconv.ParseFloat(t.word, 64); err != nil || t.number != t.number {
		return fmt.Errorf("%q: %q is no number", t.text, t.word)
	}
	return nil
}

// Holds reports whether the condition holds.
func (t *Trigger) Holds(r *Reading) bool {
	if t.field == verdictField {
		return slices.Contains(r.Verdicts, t.word) == (t.operator == "==")
	}
	v := numbers[t.field](r)
	switch t.operator {
	case ">":
		return v > t.number
	case ">=":
		return v >= t.number
	case "<":
		return v < t.number
	case "<=":
		return v <= t.number
	case "!=":
		return v != t.number
	}
	return v == t.number
}

func (t *Trigger) String() string { return t.text }
