// Package report builds the one document that answers "who churns, and why", and writes it in its forms: JSON and
// columns. It also writes single events, one a line, in the same two forms.
//
// Nothing that a process, a path or a packet could have named reaches an output unescaped.
package report

import "github.com/tcpstate/tcpstate/internal/churn"

// Schema names the JSON of a Document. Fields may be added under the same name; none is renamed or removed.
const Schema = "tcpstate.report/v1"

// Document is one report. A pointer that is nil stands for what was not measured: null in JSON, never 0.
type Document struct {
	Schema   string    `json:"schema"`
	Window   Window    `json:"window"`
	Host     Host      `json:"host"`
	Filter   Filter    `json:"filter"`
	Loss     Loss      `json:"loss"`
	Findings []Finding `json:"findings"`
	// FindingsOmitted is how many findings there were beyond the first hundred.
	FindingsOmitted int           `json:"findings_omitted"`
	Destinations    []Destination `json:"destinations"`
	// DestinationsOmitted is how many rows [Document.Limit] cut off.
	DestinationsOmitted int `json:"destinations_omitted"`
	// Ports are the budgets of local ports, the tightest first; nil when the ends of TIME_WAITs were not observed.
	Ports []Port `json:"ports"`
	// PortsOmitted is how many of them [Document.Limit], or the table's bound, cut off.
	PortsOmitted uint64 `json:"ports_omitted"`
	// BindFailures are bind() calls that failed: no connection came of them, and so no row.
	BindFailures []BindFailure `json:"bind_failures"`
	// BindFailuresOmitted is how many failed calls are beyond those told apart.
	BindFailuresOmitted uint64 `json:"bind_failures_omitted"`
	// TimeWait says how TIME_WAIT was observed on this host, and how well that agrees with the kernel; nil: it was not.
	TimeWait *TimeWaitTotal `json:"time_wait"`
	// Namespaces are the network namespaces there were, with the settings that decide about ports.
	Namespaces        []Namespace `json:"namespaces"`
	NamespacesOmitted int         `json:"namespaces_omitted"`
	// HooksAbsent are the programs that could not be attached, each with what is not known without it.
	HooksAbsent []string `json:"hooks_absent"`

	findings [3]int // so far, by weight
}

// Window is the time that the document covers.
type Window struct {
	Start   *Time   `json:"start"`
	End     *Time   `json:"end"`
	Seconds Decimal `json:"seconds"`
}

// Host is where the events came from.
type Host struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
	Source string `json:"source"` // "live", or the names of the captures
	// TimeWaitTier says how TIME_WAIT was observed; "" when nobody said.
	TimeWaitTier string `json:"time_wait_tier"`
	// Hooks are the attached programs, as -v prints them.
	Hooks []string `json:"hooks"`
}

// Filter says which events were looked at.
type Filter struct {
	Expression string `json:"expression"`
	Matched    uint64 `json:"events_matched"`
	Excluded   uint64 `json:"events_excluded"`
}

// Loss says what is missing.
type Loss struct {
	// EventsLost is how many events came without details. They are in the totals when TotalsExact.
	EventsLost  uint64 `json:"events_lost"`
	TotalsExact bool   `json:"totals_exact"`
	// SocketsEvicted is how many connections were not followed because the table of sockets was full.
	SocketsEvicted uint64 `json:"sockets_evicted"`
	// ServicesUnknown is how many connections and failed connects have no known owner.
	ServicesUnknown uint64 `json:"services_unknown"`
	// ServicesRefused is how many services were named by the kernel's facts only, because the table of services was full.
	ServicesRefused uint64 `json:"services_refused"`
	// EventsUnassigned is the part of EventsLost that belongs to no destination.
	EventsUnassigned uint64 `json:"events_unassigned"`
	// EventsMerged is how many events are in the ~other rows because the table of destinations was full.
	EventsMerged uint64 `json:"events_merged"`
	// RecursionLost is how many runs of the tracing program the kernel refused while it ran on the same CPU.
	RecursionLost uint64 `json:"recursion_lost"`
	// EndsUnseen is how many connections were found to have ended although no tracing program was called for it.
	EndsUnseen uint64 `json:"ends_unseen"`
	// EventsRepeated is how many events may have been counted twice.
	EventsRepeated uint64 `json:"events_repeated"`
	// Capture is what is wrong with the capture that this is made from; null: nothing, or there is none.
	Capture *CaptureDamage `json:"capture_damage"`
}

// Finding is one thing that somebody should know, in a plain sentence.
type Finding struct {
	Host        string   `json:"host,omitempty"` // where a document is of several
	Severity    string   `json:"severity"`       // critical, warning or info
	Code        string   `json:"code"`
	Service     string   `json:"service"`
	Destination string   `json:"destination"`
	Summary     string   `json:"summary"`
	Evidence    []string `json:"evidence"`
	Advice      []string `json:"advice"`
	// Runbook is the page that says what to do: see [Runbook].
	Runbook string `json:"runbook"`
}

// Service is who owns connections.
type Service struct {
	Name string  `json:"name"`
	Kind string  `json:"kind"`
	PID  *uint32 `json:"pid"`
	Comm string  `json:"comm"`
	Exe  string  `json:"exe"`
	// Runtime is what runs the program, Library the client library seen in it; "" where that is not known.
	Runtime     string  `json:"runtime"`
	Library     string  `json:"library"`
	Unit        string  `json:"unit"`
	ContainerID string  `json:"container_id"`
	Pod         string  `json:"pod"`
	CgroupID    *uint64 `json:"cgroup_id"`
	Cgroup      string  `json:"cgroup"`
	// Processes is how many different pids were seen in the service.
	Processes *int `json:"processes"`
}

