package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/demo"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// demoLength is long enough for a verdict, short enough to wait for.
const demoLength = 7 * time.Second

func newDemo(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the tool at work on a workload that it starts itself, in a network namespace of its own",
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return runDemo(e) },
	}
}

func runDemo(e *env) error {
	if os.Geteuid() != 0 {
		return failure{fmt.Errorf("the demo needs root, for its network namespace and for tracing: type  sudo %s demo", os.Args[0])}
	}
	l, err := openLive(e, tracer.Options{Tick: reportTick}, traced{})
	if err != nil {
		return err
	}
	defer l.close()
	incident, err := demo.Start(context.Background())
	if err != nil {
		return failure{err}
	}
	e.say("three clients and a server run for %s in a network namespace of their own (%d)", demoLength, incident.Netns)
	for _, c := range incident.Clients {
		e.say("  %-14s %s (%s)", c.Name, c.What, c.Addr)
	}
	doc, err := traceDemo(l, incident)
	if err != nil {
		return err
	}
	out := &result{Writer: e.stdout, terminal: terminalWidth(e.stdout)}
	if err := report.WriteColumns(out, doc, (&output{}).options(e, out)); err != nil {
		return failure{err}
	}
	return judgeDemo(e, incident, doc)
}

// traceDemo traces the incident until its time is over, then a little longer than it lasts.
func traceDemo(l *live, incident *demo.Incident) (*report.Document, error) {
	ctx, stop := untilSignal()
	defer stop()
	stopped := make(chan error, 1)
	go func() {
		select {
		case <-time.After(demoLength):
		case <-ctx.Done():
		}
		stopped <- incident.Stop()
		stop()
	}()
	doc, err := reported(ctx, &oneNamespace{l, incident.Netns}, churn.Options{}, 0)
	if stopErr := <-stopped; err == nil {
		err = asFailure(stopErr)
	}
	return doc, err
}

// oneNamespace is what happens in one network namespace.
type oneNamespace struct {
	*live
	netns uint32
}

func (o *oneNamespace) run(ctx context.Context, t *taker) error {
	narrow := *t
	narrow.event = func(e *event.Event, s *service.Service) {
		if e.Netns == o.netns || e.Kind == event.Lost && e.Netns == 0 {
			t.event(e, s)
		}
	}
	return o.live.run(ctx, &narrow)
}

func (o *oneNamespace) end() (*ending, error) {
	last, err := o.live.end()
	if err == nil && last.Facts.TimeWait != nil {
		last.Facts.TimeWait.Kernel = nil // it says nothing about one namespace
	}
	return last, err
}

// judgeDemo compares what was found with what was there, by the clients' own count.
func judgeDemo(e *env, incident *demo.Incident, doc *report.Document) error {
	fmt.Fprintln(e.stdout)
	wrong := 0
	for _, c := range incident.Clients {
		found, opened, failed := "nothing", uint64(0), uint64(0)
		for _, d := range doc.Destinations {
			if d.Service.Comm != c.Name || d.Direction != "outbound" {
				continue
			}
			if d.Verdict.Name != nil {
				found = *d.Verdict.Name
			}
			opened += d.Opened
			for _, n := range d.Failed {
				failed += n
			}
		}
		mark := "right"
		if found != c.Verdict || opened != c.Connected || failed != c.Failed {
			mark = fmt.Sprintf("WRONG, it is %s", c.Verdict)
			wrong++
		}
		fmt.Fprintf(e.stdout, "%s %s\n  verdict %s: %s\n  connects: %d by its own count, %d in the report; failures: %d and %d\n",
			c.Name, c.What, found, mark, c.Connected, opened, c.Failed, failed)
	}
	if wrong > 0 {
		return failure{fmt.Errorf("the demo found %d of %d clients wrong", wrong, len(incident.Clients))}
	}
	return nil
}
