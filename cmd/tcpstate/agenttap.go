package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/tcpstate/tcpstate/internal/agent"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/service"
)

// steady is the tap of a recording that may fail: then nothing is recorded until it works again, and tracing goes on. A
// full disk is no failure; see series.
type steady struct {
	flags *recordFlags
	log   *slog.Logger
	off   bool // nothing is to be recorded
	// changed is told what records now; nil: nothing does.
	changed func(*series)

	l      *live
	series *series // nil: nothing is recorded now
	again  time.Time
	done   agent.Recorder // by series that have failed
	failed bool           // since it worked last
}

// againEvery is how often it is tried to record again.
const againEvery = 30 * time.Second

func (s *steady) begin(l *live) error {
	s.l = l
	if !s.off {
		s.start(0)
	}
	return nil
}

// start begins a recording: with the window (from is 0), or in its middle.
func (s *steady) start(from int64) {
	s.again = time.Now().Add(againEvery)
	if err := os.MkdirAll(s.flags.path, 0o700); err != nil {
		s.fail(err)
		return
	}
	x := &series{options: s.flags.options(), from: from, say: func(format string, args ...any) { s.log.Warn(fmt.Sprintf(format, args...)) }}
	err := x.begin(s.l)
	if err == nil && from != 0 {
		err = x.recorder.Rotate() // the next segment begins with what there is
	}
	if err != nil {
		s.fail(err)
		return
	}
	if s.failed {
		s.failed = false
		s.log.Info("the flight recorder works again")
	}
	s.use(x)
}

func (s *steady) use(x *series) {
	s.series = x
	if s.changed != nil {
		s.changed(x)
	}
}

func (s *steady) fail(err error) {
	s.log.Warn(fmt.Sprintf("nothing is recorded, and all else goes on: %v (--write names another folder, --no-record none)", err))
	s.failed = true
	if s.series != nil {
		s.done = s.stats()
		s.done.Running = false
		_ = s.series.recorder.Close(nil) // it has failed
	}
	s.use(nil)
}

// stats are those of all recordings together.
func (s *steady) stats() agent.Recorder {
	sum := s.done
	if s.series == nil {
		return sum
	}
	st, _ := s.series.recorder.Stats()
	sum.Running = s.series.recorder.Segment() != ""
	sum.Events += st.Events
	sum.Bytes += st.Bytes
	sum.Dropped += st.Dropped
	return sum
}

func (s *steady) event(e *event.Event) {
	if s.series != nil {
		s.series.event(e)
	}
}

func (s *steady) settings(x *host.Settings) {
	if s.series != nil {
		s.series.settings(x)
	}
}

func (s *steady) service(id event.Identity, x *service.Service) {
	if s.series != nil {
		s.series.service(id, x)
	}
}

func (s *steady) tick() error {
	switch now := time.Now(); {
	case s.off:
	case s.series != nil:
		if err := s.series.tick(); err != nil {
			s.fail(err)
		}
	case now.After(s.again):
		s.start(now.UnixNano())
	}
	return nil
}

func (s *steady) end(l *live, last *ending) error {
	if s.series == nil {
		return nil
	}
	if err := s.series.end(l, last); err != nil {
		s.log.Warn(err.Error())
	}
	return nil
}
