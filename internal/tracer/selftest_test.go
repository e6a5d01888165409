package tracer

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// A hook that attaches and is never called: the self-test says which, and that another way must be tried.
func TestSelfTestFindsSilentHooks(t *testing.T) {
	testnet.RequireTracing(t)
	for _, tc := range []struct {
		tier   Tier
		silent string // program
		want   string // "": still fit
	}{
		{TierFunctions, "", ""},
		{TierFunctions, "timewait_kill", "0 ends"},
		{TierFunctions, "timewait_alloc", ""}, // then the table is looked into
		{TierTimers, "", ""},
		{TierTimers, "timewait_timer_cancel", "0 ends"},
		{TierTimers, "timewait_timer_start", "timer_start was not called"},
		{TierTimers, "inet_sock_set_state", "no connect was seen"},
	} {
		if tc.tier == TierFunctions && functionHooks() != nil {
			continue // is refused before any self-test: TestAutoTakesTheBestThatWorks
		}
		t.Run(tc.tier.String()+"/"+tc.silent, func(t *testing.T) {
			err := attachWithout(t, tc.tier, tc.silent)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("all hooks work, but %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// attached is Open of one tier with another way to load, and without the self-test.
func attached(tb testing.TB, tier Tier, load func(*Tracer) error) *Tracer {
	tb.Helper()
	tr := &Tracer{seenLosses: map[bpfLossKey]bpfLoss{}, tick: defaultTick, tier: tier, timers: timers{most: 1}}
	tb.Cleanup(func() {
		if err := tr.Close(); err != nil {
			tb.Error(err)
		}
	})
	var err error
	if tr.clock, err = newClock(); err != nil {
		tb.Fatal(err)
	}
	_ = rlimit.RemoveMemlock() // before 5.11 maps count against it
	if err := load(tr); err != nil {
		tb.Fatal(err)
	}
	if tr.reader, err = ringbuf.NewReader(tr.maps.Events); err != nil {
		tb.Fatal(err)
	}
	if err := tr.attach(); err != nil {
		tb.Fatal(err)
	}
	return tr
}

// attachWithout attaches all but one program, and returns what the self-test says.
func attachWithout(t *testing.T, tier Tier, silent string) error {
	t.Helper()
	tr := attached(t, tier, func(tr *Tracer) error { return tr.load(Options{}) })
	if silent != "" {
		for _, l := range tr.linksOf(t, silent) {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tr.selfTest()
}

// linksOf are the attachments of a program, further copies included.
func (t *Tracer) linksOf(tb testing.TB, program string) []link.Link {
	tb.Helper()
	switch program {
	case "timewait_kill":
		return t.links[:1]
	case "timewait_alloc":
		return t.links[2:3]
	case "timewait_timer_cancel":
		return t.timers.links[:1]
	case "timewait_timer_start":
		return t.timers.links[1:]
	default:
		return t.links[len(t.links)-len(t.copies):]
	}
}

// The best way that works is taken, and why the better ones were not is said.
func TestAutoTakesTheBestThatWorks(t *testing.T) {
	testnet.RequireTracing(t)
	tr, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	refused := functionHooks()
	want := TierFunctions
	if refused != nil {
		want = TierTimers
	}
	if !tr.probes && refused != nil {
		want = TierCensus
	}
	if tr.tier != want || len(tr.refused) != int(want-TierFunctions) || tr.untested != "" {
		t.Errorf("%s taken, want %s; refused %q, untested %q", tr.tier, want, tr.refused, tr.untested)
	}
	for _, why := range tr.refused {
		if !strings.Contains(strings.Join(tr.Hooks(), "\n"), why) {
			t.Errorf("%q is not said: %q", why, tr.Hooks())
		}
	}
}
