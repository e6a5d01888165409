package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcpstate/tcpstate/internal/agent"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/recorder"
)

type agentFlags struct {
	config string
	check  bool
	set    *pflag.FlagSet // that these are of

	filter  filter.Flags
	bounds  bounds
	record  recordFlags
	noWrite bool

	listen       checked
	triggers     checked
	destinations number
	window, keep timespan
	namespaces   bool
	user         string

	logFormat    checked
	otlpEndpoint checked
	otlpInterval timespan
}

// The defaults of the agent.
const (
	agentAddress      = "127.0.0.1:9847"
	agentDestinations = 1000
	agentWindow       = 5 * time.Minute
	agentFolder       = "/var/lib/tcpstate"
)

func newAgent(e *env) *cobra.Command {
	f := &agentFlags{}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Do all of it as a daemon: metrics, health, reports, and a flight recorder",
		Long: "agent traces until it is told to end. It serves metrics for Prometheus, its health, and the report of the last\n" +
			"minutes over HTTP, on this host only unless told otherwise; it pushes metrics by OTLP where asked to; and it keeps\n" +
			"the last minutes on disk, which a --trigger, or SIGUSR1, puts aside. SIGHUP reads the configuration again.",
		Example: "  tcpstate agent --config /etc/tcpstate/agent.yaml\n" +
			"  tcpstate agent --listen unix:/run/tcpstate/agent.sock --user tcpstate\n" +
			"  curl -s http://127.0.0.1:9847/metrics",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(e, cmd.Flags(), f.config) },
	}
	f.add(cmd)
	return cmd
}

// add makes the flags, which are the keys of the configuration, too.
func (f *agentFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	*f = agentFlags{
		record: recordFlags{
			path: agentFolder, after: duration{time.Minute},
			maxSize: size{bytes: 256 << 20, min: 4 * minRotate, max: maxCapture}, incidents: number{n: 20, min: 1, max: 1 << 20},
		},
		listen:       checked{kind: "ADDRESS", values: []string{agentAddress}, check: agent.CheckAddress, list: true, atLeastOne: true},
		triggers:     checked{kind: "COND", values: []string{"exhausted>0", "used_ratio>0.8"}, check: checkTrigger, list: true},
		destinations: number{n: agentDestinations, min: 1, max: 1 << 16},
		window:       timespan{agentWindow, 10 * time.Second, 24 * time.Hour},
		keep:         timespan{15 * time.Minute, minKeep, 30 * 24 * time.Hour},
		logFormat:    checked{kind: "FORM", values: []string{"text"}, check: oneOf("text", "json")},
		otlpEndpoint: checked{kind: "URL", check: agent.CheckEndpoint},
		otlpInterval: timespan{time.Minute, time.Second, time.Hour},
	}
	flags.StringVar(&f.config, "config", "", "read settings from `FILE`: the names of these flags and their values, as YAML. Flags win")
	flags.BoolVar(&f.check, "check-config", false, "say what is wrong with the settings, or print them, and end")
	flags.Var(&f.listen, "listen", "serve on `ADDRESS`: HOST:PORT or unix:PATH; can be repeated")
	flags.Var(&f.destinations, "destinations", "how many destinations are kept apart; those beyond are summed up")
	flags.Var(&f.window, "window", "how much /report and the verdicts look back: between half of it and twice as much")
	flags.StringVarP(&f.record.path, "write", "w", agentFolder, "flight recorder: keep captures in `DIR`")
	flags.BoolVar(&f.noWrite, "no-record", false, "keep no captures")
	flags.Var(&f.keep, "keep", "how much of what happened last is kept, to be put aside on a trigger")
	flags.Var(&f.record.maxSize, "max-size", "how much of the disk that may take; what is put aside is not counted")
	flags.Var(&f.triggers, "trigger", "put aside what is kept when `COND` holds: exhausted>0, used_ratio>0.8, verdict==unpooled; can be repeated")
	flags.Var(&f.record.after, "after", "how long to go on before what led to a trigger is put aside")
	flags.Var(&f.record.incidents, "incidents", "how many incidents there may be in the folder: no more is put aside then; after each, triggers rest for as long as --keep")
	flags.BoolVar(&f.namespaces, "enter-namespaces", true, "read the settings of other network namespaces, which takes CAP_SYS_ADMIN for as long as it runs")
	flags.StringVar(&f.user, "user", "", "become the user `NAME`, with the capabilities that are needed")
	flags.Var(&f.logFormat, "log-format", "the `FORM` of messages on standard error: text, json")
	flags.Var(&f.otlpEndpoint, "otlp-endpoint", "push metrics to the OpenTelemetry collector at `URL`, e.g. http://127.0.0.1:4318")
	flags.Var(&f.otlpInterval, "otlp-interval", "how often")
	filterFlags(cmd, &f.filter)
	boundFlags(cmd, &f.bounds)
}

