package recorder

import (
	"strings"
	"testing"
)

var words = []string{"pooled", "unpooled"}

func TestTriggers(t *testing.T) {
	for _, c := range []struct {
		text string
		r    Reading
		want bool
	}{
		{"exhausted>0", Reading{}, false},
		{"exhausted>0", Reading{Exhausted: 1}, true},
		{" used_ratio >= 0.8 ", Reading{UsedRatio: 0.8}, true},
		{"used_ratio>0.8", Reading{UsedRatio: 0.8}, false},
		{"failed<=2", Reading{Failed: 2}, true},
		{"failed<2", Reading{Failed: 2}, false},
		{"time_wait!=0", Reading{TimeWait: 7}, true},
		{"opened_per_second==3.5", Reading{OpenedPerSecond: 3.5}, true},
		{"verdict==unpooled", Reading{Verdicts: []string{"pooled", "unpooled"}}, true},
		{"verdict==unpooled", Reading{Verdicts: []string{"pooled"}}, false},
		{"verdict!=pooled", Reading{}, true},
	} {
		trigger, err := ParseTrigger(c.text, words)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := trigger.Holds(&c.r); got != c.want {
			t.Errorf("%s with %+v: %t", c.text, c.r, got)
		}
	}
}

func TestTriggersThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "has no operator",
		"exhausted":           "has no operator",
		"exhaust>0":           `"exhaust" is no field`,
		"exhausted>many":      `"many" is no number`,
		"used_ratio>nan":      `"nan" is no number`,
		"verdict>unpooled":    "verdict takes == or !=",
		"verdict==unpooledly": `"unpooledly" is no verdict: one of pooled, unpooled`,
	} {
		if _, err := ParseTrigger(text, words); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
