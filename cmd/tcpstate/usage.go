package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unknownVerb names the word that is no verb, and what it may have been meant to be.
func unknownVerb(root *cobra.Command, word string) error {
	hint := "it is one of " + strings.Join(names(root), ", ")
	if near := root.SuggestionsFor(word); word != "" && len(word) < 64 && len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown verb %q: %s", word, hint)
}

// names are what can follow cmd.
func names(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// noArguments is cobra.NoArgs with the offending word and what would be right.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no arguments, got %q (filters are flags: see %s --help)", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// flagError says what is wrong with a flag of cmd. Where cmd is the root, a wrong verb is the likelier mistake: cobra
// took its flags for the root's.
func (e *env) flagError(cmd *cobra.Command, err error) error {
	if word := firstWord(e.args); cmd == cmd.Root() && word != "" {
		return unknownVerb(cmd, word)
	}
	see := fmt.Sprintf(" (see %s --help)", cmd.CommandPath())
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("%w%s", err, see)
	}
	name := wrong.GetFlag().Name
	if wrong.GetFlag().Value.Type() == "bool" {
		return fmt.Errorf("--%s: %q is neither true nor false: write --%s alone%s", name, wrong.GetValue(), name, see)
	}
	return fmt.Errorf("--%s: %w%s", name, wrong.Unwrap(), see)
}

// firstWord is what stands where the verb should be, "" if a flag does.
func firstWord(args []string) string {
	for _, a := range args {
		if a == "-v" || a == "--verbose" {
			continue
		}
		if !strings.HasPrefix(a, "-") {
			return a
		}
		break
	}
	return ""
}

// newHelp is cobra's help, but a word that is no verb is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [verb]",
		Short: "Say what a verb does and which flags it has",
		RunE: func(help *cobra.Command, args []string) error {
			cmd := help.Root()
			for _, word := range args {
				i := indexOf(cmd, word)
				if i < 0 {
					return unknownVerb(cmd, word)
				}
				cmd = cmd.Commands()[i]
			}
			cmd.InitDefaultHelpFlag() // cobra shows these only once they are there
			cmd.InitDefaultVersionFlag()
			return asFailure(cmd.Help())
		},
	}
}

func indexOf(cmd *cobra.Command, word string) int {
	for i, c := range cmd.Commands() {
		if c.Name() == word {
			return i
		}
	}
	return -1
}

// strictCompletion makes cobra's completion refuse what it does not know instead of printing its help.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion := root.Commands()[indexOf(root, "completion")]
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown shell %q: it is one of %s", args[0], strings.Join(names(cmd), ", "))
		}
		return asFailure(cmd.Help())
	}
	for _, shell := range completion.Commands() {
		shell.Args = noArguments
	}
}
