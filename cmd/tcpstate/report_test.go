package main

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// document reads what report -o json printed, which must keep the contract.
func (p *process) document(tb testing.TB) object {
	tb.Helper()
	if n := strings.Count(p.stdout.String(), "\n"); n != 1 {
		tb.Fatalf("a document of %d lines: %.300q", n, p.stdout.String())
	}
	d := parse(tb, p.stdout.String())
	for _, b := range breaches("report", reportContract, d) {
		tb.Error(b)
	}
	return d
}

// rows are the document's destinations of one direction.
func rows(d object, direction string) []object {
	var found []object
	for _, r := range d["destinations"].(array) {
		if r := r.(object); r["direction"] == direction {
			found = append(found, r)
		}
	}
	return found
}

// only is the one row of a direction.
func only(tb testing.TB, d object, direction string) object {
	tb.Helper()
	r := rows(d, direction)
	if len(r) != 1 {
		tb.Fatalf("%d rows are %s, want one: %v", len(r), direction, r)
	}
	return r[0]
}

// toward is the one outbound row to a port.
func toward(tb testing.TB, d object, port uint16) object {
	tb.Helper()
	for _, r := range rows(d, "outbound") {
		if get(r, "dst.port") == strconv.Itoa(int(port)) {
			return r
		}
	}
	tb.Fatalf("no row for port %d: %v", port, d)
	return nil
}

// agrees fails the test unless o has these values at these paths.
func agrees(tb testing.TB, what string, o object, want map[string]string) {
	tb.Helper()
	for path, v := range want {
		if got := get(o, path); got != v {
			tb.Errorf("%s: %s is %s, want %s", what, path, got, v)
		}
	}
}

func TestASignalEndsAReportWithACompleteDocument(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		line := []string{"report", "-o", "json", "--for", "10m", "--netns", of(ns)}
		ps := traceAll(t, line, []string{"trace", "-o", "json", "--netns", of(ns)})
		pid := s.calls(t, "client", 30, 20)
		for _, p := range ps {
			p.signal(t, signal)
		}
		d := ps[0].wait(t, exitDone).document(t)
		agrees(t, signal.String(), d, map[string]string{
			"schema": "tcpstate.report/v1", "host.source": "live", "loss.totals_exact": "true", "loss.services_unknown": "0",
		})
		agrees(t, "dead port", toward(t, d, deadPort), map[string]string{
			"opened": "0", "closed": "0", "failed.ECONNREFUSED": "20", "service.pid": strconv.Itoa(int(pid)),
			"lifetime_seconds.p50": "null", "lifetime_seconds.max": "null",
		})
		agrees(t, "server's port", toward(t, d, s.addr.Port()), map[string]string{
			"service.name": "client", "service.kind": "process", "service.comm": "client", "dst.addr": "10.1.0.2", "dst.name": "", "local.addr": "10.1.0.1", "local.port": "null",
			"opened": "30", "closed": "30", "closed_by.local": "30", "closed_by.remote": "0", "time_wait.entered": "30", "open.now": "0",
			"sent_bytes": "300", "received_bytes": "210", "netns": of(ns),
		})
		agrees(t, "inbound", only(t, d, "inbound"), map[string]string{
			"service.name": "server", "local.addr": "10.1.0.2", "local.port": strconv.Itoa(int(s.addr.Port())), "dst.addr": "10.1.0.1",
			"dst.port": "null", "opened": "30", "closed_by.remote": "30", "time_wait.entered": "0", "sent_bytes": "210", "received_bytes": "300", "verdict.name": "null",
		})
		agrees(t, "ports", budget(t, d, s.addr), map[string]string{
			"netns": of(ns), "src": "10.1.0.1", "opened": "30", "exhausted": "0", "basis": "exact",
		})
		if n := len(ps[1].wait(t, exitDone).jsonLines(t)); n != 4*30+20 {
			t.Errorf("%s: %d events", signal, n)
		}
	}
}

func TestAReportCountsItsTimeFromAttaching(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	started := time.Now()
	d := command("report", "-o", "json", "--for", "1s", "--netns", of(ns)).start(t).wait(t, exitDone).document(t)
	all := time.Since(started)
	from, to := clock(t, d, "window.start"), clock(t, d, "window.end")
	if from.Before(started.Truncate(time.Microsecond)) || to.Sub(from) < time.Second || to.After(started.Add(all)) {
		t.Errorf("the window is from %s to %s; it was started at %s and took %s", from, to, started, all)
	}
	// Loading reads what there is of the kernel's types, and is never done in an instant.
	if loading := from.Sub(started); loading < 10*time.Millisecond {
		t.Errorf("attached %s after it was started: the window counts loading, too", loading)
	}
	if got := figure(t, d, "window.seconds"); math.Abs(got-to.Sub(from).Seconds()) > 1e-5 {
		t.Errorf("window.seconds is %v, from %s to %s", got, from, to)
	}
	if n := len(d["destinations"].(array)); n != 0 {
		t.Errorf("%d destinations where nothing happened", n)
	}
}

func TestAReportSortsAndLimitsItsDestinations(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	base := []string{"report", "-o", "json", "--for", "10m", "--netns", of(ns), "--filter", "direction==outbound"}
	ps := traceAll(t,
		append(base, "--sort", "-opened", "--limit", "1"),
		append(base, "--sort", "service", "--limit", "2"),
		append(base, "--sort", "opened", "--limit", "9"),
		append(base, "--destinations", "1"))
	for name, n := range map[string]int{"alpha": 5, "beta": 9, "gamma": 2} {
		s.calls(t, name, n, 0)
	}
	stopAll(t, ps)
	for i, want := range []struct{ names, omitted string }{{"beta", "2"}, {"alpha beta", "1"}, {"gamma alpha beta", "0"}} {
		d := ps[i].document(t)
		var names []string
		for _, r := range rows(d, "outbound") {
			names = append(names, get(r, "service.name"))
		}
		if got := strings.Join(names, " "); got != want.names || get(d, "destinations_omitted") != want.omitted {
			t.Errorf("%q: %s, %s omitted; want %s, %s", ps[i].cmd.Args[9:], got, get(d, "destinations_omitted"), want.names, want.omitted)
		}
	}
	var opened int64
	for _, r := range rows(ps[3].document(t), "outbound") {
		n, err := r["opened"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		opened += n
	}
	if opened != 16 {
		t.Errorf("with room for one destination, %d connections in all, want 16", opened)
	}
}

func TestOneShotProcessesAreOneServiceAndKeepTheirPids(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	ps := traceAll(t, []string{"report", "-o", "json", "--for", "10m", "--netns", of(ns)}, []string{"trace", "-o", "json", "--netns", of(ns)})
	want := map[string]int{}
	for range 30 {
		pid := strconv.Itoa(int(s.calls(t, "oneshot", 1, 0)))
		want[pid+" oneshot connect"], want[pid+" oneshot time_wait"] = 1, 1
	}
	stopAll(t, ps)
	agrees(t, "the service", only(t, ps[0].document(t), "outbound"), map[string]string{
		"service.name": "oneshot", "service.processes": "30", "opened": "30",
	})
	got := tally(ps[1].jsonLines(t), "service.pid", "service.comm", "kind")
	for key := range got {
		if !strings.Contains(key, " oneshot ") {
			delete(got, key)
		}
	}
	same(t, "processes that are gone", got, want)
}
