package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/doctor"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/netns"
)

type doctorFlags struct {
	output output
	netns  []string
	check  bool
}

func newDoctor(e *env) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this host's settings are right: ports, TIME_WAIT, limits; and which lines to write",
		Long: "doctor reads what is set and counted in every network namespace, says what that means here, which line\n" +
			"puts it right, and how it is known. It changes nothing, loads nothing into the kernel, and needs no root,\n" +
			"without which some facts are unknown.\n\n" +
			"With --check the exit code is 0 when all is in order, 1 for a warning or a setting that is unknown, 2 for\n" +
			"something critical. What only a more privileged user would see does not count, but is told on standard\n" +
			"error. A mistake of usage is 2, too, and then standard output is empty.",
		Example: "  tcpstate doctor\n" +
			"  tcpstate doctor -o sysctl | sudo tee /etc/sysctl.d/90-tcpstate.conf && sudo sysctl --system\n" +
			"  tcpstate doctor --check --netns /run/netns/blue",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			d, err := runDoctor(e, &f)
			if err == nil && f.check {
				sayUnknown(e, d)
				if d.ExitCode != exitDone {
					return outcome(d.ExitCode)
				}
			}
			return err
		},
	}
	outputFlags(cmd, &f.output, "columns", "json", "jsonpretty", "sysctl")
	flags := cmd.Flags()
	flags.StringArrayVar(&f.netns, "netns", nil, "only network namespace `PATH|inode`, and what the whole host shares")
	flags.BoolVar(&f.check, "check", false, "exit with 1 if there is a warning or a setting that is unknown, 2 if "+
		"something is critical")
	return cmd
}

func runDoctor(e *env, f *doctorFlags) (d *doctor.Document, err error) {
	chosen, err := parseNamespaces(f.netns)
	if err != nil {
		return nil, err
	}
	err = f.output.to(e, func(out *result) error {
		in, err := examined(chosen)
		if err != nil {
			return failure{err}
		}
		d = doctor.Examine(in)
		if err := out.begin(); err != nil {
			return err
		}
		return asFailure(writeAudit(e, f, out, d))
	})
	return d, err
}

func writeAudit(e *env, f *doctorFlags, out *result, d *doctor.Document) error {
	switch f.output.form {
	case "json":
		return doctor.WriteJSON(out, d, false)
	case "jsonpretty":
		return doctor.WriteJSON(out, d, true)
	case "sysctl":
		return doctor.WriteSysctl(out, d, writtenFor(d))
	default:
		o := f.output.options(e, out)
		all := e.verbose || len(f.netns) > 0
		return doctor.WriteColumns(out, d, doctor.Options{Width: o.Width, Color: o.Color, All: all})
	}
}

// writtenFor is the namespace whose lines take effect: the only one, or this process's.
func writtenFor(d *doctor.Document) uint32 {
	for _, n := range d.Namespaces {
		if n.Own || len(d.Namespaces) == 1 {
			return n.Netns
		}
	}
	return 0
}

// sayUnknown says what the exit code of --check alone would hide.
func sayUnknown(e *env, d *doctor.Document) {
	if n := d.Counts.Unknown; n > 0 {
		e.say("--check: exit code %d; what %d of %d checks are about is unknown", d.ExitCode, n, len(d.Checks))
	}
}

// chosenNamespace is one that --netns names.
type chosenNamespace struct {
	value  string
	filter *filter.Set
}

func parseNamespaces(values []string) ([]chosenNamespace, error) {
	var chosen []chosenNamespace
	for _, value := range values {
		set, err := filter.NewSet(filter.Flags{Netns: []string{value}})
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, chosenNamespace{value, set})
	}
	return chosen, nil
}

// choose returns the namespaces that were asked for, all if none were.
func choose(found []netns.Namespace, chosen []chosenNamespace) ([]netns.Namespace, error) {
	if len(chosen) == 0 {
		return found, nil
	}
	met := make([]bool, len(chosen))
	var of []netns.Namespace
	for _, n := range found {
		wanted := false
		for i, c := range chosen {
			if c.filter.Match(&event.Event{Netns: n.Inode}, nil) {
				met[i], wanted = true, true
			}
		}
		if wanted {
			of = append(of, n)
		}
	}
	for i, c := range chosen {
		if !met[i] {
			return nil, fmt.Errorf("--netns %s: no process that may be looked at lives in this network namespace, "+
				"and no mount "+
				"keeps it (as root more of them are seen)", c.value)
		}
	}
	return of, nil
}

// examined reads all that there is to know.
func examined(chosen []chosenNamespace) (*doctor.Input, error) {
	found, unseen, err := netns.List(netns.Options{})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("no network namespace is found: is /proc mounted?")
	}
	of, err := choose(found, chosen)
	if err != nil {
		return nil, err
	}
	var root host.Root
	in := &doctor.Input{Configured: root.Configured(), Limits: root.Limits(), Capabilities: root.Capabilities()}
	in.Host, in.Kernel = thisHost()
	if len(chosen) == 0 {
		for _, u := range unseen {
			in.Unseen = append(in.Unseen, u.Why)
		}
	}
	listening := make(map[uint64]bool)
	for _, n := range of {
		s := audited(root, n, listening)
		if errors.Is(s.Err, netns.ErrGone) && len(chosen) == 0 {
			continue // it ended since
		}
		in.Spaces = append(in.Spaces, s)
	}
	in.Processes, in.ProcessesErr = root.Processes(listening)
	return in, nil
}

// audited enters a namespace, and adds who listens there to listening.
func audited(root host.Root, n netns.Namespace, listening map[uint64]bool) doctor.Space {
	s := doctor.Space{Namespace: doctor.Namespace{Netns: n.Inode, Own: isOwn(n), Path: n.Path()}}
	if inode, known := root.Netns(); known {
		is := n.Inode == inode
		s.Host = &is
	}
	var a host.Audit
	enter := func() error {
		a = root.Audit()
		return nil
	}
	err := n.Do(enter)
	if errors.Is(err, netns.ErrGone) { // by that way: there may be another
		if other, ok := netns.Find(n.Inode, 0); ok {
			err = other.Do(enter)
		}
	}
	if err != nil {
		s.Err = err
		return s
	}
	s.Audit = &a
	if a.Sockets.Known() {
		for _, l := range a.Sockets.Value.Listeners {
			listening[l.Inode] = true
		}
	}
	return s
}

// isOwn says whether this thread lives in a namespace.
func isOwn(n netns.Namespace) bool {
	link, err := os.Readlink("/proc/thread-self/ns/net")
	return err == nil && link == fmt.Sprintf("net:[%d]", n.Inode)
}