// Local is this host's end. A port that differs from connection to connection is null.
type Local struct {
	Addr *string `json:"addr"`
	Port *uint16 `json:"port"`
}

// Remote is the other end.
type Remote struct {
	Addr *string `json:"addr"`
	Port *uint16 `json:"port"`
	Name string  `json:"name"`
}

// Destination is one row: outbound, a service and where it connects; inbound, a listening address and who connects.
type Destination struct {
	// Host is set where a document is of several.
	Host      string  `json:"host,omitempty"`
	Service   Service `json:"service"`
	Direction string  `json:"direction"`
	Netns     *uint32 `json:"netns"`
	Local     Local   `json:"local"`
	Dst       Remote  `json:"dst"`
	Opened    uint64  `json:"opened"` // established while tracing
	Closed    uint64  `json:"closed"`
	// Failed counts connects by errno, CANCELED, UNKNOWN, or OTHER: what came after six different ones.
	Failed     map[string]uint64 `json:"failed"`
	ClosedBy   ClosedBy          `json:"closed_by"`
	Open       Open              `json:"open"`
	OpenedRate *Decimal          `json:"opened_per_second"`
	TimeWait   TimeWait          `json:"time_wait"`
	Lifetime   Quantiles         `json:"lifetime_seconds"`
	Connect    Quantiles         `json:"connect_seconds"`
	Sent       uint64            `json:"sent_bytes"`
	Received   uint64            `json:"received_bytes"`
	Exchanges  Exchanges         `json:"exchanges"`
	// DetailsLost is how many events of the row are in the totals only.
	DetailsLost uint64  `json:"details_lost"`
	Verdict     Verdict `json:"verdict"`
	// Charts are there for the worst rows only: see [Input.Charted].
	Charts *Charts `json:"charts"`

	// ID tells which row of the table this is: the same in all documents of one table.
	ID int `json:"-"`
	// Recent is how many connections were opened in each of the last sixty seconds, the oldest first; nil unless the
	// table keeps it. It is for live views.
	Recent []uint32 `json:"-"`

	harm harm
	leak leak

	where  string        // place, worked out once
	budget *churn.Budget // of the table; nil: none
	port   *Port         // the same in the document
}

// ClosedBy counts ends by who closed first.
type ClosedBy struct {
	Local  uint64 `json:"local"`
	Remote uint64 `json:"remote"`
	Both   uint64 `json:"both"`
	Reset  uint64 `json:"reset"`
}

// Open counts connections that are open.
type Open struct {
	Now  uint64 `json:"now"`
	Peak uint64 `json:"peak"`
	// Preexisting is how many of those seen were opened before tracing began.
	Preexisting uint64 `json:"preexisting"`
	// Connecting is how many connects were under way, without an answer, when the window ended; Oldest is for how long.
	Connecting uint64   `json:"connecting"`
	Oldest     *Decimal `json:"oldest_connecting_seconds"`
	// CloseWait is how many the other end had closed and this host had not, when the window ended; OldestCloseWait is for
	// how long nothing had been sent on the oldest.
	CloseWait       uint64   `json:"close_wait"`
	OldestCloseWait *Decimal `json:"oldest_close_wait_idle_seconds"`
}

// TimeWait counts TIME_WAIT sockets on this host, in both of their substates.
type TimeWait struct {
	// Entered are those made in the window, Now those held at its end, nil when their ends were not observed.
	Entered uint64  `json:"entered"`
	Now     *uint64 `json:"now"`
	// Overflowed counts those that were due and that the kernel did not make.
	Overflowed uint64 `json:"overflowed"`
	// FinWait2 is how many of Now still wait for the other end's FIN (substate FIN_WAIT2), nil when that is not known.
	FinWait2 *uint64 `json:"fin_wait2"`
	// Existing are those that were there when the window began, Ended those removed in it.
	Existing uint64  `json:"existing"`
	Ended    uint64  `json:"ended"`
	EndedBy  EndedBy `json:"ended_by"`
}

// EndedBy counts ends of TIME_WAITs by their cause.
type EndedBy struct {
	Expired uint64 `json:"expired"`
	Reused  uint64 `json:"reused"`
	Killed  uint64 `json:"killed"`
	Unknown uint64 `json:"unknown"`
}

// Quantiles of a duration in seconds, within 4.4 %; Max is exact. All null when nothing was measured.
type Quantiles struct {
	P50 *Decimal `json:"p50"`
	P90 *Decimal `json:"p90"`
	P99 *Decimal `json:"p99"`
	Max *Decimal `json:"max"`
}

// Exchanges are how often the two ends took turns: the smaller of the data segments sent and received.
type Exchanges struct {
	Total uint64   `json:"total"`
	P10   *Decimal `json:"p10"`
	P50   *Decimal `json:"p50"`
	Max   *uint64  `json:"max"`
}

// Verdict is what the row's use of connections was judged to be. Name is null for inbound rows: whether to pool is up
// to the host that connects.
type Verdict struct {
	Name *string `json:"name"`
	// Kind says more closely what was recognised, null where nothing was.
	Kind *string `json:"kind"`
	// Confidence is high, medium or low; null where there is nothing to be sure of.
	Confidence *string  `json:"confidence"`
	Evidence   []string `json:"evidence"`
	Advice     []string `json:"advice"`
	// Sources are where the pieces of advice come from, one for each.
	Sources []string `json:"sources"`
}
