package main

import (
	"fmt"
	"testing"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// All filters look at the same traffic at the same time: 7 connects of alpha to one server, 5 of beta to another, 4 of
// alpha over IPv6, 3 of alpha to a dead port; and 6 of gamma in another namespace.
func TestFiltersChooseExactlyTheirEvents(t *testing.T) {
	testnet.RequireTracing(t)
	ns, elsewhere := testnet.New(t), testnet.New(t)
	one := serve(t, ns, "one", testnet.Server)
	two := serve(t, ns, "two", testnet.Server2)
	six := serve(t, ns, "six", testnet.Server6)
	other := serve(t, elsewhere, "other", testnet.Server)

	here := []string{"--netns", of(ns)}
	filters := []struct {
		name                      string
		args                      []string
		connects, accepts, failed int
	}{
		{"everything of a namespace, by inode", here, 16, 16, 3},
		{"another namespace, by path", []string{"--netns", fmt.Sprintf("/proc/%d/ns/net", other.child.PID())}, 6, 6, 0},
		{"either namespace", append(here, "--netns", of(elsewhere)), 22, 22, 3},
		{"an address", append(here, "--dst", "10.1.0.3"), 5, 0, 0},
		{"a network and a port", append(here, "--dst", "10.1.0.0/30:"+port(one)), 7, 0, 0},
		{"an IPv6 network and a port", append(here, "--dst", "[fd00:1::/64]:"+port(six)), 4, 0, 0},
		{"two addresses, one of them of both ends", append(here, "--dst", "10.1.0.3", "--dst", "fd00:1::2"), 9, 4, 0},
		{"a service's port, from both ends", append(here, "--port", port(two)), 5, 5, 0},
		{"a program", append(here, "--comm", "alpha"), 11, 0, 3},
		{"either program", append(here, "--comm", "alpha", "--comm", "two"), 11, 5, 3},
		{"a process", append(here, "--pid", fmt.Sprint(one.child.PID())), 0, 7, 0},
		{"failures", append(here, "--failure-only"), 0, 0, 3},
		{"failures of a program that has none", append(here, "--failure-only", "--comm", "beta"), 0, 0, 0},
		{"IPv4", append(here, "-4"), 12, 12, 3},
		{"IPv6", append(here, "-6"), 4, 4, 0},
		{"both", append(here, "-4", "-6"), 16, 16, 3},
		{"an expression", append(here, "--filter", "comm~^(al|be),dst.port!=9,direction==outbound"), 16, 0, 0},
	}
	var lines [][]string
	for _, f := range filters {
		lines = append(lines, append([]string{"trace", "-o", "json", "--ring", "4M"}, f.args...)) // not larger, for there are many
	}
	ps := traceAll(t, lines...)
	one.calls(t, "alpha", 7, 3)
	two.calls(t, "beta", 5, 0)
	six.calls(t, "alpha", 4, 0)
	other.calls(t, "gamma", 6, 0)
	stopAll(t, ps)
	for i, f := range filters {
		t.Run(f.name, func(t *testing.T) {
			got := tally(ps[i].jsonLines(t), "kind")
			want := map[string]int{"connect": f.connects, "accept": f.accepts, "connect_failed": f.failed}
			if got["lost"] > 0 {
				t.Fatal("the machine is too busy: details were lost")
			}
			for kind, n := range want {
				if got[kind] != n {
					t.Errorf("%q: %d events %s, want %d", f.args, got[kind], kind, n)
				}
			}
		})
	}
}

func port(s *server) string { return fmt.Sprint(s.addr.Port()) }
