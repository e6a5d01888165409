package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tcpstate/tcpstate/internal/agent"
	"github.com/tcpstate/tcpstate/internal/filter"
)

// checked is a flag value that is a word, or several, of which each must be right by itself.
type checked struct {
	kind   string
	values []string
	check  func(string) error
	list   bool
	given  bool // the default is no more
	// atLeastOne: the list cannot be empty.
	atLeastOne bool
}

// Set reads s.
func (c *checked) Set(s string) error {
	if err := c.check(s); err != nil {
		return err
	}
	if !c.list || !c.given {
		c.values = nil
	}
	c.values, c.given = append(c.values, s), true
	return nil
}

func (c *checked) value() string { return strings.Join(c.values, ",") }

func (c *checked) String() string {
	if c.list && len(c.values) > 0 {
		return "[" + strings.Join(c.values, " ") + "]"
	}
	return c.value()
}

// Type names the value in the help.
func (c *checked) Type() string { return c.kind }

// timespan is a flag value like 10s, from min to max.
type timespan struct {
	time.Duration
	min, max time.Duration
}

// Set reads s.
func (v *timespan) Set(s string) error {
	var d duration
	if err := d.Set(s); err != nil {
		return err
	}
	if d.Duration < v.min || d.Duration > v.max {
		return fmt.Errorf("%q is out of bounds: from %s to %s", s, v.min, v.max)
	}
	v.Duration = d.Duration
	return nil
}

func (v *timespan) String() string { return v.Duration.String() }

// Type names the value in the help.
func (v *timespan) Type() string { return "DURATION" }

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
	}
}

// notInConfig are the flags that are no settings.
var notInConfig = []string{"config", "check-config", "help"}

// changeable are the settings that SIGHUP changes; all others take a restart.
var changeable = []string{"after", "incidents", "trigger", "window"}

// settingsOf are the flags that a configuration can have, by name.
func settingsOf(flags *pflag.FlagSet) map[string]*pflag.Flag {
	all := make(map[string]*pflag.Flag)
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(notInConfig, f.Name) {
			all[f.Name] = f
		}
	})
	return all
}

// newAgentFlags are the defaults, and the command whose flags change them.
func newAgentFlags() (*agentFlags, *cobra.Command) {
	f, cmd := &agentFlags{}, &cobra.Command{Use: "agent"}
	f.add(cmd)
	return f, cmd
}

// loadAgent reads the configuration, and then what was given on the command line, which wins.
func loadAgent(given *pflag.FlagSet, path string) (*agentFlags, error) {
	f, cmd := newAgentFlags()
	f.set = cmd.Flags()
	if path != "" {
		if err := readConfig(path, f.set); err != nil {
			return nil, err
		}
	}
	if err := override(f.set, given); err != nil {
		return nil, err
	}
	return f, f.settle()
}

func readConfig(path string, flags *pflag.FlagSet) error {
	keys := make(map[string]agent.Key)
	for name, flag := range settingsOf(flags) {
		keys[name] = agent.Key{
			List: isList(flag.Value), Bool: flag.Value.Type() == "bool",
			Set: func(s string) error {
				if err := checkFilter(name, s); err != nil {
					return err
				}
				return plainError(flags.Set(name, s))
			},
			Empty: emptier(flag.Value),
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return failure{fmt.Errorf("read configuration: %w", err)}
	}
	defer file.Close()
	err = agent.ReadConfig(file, keys)
	var wrong agent.Mistakes
	if err != nil && !errors.As(err, &wrong) {
		return failure{fmt.Errorf("read configuration %s: %w", path, err)}
	}
	return err
}

// checkFilter says what is wrong with one value of a filter's flag; values of other flags are right.
func checkFilter(name, value string) error {
	var f filter.Flags
	cmd := &cobra.Command{}
	filterFlags(cmd, &f)
	flag := cmd.Flags().Lookup(name)
	if flag == nil || flag.Value.Type() == "bool" {
		return nil
	}
	if err := flag.Value.Set(value); err != nil {
		return err
	}
	_, err := filter.NewSet(f)
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), "--"+name+": "))
}

// emptier returns what makes a list empty; nil: it cannot be.
func emptier(v pflag.Value) func() {
	switch v := v.(type) {
	case *checked:
		if v.atLeastOne {
			return nil
		}
		return func() { v.values, v.given = nil, true }
	case pflag.SliceValue:
		return func() { _ = v.Replace(nil) } // which takes any number
	}
	return nil
}

// plainError is what is wrong with a value, without the flag's name.
func plainError(err error) error {
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return wrong.Unwrap()
	}
	return err
}

func isList(v pflag.Value) bool {
	if c, ok := v.(*checked); ok {
		return c.list
	}
	_, ok := v.(pflag.SliceValue)
	return ok
}

// valuesOf are the values of a flag, one by one.
func valuesOf(v pflag.Value) []string {
	switch v := v.(type) {
	case *checked:
		return v.values
	case pflag.SliceValue:
		return v.GetSlice()
	}
	return []string{v.String()}
}

// override sets in flags what was given in others.
func override(flags, given *pflag.FlagSet) (err error) {
	given.Visit(func(g *pflag.Flag) {
		if f := flags.Lookup(g.Name); f != nil && err == nil {
			err = copyFlag(f, g)
		}
	})
	return err
}

// copyFlag gives to the value of from.
func copyFlag(to, from *pflag.Flag) (err error) {
	switch v := to.Value.(type) {
	case *checked:
		v.values, v.given = nil, true
	case pflag.SliceValue:
		err = v.Replace(nil)
	}
	for _, s := range valuesOf(from.Value) {
		err = errors.Join(err, to.Value.Set(s))
	}
	return err
}

// print writes the settings that have a value as a configuration.
func (f *agentFlags) print(to io.Writer) error {
	settings := settingsOf(f.set)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if v := settings[name].Value; v.String() == "" && !isList(v) {
			continue
		}
		text, err := yaml.Marshal(map[string]any{name: plainValue(settings[name].Value)})
		if err != nil {
			return err
		}
		if _, err := to.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func plainValue(v pflag.Value) any {
	switch {
	case v.Type() == "bool":
		return v.String() == "true"
	case isList(v):
		return valuesOf(v)
	}
	return v.String()
}

// changes are the settings in which f differs from g: those that can change at once, and those that take a restart.
func (f *agentFlags) changes(g *agentFlags) (now, later []string) {
	theirs := settingsOf(g.set)
	for name, mine := range settingsOf(f.set) {
		switch {
		case slices.Equal(valuesOf(mine.Value), valuesOf(theirs[name].Value)):
		case slices.Contains(changeable, name):
			now = append(now, name)
		default:
			later = append(later, name)
		}
	}
	slices.Sort(now)
	slices.Sort(later)
	return now, later
}
