package verdict

import (
	"fmt"
	"math"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// Each function here says what it has recognised, with the figures that show it, or "".

func storm(r *churn.Row, w churn.Window) string {
	failed, seconds := float64(r.Failed()), busy(r, w)
	later := r.FailedLaterShare(w)
	if failed < stormRate*seconds || r.BusySeconds() < stormSeconds || later < stormLater {
		return ""
	}
	return fmt.Sprintf("%s failed connects per second, about %s of them in the second half of the window: the waits between retries do not grow",
		decimal(failed/seconds), percent(later))
}

func leaked(r *churn.Row, c conclusion) string {
	if n, open := r.States().Count(event.CloseWait), r.Open(); n >= leakedCloseWaits && 2*n >= open {
		return fmt.Sprintf("the other end has closed %d of the %d that are open, and the program has not (CLOSE_WAIT)", n, open)
	}
	if c != leak {
		return ""
	}
	return fmt.Sprintf("%d of %s were silent for the second half of their life; %d are open at the end of the window",
		min(r.Silent, r.Opened), plural(r.Opened, "new connection"), r.Open())
}

func restarted(r *churn.Row) string {
	f, ok := r.Fall()
	if !ok || f.Since == 0 || f.Since > 2*f.Ended {
		return ""
	}
	who := "this end closed them, as when the service restarts"
	if 2*f.ByOther > f.Ended {
		who = "the other end closed them, as when the destination restarts"
	}
	return fmt.Sprintf("%d of %s ended within one second (%s), and %d were opened since",
		f.Ended, plural(f.Of, "connection"), who, f.Since)
}

func idleTimeout(r *churn.Row) string {
	n, all := r.IdleEnds.Count(), r.ClosedBy[event.ClosedRemote]
	low, high := r.IdleEnds.Quantile(0.1), r.IdleEnds.Quantile(0.9)
	if n < idleEnds || float64(n) < idleShare*float64(all) || high > idleSpread*low {
		return ""
	}
	return fmt.Sprintf("the other end closed %s after about %s s without use each: its idle timeout is shorter than the pauses here",
		plural(n, "connection"), decimal(r.IdleEnds.Quantile(0.5)/1e9))
}

func keepAliveLimit(r *churn.Row) string {
	low, most := r.Exchanges.Quantile(0.1), r.Exchanges.Max()
	if otherShare(r) < closedByServer || low < limitUses || low < sameUses*float64(most) {
		return ""
	}
	return fmt.Sprintf("the other end closed nearly every connection after about %d exchanges: a limit of requests for each connection there, or a protocol that ends so",
		most)
}

func serverCloses(r *churn.Row, f *figures) string {
	if otherShare(r) < closedByServer || f.perConnect() >= limitUses {
		return ""
	}
	return "the other end closes each connection after its use: keep-alive is off there, or this end asked for it (HTTP/1.0, Connection: close)"
}

func (f *figures) recycledSentence() string {
	return fmt.Sprintf("connections live about %s s in the median and are replaced: %.0f connects though at most %.0f were open at once",
		decimal(f.medianLife), f.opened, f.peak)
}

func healthCheck(r *churn.Row, f *figures) string {
	n, mean, variation := r.Gaps()
	if n < checkGaps || mean < checkGap || variation > checkVariation || f.peak > 1 || f.perConnect() >= rule.exchangesPool {
		return ""
	}
	return fmt.Sprintf("a connect every %s s, give or take %s, one at a time: by the clock, like a health check",
		decimal(mean), percent(math.Max(variation, 0.01)))
}
