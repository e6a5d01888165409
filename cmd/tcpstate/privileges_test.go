package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// nobody is a user without any privilege of its own.
const nobody = 65534

// published copies the test binary to where everybody can run it, by the name tcpstate.
func published(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "tcpstate-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "tcpstate")
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		tb.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		tb.Fatal(err)
	}
	for _, err := range []error{to.Close(), os.Chmod(path, 0o755), os.Chmod(dir, 0o755)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return path
}

// asNobody is tcpstate at path, not started, with these capabilities and hardly any memory that may be locked.
func asNobody(path string, capabilities []uintptr, args ...string) *process {
	p := command()
	p.cmd.Path, p.cmd.Args, p.cmd.Dir = path, append([]string{path, path}, args...), "/"
	p.cmd.Env = append(os.Environ(), "TCPSTATE_TEST_CHILD=limited")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities,
	}
	return p
}

func TestAMissingCapabilityIsNamedWithHowToGrantIt(t *testing.T) {
	testnet.RequireTracing(t)
	path := published(t)
	for _, test := range []struct {
		name         string
		capabilities []uintptr
		want         string
	}{
		{"none at all", nil, "CAP_BPF and CAP_PERFMON"},
		{"CAP_BPF alone", []uintptr{unix.CAP_BPF}, "CAP_PERFMON"},
		{"CAP_PERFMON alone", []uintptr{unix.CAP_PERFMON}, "CAP_BPF"},
		{"others alone", []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_PTRACE}, "CAP_BPF and CAP_PERFMON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, verb := range []string{"trace", "report"} {
				p := asNobody(path, test.capabilities, verb, "-o", "json", "--for", "1s").start(t).wait(t, exitFailed)
				if out := p.stdout.String(); out != "" {
					t.Errorf("standard output: %q", out)
				}
				said := p.stderr.String()
				if why := strange(said); why != "" {
					t.Errorf("standard error: %s", why)
				}
				for _, want := range []string{
					": loading and attaching the BPF program needs " + test.want + ": run it as root (sudo ", "(sudo setcap cap_bpf,cap_perfmon=ep tcpstate)",
				} {
					if !strings.Contains(said, want) {
						t.Errorf("no %q in %q", want, said)
					}
				}
				if strings.Contains(said, "raise RLIMIT_MEMLOCK") {
					t.Errorf("it blames the limit of locked memory: %q", said)
				}
			}
		})
	}
}

func TestTwoCapabilitiesAreEnoughToTrace(t *testing.T) {
	testnet.RequireTracing(t)
	testnet.RequireKernel(t, "5.11", "maps that do not count against RLIMIT_MEMLOCK")
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	p := asNobody(published(t), []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}, "trace", "-o", "json", "--for", "1s", "--netns", of(ns))
	p.start(t).untilTracing(t)
	began := time.Now()
	s.calls(t, "client", 3, 2)
	events := p.wait(t, exitDone).jsonLines(t)
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("--for 1s took %s", took)
	}
	// Who listened before is in /proc, behind a further capability; until it closes a connection the server is unknown.
	for _, e := range events {
		if e["kind"] == "accept" {
			e["service"] = object{}
		}
	}
	same(t, "events", tally(events, "kind", "service.comm"), map[string]int{
		"connect client": 3, "time_wait client": 3, "connect_failed client": 2, "accept null": 3, "close server": 3,
	})
}

func TestTheDemoSaysWhatToTypeWithoutRoot(t *testing.T) {
	testnet.RequireTracing(t)
	p := asNobody(published(t), nil, "demo").start(t).wait(t, exitFailed)
	if p.stdout.String() != "" || strange(p.stderr.String()) != "" || !strings.Contains(p.stderr.String(), "type  sudo tcpstate demo\n") {
		t.Errorf("standard output %q, standard error %q", p.stdout.String(), p.stderr.String())
	}
}

func TestATraceThatCannotStartKeepsAnOlderResult(t *testing.T) {
	testnet.RequireTracing(t)
	path := published(t)
	for _, verb := range []string{"trace", "report"} {
		file := filepath.Join(filepath.Dir(path), verb)
		for _, err := range []error{os.WriteFile(file, []byte("older"), 0o666), os.Chown(file, nobody, nobody)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		asNobody(path, nil, verb, "-w", file).start(t).wait(t, exitFailed)
		if got, err := os.ReadFile(file); err != nil || string(got) != "older" {
			t.Errorf("%s: the file holds %q, %v", verb, got, err)
		}
	}
}
