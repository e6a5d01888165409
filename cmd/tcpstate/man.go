package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan is for whoever makes packages: it writes the manual from the verbs themselves, so that both say the same.
func newMan(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages, one for each verb, to DIR",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("man takes one argument, the folder to write to, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return asFailure(writeManual(cmd.Root(), args[0]))
		},
	}
}

// writeManual writes a page for root and one for each of its verbs that is not hidden.
func writeManual(root *cobra.Command, dir string) error {
	pages := []*cobra.Command{root}
	for _, verb := range root.Commands() {
		if !verb.Hidden && verb.Name() != "help" {
			pages = append(pages, verb)
		}
	}
	for _, cmd := range pages {
		if err := writePage(filepath.Join(dir, pageName(cmd)+".1"), cmd); err != nil {
			return fmt.Errorf("write manual page: %w", err)
		}
	}
	return nil
}

// pageName is tcpstate or tcpstate-VERB.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func writePage(path string, cmd *cobra.Command) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	manual{out}.write(cmd)
	if err := out.Flush(); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// manual writes man(7). Errors stay in the writer, which must keep them, as a bufio.Writer does.
type manual struct{ io.Writer }

func (p manual) write(cmd *cobra.Command) {
	name := pageName(cmd)
	// No date: the same source gives the same bytes.
	p.line(`.TH %s 1 "" "tcpstate %s" "tcpstate manual"`, roff(strings.ToUpper(name)), roff(version))
	p.section("NAME")
	p.line(`%s \- %s`, roff(name), roff(cmd.Short))
	p.section("SYNOPSIS")
	p.synopsis(cmd)
	p.section("DESCRIPTION")
	p.prose(cmd.Long)
	if cmd.Long == "" {
		p.prose(cmd.Short + ".")
	}
	p.verbs(cmd)
	cmd.InitDefaultHelpFlag()
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("OPTIONS OF ALL VERBS", cmd.InheritedFlags())
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(cmd.Example)
	}
	p.common(cmd)
}

func (p manual) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p manual) section(title string) { p.line(".SH %s", title) }

func (p manual) synopsis(cmd *cobra.Command) {
	if cmd.HasParent() {
		name, operands, _ := strings.Cut(cmd.UseLine(), cmd.Name())
		operands = strings.ReplaceAll(operands, "[flags]", "[options]")
		p.line(`.B %s%s`, roff(name), roff(cmd.Name()))
		p.line("%s", roff(strings.TrimSpace(operands)))
		return
	}
	p.line(`.B %s`, roff(cmd.Name()))
	p.line(`.I verb`)
	p.line("[options] [arguments]")
}

// prose is text as --help shows it: paragraphs, of which the indented ones keep their lines.
func (p manual) prose(text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, " ") || strings.Contains(paragraph, "\n ") {
			p.verbatim(paragraph)
			continue
		}
		if i > 0 {
			p.line(".PP")
		}
		p.line("%s", roff(paragraph))
	}
}

func (p manual) verbatim(text string) {
	p.line(".PP\n.nf\n.RS\n%s\n.RE\n.fi", roff(strings.Trim(text, "\n")))
}

func (p manual) verbs(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.section("VERBS")
	for _, verb := range cmd.Commands() {
		if verb.Hidden {
			continue
		}
		p.line(".TP\n.B %s\n%s", roff(verb.Name()), roff(verb.Short))
	}
}

func (p manual) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		operand, usage := pflag.UnquoteUsage(f)
		short := ""
		if f.Shorthand != "" {
			short = `\fB\-` + f.Shorthand + `\fR, `
		}
		if operand != "" {
			operand = ` \fI` + roff(operand) + `\fR`
		}
		p.line(".TP\n%s\\fB\\-\\-%s\\fR%s\n%s", short, roff(f.Name), operand, roff(usage+defaultOf(f)))
	})
}

// defaultOf is what --help says of it, and nothing where the default is that the flag is not there.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return ""
	}
	return fmt.Sprintf(" (default %s)", f.DefValue)
}

// common is what all pages end with.
func (p manual) common(cmd *cobra.Command) {
	if !cmd.HasParent() {
		p.section("EXIT STATUS")
		for _, code := range [][2]string{{"0", "done"}, {"1", "failed"}, {"2", "wrong usage"}} {
			p.line(".TP\n.B %s\n%s", code[0], code[1])
		}
		p.line(".PP\n%s", roff("check, diff and doctor --check have further ones, which their pages tell."))
		p.section("FILES")
		for _, file := range [][2]string{
			{"/etc/tcpstate/agent.yaml", "configuration of tcpstate agent"},
			{"/var/lib/tcpstate", "captures"},
			{"/run/tcpstate", "the agent's socket, where one is asked for"},
		} {
			p.line(".TP\n.I %s\n%s", roff(file[0]), roff(file[1]))
		}
	}
	p.section("SEE ALSO")
	var others []string
	for _, other := range cmd.Root().Commands() {
		if other != cmd && !other.Hidden && other.Name() != "help" && !cmd.HasParent() {
			others = append(others, pageReference(other))
		}
	}
	if cmd.HasParent() {
		others = append(others, pageReference(cmd.Root()))
	}
	p.line("%s", strings.Join(append(others, `\fBss\fR(8)`, `\fBtcp\fR(7)`), ",\n"))
	p.line(".PP\nhttps://github.com/tcpstate/tcpstate")
}

func pageReference(cmd *cobra.Command) string { return `\fB` + roff(pageName(cmd)) + `\fR(1)` }

var (
	roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...",
		"→", `\(->`, "×", `\(mu`, "≥", `\(>=`, "≤", `\(<=`)
	// A line that begins so would be a request.
	roffRequest = regexp.MustCompile(`(?m)^(\s*)([.'])`)
)

// roff makes text mean itself.
func roff(text string) string {
	return roffRequest.ReplaceAllString(roffEscapes.Replace(text), `$1\&$2`)
}
