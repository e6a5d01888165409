package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// withoutSource takes away where a report came from, which is all that may differ.
func withoutSource(tb testing.TB, text string) string {
	tb.Helper()
	var d object
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		tb.Fatalf("%v in %q", err, text)
	}
	delete(d["host"].(map[string]any), "source")
	b, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// replayed is what a verb prints about captures.
func replayed(tb testing.TB, args ...string) string {
	tb.Helper()
	p := command(args...).start(tb)
	p.wait(tb, exitDone)
	return p.stdout.String()
}

func TestACaptureGivesTheReportThatTheLiveTraceGave(t *testing.T) {
	for name, narrow := range map[string][]string{"everything": nil, "with a filter": {"--comm", "client"}} {
		t.Run(name, func(t *testing.T) {
			ns := testnet.New(t)
			s := serve(t, ns, "server", testnet.Server)
			keep(t, ns, "keeper", netip.AddrPortFrom(testnet.Server2, 7000))
			file := filepath.Join(t.TempDir(), "x.tcps")
			args := append([]string{"report", "--for", "10m", "-o", "json", "-w", file}, narrow...)
			ps := traceAll(t, args)
			s.calls(t, "client", 3000, 100)
			stopAll(t, ps)
			live := ps[0].stdout.String()
			if diff := cmp.Diff(withoutSource(t, live), withoutSource(t, replayed(t, "report", "-r", file, "-o", "json"))); diff != "" {
				t.Errorf("report (-live +replayed):\n%s", diff)
			}
			row := toward(t, ps[0].document(t), s.addr.Port())
			agrees(t, "connections", row, map[string]string{"opened": "3000"})
			if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("the capture's mode: %v, %v", st.Mode(), err)
			}
		})
	}
}

// Each segment is a capture of its own, and all of them together are what one capture would have been.
func TestSegmentsAreOneRecording(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	keep(t, ns, "keeper", netip.AddrPortFrom(testnet.Server2, 7000))
	dir := t.TempDir()
	whole := filepath.Join(t.TempDir(), "whole.tcps")
	ps := traceAll(t, []string{"record", "-w", dir, "--rotate-every", "1s"}, []string{"record", "-w", whole})
	for range 4 {
		s.calls(t, "client", 1000, 10)
		time.Sleep(700 * time.Millisecond)
	}
	stopAll(t, ps)
	segments, err := filepath.Glob(filepath.Join(dir, "*.tcps"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	want := map[string]string{
		"opened": "4000", "closed": "4000", "open.now": "0", "time_wait.entered": "4000", "time_wait.now": "4000",
	}
	for name, path := range map[string]string{"segments": dir, "one capture": whole} {
		d := documentOf(t, replayed(t, "report", "-r", path, "-o", "json", "--comm", "client", "--netns", of(ns)))
		agrees(t, name, toward(t, d, s.addr.Port()), want)
		agrees(t, name, d, map[string]string{"loss.totals_exact": "true", "loss.capture_damage": "null"})
	}
	// The last segment alone knows what was held before it.
	d := documentOf(t, replayed(t, "report", "-r", segments[len(segments)-1], "-o", "json", "--netns", of(ns)))
	agrees(t, "the last segment", toward(t, d, s.addr.Port()), map[string]string{"time_wait.now": "4000"})
}

func documentOf(tb testing.TB, text string) object {
	tb.Helper()
	p := &process{}
	p.stdout.Write([]byte(text))
	return p.document(tb)
}

func TestTheFlightRecorderKeepsWhatLedToExhaustion(t *testing.T) {
	ns := testnet.New(t)
	set(t, ns, map[string]string{"ip_local_port_range": "40000 40019", "tcp_tw_reuse": "0"})
	at := netip.AddrPortFrom(testnet.Server, 7001)
	keep(t, ns, "server", at)
	dir := t.TempDir()
	p := trace(t, "record", "-w", dir, "--keep", "20s", "--after", "1s", "--trigger", "exhausted>0", "--netns", of(ns))
	c := newCaller(t, ns, "client")
	c.call(t, cycle, at, 25, 100*time.Millisecond, 20)
	var kept []string
	testnet.Until("an incident", func() bool {
		kept, _ = filepath.Glob(filepath.Join(dir, "incident-*", "*.tcps"))
		return len(kept) > 0
	})
	time.Sleep(100 * time.Millisecond) // until all its links are made
	incident := filepath.Dir(kept[0])
	d := documentOf(t, replayed(t, "report", "-r", incident, "-o", "json", "--comm", "client"))
	agrees(t, "what led to it", toward(t, d, at.Port()), map[string]string{"opened": "20", "failed.EADDRNOTAVAIL": "5", "time_wait.now": "20"})
	agrees(t, "its ports", budget(t, d, at), map[string]string{"used": "20", "capacity": "20", "exhausted": "5"})
	p.signal(t, syscall.SIGUSR1)
	testnet.Until("a second incident, asked for", func() bool {
		folders, _ := filepath.Glob(filepath.Join(dir, "incident-*"))
		return len(folders) == 2
	})
	p.stop(t)
}

// A recorder that is killed leaves a capture that lacks a second at most, and says so.
func TestAKilledRecordingSaysThatItsEndIsMissing(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	file := filepath.Join(t.TempDir(), "x.tcps")
	p := trace(t, "record", "-w", file, "--netns", of(ns))
	s.calls(t, "client", 1000, 0)
	time.Sleep(1100 * time.Millisecond)
	p.signal(t, syscall.SIGKILL)
	<-p.ended
	d := documentOf(t, replayed(t, "report", "-r", file, "-o", "json"))
	agrees(t, "a killed recording", toward(t, d, s.addr.Port()), map[string]string{"opened": "1000", "closed": "1000", "time_wait.now": "1000"})
	agrees(t, "a killed recording", d, map[string]string{"loss.totals_exact": "false", "loss.capture_damage.events_missing": "null"})
	if said := get(d, "loss.capture_damage.places"); !strings.Contains(said, "the end is missing") {
		t.Errorf("it says %s", said)
	}
}

func TestAFullDiskEndsARecordingWithWholeBlocks(t *testing.T) {
	testnet.RequireTracing(t)
	dir := t.TempDir()
	if err := syscall.Mount("tcpstate-test", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	file := filepath.Join(dir, "x.tcps")
	p := trace(t, "record", "-w", file, "--netns", of(ns))
	for range 8 {
		s.calls(t, "client", 2000, 0)
	}
	p.wait(t, exitFailed)
	if said := p.stderr.String(); !strings.Contains(said, "no space left on device") {
		t.Errorf("it says %q", said)
	}
	d := documentOf(t, replayed(t, "report", "-r", file, "-o", "json"))
	agrees(t, "what was written", d, map[string]string{"loss.totals_exact": "false"})
	if n := figure(t, toward(t, d, s.addr.Port()), "opened"); n < 1000 {
		t.Errorf("%g connections are in the capture", n)
	}
}

// A capture can be read while it is written, until the recording ends.
func TestACaptureIsFollowedWhileItIsWritten(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	file := filepath.Join(t.TempDir(), "x.tcps")
	p := trace(t, "record", "-w", file, "--netns", of(ns))
	follower := command("trace", "-r", file, "--follow", "-o", "json").start(t)
	s.calls(t, "client", 10, 0)
	testnet.Until("events while the recording goes on", func() bool { return strings.Count(follower.stdout.String(), `"kind":"connect"`) == 10 })
	p.stop(t)
	follower.wait(t, exitDone)
}
