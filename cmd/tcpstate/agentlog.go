package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// newAgentLog returns what the agent says on standard error: lines for people, or JSON. What is said again and again is
// left out for a while.
func newAgentLog(e *env, form string) *slog.Logger {
	level := slog.LevelInfo
	if e.verbose {
		level = slog.LevelDebug
	}
	var h slog.Handler
	if form == "json" {
		h = slog.NewJSONHandler(e.stderr, &slog.HandlerOptions{Level: level})
	} else {
		h = &logLines{to: e.stderr, level: level, journal: os.Getenv("JOURNAL_STREAM") != ""}
	}
	return slog.New(&seldom{Handler: h, sieve: &sieve{said: make(map[string]*repeated)}})
}

// logLines is a slog.Handler that writes as all verbs do.
type logLines struct {
	to      io.Writer
	level   slog.Level
	journal bool // the journal takes the level from the line's beginning (sd-daemon(3))
	attrs   string
}

// Enabled reports whether messages of that level are written.
func (l *logLines) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

// Handle writes one line.
func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	if l.journal {
		fmt.Fprintf(&b, "<%d>", priority(r.Level))
	}
	b.WriteString("tcpstate: ")
	text := r.Message + l.attrs
	r.Attrs(func(a slog.Attr) bool {
		text += attribute(a)
		return true
	})
	b.WriteString(bounded(event.Printable(text)) + "\n")
	_, err := l.to.Write(b.Bytes())
	return err
}

func attribute(a slog.Attr) string { return fmt.Sprintf(" (%s %v)", a.Key, a.Value) }

// priority is the level of syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// WithAttrs returns one that says these, too.
func (l *logLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *l
	for _, a := range attrs {
		c.attrs += attribute(a)
	}
	return &c
}

// WithGroup has no use here.
func (l *logLines) WithGroup(string) slog.Handler { return l }

// seldom lets a message through once a minute, and says how often it was meant to be said.
type seldom struct {
	slog.Handler
	*sieve
}

type sieve struct {
	mu   sync.Mutex
	said map[string]*repeated
	// A bound on all messages together: whatever they say, they come from what happens on the host.
	minute  int64
	written int
	dropped int
}

type repeated struct {
	last  time.Time
	times int // left out since
}

const (
	sayAgain   = time.Minute
	maxSaid    = 256 // messages that are remembered
	perMinute  = 60
	droppedLog = "messages were left out, for there were too many"
)

// Handle writes the message, or leaves it out.
func (s *seldom) Handle(ctx context.Context, r slog.Record) error {
	times, dropped, ok := s.pass(&r)
	if !ok {
		return nil
	}
	if dropped > 0 {
		_ = s.Handler.Handle(ctx, slog.NewRecord(r.Time, slog.LevelWarn, fmt.Sprintf("%d %s", dropped, droppedLog), 0))
	}
	if times > 0 {
		r.AddAttrs(slog.Int("repeated", times))
	}
	return s.Handler.Handle(ctx, r)
}

// pass reports whether to write it, how often it was left out before, and how many others were.
func (s *sieve) pass(r *slog.Record) (times, dropped int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Level < slog.LevelInfo {
		return 0, 0, true // somebody asked for it
	}
	key := r.Level.String() + r.Message
	if x := s.said[key]; x != nil {
		if r.Time.Sub(x.last) < sayAgain {
			x.times++
			return 0, 0, false
		}
		times = x.times
		delete(s.said, key)
	}
	if m := r.Time.Unix() / 60; m != s.minute {
		s.minute, s.written = m, 0
		dropped, s.dropped = s.dropped, 0
	}
	if s.written++; s.written > perMinute && r.Level < slog.LevelError {
		s.dropped++
		return 0, 0, false
	}
	if len(s.said) >= maxSaid {
		clear(s.said)
	}
	s.said[key] = &repeated{last: r.Time}
	return times, dropped, true
}

// WithAttrs and WithGroup share what was said.
func (s *seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &seldom{Handler: s.Handler.WithAttrs(attrs), sieve: s.sieve}
}

// WithGroup returns one for the group.
func (s *seldom) WithGroup(name string) slog.Handler {
	return &seldom{Handler: s.Handler.WithGroup(name), sieve: s.sieve}
}

// logged is e with its messages logged.
func (e *env) logged(log *slog.Logger) *env {
	c := *e
	c.stderr = &logged{log}
	return &c
}

// logged takes lines of env.say.
type logged struct{ log *slog.Logger }

// Write logs each line.
func (l *logged) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l.log.Info(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "tcpstate: "))
	}
	return len(p), nil
}