// settle finds what is wrong with settings that are right one by one.
func (f *agentFlags) settle() error {
	f.record.parsed, f.record.keep = nil, duration{f.keep.Duration}
	for _, text := range f.triggers.values {
		t, err := recorder.ParseTrigger(text, verdictWords())
		if err != nil {
			return fmt.Errorf("--trigger: %w", err)
		}
		f.record.parsed = append(f.record.parsed, t)
	}
	if f.record.path == "" && !f.noWrite {
		return errors.New("--write: the name is empty; name a folder, or --no-record")
	}
	_, err := filter.NewSet(f.filter)
	return err
}

func checkTrigger(text string) error {
	_, err := recorder.ParseTrigger(text, verdictWords())
	return err
}

func runAgent(e *env, given *pflag.FlagSet, config string) error {
	f, err := loadAgent(given, config)
	if err != nil {
		return e.mistakes(config, err)
	}
	if f.check {
		return asFailure(f.print(e.stdout))
	}
	log := newAgentLog(e, f.logFormat.value())
	d := &daemon{e: e.logged(log), log: log, flags: f, given: given, config: config, state: agent.NewState()}
	ctx, stop := untilSignal()
	defer stop()
	return inForm(d.run(ctx), f.logFormat.value(), log)
}

// inForm logs an error where messages are not for people, and leaves its exit code.
func inForm(err error, form string, log *slog.Logger) error {
	var f failure
	if form != "json" || !errors.As(err, &f) {
		return err
	}
	log.Error(f.Error())
	return outcome(exitFailed)
}

// mistakes says what is wrong with a configuration, a line each.
func (e *env) mistakes(config string, err error) error {
	var all agent.Mistakes
	if !errors.As(err, &all) {
		return err
	}
	for _, m := range all {
		e.say("%s: %s", config, m)
	}
	return outcome(exitUsage)
}

// run is the daemon from its beginning to its end.
func (d *daemon) run(ctx context.Context) (err error) {
	f := d.flags
	set, err := filter.NewSet(f.filter)
	if err != nil {
		return err
	}
	if f.user != "" {
		if err := agent.Become(f.user); err != nil {
			return failure{err}
		}
	}
	d.privileges()
	hups := onHangUp() // from here on it does not end the process
	metrics := agent.NewGatherer(d.state)
	site := agent.NewSite(d.state, metrics, version, slog.NewLogLogger(d.log.Handler(), slog.LevelWarn))
	stop, err := d.serve(site)
	if err != nil {
		return failure{err}
	}
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.askKubernetes(ctx)
	if err := d.open(set); err != nil {
		return err
	}
	defer func() {
		if closeErr := d.l.close(); err == nil {
			err = closeErr
		}
	}()
	push, err := agent.Push(ctx, d.pushOptions(), metrics)
	if err != nil {
		return failure{err}
	}
	defer push()
	go d.manager.Watch(ctx, d.state)
	go d.reloads(ctx, hups)
	return d.trace(ctx)
}
