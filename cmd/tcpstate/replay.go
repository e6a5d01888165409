package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

// replay is a recording as a stream: one capture, or the segments of a series that follow each other.
type replay struct {
	segments []*segment // the first one is open, with what is to be read
	services *service.Resolver
	filter   *filter.Set
	added    string // the expression of filter; "": none
	options  capture.ReadOptions

	begins   int64 // the window, where it is not that of the recording; 0: it is
	census   bool  // what exists then is told
	excluded uint64
	last     *ending // nil: the recording has none
	latest   int64   // the time of the last event
	damage   report.Damage
}

// segment is one file of a recording.
type segment struct {
	name   string
	reader *capture.Reader
	began  opening
	told   int64 // the time of the checkpoint that it begins with; 0: none was seen
}

// openSegment reads a file's header.
func openSegment(path string, o capture.ReadOptions) (*segment, error) {
	if path == "-" {
		return segmentIn("standard input", os.Stdin, o)
	}
	r, err := capture.Open(path, o)
	if err != nil {
		return nil, failure{err}
	}
	return newSegment(path, r)
}

// segmentIn reads the header of what cannot be opened by a name.
func segmentIn(name string, in io.Reader, o capture.ReadOptions) (*segment, error) {
	r, err := capture.NewReader(in, o)
	if err != nil {
		return nil, failure{fmt.Errorf("%s %w", name, err)}
	}
	return newSegment(name, r)
}

func newSegment(name string, r *capture.Reader) (*segment, error) {
	s := &segment{name: name, reader: r}
	if facts := r.Header().Facts; len(facts) > 0 {
		if err := json.Unmarshal(facts, &s.began); err != nil {
			return nil, failure{errors.Join(fmt.Errorf("%s: what its header says for reports cannot be read: %w", name, err), r.Close())}
		}
	}
	return s, nil
}

// openReplay opens one capture.
func openReplay(path string, set *filter.Set, expression string, o capture.ReadOptions) (*replay, error) {
	s, err := openSegment(path, o)
	if err != nil {
		return nil, err
	}
	return newReplay([]*segment{s}, set, expression, o), nil
}

// newReplay makes a stream of segments that follow each other.
func newReplay(segments []*segment, set *filter.Set, expression string, o capture.ReadOptions) *replay {
	r := &replay{segments: segments, filter: set, added: expression, options: o}
	r.services = service.NewResolver(service.Options{Offline: true})
	first := segments[0]
	start := first.reader.Header().WindowStart
	switch {
	case o.Since > start:
		r.begins = o.Since
	case first.began.Segment > 1:
		r.begins, r.census = start, true
	}
	return r
}

func (r *replay) window() churn.Window {
	first := r.segments[0]
	return churn.Window{
		Start: max(first.reader.Header().WindowStart, r.options.Since), Partial: first.began.Partial || r.filter.Partial(),
	}
}

func (r *replay) run(ctx context.Context, t *taker) error {
	for i, s := range r.segments {
		if err := r.runSegment(ctx, s, i > 0, t); err != nil {
			return err
		}
	}
	if ctx.Err() != nil && r.options.Follow == nil { // a part of a capture is no result
		return failure{fmt.Errorf("interrupted while reading %s", r.source())}
	}
	return nil
}

func (r *replay) runSegment(ctx context.Context, s *segment, follows bool, t *taker) error {
	r.last = nil
	for ctx.Err() == nil {
		item, err := s.reader.Next()
		switch {
		case errors.Is(err, io.EOF) || err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return failure{fmt.Errorf("%s %w", s.name, err)}
		}
		if follows && s.checkpoint(item) {
			r.progress(s, item.Event, t)
		} else {
			r.take(s, item, t)
		}
		if r.options.Follow != nil {
			t.takeIdle() // nobody knows when the next one comes
		}
	}
	return nil
}

// progress takes what exists when a segment begins whose predecessor was read: new is only how connections that are open
// have been used so far.
func (r *replay) progress(s *segment, e *event.Event, t *taker) {
	switch e.NewState {
	case event.TimeWaitState, event.SynSent, event.SynRecv:
		return
	}
	w := r.window()
	if t.progress == nil || !s.began.Aged || w.Partial || !e.Counted || !r.filter.Match(e, r.services.See(&e.Owner)) {
		return
	}
	e.Kind = event.Progress
	e.Preexisting = e.Lifetime < 0 || e.UnixNano-e.Lifetime.Nanoseconds() < w.Start
	e.InCensus = e.Preexisting
	t.progress(e)
}

