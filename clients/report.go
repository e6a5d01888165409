package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// document is the part of `tcpstate report -o json` that is looked at. The names are the published ones, read anew
// here: a renamed field must be noticed.
type document struct {
	Schema string `json:"schema"`
	Window struct {
		Seconds float64 `json:"seconds"`
	} `json:"window"`
	Loss         map[string]any `json:"loss"` // totals_exact, and counts of what was lost
	Destinations []row          `json:"destinations"`
}

// exact reports whether the totals are exact, and each row is there: others' traffic can fill the table of destinations.
func (d *document) exact() bool {
	return d.Loss["totals_exact"] == true && d.Loss["events_merged"] == 0.0
}

// row is one service and where it connects to, or one listening address and who connects to it.
type row struct {
	Service struct {
		Name string `json:"name"`
		Comm string `json:"comm"`
	} `json:"service"`
	Direction string            `json:"direction"`
	Netns     uint32            `json:"netns"`
	Local     endpoint          `json:"local"`
	Dst       endpoint          `json:"dst"`
	Opened    *uint64           `json:"opened"`
	Failed    map[string]uint64 `json:"failed"`
	ClosedBy  map[string]uint64 `json:"closed_by"`
	Verdict   struct {
		Name     *string  `json:"name"`
		Evidence []string `json:"evidence"`
		Advice   []string `json:"advice"`
	} `json:"verdict"`

	text json.RawMessage
}

type endpoint struct {
	Addr string `json:"addr"`
	Port uint16 `json:"port"`
}

// UnmarshalJSON keeps the row's text, to be shown when it is wrong.
func (r *row) UnmarshalJSON(data []byte) error {
	type fields row
	r.text = bytes.Clone(data)
	return json.Unmarshal(data, (*fields)(r))
}

func (e endpoint) String() string {
	if strings.Contains(e.Addr, ":") {
		return fmt.Sprintf("[%s]:%d", e.Addr, e.Port)
	}
	return fmt.Sprintf("%s:%d", e.Addr, e.Port)
}

// tracing is a running `tcpstate report`.
type tracing struct {
	cmd  *exec.Cmd
	path string // where the report is written
	out  *os.File
	said *strings.Builder // on standard error
	over chan struct{}    // closed when standard error was closed
}

// trace starts a report and returns when it traces.
func (l *lab) trace(ctx context.Context) (*tracing, error) {
	t := &tracing{
		path: filepath.Join(l.dir, fmt.Sprintf("report-%d.json", l.reportCount)),
		said: new(strings.Builder), over: make(chan struct{}),
	}
	var err error
	if t.out, err = os.Create(t.path); err != nil {
		return nil, err
	}
	t.cmd = exec.CommandContext(ctx, l.tool, "report", "--for", longest.String(), "-o", "json")
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	t.cmd.Stdout = t.out
	said, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go t.listen(said, ready)
	select {
	case <-ready:
		return t, nil
	case <-t.over:
		_ = t.cmd.Wait()
		return nil, fmt.Errorf("%s report does not trace: %s", l.tool, tail(t.said.String()))
	case <-time.After(30 * time.Second):
		_ = t.cmd.Process.Kill()
		return nil, fmt.Errorf("%s report did not say within 30 s that it traces", l.tool)
	}
}

// listen keeps what is said, and closes ready once tracing has begun.
func (t *tracing) listen(said io.Reader, ready chan struct{}) {
	defer close(t.over)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		t.said.WriteString(lines.Text() + "\n")
		if ready != nil && strings.Contains(lines.Text(), "tracing TCP") {
			close(ready)
			ready = nil
		}
	}
}

// finish ends the window and reads the report.
func (t *tracing) finish() (*document, error) {
	defer t.out.Close()
	select {
	case <-t.over:
		return nil, fmt.Errorf("tcpstate ended before the clients did: %s", tail(t.said.String()))
	default:
	}
	_ = t.cmd.Process.Signal(syscall.SIGINT)
	patience := time.AfterFunc(20*time.Second, func() { _ = t.cmd.Process.Kill() })
	defer patience.Stop()
	<-t.over
	if err := t.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("tcpstate report: %w: %s", err, tail(t.said.String()))
	}
	data, err := os.ReadFile(t.path)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

func decode(data []byte) (*document, error) {
	doc := new(document)
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("decode the report: %w", err)
	}
	if doc.Schema != "tcpstate.report/v1" {
		return nil, fmt.Errorf("the report's schema is %q", doc.Schema)
	}
	if _, ok := doc.Loss["totals_exact"].(bool); !ok {
		return nil, errors.New("the report does not say whether its totals are exact")
	}
	return doc, nil
}
