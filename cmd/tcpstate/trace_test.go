package main

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func TestTraceCountsWhatTheClientCounts(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "counted-server", testnet.Server)
	p := trace(t, "trace", "-o", "json", "--netns", of(ns))
	s.calls(t, "counting-client", 50, 20)
	events := p.stop(t).jsonLines(t)

	same(t, "events", tally(events, "kind", "direction", "closed_by", "error", "error_basis", "service.comm"), map[string]int{
		"connect outbound null null null counting-client":                 50,
		"accept inbound null null null counted-server":                    50,
		"time_wait outbound local null null counting-client":              50,
		"close inbound remote null null counted-server":                   50,
		"connect_failed outbound null ECONNREFUSED exact counting-client": 20,
	})
	same(t, "what was measured", tally(events, "kind", "sent_bytes", "received_bytes", "dst.name"), map[string]int{
		"connect null null ": 50, "accept null null ": 50, "time_wait 10 7 ": 50, "close 7 10 ": 50, "connect_failed 0 0 ": 20,
	})
	for _, e := range events {
		ended := e["kind"] == "time_wait" || e["kind"] == "close"
		if (e["lifetime_seconds"] != nil) != ended || (e["connect_seconds"] != nil) != (e["direction"] == "outbound") {
			t.Fatalf("null where it was measured, or not null where it was not: %v", e)
		}
		if get(e, "netns") != of(ns) {
			t.Fatalf("an event of another namespace: %v", e)
		}
	}
	// Other tests at the same time can fill the ring buffer, which is no loss of ours.
	if got := p.stderr.String(); !strings.HasSuffix(got, "tcpstate: nothing was lost\n") && !strings.HasSuffix(got, "; totals are exact\n") {
		t.Errorf("the last words are %q", got)
	}
}

// longAddr is on the link of [testnet.Server6] and nobody's.
var longAddr = netip.MustParseAddrPort("[fd00:1::1234:5678:9abc:def0]:65000")

func TestColumnsFitAHundredCharacters(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	four := serve(t, ns, "a-server-of-15c", testnet.Server)
	six := serve(t, ns, "another-of-15ch", testnet.Server6)
	ps := traceAll(t, []string{"trace", "--netns", of(ns)}, []string{"report", "--netns", of(ns)})
	four.calls(t, "a-client-of-15c", 3, 1)
	six.calls(t, "a-client-on-six", 3, 1)
	ns.Do(t, func() { // an address of full length, where nobody answers
		c := testnet.NewSocket(testnet.Server6)
		c.StartConnect(longAddr)
		c.Close()
	})
	stopAll(t, ps)
	for _, p := range ps {
		for line := range strings.Lines(p.stdout.String()) {
			if n := utf8.RuneCountInString(line) - 1; n > 100 {
				t.Errorf("%s: %d characters: %q", p.cmd.Args[1], n, line)
			}
		}
	}
	out := ps[0].stdout.String()
	if n := strings.Count(out, "\n"); n != 1+2*(4*3+1)+1 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	for _, want := range []string{" failed ", "ECONNREFUSED", "10.1.0.2:9", "[fd00:1::2]:9", "CANCELED"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestTwoTracesAtOnceSeeEverything(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	line := []string{"trace", "-o", "json", "--netns", of(ns)}
	ps := traceAll(t, line, line)
	s.calls(t, "client", 50, 0)
	ps[0].stop(t)
	s.calls(t, "client", 50, 0) // the other goes on
	ps[1].stop(t)
	for i, n := range []int{50, 100} {
		same(t, "events", tally(ps[i].jsonLines(t), "kind"), map[string]int{"connect": n, "accept": n, "time_wait": n, "close": n})
	}
}

func TestAClosedPipeEndsATraceQuietly(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	for _, form := range []string{"columns", "json"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := command("trace", "-o", form, "--netns", of(ns))
		p.cmd.Stdout = w
		p.start(t).untilTracing(t)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		s.calls(t, "client", 1, 0)
		if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line == "" {
			t.Fatalf("first line %q: %v", line, err)
		}
		if err := r.Close(); err != nil { // what head -1 does now
			t.Fatal(err)
		}
		s.calls(t, "client", 1, 0)
		next := time.Now()
		p.wait(t, exitDone)
		if took := time.Since(next); took > time.Second {
			t.Errorf("%s: it went on for %s after the next event", form, took)
		}
		if got := p.stderr.String(); strings.Contains(got, "pipe") {
			t.Errorf("%s: not quiet: %q", form, got)
		}
	}
}
