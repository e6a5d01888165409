package churn

import "github.com/tcpstate/tcpstate/internal/event"

// Next returns a table for the window that follows: it begins at unixNano, and what is there now was there before it.
// Rows keep their ID; those of which nothing is left, neither connections nor TIME_WAITs, are forgotten. Both tables can
// go on observing the same events.
func (t *Table) Next(unixNano int64) *Table {
	n := New(Options{
		MaxRows: t.max, Start: unixNano, Partial: t.window.Partial, Alert: t.alert, Steps: t.steps != nil, Recent: t.seconds,
	})
	n.carried, n.nextID, n.budgetsOmitted = true, t.nextID, t.budgetsOmitted
	for netns, was := range t.namespaces {
		if was.settings != nil {
			n.namespaces[netns] = &namespace{settings: was.settings, slow: was.slow}
		}
	}
	keys := make(map[*Row]key, len(t.rows))
	for k, r := range t.rows {
		keys[r] = k
	}
	for _, r := range t.order {
		if c := r.next(); c != nil {
			n.carry(keys[r], c, r.budget, t.window.Start)
		}
	}
	for d, r := range t.other {
		if r != nil {
			n.other[d] = r.next()
		}
	}
	n.told = t.told.next()
	return n
}

// next is what of r is left for the window that follows, nil: nothing.
func (r *Row) next() *Row {
	open, waits := r.Open(), r.TimeWaitNow()
	if open+waits == 0 {
		return nil
	}
	return &Row{
		ID: r.ID, Direction: r.Direction, Netns: r.Netns, Local: r.Local, Remote: r.Remote, Owner: r.Owner, Other: r.Other,
		Preexisting: open, TimeWaitExisting: waits, older: open, recent: r.recent.clone(),
	}
}

func (t *Table) carry(k key, r *Row, was *Budget, since int64) {
	switch {
	case r.Other:
		t.merged++
	case r.Direction == event.Inbound:
		t.inbound++
	}
	t.rows[k] = r
	t.order = append(t.order, r)
	if was == nil {
		return
	}
	known := t.budgetByKey[k.withoutService()] != nil
	r.budget = t.budget(k, r)
	if !known && r.budget != nil {
		r.budget.take(was, since)
	}
}

// take takes over what is held, and what is needed to say how it goes on; since is when the window of was began.
func (b *Budget) take(was *Budget, since int64) {
	if b.since = was.since; b.since == 0 {
		b.since = since
	}
	b.preexisting, b.waitExisting = was.openNow(), was.waitsNow()
	b.lives, b.lifetime, b.lastWanted, b.history = was.lives, was.lifetime, was.lastWanted, was.history
	b.toldHalf, b.toldExhausted = was.toldHalf, was.toldExhausted
	if was.due != nil {
		due := *was.due
		b.due = &due
	}
}

func (r *recent) clone() *recent {
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// observeCarried observes e, whose connection may be one that this table's window began with.
func (t *Table) observeCarried(e *event.Event) {
	tells := e.Kind == event.Close || e.Kind == event.TimeWait || e.Kind == event.Open || e.Kind == event.Progress
	if !tells || e.Preexisting || e.Lifetime < 0 || e.UnixNano-e.Lifetime.Nanoseconds() >= t.window.Start {
		t.observe(e)
		return
	}
	e.Preexisting, e.InCensus = true, true
	t.observe(e)
	e.Preexisting, e.InCensus = false, false
}

// begunElsewhere is the row, other than its own, that holds what ends with e: it may have begun when there was no room for
// a row of its own, and there is now. Nil: there is none.
func (t *Table) begunElsewhere(k *key, e *event.Event) *Row {
	if e.Direction == event.Inbound && t.merged > 0 {
		hosts := k.ofAllHosts()
		if r := t.known(&hosts); r != nil && r.holds(e) {
			return r
		}
	}
	if r := t.other[e.Direction%3]; r != nil && r.holds(e) {
		return r
	}
	return nil
}

// holds reports whether what ends with e can be one that r was carried over with, or that came to it since.
func (r *Row) holds(e *event.Event) bool {
	kind := e.Kind
	if kind == event.Lost {
		kind = e.Of
	}
	switch kind {
	case event.Close, event.TimeWait:
		return e.InCensus && r.older > 0
	case event.TimeWaitEnd:
		return (e.InCensus || !e.Preexisting) && r.TimeWaitNow() > 0
	}
	return false
}
