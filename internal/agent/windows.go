package agent

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// Windows are the tables of the last minutes. Each covers two windows' length, and the next begins when half a window's
// length is left of it: a report of the older one always has at least as much behind it, once so much is traced, and two
// tables are kept for a third of the time only.
type Windows struct {
	length       time.Duration
	older, newer *churn.Table // newer: nil for most of the time
	began        int64        // older, Unix nanoseconds
	next         int64        // newer
}

// NewWindows begins with a table that bounds its rows as told, and tells alert what somebody should know at once; see
// churn.Options.
func NewWindows(rows int, length time.Duration, w churn.Window, alert func(churn.Alert)) *Windows {
	return &Windows{
		length: length, began: w.Start,
		older: churn.New(churn.Options{MaxRows: rows, Start: w.Start, Partial: w.Partial, Steps: true, Alert: alert}),
	}
}

// SetLength changes how long windows are, from the next one on.
func (w *Windows) SetLength(d time.Duration) { w.length = d }

// Observe counts e.
func (w *Windows) Observe(e *event.Event) {
	w.older.Observe(e)
	if w.newer != nil {
		w.newer.Observe(e)
	}
}

// SetHost takes the settings of a network namespace.
func (w *Windows) SetHost(s *host.Settings) {
	w.older.SetHost(s)
	if w.newer != nil {
		w.newer.SetHost(s)
	}
}

// ForgetHost forgets what is set in a network namespace that is gone.
func (w *Windows) ForgetHost(netns uint32) {
	w.older.ForgetHost(netns)
	if w.newer != nil {
		w.newer.ForgetHost(netns)
	}
}

// Turn begins the next table, and ends one, when it is time to.
func (w *Windows) Turn(now int64) {
	half := w.length.Nanoseconds() / 2
	switch {
	case w.newer == nil && now-w.began >= 3*half:
		w.older.Advance(now)
		w.newer, w.next = w.older.Next(now), now
	case w.newer != nil && now-w.next >= half:
		w.older, w.newer, w.began = w.newer, nil, w.next
	}
}

// Newest returns the table that began last: each goes on from the one before.
func (w *Windows) Newest() *churn.Table {
	if w.newer != nil {
		return w.newer
	}
	return w.older
}

// Table returns the table of the last minutes, up to now.
func (w *Windows) Table(now int64) *churn.Table {
	w.older.Advance(now)
	return w.older
}
