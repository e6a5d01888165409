package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func TestAFileHoldsTheCompleteResultAndNothingElse(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	report, trace := filepath.Join(t.TempDir(), "report.json"), filepath.Join(t.TempDir(), "trace.json")
	// A longer result of another day must not show behind the new one.
	if err := os.WriteFile(report, []byte(strings.Repeat("older\n", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	ps := traceAll(t,
		[]string{"report", "-o", "json", "--for", "10m", "--netns", of(ns), "-w", report},
		[]string{"trace", "-o", "json", "--netns", of(ns), "--write", trace})
	s.calls(t, "client", 30, 20)
	stopAll(t, ps)
	for i, file := range []string{report, trace} {
		if out := ps[i].stdout.String(); out != "" {
			t.Errorf("standard output: %q", out)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = ps[i].stdout.Write(content) // as if it had been printed
	}
	agrees(t, "the document", toward(t, ps[0].document(t), s.addr.Port()), map[string]string{"opened": "30"})
	if n := len(ps[1].jsonLines(t)); n != 4*30+20 {
		t.Errorf("%d events", n)
	}
}

func TestAFullDiskFailsWithOneLine(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	for _, args := range [][]string{
		{"version"}, {"--version"}, {"help"}, {"completion", "bash"},
		{"trace", "--for", "10s"}, {"trace", "--for", "10s", "-w", "/dev/full"},
		{"report", "--for", "100ms"}, {"report", "--for", "100ms", "-o", "json", "-w", "/dev/full"}, {"report", "--for", "100ms", "-o", "jsonpretty"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if args[0] == "trace" || args[0] == "report" {
				testnet.RequireTracing(t)
				args = append(slices.Clone(args), "--netns", "1") // nobody's: nothing else has anything to say
			}
			p := command(args...)
			p.cmd.Stdout = full
			said := p.start(t).wait(t, exitFailed).stderr.String()
			if n := strings.Count(said, "no space left on device"); n != 1 {
				t.Errorf("the reason is told %d times: %q", n, said)
			}
			for line := range strings.Lines(said) {
				ordinary := strings.HasPrefix(line, "tcpstate: tracing ") || strings.HasPrefix(line, "tcpstate: nothing was lost") ||
					strings.HasPrefix(line, "tcpstate: lost: ")
				if why := strange(line); why != "" || !ordinary && !strings.Contains(line, "no space left") {
					t.Errorf("%q: %s", line, why)
				}
			}
		})
	}
}
