package tracer

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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

// What is left when the kernel refuses to be looked into: all events and owners. Where functions can be hooked, TIME_WAIT
// is exact all the same, and elsewhere inferred, which it says.
func TestLockdownLeavesAllEvents(t *testing.T) {
	testnet.RequireTracing(t)
	tiers := []Tier{TierCensus}
	if functionHooks() == nil {
		tiers = append(tiers, TierFunctions)
	}
	for _, tier := range tiers {
		t.Run(tier.String(), func(t *testing.T) { testLocked(t, tier) })
	}
}

func testLocked(t *testing.T, tier Tier) {
	tr := openLocked(t, tier)
	ns := testnet.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var begin sync.Once
	type story struct {
		kind  event.Kind
		dir   event.Direction
		basis event.Basis
		pid   uint32
		comm  string
	}
	got := map[story]int{}
	tr.drained = func() { // the census is over
		begin.Do(func() {
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
		})
	}
	err := tr.Run(ctx, func(e *event.Event) {
		if e.Netns == ns.Inode() {
			got[story{e.Kind, e.Direction, e.Basis, e.Owner.PID, e.Owner.Comm.String()}]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	pid, comm := uint32(os.Getpid()), ownComm(t)
	wants := map[story]int{ // without looking around, comm is that of the thread, which a Go program does not name
		{event.Connect, event.Outbound, 0, pid, comm}: 1, {event.Accept, event.Inbound, 0, pid, comm}: 1,
		{event.TimeWait, event.Outbound, event.Inferred, pid, comm}: 1, {event.Close, event.Inbound, 0, pid, comm}: 1,
	}
	known := tier == TierFunctions
	if known {
		delete(wants, story{event.TimeWait, event.Outbound, event.Inferred, pid, comm})
		wants[story{event.TimeWait, event.Outbound, 0, pid, comm}] = 1
		wants[story{event.Open, event.Outbound, 0, pid, comm}] = 1
	}
	if !maps.Equal(got, wants) {
		t.Errorf("%v, want %v", got, wants)
	}
	if tr.TimeWaitsKnown() != known || (tr.TimeWaitTierNumber() != 0) != known {
		t.Errorf("how many are held is said to be known: %t, tier %d", tr.TimeWaitsKnown(), tr.TimeWaitTierNumber())
	}
	// The kernel's own count and its ports cannot be read.
	check, err := tr.TimeWaitCheck()
	if err != nil || check.Known || check.Exact() {
		t.Errorf("%+v, %v", check, err)
	}
	if _, known, err := tr.BlockedPorts(); known || err != nil {
		t.Errorf("ports taken by bind() are said to be known: %t, %v", known, err)
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
func openLocked(t testing.TB, tier Tier) *Tracer {
	t.Helper()
	tr := attached(t, tier, func(tr *Tracer) error { return tr.loadWith(Options{}, false) })
	if err := errors.Join(tr.selfTest(), tr.startWindow()); err != nil {
		t.Fatal(err)
	}
	return tr
}
