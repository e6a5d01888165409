package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/tcpstate/tcpstate/internal/agent"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// daemon is the agent at work. What has no lock belongs to the goroutine that reads the ring.
type daemon struct {
	e      *env
	log    *slog.Logger
	given  *pflag.FlagSet
	config string
	flags  *agentFlags
	state  *agent.State

	manager  agent.Systemd
	serving  string                                // addresses
	workload func(*service.Service) agent.Workload // nil: not in Kubernetes

	l       *live
	tap     *steady
	flight  *flightRecorder
	ledger  *agent.Ledger
	windows *agent.Windows
	hold    *holds
	missing map[uint32]time.Time // network namespaces that are used and not found, since when

	opened       time.Time // with a monotonic reading: the times of events do not jump when the clock is set
	next         time.Time // when the next snapshot is due
	settingsRead time.Time // when, and then some

	judged    time.Time // when verdicts were made
	seen      uint64    // how many events there were then
	moved     uint64    // and how many rounds that found connections used
	tidyNext  time.Time
	judgement agent.Judgement
	programs  []agent.Program
	told      map[string]bool // critical findings
	renewed   time.Time       // the resolver
	ready     bool

	reload  agent.Reload
	changed atomic.Pointer[change] // a configuration that was read
}

// How often things are done.
const (
	// agentTick is how often the ring is read where little happens. Each time costs some 0.3 ms of CPU, and nobody watches.
	agentTick     = time.Second
	agentRounds   = 30 * time.Second
	snapshotEvery = 900 * time.Millisecond // which a tick that comes early does not miss
	judgeEvery    = 10 * time.Second
	// judgeAnyway is how often verdicts are made while nothing happens.
	judgeAnyway = time.Minute
	// readSettingsEvery is how often settings of namespaces are read.
	readSettingsEvery = 10 * time.Second
	tidyEvery         = time.Minute
	// holdsShare is the part of one CPU for reading what bind() has taken: 10 ms a namespace, of which there can be hundreds.
	holdsShare = 0.001
	renewEvery = 10 * time.Minute
)

// open attaches.
func (d *daemon) open(set *filter.Set) (err error) {
	f := d.flags
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(30) // a daemon is to be small: a tenth of a percent of CPU for 8 MB
	}
	d.tap = &steady{flags: &f.record, log: d.log, off: f.noWrite}
	d.flight = newFlightRecorder(func(format string, args ...any) { d.log.Warn(fmt.Sprintf(format, args...)) }, &f.record, nil)
	d.flight.sums = d.sums
	d.tap.changed = func(s *series) { d.flight.series = s }
	o := f.bounds.options()
	o.Tick = agentTick
	d.state.Beat(time.Now())
	if d.l, err = openLive(d.e, o, traced{
		filter: set, expression: expression(f.filter), tap: d.tap, rounds: rounds{failed: d.unjudged, every: agentRounds},
	}); err != nil {
		return err
	}
	w := d.l.window()
	d.ledger = agent.NewLedger(agent.LedgerOptions{
		Destinations: f.destinations.n, Start: w.Start, Owner: d.l.owner, Workload: d.workload,
	})
	d.windows = agent.NewWindows(f.destinations.n, f.window.Duration, w, d.alert)
	d.hold = newHolds(holdsShare)
	d.opened = time.Now()
	d.reload = agent.Reload{OK: true, At: d.opened}
	d.told, d.missing = make(map[string]bool), make(map[uint32]time.Time)
	return nil
}

// unjudged is told why what is open cannot be judged.
func (d *daemon) unjudged(err error) { d.log.Warn(err.Error()) }

// alert logs what somebody should know at once.
func (d *daemon) alert(a churn.Alert) { d.log.Warn(d.l.alertLine(&a)) }

// sums are what triggers look at.
func (d *daemon) sums() sums {
	t := d.ledger.Totals()
	return sums{exhausted: t.Exhausted, failed: t.Failed, timeWait: t.TimeWait, usedRatio: t.UsedRatio}
}

// trace traces until ctx ends.
func (d *daemon) trace(ctx context.Context) error {
	d.flight.begin(d.l)
	s, err := d.snapshot() // who asks at once gets an answer
	if err != nil {
		return err
	}
	d.state.Publish(s)
	observe := func(e *event.Event) {
		d.windows.Observe(e)
		d.flight.see(e)
	}
	err = d.l.run(ctx, &taker{
		event: func(e *event.Event, _ *service.Service) {
			d.ledger.Count(e)
			observe(e)
		},
		progress: observe,
		settings: func(s *host.Settings) {
			s = d.hold.merged(s)
			d.windows.SetHost(s)
		},
		idle: d.idle,
	})
	d.manager.Stopping()
	if err == nil {
		_, err = d.l.end()
		d.flight.finish()
		d.l.footer(d.e)
	}
	return err
}

