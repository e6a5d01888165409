package agent

import (
	"slices"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// LedgerOptions bound a [Ledger].
type LedgerOptions struct {
	// Destinations is how many series there are at most, and how many port budgets; all beyond are ~other.
	Destinations int
	// Start is when counting begins, Unix nanoseconds.
	Start int64
	// Owner finds a row's service.
	Owner func(*event.Owner) *service.Service
	// Workload finds what Kubernetes calls it. Nil: not in Kubernetes, and no such labels.
	Workload func(*service.Service) Workload
}

// Ledger counts since the beginning, by labels, what tables count one after the other. What it publishes never goes down: a
// row whose service turns out to be called otherwise leaves what it has counted where it was, and so does one that is gone.
type Ledger struct {
	o      LedgerOptions
	table  *churn.Table // of which the rows are
	totals Totals
	last   int64 // when it was published last, Unix nanoseconds

	tallies map[*churn.Row]*tally
	series  map[Labels]*series
	order   []*series
	budgets map[*churn.Budget]*budget
	ports   map[portLabels]*port
	places  []*port // of ports, in the order of their beginning

	told  struct{ rows, ports uint64 } // exhausted connects of rows, and those that are in a budget
	omit  *port                        // of those that are in none
	swept int64                        // when it was looked what can be forgotten
}

const (
	// idleAfter is how long nothing must have come of a series until it makes room.
	idleAfter = int64(time.Hour)
	// sweepEvery is how often that is looked for.
	sweepEvery = int64(time.Minute)
	// nameAgain is how often a service that is at work is asked for its name again.
	nameAgain = int64(10 * time.Second)
)

// NewLedger returns one that has counted nothing.
func NewLedger(o LedgerOptions) *Ledger {
	return &Ledger{
		o: o, last: o.Start, tallies: make(map[*churn.Row]*tally), series: make(map[Labels]*series),
		budgets: make(map[*churn.Budget]*budget), ports: make(map[portLabels]*port),
	}
}

// Count counts e by its kind. By whom it is counted, the table tells.
func (l *Ledger) Count(e *event.Event) {
	n := uint64(1)
	if e.Kind == event.Lost {
		n = e.Count
	}
	if int(e.Kind) < len(l.totals.Events) {
		l.totals.Events[e.Kind] += n
	}
}

// Seen is how many events there were.
func (l *Ledger) Seen() (n uint64) {
	for _, k := range l.totals.Events {
		n += k
	}
	return n
}

// Totals are those that were published last.
func (l *Ledger) Totals() Totals { return l.totals }

// Publish writes down what has been counted by now, Unix nanoseconds, in table. Another table than the last time must go on
// from that one ([churn.Table.Next]), with nothing counted in between. waits is whether it is known how many TIME_WAITs
// are held.
func (l *Ledger) Publish(table *churn.Table, now int64, waits bool) *Snapshot {
	table.Advance(now)
	if l.table != table {
		l.table = table
		clear(l.tallies)
		clear(l.budgets)
	}
	rows := table.Rows()
	for _, s := range l.order {
		s.begin()
	}
	for _, r := range rows {
		l.post(r, now)
	}
	l.postBudgets(now, waits)
	l.totals.TimeWait = 0
	s := &Snapshot{
		At: time.Unix(0, now), Start: time.Unix(0, l.o.Start), Destinations: len(l.order), MaxDestinations: l.o.Destinations,
		Series: make([]*Series, 0, len(l.order)), Ports: make([]*Port, 0, len(l.places)),
	}
	for _, x := range l.order {
		s.Series = append(s.Series, x.publish())
		if x.now.Listener == "" {
			l.totals.TimeWait += x.now.TimeWait
		}
	}
	for _, p := range l.places {
		s.Ports = append(s.Ports, p.publish())
	}
	s.Totals = l.totals
	l.forget(now)
	l.last = now
	return s
}

// tally is what of a row is in the series.
type tally struct {
	series *series
	owner  event.Owner
	named  int64 // when it was asked for its name

	opened, closed, failed, entered, sent, received, exhausted, held uint64
	closedBy                                                         [event.ClosedReset + 1]uint64
	errors                                                           []Failure
	lifetimes, connects                                              growth
}

// post adds to a series what its row has counted since the last time.
func (l *Ledger) post(r *churn.Row, now int64) {
	t := l.tallies[r]
	if t == nil {
		t = &tally{}
		l.tallies[r] = t
	}
	open, waits := r.Open(), r.TimeWaitNow()
	moved := t.opened != r.Opened || t.closed != r.Closed || t.failed != r.Failed() || t.held != r.TimeWaitEnded+open ||
		t.entered != r.TimeWaitEntered || t.sent != r.SentBytes || t.received != r.ReceivedBytes
	if t.series == nil && !moved && open+waits == 0 {
		return // nothing has come of it, or it was forgotten
	}
	if t.series == nil || moved && (t.owner != r.Owner || now-t.named > nameAgain) {
		l.name(t, r, now)
	}
	s := t.series
	s.setOpen(s.now.Open+open, s.now.TimeWait+waits)
	if moved {
		l.add(t, r)
	}
	if moved || open+waits > 0 {
		s.active = now
	}
}

// name finds the series of a row by what its service is called now.
func (l *Ledger) name(t *tally, r *churn.Row, now int64) {
	t.owner, t.named = r.Owner, now
	var owner *service.Service
	if l.o.Owner != nil && !r.Unnamed() {
		owner = l.o.Owner(&r.Owner)
	}
	labels := labelsOf(r, owner, l.o.Workload)
	if t.series == nil || t.series.now.Labels != labels {
		t.series = l.find(labels)
	}
}

// find returns the series with these labels, which begins where it is new: it counted nothing when the last snapshot was
// made.
func (l *Ledger) find(labels Labels) *series {
	s := l.series[labels]
	if s == nil && len(l.series) >= l.o.Destinations && labels.Service != Other {
		other := Labels{Service: Other, Destination: Other}
		if labels.Destination == "" {
			other = Labels{Service: Other, Listener: Other}
		}
		return l.find(other)
	}
	if s == nil {
		s = &series{changed: true, active: l.last, now: Series{Labels: labels, Created: time.Unix(0, l.last), pairs: newPairs(labels, l.o.Workload != nil)}}
		l.series[labels] = s
		l.order = append(l.order, s)
	}
	return s
}

// add moves what is new into the series.
func (l *Ledger) add(t *tally, r *churn.Row) {
	s := t.series
	s.changed = true
	for _, c := range []struct {
		to, told *uint64
		now      uint64
	}{
		{&s.now.Opened, &t.opened, r.Opened}, {&s.now.TimeWaitEntered, &t.entered, r.TimeWaitEntered},
		{&s.now.SentBytes, &t.sent, r.SentBytes}, {&s.now.ReceivedBytes, &t.received, r.ReceivedBytes},
		{&l.totals.Failed, &t.failed, r.Failed()}, {&l.told.rows, &t.exhausted, r.PortsExhausted},
	} {
		if c.now > *c.told { // what was told of a connection whose end was lost is taken back
			*c.to += c.now - *c.told
			*c.told = c.now
		}
	}
	t.closed, t.held = r.Closed, r.TimeWaitEnded+r.Open()
	for by, n := range r.ClosedBy {
		s.now.ClosedBy[by] += n - t.closedBy[by]
		t.closedBy[by] = n
	}
	for err, n := range r.Failures {
		t.fail(s, errorName(err), n)
	}
	s.lives = t.lifetimes.take(&s.lifetimes, &r.Lifetimes) || s.lives
	s.connected = t.connects.take(&s.connects, &r.ConnectTimes) || s.connected
}

// fail adds the failures with one error.
func (t *tally) fail(s *series, name string, n uint64) {
	for i := range t.errors {
		if told := &t.errors[i]; told.Error == name {
			s.fail(name, n-told.Count)
			told.Count = n
			return
		}
	}
	t.errors = append(t.errors, Failure{Error: name, Count: n})
	s.fail(name, n)
}

func errorName(err event.Error) string {
	switch err {
	case churn.OtherFailures:
		return "OTHER"
	case event.NoError:
		return event.UnknownError.String()
	}
	return err.String()
}

// series is a Series in the making.
type series struct {
	now                 Series
	lifetimes, connects Histogram
	changed             bool // since it was published
	lives, connected    bool // the histograms have
	published           *Series
	was                 struct{ open, waits uint64 }
	active              int64 // when something came of it last
}

func (s *series) begin() {
	s.was.open, s.was.waits = s.now.Open, s.now.TimeWait
	s.setOpen(0, 0)
}

func (s *series) setOpen(open, waits uint64) { s.now.Open, s.now.TimeWait = open, waits }

// fail counts n failures. The list may be in a snapshot: it is never written to.
func (s *series) fail(name string, n uint64) {
	if n == 0 {
		return
	}
	failed := append([]Failure(nil), s.now.Failed...)
	for i := range failed {
		if failed[i].Error == name {
			failed[i].Count += n
			s.now.Failed = failed
			return
		}
	}
	s.now.Failed = append(failed, Failure{Error: name, Count: n, pairs: s.now.pairs.with("error", name)})
}

// publish returns what does not change any more, a new one only where something did.
func (s *series) publish() *Series {
	if s.lives {
		s.now.Lifetimes = s.lifetimes.clone()
	}
	if s.connected {
		s.now.ConnectTimes = s.connects.clone()
	}
	if s.changed || s.published == nil || s.was.open != s.now.Open || s.was.waits != s.now.TimeWait {
		c := s.now
		s.published = &c
	}
	s.changed, s.lives, s.connected = false, false, false
	return s.published
}

// forget lets go of series of which nothing has come for an hour and nothing is left.
func (l *Ledger) forget(now int64) {
	if now-l.swept < sweepEvery {
		return
	}
	l.swept = now
	gone := make(map[*series]bool)
	l.order = slices.DeleteFunc(l.order, func(s *series) bool {
		if now-s.active <= idleAfter {
			return false
		}
		gone[s] = true
		delete(l.series, s.now.Labels)
		return true
	})
	for _, t := range l.tallies {
		if gone[t.series] {
			t.series = nil // should anything come again, another one begins
			t.named = 0
		}
	}
	l.forgetPorts(now)
}
