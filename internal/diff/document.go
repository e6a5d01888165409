// Package diff compares two reports: what is better, what is worse and what stayed the same for each service and the
// destination it connects to. It says so only where the difference is more than chance makes, and says plainly when
// nothing changed and when nobody can tell.
package diff

import (
	"io"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/report"
)

// Schema names the JSON of a Document. Fields may be added under the same name; none is renamed or removed.
const Schema = "tcpstate.diff/v1"

// Result is what became of a figure, of a row, or of everything.
type Result string

// The results. CannotTell is a result of its own: it is neither good news nor none.
const (
	Better     Result = "better"
	Worse      Result = "worse"
	Same       Result = "same"
	CannotTell Result = "cannot-tell"
)

// ExitCode is what the command returns: a change that helped or did nothing is 0, for it broke nothing.
func (r Result) ExitCode() int {
	switch r {
	case Worse:
		return 1
	case CannotTell:
		return 3
	}
	return 0
}

// Document is one comparison. A pointer that is nil stands for what is not known: null in JSON, never 0.
type Document struct {
	Schema   string `json:"schema"`
	Result   Result `json:"result"`
	ExitCode int    `json:"exit_code"`
	// Summary is the result in one sentence.
	Summary string `json:"summary"`
	// Notes are what to know before believing it.
	Notes  []string `json:"notes"`
	Before Source   `json:"before"`
	After  Source   `json:"after"`
	Counts Counts   `json:"counts"`
	Rows   []Row    `json:"rows"`
	// RowsOmitted is how many rows [Document.Select] left out.
	RowsOmitted int `json:"rows_omitted"`
}

// Source is one of the two reports.
type Source struct {
	File        string        `json:"file"`
	Host        string        `json:"host"`
	Kernel      string        `json:"kernel"`
	Window      report.Window `json:"window"`
	Filter      string        `json:"filter"`
	TotalsExact bool          `json:"totals_exact"`
	// EventsMissing is how many events its figures lack, at most; nil: nobody knows how many.
	EventsMissing *uint64 `json:"events_missing"`
}

// Counts are how many rows had which result. Rows that are in one report only are not counted as CannotTell.
type Counts struct {
	Better     int `json:"better"`
	Worse      int `json:"worse"`
	Same       int `json:"same"`
	CannotTell int `json:"cannot_tell"`
	OnlyBefore int `json:"only_before"`
	OnlyAfter  int `json:"only_after"`
}

// Row is a service and a destination that it connects to.
type Row struct {
	Service Service       `json:"service"`
	Dst     report.Remote `json:"dst"`
	Result  Result        `json:"result"`
	// Reasons are why, one for each figure that decided.
	Reasons []string `json:"reasons"`
	// WorkRatio is how many times the exchanges a second there are after; nil: not known.
	WorkRatio *report.Decimal `json:"work_ratio"`
	// Before and After are nil where the report has no such row.
	Before  *Figures `json:"before"`
	After   *Figures `json:"after"`
	Changes []Change `json:"changes"`
}

// Service is who connects, by what stays when it is started again.
type Service struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Unit string `json:"unit"`
}

// Change is what became of one figure that decides.
type Change struct {
	Figure string `json:"figure"`
	Result Result `json:"result"`
	Why    string `json:"why"`
}

// The figures that decide.
const (
	VerdictFigure     = "verdict"
	ConnectionsFigure = "connections"     // for each exchange, where it is known how many there were
	TimeWaitFigure    = "time_wait"       // entered, likewise
	FailuresFigure    = "failures"        // all but EADDRNOTAVAIL
	NoPortFigure      = "ports_exhausted" // EADDRNOTAVAIL
	PortsUsedFigure   = "ports_used"      // of windows so long that all TIME_WAITs held at the end began within
)

// Figures are one report's of a row. Rates are over the whole window.
type Figures struct {
	// Rows is how many rows of the report were added up: different processes, containers, addresses of one service.
	Rows int `json:"rows"`
	// Verdict is the worst of the rows'; nil: there is none.
	Verdict    *string         `json:"verdict"`
	Opened     uint64          `json:"opened"`
	OpenedRate *report.Decimal `json:"opened_per_second"`
	Open       Open            `json:"open"`
	// Exchanges are all; InWindow those known to be within the window, nil where part of them may be from before it.
	Exchanges     uint64          `json:"exchanges"`
	InWindow      *uint64         `json:"exchanges_in_window"`
	ExchangeRate  *report.Decimal `json:"exchanges_per_second"`
	PerConnection *report.Decimal `json:"exchanges_per_connection"`
	PerThousand   *report.Decimal `json:"connections_per_1000_exchanges"`
	// Avoidable is the share of the connects that a pool as large as the peak would have saved; nil: nothing was opened.
	Avoidable *report.Decimal `json:"avoidable_ratio"`
	TimeWait  TimeWait        `json:"time_wait"`
	// Failed counts connects by errno, FailedRate is the same per second.
	Failed     map[string]uint64          `json:"failed"`
	FailedRate map[string]*report.Decimal `json:"failed_per_second"`
	// Lifetime is nil throughout where rows were added up: quantiles cannot be.
	Lifetime report.Quantiles `json:"lifetime_seconds"`
	// Ports is the fullest budget toward the destination; nil: not known.
	Ports *Ports `json:"ports"`

	seconds float64
	missing float64 // how many events may be missing
	lost    uint64  // events without details
	closed  uint64
}

// Open counts connections that are open. Where rows were added up the peak is their sum, which is at least as high.
type Open struct {
	Now         uint64 `json:"now"`
	Peak        uint64 `json:"peak"`
	Preexisting uint64 `json:"preexisting"`
}

// TimeWait counts TIME_WAITs: those that began in the window, and those held at its end, nil when that is not known.
type TimeWait struct {
	Entered     uint64          `json:"entered"`
	EnteredRate *report.Decimal `json:"entered_per_second"`
	Now         *uint64         `json:"now"`
}

// Ports is a budget of local ports; see report.Port.
type Ports struct {
	Used      uint64          `json:"used"`
	Capacity  *int            `json:"capacity"`
	UsedRatio *report.Decimal `json:"used_ratio"`
	Seconds   *report.Decimal `json:"seconds_to_exhaustion"`
	Exhausted uint64          `json:"exhausted"`
}

// WriteJSON writes d as one JSON document and a newline, on one line or indented.
func WriteJSON(w io.Writer, d *Document, indent bool) error {
	return form.JSON(w, d, indent, "write comparison")
}
