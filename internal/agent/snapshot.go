package agent

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Snapshot is what was known at one moment. Nobody changes it, nor what it points to.
type Snapshot struct {
	At time.Time
	// Start is when counting began: what was before is in no counter.
	Start  time.Time
	Series []*Series
	Ports  []*Port
	// Destinations is how many rows are kept apart, MaxDestinations how many can be.
	Destinations, MaxDestinations int
	Totals

	Verdicts []Verdict
	Findings map[Finding]int

	Tracer     Tracer
	Losses     []Reason
	Exact      bool
	Namespaces []NamespaceWaits // the kernel's own counts
	Programs   []Program        // nil: the kernel keeps no statistics
	Recorder   Recorder
	Reload     Reload
	// Ready is why the tracer is not to be relied on, "" when it is.
	NotReady string
}

// Totals count all events, of whatever service. They never go down.
type Totals struct {
	Events [event.BindFailed + 1]uint64 // by kind; those lost are at event.Lost
	// Exhausted and Failed count connects that found no port, and that failed for whatever reason.
	Exhausted, Failed uint64
	// UsedRatio is that of the fullest port budget, TimeWait what is held now of connections that this host has opened.
	UsedRatio float64
	TimeWait  uint64
}

// Series are the counters of one set of labels. Several rows can have the same: those of other network namespaces, source
// addresses and, for what was accepted, remote hosts.
type Series struct {
	Labels
	// Created is when everything was 0.
	Created time.Time

	Opened, TimeWaitEntered, SentBytes, ReceivedBytes uint64
	ClosedBy                                          [event.ClosedReset + 1]uint64
	Failed                                            []Failure
	Open, TimeWait                                    uint64
	Lifetimes, ConnectTimes                           *Histogram

	pairs *pairs
}

// Failure counts connects by what came of them.
type Failure struct {
	Error string
	Count uint64

	pairs []*dto.LabelPair
}

// Port is the budget of local ports from one source address toward one destination. Several can have the same labels,
// those of other network namespaces: capacities, uses and exhaustions are added up, the rest is that of the fullest.
type Port struct {
	Source, Destination string
	Created             time.Time
	Exhausted           uint64
	Used                uint64
	// Reusable is the part of Used that is TIME_WAIT and that connect() takes over. Partial: nobody knows, for the settings
	// of some of the namespaces in which ports are used are not known.
	Reusable uint64
	Partial  bool
	// Known: what follows from the namespace's settings is known.
	Known     bool
	Capacity  int
	UsedRatio float64
	// Seconds until no port is left; +Inf: it does not come to that.
	Seconds float64

	pairs []*dto.LabelPair
}

// Verdict is what the use of connections was judged to be, lately.
type Verdict struct {
	Labels
	Verdict, Kind, Confidence string

	pairs []*dto.LabelPair
}

// Finding is what findings are counted by.
type Finding struct{ Severity, Code string }

// Tracer says how it is traced.
type Tracer struct {
	Version, Kernel string
	Tier            int // 0: TIME_WAIT is not followed
}

// Reason counts what was lost, by why.
type Reason struct {
	Name  string
	Count uint64
}

// NamespaceWaits is the kernel's count of timewait sockets in a network namespace.
type NamespaceWaits struct {
	Netns    uint32
	TimeWait uint64
}

// Program is what a BPF program has cost.
type Program struct {
	Name    string
	Runs    uint64
	Runtime time.Duration
}

// Recorder is how the recording goes.
type Recorder struct {
	Running                           bool
	Incidents, Events, Bytes, Dropped uint64
}

// Reload is how reading the configuration went last.
type Reload struct {
	OK bool
	At time.Time // of the last that was good
}
