package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/recorder"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// flightRecorder puts aside what led to a trigger. A nil one does nothing.
type flightRecorder struct {
	e        *env
	series   *series
	dir      string
	triggers []recorder.Trigger
	after    time.Duration
	asked    <-chan os.Signal

	all    *churn.Table // since the beginning: port budgets
	recent *churn.Table // the last judged seconds: verdicts
	seen   recorder.Reading
	told   uint64 // exhausted connects of the last reading
	failed uint64
	last   time.Time
	due    time.Time // when to put aside; zero: nothing has happened
	rest   time.Time // until when triggers are not looked at: what they would keep is kept
	keep   time.Duration
	most   int // incidents
	kept   int
	why    string
}

const (
	lookEvery = time.Second
	// judged is how long the window is on which verdicts are made.
	judged = 10 * time.Second
	// flightRows bounds the tables that triggers need.
	flightRows = 1024
)

func newFlightRecorder(e *env, f *recordFlags, s *series) *flightRecorder {
	return &flightRecorder{
		e: e, series: s, dir: f.path, triggers: f.parsed, after: f.after.Duration, asked: onUser1(),
		keep: f.keep.Duration, most: f.incidents.n,
	}
}

func (r *flightRecorder) begin(l *live) {
	if r == nil {
		return
	}
	start := l.window()
	r.all = churn.New(churn.Options{Start: start.Start, MaxRows: flightRows})
	r.recent = churn.New(churn.Options{Start: start.Start, MaxRows: flightRows})
}

func (r *flightRecorder) see(e *event.Event) {
	if r == nil || len(r.triggers) == 0 {
		return
	}
	r.all.Observe(e)
	r.recent.Observe(e)
}

func (r *flightRecorder) set(s *host.Settings) {
	if r != nil {
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
		if r.why = r.happened(); r.why != "" {
			r.due = time.Now().Add(r.after)
			r.e.say("%s: what led to it is put aside in %s", r.why, r.after)
		}
	}
	if !r.due.IsZero() && time.Now().After(r.due) {
		r.due, r.rest = time.Time{}, time.Now().Add(r.keep)
		r.putAside()
	}
}

// finish puts aside what still waits for what comes after it, when the recording has ended.
func (r *flightRecorder) finish() {
	if r == nil || r.due.IsZero() {
		return
	}
	folder, err := r.series.recorder.Link(r.dir, incidentName())
	if err != nil {
		r.e.say("put aside what led to %s: %v", r.why, err)
		return
	}
	r.e.say("%s: kept in %s", r.why, folder)
}

func incidentName() string { return "incident-" + time.Now().UTC().Format("20060102T150405Z") }

func (r *flightRecorder) putAside() {
	if r.kept++; r.kept > r.most {
		r.e.say("%s: not put aside, there are %d incidents already (--incidents)", r.why, r.most)
		return
	}
	name := incidentName()
	folder, err := r.series.recorder.Keep(r.dir, name)
	if err != nil {
		r.e.say("put aside %s: %v", filepath.Join(r.dir, name), err)
		return
	}
	r.e.say("%s: kept in %s", r.why, folder)
}

// happened says which trigger holds, "" for none.
func (r *flightRecorder) happened() string {
	select {
	case <-r.asked:
		return "SIGUSR1"
	default:
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

// read takes a reading.
func (r *flightRecorder) read() {
	w := r.all.Window()
	exhausted, failed := uint64(0), uint64(0)
	s := recorder.Reading{Verdicts: r.seen.Verdicts, OpenedPerSecond: r.seen.OpenedPerSecond}
	for _, b := range r.all.Budgets() {
		f := b.Figures(w)
		s.UsedRatio = max(s.UsedRatio, f.UsedRatio)
		exhausted += f.Exhausted
		s.TimeWait += f.ByState[event.TimeWaitState]
	}
	for _, row := range r.all.Rows() {
		failed += row.Failed()
	}
	s.Exhausted, s.Failed = exhausted-min(r.told, exhausted), failed-min(r.failed, failed)
	r.told, r.failed = exhausted, failed
	recent := r.recent.Window()
	if time.Since(time.Unix(0, recent.End)) > judged {
		s.Verdicts, s.OpenedPerSecond = nil, 0 // nothing has happened since
	}
	if recent.Seconds() >= judged.Seconds() {
		s.Verdicts, s.OpenedPerSecond = judge(r.recent)
		r.recent = r.recent.Next(recent.End)
	}
	r.seen = s
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
