package report

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Decimal is a number with at most six digits after the point, and one at least; never an exponent, NaN or infinity.
type Decimal float64

// MarshalJSON writes null for what is no number.
func (d Decimal) MarshalJSON() ([]byte, error) { return d.append(nil), nil }

func (d Decimal) append(b []byte) []byte {
	v := float64(d)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	text := strings.TrimRight(strconv.FormatFloat(v, 'f', 6, 64), "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	if text == "-0.0" {
		text = "0.0"
	}
	return append(b, text...)
}

// Time is a moment in Unix nanoseconds, written as RFC 3339 in UTC with microseconds.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// MarshalJSON writes the time as a string.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.text() + `"`), nil }

func (t Time) text() string { return time.Unix(0, int64(t)).UTC().Format(timeLayout) }

// UnmarshalJSON reads what MarshalJSON wrote, or any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	*t = Time(at.UnixNano())
	return nil
}

func timeOf(unixNano int64) *Time {
	if unixNano == 0 {
		return nil
	}
	t := Time(unixNano)
	return &t
}

// known returns a pointer to v, nil when v is its type's zero: not known.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// pointer returns a pointer to v, which was measured even where it is 0.
func pointer[T any](v T) *T { return &v }
