// Package recorder writes a stream of events into a series of captures, the segments: each is a file that can be read
// by itself, old ones are removed, and what led to an incident is kept (see [Recorder.Keep]).
package recorder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// Options of a [Recorder]. Sizes in bytes, 0: no bound.
type Options struct {
	Dir string // where the segments go; it must be there
	// RotateSize and RotateEvery end a segment.
	RotateSize  uint64
	RotateEvery time.Duration
	// MaxSize and MaxAge remove the oldest segments: of all together, and by the time at which they ended. A segment in which
	// nothing has happened goes on for MaxAge: beginning another one takes milliseconds.
	MaxSize uint64
	MaxAge  time.Duration
	// Header makes the header of the next segment, whose events begin at start (Unix nanoseconds). End is what its last
	// block says.
	Header func(number int, start int64) (capture.Header, error)
	End    func(end int64) (json.RawMessage, error)
	// Checkpoint hands on what exists when a segment begins, and returns for which time; see tracer.Checkpoint.
	Checkpoint func(emit func(*event.Event)) (unixNano int64, err error)
	// Known hands on all settings and services that were told so far: each segment begins with them.
	Known func(settings func(*host.Settings), services func(*capture.Service))
}

// Recorder writes segments. Its methods are for one goroutine.
type Recorder struct {
	o      Options
	file   *os.File
	writer *capture.Writer
	path   string
	number int
	began  int64 // of the segment, Unix nanoseconds
	quiet  bool  // nothing has happened in it
	now    int64 // the latest time told
	seam   *seam // between two segments; nil: passed
	old    []segment

	stats    capture.Stats // of the segments that are finished
	fullDisk bool          // the last write failed for want of room
	gaps     int           // times that this happened
	tried    int64         // when it was tried last whether there is room again
}

// segment is one that is finished.
type segment struct {
	path string
	size uint64
	end  int64 // Unix nanoseconds
}

// New begins the first segment, of which start is the beginning. The events that exist come with the stream.
func New(o Options, start int64) (*Recorder, error) {
	r := &Recorder{o: o, now: start}
	if err := r.find(); err != nil {
		return nil, err
	}
	return r, r.open(start)
}

// find takes over the segments of earlier recorders, so that they are removed in their turn.
func (r *Recorder) find() error {
	entries, err := os.ReadDir(r.o.Dir) // sorted by name, which is by time
	if err != nil {
		return fmt.Errorf("look for segments: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		if st, err := e.Info(); err == nil {
			r.old = append(r.old, segment{path: filepath.Join(r.o.Dir, e.Name()), size: uint64(st.Size()), end: st.ModTime().UnixNano()})
		}
	}
	return nil
}

// The names of segments.
const (
	prefix = "tcpstate-"
	suffix = ".tcps"
)

// open begins a segment.
func (r *Recorder) open(start int64) error {
	h, err := r.o.Header(r.number+1, start)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s%s-%04d%s", prefix, time.Unix(0, start).UTC().Format("20060102T150405Z"), r.number+1, suffix)
	path := filepath.Join(r.o.Dir, name)
	f, err := capture.Create(path, false)
	if err != nil {
		return err
	}
	w, err := capture.NewWriter(f, h, capture.Options{})
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	r.number++
	r.path, r.began, r.quiet, r.file, r.writer = path, start, true, f, w
	return nil
}

// Event records e.
func (r *Recorder) Event(e *event.Event) {
	r.now = max(r.now, e.UnixNano)
	r.quiet = false
	if r.writer == nil {
		r.stats.Dropped++ // the disk is full
		return
	}
	if r.seam != nil && e.UnixNano > r.seam.until+slack.Nanoseconds() {
		r.closeSeam()
	}
	if r.seam != nil {
		r.seam.pass(e, r.writer.Event)
		return
	}
	r.writer.Event(e)
}

// closeSeam ends the seam: all that happened while its checkpoint was taken has come.
func (r *Recorder) closeSeam() {
	r.seam.settle(r.writer.Event)
	r.seam = nil
}

// Settings records what is set in a namespace from now on.
func (r *Recorder) Settings(s *host.Settings) error {
	if r.writer == nil {
		return nil
	}
	return r.writer.Settings(s)
}

// Service records what was found out about a service.
func (r *Recorder) Service(s *capture.Service) error {
	if r.writer == nil {
		return nil
	}
	return r.writer.Service(s)
}

// Tick is to be called often, between two events: it writes what is due, begins the next segment when it is time to,
// and removes old ones. A disk without room ends the segment; the next one begins when there is room again.
func (r *Recorder) Tick(now time.Time) error {
	r.now = max(r.now, now.UnixNano())
	if r.writer == nil {
		return r.retry()
	}
	if r.seam != nil && r.now > r.seam.until+slack.Nanoseconds() {
		r.closeSeam()
	}
	r.writer.Tick(r.now)
	if err := r.writer.Err(); err != nil {
		return r.failed(err)
	}
	if r.due() {
		return r.Rotate()
	}
	return nil
}

func (r *Recorder) due() bool {
	every := r.o.RotateEvery
	if every > 0 && r.quiet {
		every = max(every, r.o.MaxAge)
	}
	return every > 0 && r.now-r.began >= every.Nanoseconds() ||
		r.o.RotateSize > 0 && r.writer.Stats().Bytes >= r.o.RotateSize
}

