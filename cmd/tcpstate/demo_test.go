package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func TestTheDemoFindsWhatItStarted(t *testing.T) {
	testnet.RequireTracing(t)
	started := time.Now()
	p := command("demo").start(t)
	for !strings.Contains(p.stderr.String(), "three clients and a server") {
		select {
		case <-p.ended:
			t.Fatalf("it ended with %d: %s", p.code, p.stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	loaded := time.Now()
	p.wait(t, exitDone)
	if took := time.Since(loaded); took > 10*time.Second {
		t.Errorf("it took %s, after %s for loading", took, loaded.Sub(started))
	}
	out := p.stdout.String()
	for name, verdict := range map[string]string{"demo-unpooled": "unpooled", "demo-pooled": "pooled", "demo-deadport": "connect-failing"} {
		line := regexp.MustCompile(`(?m)^` + name + ` .*\n  verdict ` + verdict +
			`: right\n  connects: (\d+) by its own count, (\d+) in the report; failures: (\d+) and (\d+)$`).FindStringSubmatch(out)
		if line == nil {
			t.Errorf("%s is not found to be %s in\n%s", name, verdict, out)
			continue
		}
		if line[1] != line[2] || line[3] != line[4] || line[1]+line[3] == "00" {
			t.Errorf("different counts: %s", line[0])
		}
	}
	for line := range strings.Lines(out) {
		if n := len([]rune(line)); n > 101 { // a newline among them
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if said := p.stderr.String(); strings.Count(said, "\n") != 4 {
		t.Errorf("standard error: %s", fmt.Sprintf("%q", said))
	}
}
