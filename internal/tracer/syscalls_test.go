package tracer

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// requireTracefs skips under lockdown=confidentiality, which closes tracefs.
func requireTracefs(t *testing.T) {
	t.Helper()
	testnet.RequireTracing(t)
	if lockdown() == "confidentiality" {
		testnet.Lacks(t, "tracefs", errors.New("the kernel is locked down"))
	}
}

// The id of a tracepoint is found without a mounted tracefs, and nothing of the host changes by that.
func TestSyscallEventMountsNothing(t *testing.T) {
	requireTracefs(t)
	before := mounts(t)
	if id, err := syscallEvent("sys_exit_bind"); err != nil || id == 0 {
		t.Errorf("id %d, %v", id, err)
	}
	dir, err := mountTracefs() // also where tracefs is mounted
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, "events/syscalls/sys_exit_bind/id", &st, 0); err != nil {
		t.Error(err)
	}
	if now := mounts(t); now != before {
		t.Errorf("mounts before:\n%s\nand while tracefs is open:\n%s", before, now)
	}
}

func mounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Under lockdown=confidentiality they are absent, and say so.
func TestLockdownLeavesNoSyscalls(t *testing.T) {
	testnet.RequireTracing(t)
	tr, err := Open(Options{Syscalls: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	want := 0
	if lockdown() == "confidentiality" {
		want = len(syscallHooks)
	}
	if n := strings.Count(strings.Join(tr.Hooks(), "\n"), "the kernel is locked down"); n != want || len(tr.absent) != want {
		t.Errorf("absent %q, of which %d by lockdown; want %d", tr.absent, n, want)
	}
}

// What is absent says why, and what is not seen; the others are there all the same.
func TestAbsentSyscallsSayWhy(t *testing.T) {
	requireTracefs(t)
	if _, err := syscallEvent("sys_exit_nonesuch"); err == nil || !strings.Contains(err.Error(), "CONFIG_FTRACE_SYSCALLS") {
		t.Errorf("a tracepoint that does not exist: %v", err)
	}
	tr := openSyscalls(t)
	if err := tr.detachSyscalls(); err != nil {
		t.Fatal(err)
	}
	program := tr.programs["sys_exit_bind"]
	if hook, err := attachToEvent(1<<40, program); err == nil {
		t.Errorf("attached to an event that does not exist: %v", hook.Close())
	}
	delete(tr.programs, "sys_exit_bind")
	tr.syscallsRefused = unix.E2BIG
	absent := tr.attachSyscalls()
	const want = "sys_exit_bind: the kernel refuses the program: argument list too long: failures of bind() are not seen"
	if len(absent) != 1 || absent[0] != want || len(tr.syscallHooks) != 1 {
		t.Errorf("absent %q, %d attached; want %q and 1", absent, len(tr.syscallHooks), want)
	}
	if err := program.Close(); err != nil {
		t.Error(err)
	}
}

// Close leaves nothing behind that makes the host's system calls slower.
func TestCloseDetachesSyscalls(t *testing.T) {
	requireTracefs(t)
	tr := openSyscalls(t)
	info, err := tr.programs["sys_exit_connect"].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	waitForRCU()
	testnet.Until("the program to be gone", func() bool {
		p, err := ebpf.NewProgramFromID(id)
		if err == nil {
			_ = p.Close()
		}
		return errors.Is(err, os.ErrNotExist)
	})
}

func openSyscalls(t *testing.T) *Tracer {
	t.Helper()
	tr, err := Open(Options{Syscalls: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	if len(tr.syscallHooks) != len(syscallHooks) {
		t.Fatalf("absent: %q", tr.absent)
	}
	return tr
}

// A bind() has no remote end, whether its record found room or not.
func TestBindFailedHasNoRemoteEnd(t *testing.T) {
	raw := bpfEvent{Kind: uint8(event.BindFailed), Direction: uint8(event.Outbound), Sport: 80}
	raw.Src[15] = 1
	var tr Tracer
	var ev event.Event
	tr.convert(&raw, &ev)
	if ev.Remote.IsValid() || ev.Local.String() != "[::1]:80" {
		t.Errorf("remote %s, local %s; want none and [::1]:80", ev.Remote, ev.Local)
	}
	tr.emitLoss(&bpfLossKey{Kind: uint8(event.BindFailed)}, bpfLoss{Count: 2}, bpfLoss{}, func(e *event.Event) { ev = *e })
	if ev.Remote.IsValid() || ev.Of != event.BindFailed || ev.Count != 2 {
		t.Errorf("lost %d %s with remote %s; want 2 bind_failed without", ev.Count, ev.Of, ev.Remote)
	}
}
