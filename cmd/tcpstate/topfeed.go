package main

import (
	"strings"
	"sync"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/top"
)

// feed hands updates to a view. Whoever sends never waits: an update that was not taken yet gives way to a newer one.
type feed struct {
	updates chan top.Update
	notes   notes
}

func newFeed() *feed {
	return &feed{updates: make(chan top.Update, 1), notes: notes{come: make(chan struct{}, 1)}}
}

// send is for one goroutine. What there is to be said goes along, and outlives the update that gives way.
func (f *feed) send(u top.Update) {
	u.Note = f.notes.take()
	for {
		select {
		case f.updates <- u:
			return
		default:
		}
		select {
		case older := <-f.updates:
			u.Note = joinNotes(older.Note, u.Note)
		default:
		}
	}
}

// notes are lines for whoever watches, from any goroutine. As a writer it takes what would go to standard error, where it
// would be drawn over.
type notes struct {
	mu      sync.Mutex
	waiting []string
	missed  int
	come    chan struct{} // has something when lines wait
}

// maxNotes is how many lines wait at most; the first tell more than those that follow.
const maxNotes = 8

func (n *notes) say(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == maxNotes {
		n.missed++
		return
	}
	n.waiting = append(n.waiting, line)
	select {
	case n.come <- struct{}{}:
	default:
	}
}

// Write takes lines of env.say.
func (n *notes) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		n.say(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "tcpstate: "))
	}
	return len(p), nil
}

// take returns all that waits, as one.
func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := ""
	for _, line := range n.waiting {
		all = joinNotes(all, line)
	}
	if n.missed > 0 {
		all = joinNotes(all, "…")
	}
	n.waiting, n.missed = nil, 0
	return all
}

func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return bounded(a + " · " + b)
}

// wish is what a key asks for.
type wish struct {
	what   wished
	id     int
	paused bool
	factor float64
	by     time.Duration
}

type wished uint8

const (
	toWatch wished = iota + 1
	toWrite
	toPause
	toSpeed
	toSeek
)

// wishes are the top.Controls: they wait for the goroutine that has the table.
type wishes struct {
	mu      sync.Mutex
	waiting []wish
	come    chan struct{} // has something when wishes wait
}

func newWishes() *wishes { return &wishes{come: make(chan struct{}, 1)} }

// maxWishes is more than anybody has keys for while the table is busy.
const maxWishes = 256

func (w *wishes) add(x wish) {
	w.mu.Lock()
	if len(w.waiting) < maxWishes {
		w.waiting = append(w.waiting, x)
	}
	w.mu.Unlock()
	select {
	case w.come <- struct{}{}:
	default:
	}
}

// take returns those that wait.
func (w *wishes) take() []wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.waiting
	w.waiting = nil
	return all
}

// Watch asks for the charts of a row.
func (w *wishes) Watch(id int) { w.add(wish{what: toWatch, id: id}) }

// Write asks for a capture of the last minutes.
func (w *wishes) Write() { w.add(wish{what: toWrite}) }

// Pause stops a capture, or goes on.
func (w *wishes) Pause(paused bool) { w.add(wish{what: toPause, paused: paused}) }

// Speed plays a capture faster or slower.
func (w *wishes) Speed(factor float64) { w.add(wish{what: toSpeed, factor: factor}) }

// Seek goes to another time of a capture.
func (w *wishes) Seek(by time.Duration) { w.add(wish{what: toSeek, by: by}) }

// scene is what updates are made of.
type scene struct {
	table   *churn.Table
	owner   func(*event.Owner) *service.Service
	watched int // the ID of the row whose charts are wanted; -1: none
}

// document is what there is to be seen, with facts as they are known.
func (s *scene) document(f report.Facts) *report.Document {
	return report.Build(s.input(report.Input{Table: s.table, Service: s.owner, Facts: f}))
}

func (s *scene) input(in report.Input) report.Input {
	if s.watched >= 0 {
		in.Chart = []int{s.watched}
	}
	return in
}
