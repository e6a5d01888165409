package tracer_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// Processes that make and end TIME_WAITs in every way there is, on all CPUs. Whenever they rest, the events give what the
// kernel holds: as many, and the same ones.
func TestTimeWaitsEqualTheKernels(t *testing.T) {
	eachTier(t, func(t *testing.T, o tracer.Options) {
		const rounds, round = 5, 400 * time.Millisecond
		ns := testnet.New(t)
		r := startTrace(t, o).watch(ns)
		var kids churners
		ns.Do(t, func() {
			kids = manyReuses()
		})
		made := 0
		for range rounds {
			ns.Do(t, func() {
				kids.start(round)
				made = kids.await()
			})
			r.compareHeld(t)
		}
		before := r.lastCheck()
		r.stopAndCompare(t)
		ns.Do(t, kids.stop)
		ends, beginnings, overflows := map[event.Cause]int{}, 0, 0
		for i := range r.events {
			switch e := &r.events[i]; {
			case e.Kind == event.TimeWaitEnd:
				ends[e.Cause]++
			case e.Kind == event.TimeWait:
				beginnings++
			case e.Cause == event.TimeWaitOverflow:
				overflows++
			}
		}
		t.Logf("%d connections, %d TIME_WAITs and %d overflows; ends %v; checks %+v", made, beginnings, overflows, ends, before)
		if os.Getenv("TCPSTATE_EMULATED") == "" && (made < 1000 || overflows == 0) {
			t.Errorf("%d connections and %d overflows: too few for this test", made, overflows)
		}
		if o.Tier != tracer.TierCensus {
			for _, cause := range []event.Cause{event.Expired, event.Reused, event.Killed} {
				if ends[cause] == 0 {
					t.Errorf("no TIME_WAIT was %s", cause)
				}
			}
			// Some kernels call no program in a softirq that interrupts pid 1.
			if before.Repaired > uint64(made)/5000 {
				t.Errorf("a census had to repair: %+v", before)
			}
		}
		loss := r.losses(t)
		if loss.Unseen = 0; loss != (tracer.Loss{}) {
			t.Errorf("losses %+v", loss)
		}
	})
}

// manyReuses starts churn with few ports, room for few TIME_WAITs, and early reuse. Call it inside [testnet.Namespace.Do].
func manyReuses() churners {
	for name, value := range map[string]string{
		"ip_local_port_range": "30000 30599", "tcp_tw_reuse": "1", "tcp_fin_timeout": "1", "tcp_max_tw_buckets": "500",
	} {
		testnet.Sysctl("net.ipv4."+name, value)
	}
	if testnet.HasIPv6() {
		testnet.Until("IPv6 to have its routes", func() bool {
			s := testnet.NewSocket(testnet.Server6)
			defer s.Close()
			return errors.Is(s.Connect(addrPort(testnet.Server6, 1)), unix.ECONNREFUSED)
		})
	}
	return startChurn(3)
}

// compareHeld waits until the events give exactly what the kernel holds, in a namespace at rest. An end can be told a
// second late.
func (r *recorder) compareHeld(tb testing.TB) {
	tb.Helper()
	var flaws []string
	for end := time.Now().Add(testnet.Patience / 3); ; time.Sleep(20 * time.Millisecond) {
		if flaws = r.differences(tb); len(flaws) == 0 {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	for _, f := range flaws[:min(len(flaws), 10)] {
		tb.Error(f)
	}
	tb.Fatalf("%d differences", len(flaws))
}

// differences are those between the events and the kernel's list.
func (r *recorder) differences(tb testing.TB) (flaws []string) {
	tb.Helper()
	r.mark(tb)
	held := r.heldNow()
	kernel := r.timeWaitsByKernel(tb)
	var sockstat int
	r.ns.Do(tb, func() { sockstat = testnet.ReadSockstat().TimeWait })
	if sockstat != len(kernel) {
		return []string{"not at rest"}
	}
	for k := range kernel {
		if held[k].held != 1 {
			flaws = append(flaws, describe("the kernel has", k, held[k].held))
		}
	}
	for k, w := range held {
		if _, ok := kernel[k]; !ok {
			flaws = append(flaws, describe("the kernel has not", k, w.held))
		}
	}
	return flaws
}

func describe(what string, k ends, n int) string {
	return fmt.Sprintf("%s %s > %s, held %d times by the events", what, k.local, k.remote, n)
}
