package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/diff"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
)

type diffFlags struct {
	output output
	all    bool
	limit  number
}

func newDiff(e *env) *cobra.Command {
	f := diffFlags{limit: number{n: 50, max: math.MaxInt32}}
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Say whether the fix worked: what is better, worse or the same between two captures or reports",
		Long: "diff compares two captures (.tcps) or JSON reports (report -o json) of the same services: connections\n" +
			"opened, reuse, TIME_WAIT, failed connects, ports and verdicts, per service and destination. It says better or\n" +
			"worse only beyond noise and for the same work, and says plainly when a change did nothing.\n" +
			"- is standard input.\n\n" +
			"The exit code is 0 when AFTER is better or the same, 1 when something is worse (or a file cannot be read),\n" +
			"2 for a mistake of usage, 3 when nobody can tell.",
		Example: "  tcpstate report -o json -w before.json; deploy; tcpstate report -o json -w after.json\n" +
			"  tcpstate diff before.json after.json\n" +
			"  tcpstate diff -o md monday.tcps tuesday.tcps",
		Args: twoFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := runDiff(e, &f, args[0], args[1])
			if err == nil && d.ExitCode != exitDone {
				return outcome(d.ExitCode)
			}
			return err
		},
	}
	outputFlags(cmd, &f.output, "columns", "json", "jsonpretty", "md")
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "also show what is the same, cannot be told, or is in one of the two only")
	flags.Var(&f.limit, "limit", "show the first `N` services and destinations; 0: all")
	return cmd
}

// twoFiles wants the names of the two files.
func twoFiles(cmd *cobra.Command, args []string) error {
	path := cmd.CommandPath()
	see := fmt.Sprintf("(see %s --help)", path)
	switch {
	case len(args) == 0:
		return fmt.Errorf("%s wants two captures or JSON reports, BEFORE and AFTER, got none %s", path, see)
	case len(args) == 1:
		return fmt.Errorf("%s wants two captures or JSON reports, BEFORE and AFTER, got only %q %s", path, args[0], see)
	case len(args) > 2:
		return fmt.Errorf("%s compares two files, BEFORE and AFTER, and %q is a third %s", path, args[2], see)
	case args[0] == "" || args[1] == "":
		return fmt.Errorf("the name of a file is empty: write a capture's or a report's, or - for standard input %s", see)
	case args[0] == "-" && args[1] == "-":
		return fmt.Errorf("- is both BEFORE and AFTER: standard input can be one of them %s", see)
	}
	return nil
}

func runDiff(e *env, f *diffFlags, before, after string) (d *diff.Document, err error) {
	err = f.output.to(e, func(out *result) error {
		ctx, stop := untilSignal()
		defer stop()
		var in [2]diff.Input
		for i, path := range []string{before, after} {
			var err error
			if in[i], err = compared(ctx, e, path); err != nil {
				return err
			}
		}
		d = diff.Compare(in[0], in[1])
		d.Select(f.all, f.limit.n)
		if err := out.begin(); err != nil {
			return err
		}
		return asFailure(writeDiff(e, f, out, d))
	})
	return d, err
}

func writeDiff(e *env, f *diffFlags, out *result, d *diff.Document) error {
	switch f.output.form {
	case "json":
		return diff.WriteJSON(out, d, false)
	case "jsonpretty":
		return diff.WriteJSON(out, d, true)
	case "md":
		return diff.WriteMarkdown(out, d)
	default:
		o := f.output.options(e, out)
		return diff.WriteColumns(out, d, diff.Options{Width: o.Width, Color: o.Color})
	}
}

// compared reads the report in a file, or makes that of a capture. What a file is tells its first byte.
func compared(ctx context.Context, e *env, path string) (in diff.Input, err error) {
	in.File = path
	file := os.Stdin
	if path == "-" {
		in.File = "standard input"
	} else {
		if file, err = os.Open(path); err != nil {
			return in, failure{err}
		}
		defer file.Close()
	}
	if st, err := file.Stat(); path != "-" && err == nil && st.IsDir() {
		in.Report, err = reportOfFolder(ctx, path)
		return in, err
	}
	begun := bufio.NewReader(file)
	first, err := begun.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return in, failure{err}
	}
	if len(first) > 0 && isJSON(first[0]) {
		if in.Report, err = diff.ReadReport(begun); err != nil {
			err = failure{fmt.Errorf("%s %w", in.File, err)}
		}
		return in, err
	}
	in.Report, err = reportOf(ctx, e, path, in.File, file, begun)
	return in, err
}

// isJSON: no capture begins with such a byte.
func isJSON(first byte) bool {
	switch first {
	case '{', '[', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// reportOfFolder makes the report of the segments in a folder.
func reportOfFolder(ctx context.Context, path string) (*report.Document, error) {
	set, err := filter.NewSet(filter.Flags{})
	if err != nil {
		return nil, err
	}
	replays, err := openReplays(ctx, &captures{read: []string{path}}, set, "")
	if err != nil {
		return nil, err
	}
	return reportedAll(ctx, replays, churn.Options{}, 0)
}

// reportOf makes the report of a capture.
func reportOf(
	ctx context.Context, e *env, path, name string, file *os.File, begun io.Reader,
) (d *report.Document, err error) {
	s, err := openCompared(path, name, file, begun)
	if errors.Is(err, capture.ErrNoCapture) {
		return nil, failure{fmt.Errorf("%w, and no JSON of tcpstate report either", err)}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	if d, err = reported(ctx, s, churn.Options{}, 0); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, failure{fmt.Errorf("interrupted while reading %s: nothing was compared", name)}
	}
	s.footer(e)
	return d, nil
}

// openCompared opens a capture by its name, or as the stream of which the first bytes were looked at when it can be
// read only once.
func openCompared(path, name string, file *os.File, begun io.Reader) (*replay, error) {
	set, err := filter.NewSet(filter.Flags{})
	if err != nil {
		return nil, err
	}
	if st, err := file.Stat(); path != "-" && err == nil && st.Mode().IsRegular() {
		return openReplay(path, set, "", capture.ReadOptions{})
	}
	s, err := segmentIn(name, begun, capture.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return newReplay([]*segment{s}, set, "", capture.ReadOptions{}), nil
}
