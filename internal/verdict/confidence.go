package verdict

import "fmt"

// Confidence is how sure a verdict is. "" where there is nothing to be sure of.
type Confidence string

// The confidences: High holds when each threshold of the rule is moved, one at a time, to the ends of the range in which
// every recorded case stays right; Medium does not with one, or lacks details of some events; Low does not with several,
// or lacks those of many.
const (
	High   Confidence = "high"
	Medium Confidence = "medium"
	Low    Confidence = "low"
)

// someLost is the share of the details from which on their loss makes a verdict less sure.
const someLost = 0.01

// margin is a threshold and the ends of its range.
type margin struct {
	what      string
	of        func(*thresholds) *float64
	low, high float64
}

// margins are not as wide as the recorded cases allow where the verdict next to it is no surprise.
var margins = []margin{
	{"avoidable connects", func(t *thresholds) *float64 { return &t.avoidable }, 0.35, 0.65},
	{"exchanges for each connect", func(t *thresholds) *float64 { return &t.exchangesPool }, 10, 30},
	{"exchanges for each connect of a sure pool", func(t *thresholds) *float64 { return &t.exchangesMany }, 60, 150},
	{"life", func(t *thresholds) *float64 { return &t.longLife }, 0.5, 1.2},
	{"exchanges beyond the least", func(t *thresholds) *float64 { return &t.beyondBase }, 0.8, 0.97},
	{"connects", func(t *thresholds) *float64 { return &t.attempts }, 15, 30},
	{"connects per second", func(t *thresholds) *float64 { return &t.rate }, 2, 4.5},
	{"exchanges on much used connections", func(t *thresholds) *float64 { return &t.heavyShare }, 0.015, 0.05},
	{"silent connections", func(t *thresholds) *float64 { return &t.silentShare }, 0.4, 0.8},
	{"failures", func(t *thresholds) *float64 { return &t.failingShare }, 0.35, 0.65},
}

// moved are the rules with one threshold moved to an end of its range.
var moved = func() (all []movedRule) {
	for _, m := range margins {
		for _, limit := range []float64{m.low, m.high} {
			r := movedRule{rule: rule, what: m.what, limit: limit, usual: *m.of(&rule)}
			*m.of(&r.rule) = limit
			all = append(all, r)
		}
	}
	return all
}()

type movedRule struct {
	rule         thresholds
	what         string
	limit, usual float64
}

// sureness says how sure a conclusion is, and why it is not surer, "" when it is.
func sureness(f *figures, c conclusion) (Confidence, string) {
	name, turned, why := c.name(), 0, ""
	for i := range moved {
		m := &moved[i]
		if other := m.rule.apply(f).name(); other != name {
			turned++
			why = fmt.Sprintf("near a limit of the rule: with a limit of %s (not %s) for %s it would be %s",
				decimal(m.limit), decimal(m.usual), m.what, other)
		}
	}
	lost := float64(f.lostDetails) / max(float64(f.details), 1)
	switch {
	case turned > 1 || lost > manyLost:
		return Low, why
	case turned == 1 || lost > someLost:
		return Medium, why
	}
	return High, ""
}
