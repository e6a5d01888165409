package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/plan"
)

// Flags come before the preset, and the preset before this host.
func TestWhereAPlanIsFrom(t *testing.T) {
	tests := []struct {
		flags    string
		ports    int
		basis    plan.Basis
		timeWait time.Duration
	}{
		{"", 7, plan.FromHost, time.Minute},
		{"--time-wait=5s", 7, plan.FromHost, 5 * time.Second},
		{"--ports=100", 100, plan.Given, time.Minute},
		{"--preset=linux", 28232, plan.FromPreset, time.Minute},
		{"--preset=windows", 16384, plan.FromPreset, 120 * time.Second},
		{"--preset=windows-2003", 5000, plan.FromPreset, 240 * time.Second},
		{"--preset=windows-2003 --ports=1025-5000", 3976, plan.Given, 240 * time.Second},
		{"--time-wait=30s --preset=windows-2003", 5000, plan.FromPreset, 30 * time.Second},
		{"--time-wait=30s --ports=1 --preset=windows", 1, plan.Given, 30 * time.Second},
	}
	for _, tt := range tests {
		f := newPlanFlags()
		cmd := planCommand(&env{}, f)
		if err := cmd.ParseFlags(strings.Fields(tt.flags)); err != nil {
			t.Fatal(err)
		}
		s := f.scenario(func() plan.Ports { return plan.Ports{Count: 7, Basis: plan.FromHost} })
		if s.Ports.Count != tt.ports || s.Ports.Basis != tt.basis || s.TimeWait != tt.timeWait {
			t.Errorf("%s: %d ports of %s, %v", tt.flags, s.Ports.Count, s.Ports.Basis, s.TimeWait)
		}
	}
}

// This host's range is what the kernel says it is.
func TestPlanReadsThisHost(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatal(err)
	}
	p := planHere(t)
	g := p.Given.Ports
	if g.Basis != "host" || g.Range != [2]int{low, high} || g.Reserved == nil || g.Blocked == nil {
		t.Fatalf("%+v", g)
	}
	if g.Count != high-low+1-*g.Reserved-*g.Blocked || p.Capacity != g.Count {
		t.Errorf("%d ports of %d: %d reserved, %d taken", g.Count, high-low+1, *g.Reserved, *g.Blocked)
	}
}

// A listener takes its port from connect() as long as it is there, in its own network namespace alone.
func TestPlanSeesListeners(t *testing.T) {
	here, err := host.Read()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if !listening(here.Netns).Has(port) {
		t.Errorf("nobody listens on port %d", port)
	}
	if listening(here.Netns + 1).Has(port) {
		t.Errorf("somebody listens on port %d in another namespace", port)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if listening(here.Netns).Has(port) {
		t.Errorf("somebody still listens on port %d", port)
	}
}

// planned is what a plan says about ports.
type planned struct {
	Capacity int
	Given    struct {
		Ports struct {
			Count    int
			Basis    string
			Range    [2]int
			Reserved *int
			Blocked  *int
		}
	}
}

func planHere(t *testing.T) (p planned) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run([]string{"plan", "-o", "json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}