// checkpoint reports whether item is of the checkpoint that a segment begins with: all of it has one time. Whoever has read
// the segment before knows what there is.
func (s *segment) checkpoint(item *capture.Item) bool {
	if item.Kind != capture.KindEvent || item.Event.Kind != event.Existing {
		return false
	}
	if s.told == 0 {
		s.told = item.Event.UnixNano
	}
	return item.Event.UnixNano == s.told
}

func (r *replay) take(s *segment, item *capture.Item, t *taker) {
	switch item.Kind {
	case capture.KindEvent:
		e := item.Event
		r.rebase(e)
		owner := r.services.See(&e.Owner)
		r.latest = max(r.latest, e.UnixNano)
		if !r.filter.Match(e, owner) {
			r.excluded++
			return
		}
		t.event(e, owner)
	case capture.KindSettings:
		t.takeSettings(item.Settings)
	case capture.KindService:
		r.services.Learn(item.Service.Identity, learned(item.Service), item.Service.PIDs)
	case capture.KindEnd:
		last := new(ending)
		if err := json.Unmarshal(item.End.Facts, last); err == nil {
			r.last = last
		}
	case capture.KindDamage:
		d := item.Damage
		r.damage.Add(fmt.Sprintf("%s, at byte %d: %s", s.name, d.Offset, d.What), d.EventsMissing, d.Unknown)
	}
}

// rebase says of an end whether its connection began before the window, where that is not the recording's.
func (r *replay) rebase(e *event.Event) {
	if r.begins == 0 || e.Kind != event.Close && e.Kind != event.TimeWait && e.Kind != event.Open {
		return
	}
	if e.Lifetime >= 0 {
		e.Preexisting = e.UnixNano-e.Lifetime.Nanoseconds() < r.begins
	}
	e.InCensus = e.Preexisting && r.census
}

func learned(s *capture.Service) *service.Service {
	return &service.Service{
		PID: s.PID, Processes: s.Processes, ProcessesMore: s.ProcessesMore, Exe: s.Exe, Runtime: s.Runtime, Library: s.Library,
		Unit: s.Unit, ContainerID: s.ContainerID, Pod: s.Pod, Cgroup: s.Cgroup,
	}
}

func (r *replay) footer(e *env) {
	for _, place := range r.damage.Places {
		e.say("%s", place)
	}
	if r.damage.More > 0 {
		e.say("%d more places are damaged", r.damage.More)
	}
}

func (r *replay) owner(o *event.Owner) *service.Service { return r.services.Service(o) }

func (r *replay) close() error {
	var errs []error
	for _, s := range r.segments {
		errs = append(errs, s.reader.Close())
	}
	return asFailure(errors.Join(errs...))
}

// end is what the last file says. One without an end, or that is not read to it, has what was known at its beginning: no
// settings in the end, and TIME_WAITs that are counted by their beginnings and ends only.
func (r *replay) end() (*ending, error) {
	last := r.last
	if last == nil {
		last = &ending{End: r.latest, Facts: r.segments[len(r.segments)-1].began.Facts}
	}
	f := &last.Facts
	if until := r.options.Until; until != 0 && until < last.End {
		last.End, last.Snapshot = until, false
	}
	if w := r.window(); (r.options.Since != 0 || r.options.Until != 0) && last.End <= w.Start {
		return nil, failure{fmt.Errorf("%s: nothing was recorded in the period that --since and --until ask for", r.source())}
	}
	if r.begins != 0 && !r.census && !last.Snapshot {
		f.TimeWait = nil // nobody knows how many there were when the window began
	}
	f.Source = r.source()
	f.Damage.Join(&r.damage) // a capture that was made of one has what was wrong with that
	f.Excluded += r.excluded
	if r.added != "" {
		f.Filter = joined(f.Filter, r.added)
	}
	if f.TimeWait != nil && (r.added != "" || r.options.Until != 0) {
		f.TimeWait.Kernel = nil // counted for all events, at the end of the recording
	}
	return last, nil
}

func (r *replay) source() string {
	if n := len(r.segments); n > 1 {
		return fmt.Sprintf("%s and %d more", r.segments[0].name, n-1)
	}
	return r.segments[0].name
}

func joined(recorded, added string) string {
	if recorded == "" {
		return added
	}
	return recorded + " " + added
}
