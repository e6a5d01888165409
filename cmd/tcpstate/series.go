package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/recorder"
	"github.com/tcpstate/tcpstate/internal/service"
)

// series is the tap that writes segments.
type series struct {
	options  recorder.Options
	recorder *recorder.Recorder
	name     string // of the recording, the same in all its segments
	from     int64  // when it begins, Unix nanoseconds; 0: with the window
	say      func(format string, args ...any)
	err      error
}

func (s *series) begin(l *live) error {
	s.name = rand.Text()
	s.options.Header = func(number int, start int64) (capture.Header, error) {
		return header(l, opening{Recording: s.name, Segment: number, Aged: true}, start)
	}
	s.options.End = func(end int64) (json.RawMessage, error) {
		last, err := l.soFar(end)
		if err != nil {
			return nil, err
		}
		return json.Marshal(last)
	}
	s.options.Checkpoint = func(emit func(*event.Event)) (int64, error) {
		return l.tracer.Checkpoint(func(e *event.Event) {
			if l.filter.Match(e, l.services.See(&e.Owner)) {
				emit(e)
			}
		})
	}
	s.options.Known = func(settings func(*host.Settings), services func(*capture.Service)) {
		for _, x := range l.settings.read {
			settings(x)
		}
		for id, x := range l.services.Each {
			services(recordedService(id, x))
		}
	}
	var err error
	s.recorder, err = recorder.New(s.options, cmp.Or(s.from, l.window().Start))
	return asFailure(err)
}

func (s *series) event(e *event.Event) { s.recorder.Event(e) }

func (s *series) settings(x *host.Settings) { s.keep(s.recorder.Settings(x)) }

func (s *series) service(id event.Identity, x *service.Service) {
	s.keep(s.recorder.Service(recordedService(id, x)))
}

func (s *series) keep(err error) {
	if s.err == nil {
		s.err = err
	}
}

// tick goes on when the disk is full: a flight recorder outlives that.
func (s *series) tick() error {
	err := s.recorder.Tick(time.Now())
	var full *recorder.FullError
	if errors.As(err, &full) {
		s.say("%v", full)
		return nil
	}
	return errors.Join(err, s.err)
}

func (s *series) end(l *live, last *ending) error {
	for id, x := range l.services.Each {
		s.service(id, x)
	}
	text, err := json.Marshal(last)
	if err := errors.Join(err, s.err, s.recorder.Close(text)); err != nil {
		return failure{fmt.Errorf("write capture: %w", err)}
	}
	return nil
}
