package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
)

// captures are the flags of a verb that reads captures instead of tracing.
type captures struct {
	read   []string
	period period
	follow bool
	length *pflag.Flag // how long to trace; nil: it never does

	waiting func() // see capture.ReadOptions
}

// asked reports whether captures are to be read.
func (f *captures) asked() bool { return len(f.read) > 0 }

// lengthFlag adds --for.
func (f *captures) lengthFlag(cmd *cobra.Command, length *duration, usage string) {
	cmd.Flags().Var(length, "for", usage)
	f.length = cmd.Flags().Lookup("for")
}

// check finds a part of a capture asked for where there is none, and what captures have no use for.
func (f *captures) check() error {
	if !f.asked() && (f.period.since.given() || f.period.until.given()) {
		return errors.New("--since and --until are for captures: write -r FILE, too")
	}
	if f.asked() && f.length != nil && f.length.Changed {
		return errors.New("--for is how long to trace: a capture has its own length; write --until to read a part of one")
	}
	if f.follow && (len(f.read) != 1 || f.read[0] == "-") {
		return errors.New("--follow is for one capture that is being written: write -r FILE, once")
	}
	return nil
}

// maxCaptures bounds the files of one report: each is open until its turn comes.
const maxCaptures = 1000

// captureFiles are the files that the values of --read stand for: a folder stands for the captures in it.
func captureFiles(values []string) ([]string, error) {
	var files []string
	for _, v := range values {
		if v == "" {
			return nil, errors.New("--read: the name is empty; write a file's or a folder's name, or - for standard input")
		}
		if st, err := os.Stat(v); v == "-" || err != nil || !st.IsDir() {
			files = append(files, v)
			continue
		}
		found, err := filepath.Glob(filepath.Join(escapeGlob(v), "*"+captureEnd))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, failure{fmt.Errorf("%s: no capture (*%s) is in this folder", v, captureEnd)}
		}
		files = append(files, found...)
	}
	if len(files) > maxCaptures {
		return nil, failure{fmt.Errorf("%d captures are more than the %d that can be read at once", len(files), maxCaptures)}
	}
	return files, nil
}

// escapeGlob takes the meaning from characters that have one in a pattern.
func escapeGlob(path string) string {
	var b []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

// openReplays opens captures. Segments that follow each other are one recording.
func openReplays(ctx context.Context, f *captures, set *filter.Set, expression string) ([]*replay, error) {
	files, err := captureFiles(f.read)
	if err != nil {
		return nil, err
	}
	o, err := f.period.options(files...)
	if err != nil {
		return nil, err
	}
	if f.follow {
		o.Follow, o.Waiting = ctx, f.waiting
	}
	var all []*segment
	for _, f := range files {
		s, err := openSegment(f, o)
		if err != nil {
			for _, s := range all {
				_ = s.reader.Close()
			}
			return nil, err
		}
		all = append(all, s)
	}
	var replays []*replay
	for _, run := range chained(all) {
		replays = append(replays, newReplay(run, set, expression, o))
	}
	return replays, nil
}

// chained sorts segments by time, and puts those together that follow each other.
func chained(all []*segment) [][]*segment {
	slices.SortStableFunc(all, func(a, b *segment) int {
		x, y := a.reader.Header(), b.reader.Header()
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(a.began.Recording, b.began.Recording),
			cmp.Compare(x.WindowStart, y.WindowStart))
	})
	var found [][]*segment
	for i, s := range all {
		if i > 0 && s.follows(all[i-1]) {
			found[len(found)-1] = append(found[len(found)-1], s)
			continue
		}
		found = append(found, []*segment{s})
	}
	return found
}

func (s *segment) follows(o *segment) bool {
	return s.began.Recording != "" && s.began.Recording == o.began.Recording && s.began.Segment == o.began.Segment+1
}

// reportedAll makes one report of all replays, each with its own part in it.
func reportedAll(ctx context.Context, replays []*replay, o churn.Options, charted int) (*report.Document, error) {
	var parts []*report.Document
	var errs []error
	for _, r := range replays {
		d, err := reported(ctx, r, o, charted)
		if err == nil {
			parts = append(parts, d)
		}
		errs = append(errs, err, r.close())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return report.Merge(parts), nil
}
