package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseRate reads requests a second: "30", "0.5"; or a minute, an hour: "30/m", "100/h".
func ParseRate(text string) (float64, error) {
	number, per := text, 1.0
	for _, unit := range []struct {
		suffix  string
		seconds float64
	}{{"/s", 1}, {"/min", 60}, {"/m", 60}, {"/h", 3600}} {
		if rest, ok := strings.CutSuffix(text, unit.suffix); ok {
			number, per = rest, unit.seconds
			break
		}
	}
	v, ok := parseNumber(number)
	switch v /= per; {
	case !ok:
		return 0, fmt.Errorf("%q is no rate: write requests a second like 30 or 0.5, or 30/m, 30/h", text)
	case v <= 0:
		return 0, fmt.Errorf("%q is not more than nothing: write requests a second like 30 or 0.5", text)
	case v < MinRate || v > MaxRate:
		return 0, fmt.Errorf("%q is out of bounds: from %s to %s a second", text, exactly(MinRate), exactly(MaxRate))
	}
	return v, nil
}

// ParseReuse reads which share of the requests finds a connection open, "0.9" or "90%", and returns the share of the
// others.
func ParseReuse(text string) (float64, error) {
	number, hundredths := strings.CutSuffix(text, "%")
	v, ok := parseNumber(number)
	if hundredths {
		v /= 100
	}
	if !ok {
		return 0, fmt.Errorf("%q is no share of the requests: write for example 0.9 or 90%%", text)
	}
	if v < 0 || v > MaxReuse {
		return 0, fmt.Errorf("%q is out of bounds: from 0 to %v, or from 0%% to %s", text, MaxReuse, percent(MaxReuse))
	}
	const digits = 1e9 // 1 - 0.9 is a little less than 0.1
	return math.Round((1-v)*digits) / digits, nil
}

// parseNumber reads a decimal number. One that is too large comes back as infinity.
func parseNumber(text string) (float64, bool) {
	if strings.Trim(text, "+-.0123456789eE") != "" { // NaN, Inf, 0x10
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}