// idle is called between two readings of the ring.
func (d *daemon) idle() {
	now := time.Now()
	d.state.Beat(now)
	d.adopt()
	d.state.Serve(d.document)
	if now.Before(d.next) {
		return
	}
	d.next = now.Add(snapshotEvery)
	d.rest()
	d.forgetGone(now)
	all := d.ledger.Seen()
	if all != d.seen { // it takes some milliseconds a namespace
		d.hold.step(d.l, now)
	}
	moved := min(d.l.rounds.moved, soonRounds) // the first ones cannot wait
	if since := now.Sub(d.judged); since > judgeAnyway || (all != d.seen || moved != d.moved) && since >= judgeEvery || moved > 0 && d.moved == 0 {
		d.judged, d.seen, d.moved = now, all, moved
		d.judge()
	}
	s, err := d.snapshot()
	if err != nil {
		d.fail(err)
		return
	}
	d.windows.Turn(d.clock()) // all that is counted is written down
	d.state.Publish(s)
	d.flight.look()
	if !now.Before(d.tidyNext) {
		d.tidyNext = now.Add(tidyEvery)
		d.tidy(now)
	}
	if !d.ready {
		d.begun()
	}
}

// rest makes the settings be read less often than where somebody watches.
func (d *daemon) rest() {
	if s := d.l.settings; s.last != d.settingsRead {
		s.last = s.last.Add(readSettingsEvery - settingsEvery)
		d.settingsRead = s.last
	}
}

// fail ends the tracing with an error.
func (d *daemon) fail(err error) {
	if d.l.broken == nil {
		d.l.broken = err
		d.l.cancel(err)
	}
}

// clock is the time by which events are told, Unix nanoseconds.
func (d *daemon) clock() int64 { return d.opened.Add(time.Since(d.opened)).UnixNano() }

// begun is when all works for the first time: what is no longer needed is given up.
func (d *daemon) begun() {
	d.ready = true
	d.missed()
	d.drop()
	_, kernel := thisHost()
	d.log.Info("tracing TCP in all network namespaces on Linux " + kernel + ", serving on " + d.serving)
	for _, h := range d.l.tracer.Hooks() {
		d.log.Debug("attached: " + h)
	}
	d.manager.Ready(d.status())
}

// status is a line for the service manager.
func (d *daemon) status() string {
	return fmt.Sprintf("tracing on tier %d, serving on %s", d.l.tracer.TimeWaitTierNumber(), d.serving)
}

// document is the report of the last minutes, nil: it cannot be made.
func (d *daemon) document(charted int) *report.Document {
	facts, err := d.l.factsNow()
	if err != nil {
		d.log.Warn(err.Error())
		return nil
	}
	return report.Build(report.Input{Table: d.windows.Table(d.clock()), Service: d.l.owner, Facts: facts, Charted: charted})
}

// factsNow are what a report would say now, as far as it is known at once: what a namespace has to be entered for is what
// was read last.
func (l *live) factsNow() (report.Facts, error) {
	facts, err := l.facts()
	if err != nil {
		return facts, err
	}
	check, err := l.tracer.TimeWaitCheck()
	if err != nil {
		return facts, failure{err}
	}
	facts.TimeWait, facts.Namespaces = l.timeWait(&check), l.settings.known(&check)
	return facts, nil
}

// judge makes verdicts and findings, and logs the critical findings that are new.
func (d *daemon) judge() {
	doc := d.document(0)
	if doc == nil {
		return
	}
	d.judgement = agent.Judge(doc, d.flags.destinations.n, d.workload)
	now := make(map[string]bool)
	for i := range doc.Findings {
		f := &doc.Findings[i]
		if f.Severity != "critical" {
			continue
		}
		key := f.Code + " " + f.Service + " " + f.Destination
		if now[key] = true; !d.told[key] {
			d.log.Warn(f.Code + ": " + f.Summary)
		}
	}
	d.told = now
	d.programs = d.costs()
}

// costs are what the programs have cost, where the kernel keeps statistics.
func (d *daemon) costs() []agent.Program {
	on, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	if err != nil || strings.TrimSpace(string(on)) != "1" {
		return nil
	}
	runs, err := d.l.tracer.Runs()
	if err != nil {
		return nil // it is no reason to end
	}
	var all []agent.Program
	for _, r := range runs {
		all = append(all, agent.Program{Name: r.Program, Runs: r.Count, Runtime: r.Runtime})
	}
	return all
}

// snapshot writes down what is known now.
func (d *daemon) snapshot() (*agent.Snapshot, error) {
	loss, err := d.l.tracer.Loss()
	if err != nil {
		return nil, failure{err}
	}
	check, err := d.l.tracer.TimeWaitCheck()
	if err != nil {
		return nil, failure{err}
	}
	s := d.ledger.Publish(d.windows.Newest(), d.clock(), d.l.tracer.TimeWaitsKnown())
	s.At = time.Now() // which goes with the clock when it is set, and its age does not
	_, kernel := thisHost()
	s.Tracer = agent.Tracer{Version: version, Kernel: kernel, Tier: d.l.tracer.TimeWaitTierNumber()}
	s.Exact, s.Losses = loss.TotalsExact(), reasons(&loss)
	s.Namespaces = kernelWaits(&check)
	s.Verdicts, s.Findings, s.Programs = d.judgement.Verdicts, d.judgement.Findings, d.programs
	s.Recorder = d.tap.stats()
	s.Recorder.Incidents = uint64(d.flight.made)
	s.Reload = d.reload
	return s, nil
}

