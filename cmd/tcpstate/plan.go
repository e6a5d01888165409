package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/plan"
	"github.com/tcpstate/tcpstate/internal/sockets"
)

// planFlags are what is planned. What is not given comes from the preset, or from this host.
type planFlags struct {
	output                output
	rate                  parsed[float64]
	reuse                 parsed[float64] // the share of the requests that does not
	ports                 parsed[plan.Ports]
	preset                parsed[plan.Preset]
	timeWait, lifetime    span
	sources, destinations number
}

func newPlan(e *env) *cobra.Command { return planCommand(e, newPlanFlags()) }

func newPlanFlags() *planFlags {
	return &planFlags{
		rate:         parsed[float64]{parse: plan.ParseRate, kind: "RATE"},
		reuse:        parsed[float64]{parse: plan.ParseReuse, kind: "SHARE", value: 1},
		ports:        parsed[plan.Ports]{parse: plan.ParsePorts, kind: "N|LOW-HIGH"},
		preset:       parsed[plan.Preset]{parse: plan.ParsePreset, kind: "NAME"},
		timeWait:     span{min: plan.MinTimeWait, max: plan.MaxTimeWait},
		lifetime:     span{max: plan.MaxLifetime},
		sources:      number{n: 1, min: 1, max: plan.MaxSources},
		destinations: number{n: 1, min: 1, max: plan.MaxDestinations},
	}
}

func planCommand(e *env, f *planFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Do the arithmetic before a load test: how long the local ports last, and what would make them last",
		Long: "Do the arithmetic before a load test. A connection holds a local port toward its destination while it is open and\n" +
			"in TIME_WAIT, so a number of ports carries a certain rate. Says which, how many ports another rate needs, when the\n" +
			"first connect fails, from when on connects are slow, and what each remedy would give. Traces nothing.",
		Example: "  tcpstate plan --rate 500\n" +
			"  tcpstate plan --rate 500 --reuse 90% --lifetime 2s\n" +
			"  tcpstate plan --rate 30 --ports 5000 --time-wait 240s\n" +
			"  tcpstate plan --rate 30 --preset windows-2003 -o json",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runPlan(e, f) },
	}
	outputFlags(cmd, &f.output, "columns", "json", "jsonpretty", "csv")
	flags := cmd.Flags()
	flags.Var(&f.rate, "rate", "requests a second, each over a new connection but for --reuse: 30, 0.5, 30/m, 100/h")
	flags.Var(&f.reuse, "reuse", "how many of the requests go over a connection that is open already: 0.9 or 90%")
	flags.Var(&f.ports, "ports", "local ports there are: how many, or from which to which; without it the preset's, or else this host's")
	flags.Var(&f.timeWait, "time-wait", "how long TIME_WAIT lasts; without it the preset's, or else 60s")
	flags.Var(&f.lifetime, "lifetime", "how long a connection is open")
	flags.Var(&f.sources, "sources", "how many source addresses the connections are spread over")
	flags.Var(&f.destinations, "destinations", "how many destinations (address and port) they are spread over")
	flags.Var(&f.preset, "preset", "ports and TIME_WAIT of another system: "+strings.Join(plan.PresetNames(), ", "))
	return cmd
}

func runPlan(e *env, f *planFlags) error {
	return f.output.to(e, func(out *result) error {
		doc := plan.Build(f.scenario(portsHere))
		if err := out.begin(); err != nil {
			return err
		}
		return asFailure(writePlan(f.output.form, out, doc))
	})
}

// scenario is what was asked for; here is asked for the ports when no flag tells them.
func (f *planFlags) scenario(here func() plan.Ports) *plan.Scenario {
	s := &plan.Scenario{
		Preset: f.preset.value, Rate: f.rate.value, New: f.reuse.value, Ports: f.preset.value.Ports,
		TimeWait: cmp.Or(f.timeWait.Duration, f.preset.value.TimeWait, 60*time.Second), Lifetime: f.lifetime.Duration,
		Sources: f.sources.n, Destinations: f.destinations.n,
	}
	switch {
	case f.ports.text != "":
		s.Ports = f.ports.value
	case f.preset.text == "":
		s.Ports = here()
	}
	return s
}

// portsHere are the ports of this network namespace.
func portsHere() plan.Ports {
	s, err := host.Read()
	if err != nil {
		return plan.AssumedPorts(event.Printable(err.Error()))
	}
	s.Blocked = listening(s.Netns)
	p, err := plan.PortsOf(&s)
	if err != nil {
		return plan.AssumedPorts(err.Error())
	}
	return p
}

// listening are the ports with a listener, nil when that cannot be read.
func listening(netns uint32) *host.PortSet {
	listeners, err := sockets.Listeners(sockets.Options{})
	if err != nil && len(listeners) == 0 {
		return nil
	}
	set := new(host.PortSet)
	for i := range listeners {
		if listeners[i].Netns == netns {
			set.Add(listeners[i].Local.Port())
		}
	}
	return set
}

func writePlan(form string, out *result, doc *plan.Document) error {
	switch form {
	case "json":
		return plan.WriteJSON(out, doc, false)
	case "jsonpretty":
		return plan.WriteJSON(out, doc, true)
	case "csv":
		return plan.WriteCSV(out, doc)
	default:
		return plan.WriteColumns(out, doc)
	}
}

// parsed is a flag value that parse reads.
type parsed[T any] struct {
	parse func(text string) (T, error)
	kind  string
	text  string // "": not given
	value T
}

// Set reads s.
func (p *parsed[T]) Set(s string) error {
	v, err := p.parse(s)
	if err != nil {
		return err
	}
	p.text, p.value = s, v
	return nil
}

func (p *parsed[T]) String() string { return p.text }

// Type names the value in the help.
func (p *parsed[T]) Type() string { return p.kind }

// span is a duration from min to max; min can be 0.
type span struct {
	duration
	min, max time.Duration
}

// Set reads s.
func (d *span) Set(s string) error {
	var v duration
	if err := v.Set(s); err != nil && (d.min > 0 || !zero(s)) {
		return err
	}
	if v.Duration < d.min || v.Duration > d.max {
		return fmt.Errorf("%q is out of bounds: from %v to %v", s, d.min, d.max)
	}
	d.duration = v
	return nil
}

func zero(s string) bool {
	v, err := time.ParseDuration(s)
	return err == nil && v == 0
}

func (d *span) String() string {
	if d.Duration == 0 {
		return ""
	}
	return d.Duration.String()
}
