package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/report"
)

// newPlayer opens what is to be played, so that what is wrong with it is told before anything is drawn.
func newPlayer(s *stage, f *topFlags, set *filter.Set) (*player, error) {
	p := &player{}
	f.captures.waiting = p.look
	begun, giveUp := context.WithCancel(context.Background())
	first, err := openRecording(begun, f, set)
	if err != nil {
		giveUp()
		return nil, err
	}
	*p = player{
		scene: scene{watched: -1}, send: s.send, notes: &s.notes, wishes: s.wishes, clock: playedBy, delay: f.delay.Duration,
		pace: pace{speed: f.speed.factor}, stay: !s.plain, atOnce: !s.plain, again: readTwice(first),
		options: churn.Options{MaxRows: f.destinations.n, Steps: true, Recent: true},
	}
	p.open = func(ctx context.Context) (*replay, error) {
		if p.replay == nil {
			context.AfterFunc(ctx, giveUp)
			return first, nil
		}
		return openRecording(ctx, f, set)
	}
	switch {
	case f.captures.follow:
		p.pace.speed = fastest // it cannot be read faster than it is written
	case p.again:
		p.end, p.waits, p.losses = recordedEnd(first)
	}
	w := &partWriter{stage: s, flags: f, set: set, replay: first, whole: p.again}
	p.writer, s.after = w.write, w.written
	return p, nil
}

// openRecording opens the one recording that is to be played.
func openRecording(ctx context.Context, f *topFlags, set *filter.Set) (*replay, error) {
	all, err := openReplays(ctx, &f.captures, set, expression(f.filter))
	if err != nil {
		return nil, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	for _, r := range all {
		_ = r.close()
	}
	return nil, fmt.Errorf("--read: top plays one recording, and these are %d: name one, or write --once for one report of all", len(all))
}

// readTwice reports whether a recording can be read from its beginning again.
func readTwice(r *replay) bool {
	for _, s := range r.segments {
		if st, err := os.Stat(s.name); s.name == "-" || err != nil || !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// recordedEnd is when a recording ends, or the part of it that is played, Unix nanoseconds, how it followed TIME_WAITs, and
// what it lost. 0, nil: not known.
func recordedEnd(r *replay) (end int64, waits *report.TimeWaitInput, losses *report.Losses) {
	last := endOf(r.segments[len(r.segments)-1].name)
	if waits = last.Facts.TimeWait; waits != nil {
		waits.Kernel = nil // counted at the end
	}
	if last.Facts.Losses != (report.Losses{}) {
		losses = &last.Facts.Losses
	}
	if until := r.options.Until; until != 0 && (last.End == 0 || until < last.End) {
		return until, waits, losses
	}
	return last.End, waits, losses
}

// endOf is the end of the capture at path; of one without, only when its last event was.
func endOf(path string) (last ending) {
	r, err := capture.Open(path, capture.ReadOptions{Since: math.MaxInt64}) // no event, but what else there is
	if err != nil {
		return last
	}
	defer r.Close()
	for {
		item, err := r.Next()
		if err != nil {
			break
		}
		if item.Kind == capture.KindEnd && json.Unmarshal(item.End.Facts, &last) == nil && last.End != 0 {
			return last
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return last
	}
	defer f.Close()
	if s, err := capture.Info(f); err == nil {
		last.End = s.Last
	}
	return last
}

// partWriter writes the last minutes before some time of a capture as a capture.
type partWriter struct {
	stage  *stage
	flags  *topFlags
	set    *filter.Set
	replay *replay // the names of what is played
	whole  bool    // it can be read again
	works  works
}

// write writes what happened before to, and not before from, without anybody waiting for it.
func (w *partWriter) write(from, to int64) {
	from = max(from, to-int64(w.flags.keep.Duration))
	const form = "2006-01-02T15:04:05Z07:00"
	since, until := time.Unix(0, from).UTC(), time.Unix(0, to).UTC()
	if !w.whole || len(w.replay.segments) > 1 {
		w.stage.notes.say(fmt.Sprintf("this is written by tcpstate export FILE -o tcps --since %s --until %s, of each FILE by itself",
			since.Format(form), until.Format(form)))
		return
	}
	source, target := w.replay.segments[0].name, filepath.Join(w.flags.writeTo(), "tcpstate-"+until.Format("20060102T150405Z")+captureEnd)
	w.works.start(&w.stage.notes, target, func() (string, error) {
		if err := w.export(source, target, capture.ReadOptions{Since: from, Until: to}); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s has %s to %s: tcpstate report -r %s", target, since.Format(form), until.Format(form), target), nil
	})
}

// export writes a part of the capture source as the capture target.
func (w *partWriter) export(source, target string, o capture.ReadOptions) error {
	file, err := capture.Create(target, false)
	if err != nil {
		return err
	}
	defer file.Close()
	e := exportFlags{filter: w.flags.filter}
	x := &export{e: w.stage.e, flags: &e, set: w.set, options: o, sink: &captureSink{to: file}}
	if err := x.file(source); err != nil {
		_ = os.Remove(target)
		return err
	}
	return nil
}

func (w *partWriter) written() []string { return w.works.wait() }
