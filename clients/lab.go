package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// scenario is one client, or a few, and what must be found out about them.
type scenario struct {
	name  string
	what  string
	needs []string // names in needs.go
	// play starts servers, and says which clients are to be driven and what is expected of them.
	play func(*stage)
}

// lab is where cases are run: a folder for all files, and what they share.
type lab struct {
	ctx context.Context
	*options
	dir     string
	reasons map[string]string // why a need cannot be met
	// passed is the first case that did; used for the self-test.
	passed *outcome

	cluster     sync.Once
	clusterErr  error
	mariadb     sync.Once
	mariadbErr  error
	reportCount int
	again       int // reports that were made again
}

func newLab(ctx context.Context, o *options) (*lab, error) {
	dir, err := os.MkdirTemp("", "tcpstate-clients-")
	if err != nil {
		return nil, err
	}
	l := &lab{ctx: ctx, options: o, dir: dir, reasons: make(map[string]string)}
	// Servers run as users of their own and must get there.
	if err := os.Chmod(dir, 0o755); err != nil {
		l.close()
		return nil, err
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		l.close()
		return nil, fmt.Errorf("--cache: %w", err)
	}
	if l.tool, err = filepath.Abs(o.tool); err == nil {
		_, err = os.Stat(l.tool)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("--tool: %w; make build builds it", err)
	}
	return l, nil
}

func (l *lab) close() {
	if l.keep {
		fmt.Fprintf(os.Stderr, "clients: logs and reports are in %s\n", l.dir)
		return
	}
	if err := os.RemoveAll(l.dir); err != nil {
		fmt.Fprintf(os.Stderr, "clients: %v\n", err)
	}
}

const (
	// shortest is how long is traced at least: no verdict is made on less than 5 s.
	shortest = 5600 * time.Millisecond
	// longest is how long is traced at most; a client that takes longer has failed.
	longest = 20 * time.Second
	// settle lets the servers write their logs, and connections end.
	settle = 400 * time.Millisecond
)

// inexact is how often in a run a report whose totals are not exact is made again: some kernels call no program for
// some transitions, and a report is about the whole host, whatever else goes on there.
const inexact = 4

// together runs cases side by side under one report. Each has a network namespace of its own, which tells the rows apart.
func (l *lab) together(ctx context.Context, cases []*scenario, t *tally) {
	for !l.attempt(ctx, cases, t) {
		l.again++
	}
}

// attempt reports whether the cases were judged; if not, they are to be run again.
func (l *lab) attempt(ctx context.Context, cases []*scenario, t *tally) bool {
	stages := make([]*stage, len(cases))
	each(cases, func(i int) { stages[i] = l.open(ctx, cases[i]) })
	defer each(cases, func(i int) { stages[i].close() })

	l.reportCount++
	tool, err := l.trace(ctx)
	if err == nil {
		began := time.Now()
		each(cases, func(i int) { stages[i].perform(ctx) })
		pause(ctx, max(shortest-time.Since(began), settle))
	}
	var doc *document
	if err == nil {
		doc, err = tool.finish()
	}
	if ctx.Err() != nil {
		return true // interrupted: nothing can be said
	}
	if err == nil && !doc.exact() && l.again < inexact {
		fmt.Printf("again   %-24s and those beside it: totals are not exact: %v\n", cases[0].name, doc.Loss)
		return false
	}
	for _, s := range stages {
		s.fail(err)
		l.settle(s, doc, t)
	}
	return true
}

// settle judges one case and prints its line.
func (l *lab) settle(s *stage, doc *document, t *tally) {
	o := s.outcome(doc)
	problems := o.problems
	if s.err != nil {
		problems = []string{s.err.Error()}
	}
	if len(problems) > 0 {
		t.failed++
		fmt.Printf("FAIL    %-24s %s\n", s.name, s.what)
		for _, p := range problems {
			fmt.Printf("        %s\n", strings.ReplaceAll(p, "\n", "\n        "))
		}
		return
	}
	t.passed++
	if l.passed == nil {
		l.passed = o
	}
	for i, w := range o.want {
		name := s.name
		if i > 0 {
			name = ""
		}
		fmt.Printf("%-7s %-24s %s\n", [2]string{"ok", ""}[min(i, 1)], name, w.line())
	}
}

// each calls f with the index of each element, side by side.
func each[T any](all []T, f func(int)) {
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() { f(i) })
	}
	wait.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
