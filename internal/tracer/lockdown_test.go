package tracer

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// Under lockdown=confidentiality the program loads all the same, and says what it cannot see. Elsewhere it sees all.
func TestLockdownIsFoundOut(t *testing.T) {
	testnet.RequireTracing(t)
	tr, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	locked := strings.Contains(string(cmdline), "lockdown=confidentiality") || lockdown() == "confidentiality"
	if tr.probes == locked {
		t.Errorf("lockdown %t, but TIME_WAIT is exact: %t", locked, tr.probes)
	}
	if said := strings.Contains(strings.Join(tr.Hooks(), "\n"), "lockdown"); said != locked {
		t.Errorf("lockdown %t, hooks %q", locked, tr.Hooks())
	}
}

// What is left when the kernel refuses to be looked into: all events and owners; TIME_WAIT is inferred, and says so.
func TestLockdownLeavesAllEvents(t *testing.T) {
	testnet.RequireTracing(t)
	tr := openLocked(t)
	ns := testnet.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go ns.Do(t, func() {
		defer cancel()
		l := testnet.Listen(testnet.Server, 80)
		c := testnet.Dial(l.Local)
		d := l.Accept()
		c.Close()
		d.Close()
		l.Close()
		testnet.Until("the timewait socket", func() bool { return testnet.ReadSockstat().TimeWait == 1 })
	})
	type story struct {
		kind  event.Kind
		dir   event.Direction
		basis event.Basis
		pid   uint32
		comm  string
	}
	got := map[story]int{}
	err := tr.Run(ctx, func(e *event.Event) {
		if e.Netns == ns.Inode() {
			got[story{e.Kind, e.Direction, e.Basis, e.Owner.PID, e.Owner.Comm.String()}]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	pid := uint32(os.Getpid())
	comm := ownComm(t)
	for _, want := range []struct {
		kind  event.Kind
		dir   event.Direction
		basis event.Basis
	}{
		{event.Connect, event.Outbound, 0}, {event.Accept, event.Inbound, 0},
		{event.TimeWait, event.Outbound, event.Inferred}, {event.Close, event.Inbound, 0},
	} {
		found := 0
		for s, n := range got {
			// without looking around, comm is that of the thread, which a Go program does not name
			if s.kind == want.kind && s.dir == want.dir && s.basis == want.basis && s.pid == pid && s.comm == comm {
				found += n
			}
		}
		if found != 1 {
			t.Errorf("%d events %s %s %s of pid %d, want 1; all: %v", found, want.kind, want.dir, want.basis, pid, got)
		}
	}
}

func ownComm(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// openLocked is Open on a kernel that refuses bpf_probe_read_kernel.
func openLocked(t *testing.T) *Tracer {
	t.Helper()
	tr := &Tracer{seenLosses: map[bpfLossKey]bpfLoss{}, tick: defaultTick, tier: TierCensus}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if tr.clock, err = newClock(); err != nil {
		t.Fatal(err)
	}
	// before 5.11 maps count against it
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	if err := tr.loadWith(Options{}, false); err != nil {
		t.Fatal(err)
	}
	if tr.reader, err = ringbuf.NewReader(tr.maps.Events); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tr.attach(), tr.selfTest(), tr.startWindow()); err != nil {
		t.Fatal(err)
	}
	return tr
}
