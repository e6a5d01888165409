package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

// recording is the tap on a stream: what passes is kept in a file. A nil one keeps nothing.
type recording struct {
	path   string
	force  bool
	file   *os.File
	writer *capture.Writer
	err    error
}

// newRecording finds at once that there is such a file already. It is made when tracing begins: a trace that cannot even
// start costs no older capture, and leaves no empty one.
func newRecording(path string, force bool) (*recording, error) {
	if _, err := os.Lstat(path); err == nil && !force {
		return nil, failure{fmt.Errorf("%s exists: give another name, or --force to replace it", path)}
	}
	return &recording{path: path, force: force}, nil
}

// begin writes what is known when tracing begins.
func (r *recording) begin(l *live) error {
	if r == nil {
		return nil
	}
	h, err := header(l, opening{}, l.window().Start)
	if err != nil {
		return failure{err}
	}
	if r.file, err = capture.Create(r.path, r.force); err != nil {
		return failure{fmt.Errorf("write capture: %w", err)}
	}
	r.writer, err = capture.NewWriter(r.file, h, capture.Options{})
	return asFailure(err)
}

// header is what every file of a recording begins with.
func header(l *live, o opening, start int64) (capture.Header, error) {
	var err error
	if o.Facts, err = l.facts(); err != nil {
		return capture.Header{}, err
	}
	if l.tracer.TimeWaitsKnown() {
		o.Facts.TimeWait = &report.TimeWaitInput{Tier: l.tracer.TimeWaitTierNumber(), How: l.tracer.TimeWaitTier()}
	}
	o.Partial = l.filter.Partial()
	text, err := json.Marshal(o)
	if err != nil {
		return capture.Header{}, err
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // not there in every container
	mono := unix.Timespec{}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return capture.Header{}, err
	}
	return capture.Header{
		Host: o.Facts.Host, Kernel: o.Facts.Kernel, Version: version, Hooks: o.Facts.Hooks, Tier: l.tracer.TimeWaitTierNumber(),
		BootID: event.Printable(strings.TrimSpace(string(boot))), Monotonic: mono.Nano(), UnixNano: time.Now().UnixNano(),
		Filter: o.Facts.Filter, WindowStart: start, Facts: text,
	}, nil
}

func (r *recording) event(e *event.Event) {
	if r != nil {
		r.writer.Event(e)
	}
}

func (r *recording) settings(s *host.Settings) {
	if r != nil {
		r.keep(r.writer.Settings(s))
	}
}

func (r *recording) service(id event.Identity, s *service.Service) {
	if r != nil {
		r.keep(r.writer.Service(recordedService(id, s)))
	}
}

func recordedService(id event.Identity, s *service.Service) *capture.Service {
	return &capture.Service{
		Identity: id, Name: s.Name, Kind: s.Kind, PID: s.PID, PIDs: s.PIDs(), Processes: s.Processes, ProcessesMore: s.ProcessesMore,
		Comm: s.Comm, Exe: s.Exe, Runtime: s.Runtime, Library: s.Library,
		Unit: s.Unit, ContainerID: s.ContainerID, Pod: s.Pod, Cgroup: s.Cgroup,
	}
}

// tick writes what has waited for long.
func (r *recording) tick() error {
	if r == nil {
		return nil
	}
	r.writer.Tick(time.Now().UnixNano())
	return r.writer.Err()
}

// end writes all that was found out about services, for look-ups go on until then, and what is known in the end.
func (r *recording) end(l *live, last *ending) error {
	if r == nil {
		return nil
	}
	for id, s := range l.services.Each {
		r.service(id, s)
	}
	text, err := json.Marshal(last)
	if err != nil {
		return failure{err}
	}
	err = errors.Join(r.err, r.writer.Close(capture.End{Facts: text}), r.file.Close())
	if err != nil {
		return failure{fmt.Errorf("write capture: %w", err)}
	}
	return nil
}

func (r *recording) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
