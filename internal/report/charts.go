package report

// Charts are how a row went on over the window, in steps of equal length from Start on, and how long its connections
// lived. All slices but Lifetimes have one number a step.
type Charts struct {
	Start       *Time   `json:"start"`
	StepSeconds Decimal `json:"step_seconds"`
	// Opened and Closed count within each step, and so does Failed, by errno.
	Opened []uint64            `json:"opened"`
	Closed []uint64            `json:"closed"`
	Failed map[string][]uint64 `json:"failed"`
	// Open and TimeWait are how many there were when the step ended; TimeWait is null when the ends of TIME_WAITs were not
	// observed.
	Open     []uint64 `json:"open"`
	TimeWait []uint64 `json:"time_wait"`
	// Lifetimes are the buckets in which there is something, the shortest first.
	Lifetimes []Bucket `json:"lifetime_histogram"`
}

// Bucket counts the values from Least to below Below, in seconds.
type Bucket struct {
	Least Decimal `json:"least_seconds"`
	Below Decimal `json:"below_seconds"`
	Count uint64  `json:"count"`
}

// PortCharts are how a budget of ports was used over the window: the ports held when each step ended, and how many of
// them by TIME_WAITs. They are counted from beginnings and ends, whatever Port.Basis says.
type PortCharts struct {
	Start       *Time    `json:"start"`
	StepSeconds Decimal  `json:"step_seconds"`
	Used        []uint64 `json:"used"`
	TimeWait    []uint64 `json:"time_wait"`
}
