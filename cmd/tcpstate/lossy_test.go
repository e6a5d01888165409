package main

import (
	"encoding/json"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

const (
	lossyConnects = 20_000
	lossyRefused  = 500
)

// A ring buffer of one page has room for a few connections; a reader that stands still for a while makes sure that it
// overflows. Not a connection, failure or byte may be missing from the totals.
func TestARingThatIsTooSmallLosesDetailsButNoTotals(t *testing.T) {
	testnet.RequireTracing(t)
	const attempts = 3
	for attempt := 1; ; attempt++ {
		s, ps := tooSmallARing(t)
		if attempt < attempts && strings.Contains(ps[1].stderr.String(), "ended unseen") {
			t.Logf("the kernel called no program for some ends, which is said, and leaves nothing to compare: again")
			continue
		}
		t.Run("report", func(t *testing.T) { reportHasAll(t, s, ps[0].document(t)) })
		t.Run("trace", func(t *testing.T) { traceHasAll(t, ps[1]) })
		return
	}
}

func tooSmallARing(t *testing.T) (*server, []*process) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	// The kernel first tries every other port, and searches long where most of them are in TIME_WAIT.
	ns.Do(t, func() { testnet.Sysctl("net.ipv4.ip_local_port_range", "1024 65535") })
	small := []string{"--ring", "4096", "-o", "json", "--netns", of(ns)}
	ps := traceAll(t, append([]string{"report", "--for", "10m"}, small...), append([]string{"trace"}, small...))
	for _, p := range ps {
		p.signal(t, syscall.SIGSTOP)
	}
	goOn := time.AfterFunc(200*time.Millisecond, func() {
		for _, p := range ps {
			_ = p.cmd.Process.Signal(syscall.SIGCONT) // a process that is not there fails the test anyway
		}
	})
	defer goOn.Stop()
	s.calls(t, "client", lossyConnects, lossyRefused)
	time.Sleep(200 * time.Millisecond) // even if the client was quicker
	stopAll(t, ps)
	return s, ps
}

func reportHasAll(t *testing.T, s *server, d object) {
	agrees(t, "loss", d, map[string]string{"loss.totals_exact": "true", "loss.events_unassigned": "0"})
	agrees(t, "connections", toward(t, d, s.addr.Port()), map[string]string{
		"opened": "20000", "closed": "20000", "closed_by.local": "20000", "closed_by.reset": "0", "time_wait.entered": "20000",
		"open.now": "0", "sent_bytes": "200000", "received_bytes": "140000",
	})
	agrees(t, "refused calls", toward(t, d, deadPort), map[string]string{"opened": "0", "failed.ECONNREFUSED": "500"})
	agrees(t, "inbound", only(t, d, "inbound"), map[string]string{
		"opened": "20000", "closed": "20000", "closed_by.remote": "20000", "sent_bytes": "140000", "received_bytes": "200000",
	})
	if get(d, "loss.events_lost") == "0" {
		t.Error("nothing was lost, so nothing was tested")
	}
}

func traceHasAll(t *testing.T, p *process) {
	got, losses := map[string]int64{}, 0
	for _, e := range p.jsonLines(t) {
		if e["kind"] != "lost" {
			got[get(e, "kind")]++
			continue
		}
		losses++
		n, err := e["count"].(json.Number).Int64()
		if err != nil || n < 1 {
			t.Errorf("a loss of %v events: %v", e["count"], err)
		}
		got[get(e, "of")] += n
	}
	want := map[string]int64{
		"connect": lossyConnects, "accept": lossyConnects, "time_wait": lossyConnects, "close": lossyConnects, "connect_failed": lossyRefused,
	}
	if !maps.Equal(got, want) || losses == 0 {
		t.Errorf("%d losses, and with them %v, want %v", losses, got, want)
	}
	said := p.stderr.String()
	if !strings.Contains(said, "\ntcpstate: lost: ") || !strings.HasSuffix(said, "; totals are exact\n") {
		t.Errorf("the last words are %q", said)
	}
}
