package verdict

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// sentence says what the deciding test found.
func (c conclusion) sentence(f *figures) string {
	n := uint64(f.opened)
	switch c {
	case failing:
		return fmt.Sprintf("%.0f of %.0f connects failed: %s", f.failedElsewhere, f.attempts, f.errors)
	case reused, kept:
		if n == 0 {
			return fmt.Sprintf("no new connects: %s carried %.0f exchanges", plural(uint64(f.peak), "connection"), f.exchanges)
		}
		return fmt.Sprintf("%s exchanges for each of %s", decimal(f.perConnect()), plural(n, "connect"))
	case reusedBefore:
		if n == 0 {
			return fmt.Sprintf("no new connects: %s carried %.0f exchanges in this window, and %.0f before it",
				plural(uint64(f.peak), "connection"), f.exchanges, f.earlier)
		}
		return fmt.Sprintf("%s exchanges for each of %s, most of them before this window", decimal(f.wholeLives().perConnect()), plural(n, "connect"))
	case undersized:
		return fmt.Sprintf("%s, %.0f open at once at most; some connections are reused and most are not", plural(n, "connect"), f.peak)
	case thrownAway:
		were := "were"
		if f.peak == 1 {
			were = "was"
		}
		return fmt.Sprintf("%s though at most %.0f %s open at once: a pool of %.0f would have saved %s",
			plural(n, "connect"), f.peak, were, max(f.peak, 1), percent(f.avoidable()))
	case leak:
		return fmt.Sprintf("%s, %s, %s", plural(n, "connect"), f.usedTwice(), f.howManyClosed())
	case exhausted:
		return fmt.Sprintf("none of %s was established", plural(uint64(f.attempts), "connect"))
	case tooFew:
		if f.attempts < rule.attempts {
			return fmt.Sprintf("%s: fewer than %.0f are not enough for a verdict", plural(uint64(f.attempts), "connect"), rule.attempts)
		}
		return fmt.Sprintf("%s connects per second: fewer than %.0f are not enough for a verdict", decimal(f.rate), rule.rate)
	}
	return fmt.Sprintf("a single burst: %s, %.0f open at once at most", plural(n, "connect"), f.peak)
}

func (f *figures) usedTwice() string {
	if f.mostExchanges <= 1 {
		return "none used twice"
	}
	return fmt.Sprintf("%.0f silent after their first use", min(f.silent, f.opened))
}

func (f *figures) howManyClosed() string {
	if f.closed == 0 {
		return "none closed"
	}
	return fmt.Sprintf("%d closed", f.closed)
}

// beside says what is worth knowing although the rule does not look at it.
func beside(r *churn.Row, f *figures) []string {
	var s []string
	if n := r.FailedWith(event.EADDRNOTAVAIL); n > 0 {
		s = append(s, exhaustion(r, n))
	}
	if r.Opened > 0 && f.attempts >= rule.attempts {
		s = append(s, fmt.Sprintf("%s connects per second while it connects", decimal(f.rate)))
	}
	if x := closers(r); x != "" {
		s = append(s, x)
	}
	if n := r.Preexisting; n > 0 {
		s = append(s, plural(n, "connection")+" opened before tracing began and counted in")
	}
	if n := r.LostDetails(); n > 0 {
		s = append(s, fmt.Sprintf("details of %d of %d events were lost; the totals count them", n, f.details))
	}
	return s
}

func exhaustion(r *churn.Row, n uint64) string {
	s := plural(n, "connect") + " failed for want of a local port (EADDRNOTAVAIL)"
	if r.TupleInUse > 0 {
		s += fmt.Sprintf(", %d of them because bind() had chosen a port that was in use", r.TupleInUse)
	}
	return s
}

// closers says who closed first, which is where TIME_WAIT is held.
func closers(r *churn.Row) string {
	local, remote := r.ClosedBy[event.ClosedLocal], r.ClosedBy[event.ClosedRemote]
	both, reset := r.ClosedBy[event.ClosedBoth], r.ClosedBy[event.ClosedReset]
	all := local + remote + both + reset
	if all == 0 {
		return ""
	}
	switch share := func(n uint64) float64 { return float64(n) / float64(all) }; {
	case share(local) >= 0.9:
		return fmt.Sprintf("this host closed first in %s of %s: TIME_WAIT is held here", percent(share(local)), plural(all, "end"))
	case share(remote) >= 0.9:
		return fmt.Sprintf("the other end closed first in %s of %s: TIME_WAIT is held at its end", percent(share(remote)), plural(all, "end"))
	case share(reset) >= 0.9:
		return fmt.Sprintf("%s of %s were resets: they leave no TIME_WAIT", percent(share(reset)), plural(all, "end"))
	}
	return fmt.Sprintf("closed first by this host %d, by the other end %d, by both at once %d, by reset %d times", local, remote, both, reset)
}

// inbound gives a row no name: whether to pool is up to the host that connects. What that host does is evidence.
func inbound(r *churn.Row, w churn.Window, p *Program) Verdict {
	f := measure(r, w)
	if r.Other || Withheld(w) != "" {
		return Verdict{}
	}
	c := rule.apply(&f)
	if n := c.name(); n != Unpooled && n != UndersizedPool || f.unsure(c) != "" {
		return Verdict{}
	}
	v := Verdict{Evidence: []string{
		fmt.Sprintf("the remote host does not reuse its connections (%s): the pool is missing there", c.sentence(&f)),
	}}
	if x := closers(r); x != "" {
		v.Evidence = append(v.Evidence, x)
	}
	v.Advice = adviseServer(c.name(), r, p)
	return v
}

// errorsOf lists why connects failed, most frequent first, the want of local ports left out.
func errorsOf(r *churn.Row) string {
	type failure struct {
		name string
		n    uint64
	}
	var all []failure
	for err, n := range r.Failures {
		switch err {
		case event.EADDRNOTAVAIL:
		case churn.OtherFailures:
			all = append(all, failure{"other errors", n})
		default:
			all = append(all, failure{err.String(), n})
		}
	}
	if len(all) == 1 {
		return all[0].name
	}
	slices.SortStableFunc(all, func(a, b failure) int { return cmp.Compare(b.n, a.n) })
	words := make([]string, len(all))
	for i, f := range all {
		words[i] = fmt.Sprintf("%s %d times", f.name, f.n)
	}
	return strings.Join(words, ", ")
}

// plural writes "1 connect", "2 connects".
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatUint(n, 10) + " " + noun + "s"
}

// percent never rounds to 100 % or 0 % what is not.
func percent(share float64) string {
	p := math.Round(share * 100)
	switch {
	case p >= 100 && share < 1:
		return "over 99%"
	case p <= 0 && share > 0:
		return "under 1%"
	}
	return fmt.Sprintf("%.0f%%", p)
}

// decimal writes three significant digits at most, and no needless ones.
func decimal(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}
