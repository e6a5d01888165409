package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/recorder"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// flightRecorder puts aside what led to a trigger. A nil one does nothing.
type flightRecorder struct {
	say      func(format string, args ...any)
	series   *series // nil: nothing is recorded now
	dir      string
	triggers []recorder.Trigger
	after    time.Duration
	asked    <-chan os.Signal

	// sums are what triggers look at of all that is counted since the beginning; nil: of a table of its own.
	sums   func() sums
	all    *churn.Table // that table
	recent *churn.Table // the last judged seconds, for verdicts and rates; nil: no trigger looks at them
	seen   recorder.Reading
	told   uint64 // exhausted connects of the last reading
	failed uint64
	last   time.Time
	due    time.Time // when to put aside; zero: nothing has happened
	rest   time.Time // until when triggers are not looked at: what they would keep is kept
	keep   time.Duration
	most   int // incidents that may be there
	made   int // how many were put aside
	why    string
}

// sums are of all port budgets and rows.
type sums struct {
	exhausted, failed, timeWait uint64
	usedRatio                   float64 // of the fullest
}

const (
	lookEvery = time.Second
	// judged is how long the window is on which verdicts are made.
	judged = 10 * time.Second
	// flightRows bounds the tables that triggers need.
	flightRows = 1024
)

func newFlightRecorder(say func(string, ...any), f *recordFlags, s *series) *flightRecorder {
	r := &flightRecorder{say: say, series: s, dir: f.path, asked: onUser1(), keep: f.keep.Duration}
	r.adjust(f)
	return r
}

// adjust takes what can change while it runs.
func (r *flightRecorder) adjust(f *recordFlags) {
	r.triggers, r.after, r.most = f.parsed, f.after.Duration, f.incidents.n
}

// judges reports whether a trigger looks at what takes some seconds to be told.
func (r *flightRecorder) judges() bool {
	return slices.ContainsFunc(r.triggers, func(t recorder.Trigger) bool { return t.Judged() })
}

func (r *flightRecorder) begin(l *live) {
	if r == nil {
		return
	}
	o := churn.Options{Start: l.window().Start, MaxRows: flightRows}
	if r.sums == nil && len(r.triggers) > 0 {
		r.all = churn.New(o)
		r.sums = r.ownSums
	}
	if r.judges() {
		r.recent = churn.New(o)
	}
}

func (r *flightRecorder) see(e *event.Event) {
	if r == nil {
		return
	}
	if r.all != nil && e.Kind != event.Progress {
		r.all.Observe(e)
	}
	if r.recent != nil {
		r.recent.Observe(e)
	}
}

func (r *flightRecorder) set(s *host.Settings) {
	if r != nil && r.all != nil {
		r.all.SetHost(s)
	}
}

// look evaluates the triggers, and puts aside what is due.
func (r *flightRecorder) look() {
	if r == nil || time.Since(r.last) < lookEvery {
		return
	}
	r.last = time.Now()
	if r.due.IsZero() {
		switch r.why = r.happened(); {
		case r.why == "":
		case r.series == nil:
			r.rest = time.Now().Add(r.keep)
			r.putAside((*recorder.Recorder).Keep) // says why it cannot
		default:
			r.due = time.Now().Add(r.after)
			r.say("%s: what led to it is put aside in %s", r.why, r.after)
		}
	}
	if !r.due.IsZero() && time.Now().After(r.due) {
		r.due, r.rest = time.Time{}, time.Now().Add(r.keep)
		r.putAside((*recorder.Recorder).Keep)
	}
}

// finish puts aside what still waits for what comes after it, when the recording has ended.
func (r *flightRecorder) finish() {
	if r == nil || r.due.IsZero() || r.series == nil {
		return
	}
	r.putAside((*recorder.Recorder).Link)
}

// incidentPrefix is what the names of incidents begin with.
const incidentPrefix = "incident-"

// putAside keeps what led to a trigger, where there is room for one more incident: those that were there before count,
// too, lest one that is restarted again and again fills the disk.
func (r *flightRecorder) putAside(put func(from *recorder.Recorder, dir, name string) (folder string, err error)) {
	if r.series == nil {
		r.say("%s: not put aside, for nothing is recorded", r.why)
		return
	}
	if there := incidentsIn(r.dir); there >= r.most {
		r.say("%s: not put aside, for %s holds %s already (--incidents): move away what is not needed there", r.why, r.dir, form.Count(there, "incident"))
		return
	}
	name := incidentPrefix + time.Now().UTC().Format("20060102T150405Z")
	folder, err := put(r.series.recorder, r.dir, name)
	if err != nil {
		r.say("put aside %s: %v", filepath.Join(r.dir, name), err)
		return
	}
	r.made++
	r.say("%s: kept in %s", r.why, folder)
}

func incidentsIn(dir string) (n int) {
	all, _ := os.ReadDir(dir) // what it has read of it; should there be more, putting aside fails, too
	for _, e := range all {
		if strings.HasPrefix(e.Name(), incidentPrefix) {
			n++
		}
	}
	return n
}

// happened says which trigger holds, "" for none.
func (r *flightRecorder) happened() string {
	select {
	case <-r.asked:
		return "SIGUSR1"
	default:
	}
	if len(r.triggers) == 0 {
		return ""
	}
	r.read()
	if time.Now().Before(r.rest) {
		return ""
	}
	for i := range r.triggers {
		if r.triggers[i].Holds(&r.seen) {
			return r.triggers[i].String()
		}
	}
	return ""
}

// ownSums are those of the recorder's own table.
func (r *flightRecorder) ownSums() (s sums) {
	w := r.all.Window()
	for _, b := range r.all.Budgets() {
		f := b.Figures(w)
		s.usedRatio = max(s.usedRatio, f.UsedRatio)
		s.exhausted += f.Exhausted
		s.timeWait += f.ByState[event.TimeWaitState]
	}
	for _, row := range r.all.Rows() {
		s.failed += row.Failed()
	}
	return s
}

// read takes a reading.
func (r *flightRecorder) read() {
	all := r.sums()
	r.seen.UsedRatio, r.seen.TimeWait = all.usedRatio, all.timeWait
	r.seen.Exhausted, r.seen.Failed = all.exhausted-min(r.told, all.exhausted), all.failed-min(r.failed, all.failed)
	r.told, r.failed = all.exhausted, all.failed
	if r.recent != nil {
		r.judge()
	}
}

// judge looks at the last seconds once they are long enough.
func (r *flightRecorder) judge() {
	recent := r.recent.Window()
	if time.Since(time.Unix(0, recent.End)) > judged {
		r.seen.Verdicts, r.seen.OpenedPerSecond = nil, 0 // nothing has happened since
	}
	if recent.Seconds() >= judged.Seconds() {
		r.seen.Verdicts, r.seen.OpenedPerSecond = judge(r.recent)
		r.recent = r.recent.Next(recent.End)
	}
}

// judge returns the verdicts of a window that is over, and how many connections it opened a second.
func judge(t *churn.Table) (verdicts []string, perSecond float64) {
	t.Close(t.Window().End)
	rows, w := t.Rows(), t.Window()
	survey := verdict.NewSurvey(rows)
	opened := uint64(0)
	for _, row := range rows {
		if row.Direction != event.Outbound {
			continue
		}
		opened += row.Opened
		if v := survey.Judge(row, w, verdict.Program{Comm: row.Owner.Comm.String()}); v.Name != verdict.None {
			verdicts = append(verdicts, string(v.Name))
		}
	}
	return verdicts, float64(opened) / w.Seconds()
}