func reasons(l *tracer.Loss) []agent.Reason {
	return []agent.Reason{
		{Name: "ring_full", Count: l.RingFull}, {Name: "unassigned", Count: l.Unassigned}, {Name: "recursion", Count: l.Recursion},
		{Name: "end_unseen", Count: l.Unseen}, {Name: "repeated", Count: l.Repeated}, {Name: "sockets_full", Count: l.Sockets},
		{Name: "time_waits_full", Count: l.TimeWaits}, {Name: "call_unseen", Count: l.Calls}, {Name: "chain_cut", Count: l.ChainCut},
	}
}

// maxNamespaces bounds the namespaces whose counts are shown one by one, those with the most.
const maxNamespaces = 256

func kernelWaits(c *tracer.TimeWaitCheck) []agent.NamespaceWaits {
	var all []agent.NamespaceWaits
	for _, n := range c.Namespaces {
		if n.Kernel >= 0 {
			all = append(all, agent.NamespaceWaits{Netns: n.Netns, TimeWait: uint64(n.Kernel)})
		}
	}
	slices.SortFunc(all, func(a, b agent.NamespaceWaits) int { return int(int64(b.TimeWait) - int64(a.TimeWait)) })
	return all[:min(len(all), maxNamespaces)]
}

// tidy makes room for new services when there is none.
func (d *daemon) tidy(now time.Time) {
	if d.l.services.Refused() > 0 && now.Sub(d.renewed) > renewEvery {
		d.renewed = now
		d.l.services = service.NewResolver(service.Options{Learned: d.l.learned})
	}
}

// forgetGone forgets network namespaces that are gone: those that are looked for in vain.
func (d *daemon) forgetGone(now time.Time) {
	s := d.l.settings
	for inode := range s.used {
		if _, there := s.places[inode]; there {
			delete(d.missing, inode)
			continue
		}
		since, known := d.missing[inode]
		if !known {
			d.missing[inode] = now
			continue
		}
		if s.search.Before(since) {
			continue // it is looked for soon
		}
		delete(s.used, inode)
		delete(s.read, inode)
		delete(d.hold.read, inode)
		delete(d.hold.last, inode)
		delete(d.missing, inode)
		d.windows.ForgetHost(inode)
		if s.latest == inode {
			s.latest = 0
		}
	}
}

// keeps are the capabilities that are of use for as long as it runs.
func (d *daemon) keeps() (keep []cap.Value) {
	for _, c := range agent.Capabilities() {
		if !c.Loading && (c.Value != cap.SYS_ADMIN || d.flags.namespaces) {
			keep = append(keep, c.Value)
		}
	}
	return keep
}

// privileges says what each capability is for, to those who ask.
func (d *daemon) privileges() {
	for _, c := range agent.HeldCapabilities() {
		state := "is missing"
		if c.Have {
			state = "is there"
		}
		d.log.Debug(fmt.Sprintf("%s %s: to %s", c.Name, state, c.For))
	}
}

// missed says what is not known for want of a capability that it can do without.
func (d *daemon) missed() {
	for _, c := range agent.HeldCapabilities() {
		if !c.Have && !c.Loading && (c.Value != cap.SYS_ADMIN || d.flags.namespaces) {
			d.log.Info(fmt.Sprintf("without %s, %s; it would be to %s", c.Name, c.Without, c.For))
		}
	}
}

// drop gives up the capabilities that are needed no longer. Which ones the kernel asks for when maps are read and iterators
// are opened differs from version to version: it is tried.
func (d *daemon) drop() {
	keep := d.keeps()
	loading := []cap.Value{cap.BPF, cap.PERFMON}
	with := loading
	if !d.flags.namespaces {
		with = append(with, cap.SYS_ADMIN) // which stands for both
	}
	later, err := d.l.tracer.Rehearsal()
	if err == nil {
		err = agent.Without(with, later)
	}
	if err != nil {
		d.log.Debug(fmt.Sprintf("CAP_BPF and CAP_PERFMON are kept, for this kernel asks for them later, too: %v", err))
		keep = append(keep, loading...)
	}
	if err := agent.Drop(keep); err != nil {
		d.log.Warn(err.Error())
		return
	}
	for _, c := range agent.HeldCapabilities() {
		if c.Have {
			d.log.Debug(fmt.Sprintf("%s is kept: to %s", c.Name, c.For))
		} else if c.Value == cap.SYS_ADMIN {
			// No other namespace can be entered: it is in vain to look for any again and again, which takes all of /proc.
			d.l.settings.search = time.Now().Add(forever)
		}
	}
}

// forever is longer than it will run.
const forever = 100 * 365 * 24 * time.Hour
