package main

import (
	"context"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

// stream is where events come from: the running kernel, or a capture. Whoever takes them cannot tell which.
type stream interface {
	// window is when the window begins, and whether events of its connections are left out; see churn.Window.
	window() churn.Window
	// run hands everything to t, until ctx or the stream ends.
	run(ctx context.Context, t *taker) error
	// end hands on the last settings, and says what is known when everything was handed on.
	end() (*ending, error)
	// footer says on standard error what is missing.
	footer(*env)
	// owner finds a service.
	owner(*event.Owner) *service.Service
	close() error
}

// taker is what a verb does with a stream. What it does not need is nil.
type taker struct {
	event func(*event.Event, *service.Service)
	// progress takes Progress events, which come now and then where somebody asks for them.
	progress func(*event.Event)
	// settings are those of a network namespace, when they were read and found changed.
	settings func(*host.Settings)
	// idle is called when nothing more has come for now.
	idle func()
}

func (t *taker) takeSettings(s *host.Settings) {
	if t.settings != nil {
		t.settings(s)
	}
}

func (t *taker) takeIdle() {
	if t.idle != nil {
		t.idle()
	}
}

// opening is what is known when a stream begins, as a capture keeps it.
type opening struct {
	Partial bool // see churn.Window
	// Recording and Segment say which file of which series this is; Segment counts from 1, 0: it is the only one.
	Recording string
	Segment   int
	// Aged: connections that a segment begins with are as old as they were then, not some milliseconds later.
	Aged  bool
	Facts report.Facts
}

// ending is what a report needs beside what came in the stream.
type ending struct {
	End int64 // of the window, Unix nanoseconds
	// Snapshot: the stream's Open events tell of all that was there when the window ended.
	Snapshot bool
	Facts    report.Facts
}

// reported runs a stream to its end and makes the report of it, with charts of that many rows.
func reported(ctx context.Context, s stream, o churn.Options, charted int) (*report.Document, error) {
	w := s.window()
	o.Steps = charted > 0
	o.Start, o.Partial = w.Start, w.Partial
	table := churn.New(o)
	t := &taker{
		event:    func(e *event.Event, _ *service.Service) { table.Observe(e) },
		progress: table.Observe,
		settings: table.SetHost,
	}
	if err := s.run(ctx, t); err != nil {
		return nil, err
	}
	in, err := concluded(s, table)
	if err != nil {
		return nil, err
	}
	in.Charted = charted
	return report.Build(in), nil
}

// concluded ends the table of a stream that has ended, and returns what the report is made of.
func concluded(s stream, table *churn.Table) (report.Input, error) {
	last, err := s.end()
	if err != nil {
		return report.Input{}, err
	}
	table.Close(last.End)
	table.Snapshot(last.Snapshot)
	return report.Input{Table: table, Service: s.owner, Facts: last.Facts}, nil
}

// reportTick costs half of what the default does. Nobody watches; but a process is looked up when its events are read.
const reportTick = 200 * time.Millisecond
