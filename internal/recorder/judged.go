package recorder

// Judged reports whether the condition is about what takes some seconds to be told: verdicts and rates.
func (t *Trigger) Judged() bool { return t.field == verdictField || t.field == "opened_per_second" }