// Rotate ends the segment and begins the next one, with all that exists.
func (r *Recorder) Rotate() error {
	if r.writer == nil {
		return r.retry()
	}
	began := time.Now()
	if err := r.finish(r.now); err != nil {
		return r.failed(err)
	}
	r.prune()
	if err := r.resume(began); err != nil {
		return r.failed(err)
	}
	return nil
}

// resume begins a segment in the middle of the stream, all of which has been taken up to the time drained.
func (r *Recorder) resume(drained time.Time) error {
	if err := r.open(r.now); err != nil {
		return err
	}
	var errs []error
	r.o.Known(
		func(x *host.Settings) { errs = append(errs, r.writer.Settings(x)) },
		func(x *capture.Service) { errs = append(errs, r.writer.Service(x)) },
	)
	s := newSeam(time.Since(drained))
	at, err := r.o.Checkpoint(func(e *event.Event) { s.exists(e, r.writer.Event) })
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("begin segment %s: %w", r.path, err)
	}
	s.at, s.until = at, time.Now().UnixNano()
	r.seam = s
	return nil
}

// finish ends the segment.
func (r *Recorder) finish(end int64) error {
	if r.seam != nil {
		r.closeSeam()
	}
	text, err := r.o.End(end)
	if err != nil {
		return err
	}
	err = r.writer.Close(capture.End{Facts: text})
	st := r.writer.Stats()
	r.stats.Events += st.Events
	r.stats.Bytes += st.Bytes
	r.stats.Blocks += st.Blocks
	r.stats.Dropped += st.Dropped
	r.stats.FactsDropped += st.FactsDropped
	r.writer = nil
	r.old = append(r.old, segment{path: r.path, size: st.Bytes, end: end})
	return errors.Join(err, r.file.Close())
}

// failed gives up the segment where the disk is full, and says so once; any other error is the caller's.
func (r *Recorder) failed(err error) error {
	if r.writer != nil {
		_ = r.finish(r.now)
	}
	if !isFull(err) {
		return err
	}
	r.tried = r.now
	if r.fullDisk {
		return nil
	}
	r.fullDisk = true
	r.gaps++
	r.number++ // what comes next does not follow on what was written last
	return &FullError{Dir: r.o.Dir, err: err}
}

// retryEvery is how often it is tried whether there is room again.
const retryEvery = int64(time.Second)

// retry begins a segment again where the disk was full.
func (r *Recorder) retry() error {
	if r.now-r.tried < retryEvery {
		return nil
	}
	r.prune()
	if err := r.resume(time.Now().Add(-time.Second)); err != nil { // nobody knows how much has been taken
		return r.failed(err)
	}
	r.fullDisk = false
	return nil
}

// FullError says that the disk has no room: nothing is recorded until it has. What was written is whole.
type FullError struct {
	Dir string
	err error
}

// Error is the same for each segment: who writes logs can leave out what was said already.
func (e *FullError) Error() string {
	why := e.err
	var errno syscall.Errno
	if errors.As(why, &errno) {
		why = errno
	}
	return fmt.Sprintf("%s: %v; the segments there are whole, and recording goes on when there is room", e.Dir, why)
}

func (e *FullError) Unwrap() error { return e.err }

// prune removes segments that are too many or too old, the oldest first.
func (r *Recorder) prune() {
	total := uint64(0)
	for _, s := range r.old {
		total += s.size
	}
	for len(r.old) > 0 {
		s := r.old[0]
		tooMuch := r.o.MaxSize > 0 && total+r.o.RotateSize > r.o.MaxSize
		tooOld := r.o.MaxAge > 0 && r.now-s.end > r.o.MaxAge.Nanoseconds()
		if !tooMuch && !tooOld {
			return
		}
		_ = os.Remove(s.path) // one that somebody has taken away is gone, too
		total -= s.size
		r.old = r.old[1:]
	}
}

// Keep makes links to all segments in a new folder of dir, so that they stay when the recorder removes its own. It
// begins a new segment first, and returns the folder.
func (r *Recorder) Keep(dir, name string) (string, error) {
	var full *FullError
	if err := r.Rotate(); err != nil && !errors.As(err, &full) { // what there is is kept all the same
		return "", err
	}
	return r.Link(dir, name)
}

// Link is Keep without the segment that is being written.
func (r *Recorder) Link(dir, name string) (string, error) {
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	for _, s := range r.old {
		if err := os.Link(s.path, filepath.Join(folder, filepath.Base(s.path))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return folder, err
		}
	}
	return folder, nil
}

// Stats are what all segments have together; Gaps is how often the disk was full.
func (r *Recorder) Stats() (s capture.Stats, gaps int) {
	s = r.stats
	if r.writer != nil {
		now := r.writer.Stats()
		s.Events += now.Events
		s.Bytes += now.Bytes
		s.Blocks += now.Blocks
		s.Dropped += now.Dropped
		s.FactsDropped += now.FactsDropped
	}
	return s, r.gaps
}

// Segment is the file that is being written, "" while the disk is full.
func (r *Recorder) Segment() string {
	if r.writer == nil {
		return ""
	}
	return r.path
}

// Close ends the last segment. end is what its last block says.
func (r *Recorder) Close(end json.RawMessage) error {
	if r.writer == nil {
		return fmt.Errorf("the disk is full: the last %d events are in no segment", r.stats.Dropped)
	}
	if r.seam != nil {
		r.closeSeam()
	}
	err := errors.Join(r.writer.Close(capture.End{Facts: end}), r.file.Close())
	r.old = append(r.old, segment{path: r.path, size: r.writer.Stats().Bytes, end: r.now})
	return err
}
