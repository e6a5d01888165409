package main

import (
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// incidentCapture is the one that the README's pictures show; screens/incident made it.
var incidentCapture = func() string {
	path, err := filepath.Abs("../../screens/testdata/incident.tcps")
	if err != nil {
		panic(err)
	}
	return path
}()

// A monitoring system is told before the first connect fails, and when it does.
func TestCheckFollowsThePorts(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	keep(t, ns, "server", one)
	set(t, ns, map[string]string{"ip_local_port_range": hundred})
	client := newCaller(t, ns, "client")
	for _, step := range []struct {
		more, refused int
		code          int
		line          string
	}{
		{69, 0, 0, `^TCPSTATE OK - 69 of 100 ports taken from 10\.1\.0\.1 toward 10\.1\.0\.2:7001 by client \(69%\) \| ports_used=69%;70;85;0;100 ports_held=69;;;0;100 .* exhausted=0;;;0 failed=0;;;0 .*\n$`},
		{1, 0, 1, `^TCPSTATE WARNING - 70 of 100 ports .*\| ports_used=70%;`},
		{15, 0, 2, `^TCPSTATE CRITICAL - 85 of 100 ports .*\| ports_used=85%;.* exhausted=0;`},
		{20, 5, 2, `^TCPSTATE CRITICAL - 5 connects found no port: 100 of 100 ports .*\| ports_used=100%;.* exhausted=5;;;0 failed=5;`},
	} {
		p := trace(t, "check", "-v", "--for", "10m", "--netns", of(ns))
		client.call(t, hold, one, step.more, 0, step.more-step.refused)
		p.signal(t, unix.SIGINT)
		if p.wait(t, step.code); !regexp.MustCompile(step.line).MatchString(p.stdout.String()) {
			t.Errorf("after %d more: %s", step.more, p.stdout.String())
		}
	}
}

// Without privileges nothing is known, and that is said where the monitoring system looks.
func TestCheckThatCannotTrace(t *testing.T) {
	testnet.RequireTracing(t)
	p := asNobody(published(t), nil, "check", "--for", "1s").start(t).wait(t, 3)
	if out := p.stdout.String(); !regexp.MustCompile(`^TCPSTATE UNKNOWN - .*CAP_BPF.*\n$`).MatchString(out) || p.stderr.String() != "" {
		t.Errorf("stdout %q, stderr %q", out, p.stderr.String())
	}
}
