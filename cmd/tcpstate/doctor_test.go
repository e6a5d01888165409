package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// audit is what doctor says of namespaces, by the code of each check.
func audit(tb testing.TB, p *process) map[string]object {
	tb.Helper()
	var d struct {
		Checks []object `json:"checks"`
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &d); err != nil {
		tb.Fatalf("%v: %s", err, p.stdout.String())
	}
	checks := make(map[string]object)
	for _, c := range d.Checks {
		checks[c["code"].(string)] = c
	}
	return checks
}

// lines are those of a snippet that sysctl -p would apply.
func lines(snippet string) (lines []string) {
	for line := range strings.Lines(snippet) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != ';' {
			lines = append(lines, line)
		}
	}
	return lines
}

// A host as the blogs leave it: doctor names each mistake with the line to write, and once these are written, in the
// kernel and not in a copy, it has nothing more to say.
func TestWhatTheDoctorTellsToWriteMakesItQuiet(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	ns.Do(t, func() {
		testnet.Sysctl("net.ipv4.ip_local_port_range", "1024 65535")
		testnet.Sysctl("net.ipv4.ip_local_reserved_ports", "9000-9001")
		testnet.Sysctl("net.ipv4.tcp_tw_reuse", "0")
		testnet.Sysctl("net.ipv4.tcp_fin_timeout", "15")
		fluentd := testnet.Listen(testnet.Server, 24224)
		t.Cleanup(fluentd.Close)
	})
	at := []string{"doctor", "--check", "--netns", of(ns)}
	want := map[string]string{
		"port-range":     "net.ipv4.ip_local_port_range = 10240 65535",
		"reserved-ports": "net.ipv4.ip_local_reserved_ports = 9000-9001,24224",
		"tw-reuse":       "net.ipv4.tcp_tw_reuse = 1",
		"fin-timeout":    "net.ipv4.tcp_fin_timeout = 60",
	}
	checks := audit(t, command(append(at, "-o", "json")...).start(t).wait(t, 1))
	columns := command(at...).start(t).wait(t, 1).stdout.String()
	for code, line := range want {
		if c := checks[code]; c["status"] != "warning" || c["write"] != line {
			t.Errorf("%s: %v, writes %v, want %s", code, c["status"], c["write"], line)
		}
		if !strings.Contains(columns, "  write: "+line+"\n") {
			t.Errorf("no %s in\n%s", line, columns)
		}
	}
	snippet := command(append(at, "-o", "sysctl")...).start(t).wait(t, 1).stdout.String()
	if got := lines(snippet); len(got) != len(want) {
		t.Errorf("%d lines to write, want %d:\n%s", len(got), len(want), snippet)
	}
	ns.Do(t, func() {
		for _, line := range lines(snippet) {
			name, value, _ := strings.Cut(line, " = ")
			testnet.Sysctl(name, value)
		}
	})
	quiet := command(append(at, "-o", "sysctl")...).start(t).wait(t, 0).stdout.String()
	if left := lines(quiet); len(left) > 0 {
		t.Errorf("after writing\n%s\nthere is still\n%s", snippet, quiet)
	}
	for code, c := range audit(t, command(append(at, "-o", "json")...).start(t).wait(t, 0)) {
		if s := c["status"]; s == "warning" || s == "critical" || want[code] != "" && s != "ok" {
			t.Errorf("afterwards %s is %v: %v", code, s, c["meaning"])
		}
	}
}

// Of a namespace that nobody has touched there is nothing to warn of.
func TestTheKernelsDefaultsAreInOrder(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	for code, c := range audit(t, command("doctor", "--check", "-o", "json", "--netns", of(ns)).start(t).wait(t, 0)) {
		if c["netns"] != nil && c["status"] != "ok" {
			t.Errorf("%s is %v: %v", code, c["status"], c["meaning"])
		}
	}
}

