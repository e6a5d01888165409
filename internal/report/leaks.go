package report

import (
	"fmt"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
)

// What counts as a leak: so many connections, for so long. A pool that fills up is none: it does so at once, and not
// through the whole window.
const (
	leakedCloseWait   = 10
	leakedIdle        = 10 // seconds
	leakedOpen        = 20
	leakWindow        = 4.95 // 5 s, less what a timer may be early
	leakedClosedShare = 0.1
	leakedLaterShare  = 0.3
	leakedBusySeconds = 3
)

// leak is what a row left open: silent connections that it opened itself and did not close.
type leak struct {
	open, silent uint64 // of those opened in the window; 0: no leak
}

func leakOf(r *churn.Row, w churn.Window) leak {
	open := r.Opened - min(r.Opened, r.Closed)
	leaks := r.Direction == event.Outbound && !r.Other && !w.Partial && w.Seconds() >= leakWindow &&
		open >= leakedOpen && float64(r.Closed) < leakedClosedShare*float64(r.Opened) && 2*r.Silent > open &&
		r.LaterShare(w) >= leakedLaterShare && r.BusySeconds() >= leakedBusySeconds
	if !leaks {
		return leak{}
	}
	return leak{open: open, silent: min(r.Silent, open)}
}

func (d *Document) findLeaks(r *Destination) {
	who, where := r.Service.Name, r.place()
	add := func(code, summary, evidence, advice string) {
		d.found(Finding{
			Severity: Warning, Code: code, Service: who, Destination: where, Summary: summary,
			Evidence: []string{evidence}, Advice: []string{advice},
		})
	}
	waiting, idle := r.Open.CloseWait, value(r.Open.OldestCloseWait)
	if waiting >= leakedCloseWait && (idle >= leakedIdle || idle > d.Window.Seconds/2) {
		add(CodeCloseWaitLeak,
			fmt.Sprintf("%s does not close its connections: the other end (%s) has closed %s that stay open here.",
				who, where, form.Grouped(waiting)),
			fmt.Sprintf("%s in CLOSE_WAIT when the window ended; nothing was sent on the oldest for %s",
				form.Grouped(waiting), remaining(idle)),
			"close() in every path of the program, errors and timeouts included: read() has returned 0 on these.")
	}
	if l := &r.leak; l.open > 0 {
		add(CodeEstablishedLeak,
			fmt.Sprintf("%s opens connections to %s and forgets them: %s opened and %s closed in %s.",
				who, where, form.Grouped(r.Opened), form.Grouped(r.Closed), d.Window.length()),
			fmt.Sprintf("%s still open, and %s of the new ones were silent for the second half of their life",
				form.Grouped(l.open), form.Grouped(l.silent)),
			"close each connection when its work is done, in every path, or take it from a pool and give it back.")
	}
}