// The ports that connections hold toward a destination are the kernel's own count, and half of them are a warning.
func TestTheDoctorCountsThePortsInUse(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	ns.Do(t, func() { testnet.Sysctl("net.ipv4.ip_local_port_range", "20000 20099") })
	s.calls(t, "client", 60, 0)
	p := command("doctor", "--check", "-o", "json", "--netns", of(ns)).start(t).wait(t, 1)
	var d struct {
		Ports []struct {
			Dst      struct{ Port uint16 }
			Used     int
			Capacity int
			ByState  map[string]int `json:"by_state"`
		}
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Ports) != 1 || d.Ports[0].Dst.Port != s.addr.Port() || d.Ports[0].Used != 60 || d.Ports[0].ByState["TIME_WAIT"] != 60 {
		t.Errorf("%+v", d.Ports)
	}
	if c := audit(t, p)["port-use"]; c["status"] != "warning" {
		t.Errorf("port-use: %v: %v", c["status"], c["meaning"])
	}
}

// Without any privilege doctor works, and says what it could not see and who could.
func TestTheDoctorNeedsNoPrivilege(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	path := published(t)
	var own, counting *process
	ns.Do(t, func() {
		listener := testnet.Listen(testnet.Server, 80) // root's
		t.Cleanup(listener.Close)
		own = asNobody(path, nil, "doctor", "-o", "json").start(t)
		counting = asNobody(path, []uintptr{unix.CAP_DAC_READ_SEARCH}, "doctor", "-o", "json").start(t)
	})
	// It may count the open files of others, not see what they are: no listening socket belongs to the kernel for that.
	if c := audit(t, counting.wait(t, exitDone))["file-descriptors"]; c["status"] != "unknown" {
		t.Errorf("with CAP_DAC_READ_SEARCH alone file-descriptors is %v: %v", c["status"], c["meaning"])
	}
	checks := audit(t, own.wait(t, exitDone))
	for code, says := range map[string]string{
		"file-descriptors": "may not be looked at without CAP_SYS_PTRACE", "user-processes": "may not be looked at without CAP_SYS_PTRACE",
		"namespaces": "without CAP_SYS_PTRACE",
	} {
		if c := checks[code]; c == nil || c["status"] != "unknown" || !strings.Contains(fmt.Sprint(c["meaning"]), says) {
			t.Errorf("%s: %v", code, c)
		}
	}
	for _, code := range []string{"port-range", "tw-reuse", "fin-timeout", "port-use", "somaxconn", "listen-overflows"} {
		if c := checks[code]; c["status"] != "ok" {
			t.Errorf("%s is %v: %v", code, c["status"], c["meaning"])
		}
	}
	lacks := fmt.Sprint(checks["privileges"]["meaning"])
	for _, name := range []string{"CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"} {
		if !strings.Contains(lacks, name+" ") {
			t.Errorf("no %s in %q", name, lacks)
		}
	}
	with := audit(t, asNobody(path, []uintptr{unix.CAP_BPF}, "doctor", "-o", "json").start(t).wait(t, exitDone))
	if set := fmt.Sprint(with["privileges"]["set"]); strings.Contains(set, "CAP_BPF") || !strings.Contains(set, "CAP_PERFMON") {
		t.Errorf("with CAP_BPF: %s", set)
	}
}

// In a container /proc/sys can be missing altogether: nothing that stands there is ok then.
func TestWithoutProcSysTheDoctorKnowsLittleAndSaysSo(t *testing.T) {
	testnet.RequireTracing(t)
	empty := t.TempDir()
	p := command("doctor", "--check", "-o", "json", "--netns", "/proc/self/ns/net")
	// The child has a mount namespace of its own before it runs: see hideSysctls.
	p.cmd.Env = append(os.Environ(), hideEnv+"="+empty)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	checks := audit(t, p.start(t).wait(t, 1))
	for _, code := range []string{"port-range", "reserved-ports", "tw-reuse", "tw-recycle", "timestamps", "fin-timeout", "max-tw-buckets", "somaxconn", "threads-max"} {
		if c := checks[code]; c["status"] != "unknown" || !strings.Contains(fmt.Sprint(c["meaning"]), "ENOENT") || c["write"] != nil {
			t.Errorf("%s is %v: %v", code, c["status"], c["meaning"])
		}
	}
}

// hideEnv names an empty directory that hides /proc/sys.
const hideEnv = "TCPSTATE_TEST_HIDE_SYSCTLS"

func init() {
	if dir := os.Getenv(hideEnv); dir != "" && filepath.Base(os.Args[0]) == "tcpstate" {
		if err := unix.Mount(dir, "/proc/sys", "", unix.MS_BIND, ""); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
}
