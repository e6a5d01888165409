package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// daemonized is an agent that runs.
type daemonized struct {
	*process
	url string
}

// startAgent starts one on a port of its own, with a folder of its own, and waits until it traces.
func startAgent(tb testing.TB, args ...string) *daemonized {
	tb.Helper()
	testnet.RequireTracing(tb)
	return untilServing(tb, command(agentArgs(tb, args)...).start(tb))
}

func agentArgs(tb testing.TB, args []string) []string {
	return append([]string{"agent", "--listen", "127.0.0.1:0", "-w", filepath.Join(tb.TempDir(), "captures"), "--ring", "32M"}, args...)
}

func untilServing(tb testing.TB, p *process) *daemonized {
	tb.Helper()
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(5 * time.Millisecond) {
		if _, rest, ok := strings.Cut(p.stderr.String(), "serving on "); ok {
			return &daemonized{p, rest[:strings.IndexAny(rest, "\n\"")]}
		}
		select {
		case <-p.ended:
			tb.Fatalf("%q ended with %d: %s", p.cmd.Args, p.code, p.stderr.String())
		default:
		}
		if time.Now().After(end) {
			tb.Fatalf("%q does not trace: %s", p.cmd.Args, p.stderr.String())
		}
	}
}

// get is what it answers.
func (a *daemonized) get(tb testing.TB, path string) (code int, text string) {
	tb.Helper()
	answer, err := http.Get(a.url + path)
	if err != nil {
		tb.Fatalf("%v: %s", err, a.stderr.String())
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// metrics are its samples by name and labels, as they are printed.
func (a *daemonized) metrics(tb testing.TB) map[string]float64 {
	tb.Helper()
	_, text := a.get(tb, "/metrics")
	all := make(map[string]float64)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			tb.Fatalf("%v in %q", err, line)
		}
		all[line[:i]] = v
	}
	return all
}

// until waits until a metric has a value.
func (a *daemonized) until(tb testing.TB, key string, want float64) {
	tb.Helper()
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(50 * time.Millisecond) {
		now := a.metrics(tb)
		if now[key] == want {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("%s is %v, want %v: %s", key, now[key], want, a.stderr.String())
		}
	}
}

// agree compares metrics.
func (a *daemonized) agree(tb testing.TB, want map[string]float64) {
	tb.Helper()
	got := a.metrics(tb)
	for key, v := range want {
		if is, ok := got[key]; !ok || is != v {
			tb.Errorf("%s is %v (%v), want %v", key, is, ok, v)
		}
	}
}

// labelled is a metric's name with the labels of a client and its destination.
func labelled(name, service string, to netip.AddrPort) string {
	return fmt.Sprintf("tcpstate_%s{destination=%q,service=%q}", name, to.String(), service)
}

func TestTheAgentsMetricsAreWhatTheClientAndTheKernelCounted(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	a := startAgent(t, "--netns", of(ns))
	s.calls(t, "client", 3000, 100)
	a.until(t, labelled("connects_total", "client", s.addr), 3000)
	a.until(t, labelled("time_wait_entered_total", "client", s.addr), 3000)
	var held int
	ns.Do(t, func() { held = testnet.ReadSockstat().TimeWait })
	listening := fmt.Sprintf("{listener=%q,service=\"server\"}", s.addr.String())
	want := map[string]float64{
		fmt.Sprintf("tcpstate_connect_failures_total{destination=%q,error=\"ECONNREFUSED\",service=\"client\"}", netip.AddrPortFrom(s.addr.Addr(), deadPort)): 100,
		fmt.Sprintf("tcpstate_closes_total{closed_by=\"local\",destination=%q,service=\"client\"}", s.addr):                                                   3000,
		labelled("open_connections", "client", s.addr): 0, labelled("time_wait", "client", s.addr): float64(held),
		labelled("sent_bytes_total", "client", s.addr): 3000 * float64(len(question)), labelled("received_bytes_total", "client", s.addr): 3000 * float64(len(answer)),
		labelled("connection_lifetime_seconds_count", "client", s.addr): 3000, labelled("connect_duration_seconds_count", "client", s.addr): 3000,
		"tcpstate_accepts_total" + listening: 3000, "tcpstate_open_connections" + listening: 0,
		`tcpstate_events_total{kind="connect"}`: 3000, `tcpstate_events_total{kind="accept"}`: 3000, `tcpstate_events_total{kind="connect_failed"}`: 100,
		"tcpstate_totals_exact": 1, "tcpstate_recorder_running": 1, "tcpstate_config_reload_success": 1,
		fmt.Sprintf("tcpstate_kernel_time_wait{netns=%q}", of(ns)): float64(held),
	}
	a.agree(t, want)
	code, body := a.get(t, "/readyz")
	if code != 200 || !strings.Contains(body, `"ready":true`) || !strings.Contains(body, `"recording":true`) {
		t.Errorf("readyz: %d %s", code, body)
	}
	_, text := a.get(t, "/report?format=json")
	d := documentOf(t, text)
	agrees(t, "the report", toward(t, d, s.addr.Port()), map[string]string{"opened": "3000", "closed": "3000", "open.now": "0"})
	a.signal(t, syscall.SIGTERM)
	a.wait(t, exitDone)
	captures, err := filepath.Glob(filepath.Join(a.cmd.Args[5], "*.tcps"))
	if err != nil || len(captures) != 1 {
		t.Fatalf("captures: %q, %v", captures, err)
	}
	d = documentOf(t, replayed(t, "report", "-r", captures[0], "-o", "json"))
	agrees(t, "the capture", toward(t, d, s.addr.Port()), map[string]string{"opened": "3000", "closed": "3000"})
	agrees(t, "the capture", d, map[string]string{"loss.totals_exact": "true", "loss.capture_damage": "null"})
}

// A restart counts nothing twice: counters begin at 0, and what was open before is no connect.
func TestAnAgentThatWasKilledCountsNothingTwice(t *testing.T) {
	ns := testnet.New(t)
	to := netip.AddrPortFrom(testnet.Server2, 7000)
	keep(t, ns, "server", to)
	client := newCaller(t, ns, "client")
	first := startAgent(t, "--netns", of(ns))
	client.call(t, hold, to, 20, 0, 20)
	first.until(t, labelled("connects_total", "client", to), 20)
	first.signal(t, syscall.SIGKILL)
	<-first.ended
	client.call(t, hold, to, 5, 0, 5) // nobody counts these
	second := startAgent(t, "--netns", of(ns))
	second.until(t, labelled("open_connections", "client", to), 25)
	second.agree(t, map[string]float64{labelled("connects_total", "client", to): 0, `tcpstate_events_total{kind="connect"}`: 0})
	client.call(t, hold, to, 3, 0, 3)
	second.until(t, labelled("connects_total", "client", to), 3)
	second.agree(t, map[string]float64{labelled("open_connections", "client", to): 28})
	second.stop(t)
}

func TestTheAgentTellsWhichPortsConnectTakesOver(t *testing.T) {
	for reuse, want := range map[string]float64{"0": 0, "1": 12} {
		ns := testnet.New(t)
		set(t, ns, map[string]string{"ip_local_port_range": "40000 40019", "tcp_tw_reuse": reuse, "tcp_timestamps": "1"})
		at := netip.AddrPortFrom(testnet.Server, 7002)
		keep(t, ns, "server", at)
		a := startAgent(t, "--netns", of(ns))
		newCaller(t, ns, "client").call(t, cycle, at, 12, 0, 12)
		port := fmt.Sprintf("{destination=%q,source=%q}", at, testnet.Client)
		a.until(t, fmt.Sprintf("tcpstate_time_wait{destination=%q,service=\"client\"}", at), 12)
		a.agree(t, map[string]float64{
			"tcpstate_ports_used" + port: 12, "tcpstate_ports_reusable" + port: want, "tcpstate_port_used_ratio" + port: 0.6,
		})
		a.stop(t)
	}
}

func TestTheAgentSeesPortsRunOutAndKeepsWhatLedToIt(t *testing.T) {
	ns := testnet.New(t)
	set(t, ns, map[string]string{"ip_local_port_range": "40000 40019", "tcp_tw_reuse": "0"})
	at := netip.AddrPortFrom(testnet.Server, 7001)
	keep(t, ns, "server", at)
	a := startAgent(t, "--netns", of(ns), "--keep", "20s", "--after", "1s", "--trigger", "exhausted>0")
	newCaller(t, ns, "client").call(t, cycle, at, 25, 100*time.Millisecond, 20)
	port := fmt.Sprintf("{destination=%q,source=%q}", at, testnet.Client)
	a.until(t, "tcpstate_port_exhaustions_total"+port, 5)
	a.until(t, "tcpstate_incidents_total", 1)
	a.agree(t, map[string]float64{
		"tcpstate_port_capacity" + port: 20, "tcpstate_ports_used" + port: 20, "tcpstate_ports_reusable" + port: 0, "tcpstate_port_used_ratio" + port: 1, "tcpstate_seconds_to_exhaustion" + port: 0,
		fmt.Sprintf("tcpstate_connect_failures_total{destination=%q,error=\"EADDRNOTAVAIL\",service=\"client\"}", at): 5,
	})
	for end := time.Now().Add(testnet.Patience); a.metrics(t)[`tcpstate_findings{code="ports-exhausted",severity="critical"}`] == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no finding: %s", a.stderr.String())
		}
	}
	kept, _ := filepath.Glob(filepath.Join(a.cmd.Args[5], "incident-*"))
	if len(kept) != 1 {
		t.Fatalf("incidents: %q", kept)
	}
	d := documentOf(t, replayed(t, "report", "-r", kept[0], "-o", "json", "--comm", "client"))
	agrees(t, "what led to it", toward(t, d, at.Port()), map[string]string{"opened": "20", "failed.EADDRNOTAVAIL": "5"})
	a.stop(t)
	for _, want := range []string{"out of ports: client finds no local port from", "exhausted>0: kept in ", "ports-exhausted: "} {
		if !strings.Contains(a.stderr.String(), want) {
			t.Errorf("no %q in %s", want, a.stderr.String())
		}
	}
}

// What a process may do, from /proc.
func capabilitiesOf(tb testing.TB, pid int) (status map[string]string) {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	status = make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	return status
}

func bits(values ...uint) string {
	n := uint64(0)
	for _, v := range values {
		n |= 1 << v
	}
	return fmt.Sprintf("%016x", n)
}

// As an ordinary user with its capabilities only; once it traces it has those alone that it needs later.
func TestTheAgentAsAnOrdinaryUser(t *testing.T) {
	testnet.RequireTracing(t)
	testnet.RequireKernel(t, "5.19", "maps that can be read without CAP_BPF")
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	dir := folderOfNobody(t)
	p := asNobody(published(t), []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH},
		"agent", "-v", "--listen", "unix:"+dir+"/agent.sock", "--listen", "127.0.0.1:0", "-w", dir+"/captures", "--netns", of(ns))
	began := time.Now()
	p.start(t).untilTracing(t)
	t.Logf("it traces after %s", time.Since(began))
	said := p.stderr.String()
	_, rest, _ := strings.Cut(said, "agent.sock, ")
	url, _, _ := strings.Cut(rest, "\n")
	a := &daemonized{p, url}
	s.calls(t, "client", 300, 10)
	a.until(t, labelled("connects_total", "client", s.addr), 300)
	a.agree(t, map[string]float64{labelled("time_wait_entered_total", "client", s.addr): 300, "tcpstate_recorder_running": 1, "tcpstate_totals_exact": 1})
	status := capabilitiesOf(t, p.cmd.Process.Pid)
	keeps := bits(unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH)
	for name, want := range map[string]string{
		"CapPrm": keeps, "CapEff": keeps, "CapInh": bits(), "CapAmb": bits(), "NoNewPrivs": "1",
	} {
		if status[name] != want {
			t.Errorf("%s is %s, want %s: %s", name, status[name], want, said)
		}
	}
	for _, want := range []string{
		"CAP_BPF is there: to load", "CAP_SYS_PTRACE is kept: to look at", "without CAP_SYS_ADMIN, ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	if st, err := os.Stat(dir + "/agent.sock"); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	code, _ := a.get(t, "/report?format=json")
	if code != 200 {
		t.Errorf("a report: %d", code)
	}
	a.stop(t)
	if _, err := os.Stat(dir + "/agent.sock"); err == nil {
		t.Error("the socket is still there")
	}
}

func folderOfNobody(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tcpstate-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheAgentWithTooFewCapabilities(t *testing.T) {
	testnet.RequireTracing(t)
	path := published(t)
	for _, test := range []struct {
		capabilities []uintptr
		want         string
	}{
		{nil, "CAP_BPF and CAP_PERFMON"}, {[]uintptr{unix.CAP_BPF, unix.CAP_SYS_PTRACE}, "CAP_PERFMON"},
	} {
		p := asNobody(path, test.capabilities, "agent", "--listen", "127.0.0.1:0", "--no-record").start(t).wait(t, exitFailed)
		said := p.stderr.String()
		if why := strange(said); why != "" || !strings.Contains(said, "needs "+test.want+": run it as root") || !strings.Contains(said, "setcap") {
			t.Errorf("%s: %q", why, said)
		}
	}
}

// Started as root it becomes another user, and keeps what it needs.
func TestTheAgentBecomesAUser(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	dir := folderOfNobody(t)
	a := startAgent(t, "--netns", of(ns), "--user", "nobody", "-w", dir+"/captures", "--enter-namespaces=false")
	s.calls(t, "client", 100, 0)
	a.until(t, labelled("connects_total", "client", s.addr), 100)
	status := capabilitiesOf(t, a.cmd.Process.Pid)
	if want := strings.Repeat("\t65534", 4)[1:]; status["Uid"] != want {
		t.Errorf("it is %q, want %q", status["Uid"], want)
	}
	keeps := bits(unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH)
	if testnet.KernelAtLeast("5.19") && (status["CapPrm"] != keeps || status["CapBnd"] != keeps) {
		t.Errorf("permitted %s, bounding %s, want %s", status["CapPrm"], status["CapBnd"], keeps)
	}
	st, err := os.Stat(dir + "/captures")
	if err != nil || st.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("the captures' folder: %v, %v", st, err)
	}
	a.stop(t)
}

// Where nothing can be written the agent goes on without a recorder, and says so.
func TestTheAgentOutlivesItsRecorder(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	disk := t.TempDir()
	testnet.RequireTracing(t)
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := startAgent(t, "--netns", of(ns), "-w", disk)
	nowhere := startAgent(t, "--netns", of(ns), "-w", file+"/captures", "--log-format", "json")
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	s.calls(t, "client", 3000, 0)
	full.until(t, "tcpstate_recorder_running", 0)
	for _, a := range []*daemonized{full, nowhere} {
		a.until(t, labelled("connects_total", "client", s.addr), 3000)
		a.agree(t, map[string]float64{"tcpstate_totals_exact": 1, "tcpstate_recorder_running": 0})
		if code, _ := a.get(t, "/readyz"); code != 200 {
			t.Errorf("readyz: %d", code)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	full.until(t, "tcpstate_recorder_running", 1)
	if dropped := full.metrics(t)["tcpstate_recorder_dropped_events_total"]; dropped == 0 {
		t.Error("nothing was dropped")
	}
	nowhere.signal(t, syscall.SIGUSR1)
	full.stop(t)
	nowhere.stop(t)
	if n := strings.Count(full.stderr.String(), disk+": no space left on device; the segments there are whole"); n != 1 {
		t.Errorf("it said %d times that the disk is full, want once a minute: %s", n, full.stderr.String())
	}
	said := 0
	for line := range strings.Lines(nowhere.stderr.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("%v in %q", err, line)
		}
		if text, _ := m["msg"].(string); strings.Contains(text, "nothing is recorded, and all else goes on") && m["level"] == "WARN" {
			said++
		}
	}
	if said != 1 {
		t.Errorf("it said %d times that nothing is recorded: %s", said, nowhere.stderr.String())
	}
}

// There may be so many incidents, those of earlier runs too; when one is taken away, there may be another.
func TestTheAgentsIncidentsAreBounded(t *testing.T) {
	dir, quiet := t.TempDir(), of(testnet.New(t))
	incidents := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "incident-*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	asked := func(a *daemonized, says string) {
		t.Helper()
		before := strings.Count(a.stderr.String(), says)
		a.signal(t, syscall.SIGUSR1)
		for end := time.Now().Add(testnet.Patience); strings.Count(a.stderr.String(), says) == before; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q: %s", says, a.stderr.String())
			}
		}
	}
	for _, says := range []string{"SIGUSR1: kept in ", "SIGUSR1: not put aside, for " + dir + " holds 1 incident already"} {
		a := startAgent(t, "--netns", quiet, "-w", dir, "--incidents", "1", "--after", "1s")
		asked(a, says)
		if len(incidents()) != 1 {
			t.Errorf("%q, want 1", incidents())
		}
		if strings.Contains(says, "not put aside") {
			if err := os.RemoveAll(incidents()[0]); err != nil {
				t.Fatal(err)
			}
			asked(a, "SIGUSR1: kept in ")
		}
		a.stop(t)
	}
	none := startAgent(t, "--netns", quiet, "--no-record")
	asked(none, "SIGUSR1: not put aside, for nothing is recorded")
	none.stop(t)
	if said := none.stderr.String(); strings.Contains(said, "is put aside in") {
		t.Errorf("it promised to put aside what is not recorded: %s", said)
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := f.Write(bytes.Repeat([]byte("x"), 1024)); err != nil {
			break
		}
	}
	_ = f.Close()
}

func TestTheAgentReadsItsConfigurationAgain(t *testing.T) {
	testnet.RequireTracing(t)
	config := filepath.Join(t.TempDir(), "agent.yaml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("no-record: true\nwindow: 1m\n")
	a := startAgent(t, "--config", config)
	first := a.metrics(t)["tcpstate_config_reload_success_timestamp_seconds"]
	write("windw: 2m\nkeep: 1\n")
	a.signal(t, syscall.SIGHUP)
	a.until(t, "tcpstate_config_reload_success", 0)
	a.agree(t, map[string]float64{"tcpstate_config_reload_success_timestamp_seconds": first})
	write("no-record: true\nwindow: 2m\ntrigger: [failed>7]\ndestinations: 9\n")
	a.signal(t, syscall.SIGHUP)
	a.until(t, "tcpstate_config_reload_success", 1)
	if again := a.metrics(t)["tcpstate_config_reload_success_timestamp_seconds"]; again <= first {
		t.Errorf("read at %v, then at %v", first, again)
	}
	a.stop(t)
	for _, want := range []string{
		config + `: line 1: unknown key "windw": did you mean window?`, config + `: line 2: keep: "1" has no unit`, "the configuration stays as it was",
		"these take a restart: destinations\n", "changed: trigger, window\n",
	} {
		if !strings.Contains(a.stderr.String(), want) {
			t.Errorf("no %q in %s", want, a.stderr.String())
		}
	}
}

func TestTheAgentAndAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := command("agent", "--listen", l.Addr().String(), "--no-record").start(t).wait(t, exitFailed)
	if said := p.stderr.String(); strange(said) != "" || !strings.Contains(said, "it is in use; is another agent running?") {
		t.Errorf("%q", said)
	}
	p = command("agent", "--listen", l.Addr().String(), "--no-record", "--log-format", "json").start(t).wait(t, exitFailed)
	var m map[string]any
	if err := json.Unmarshal([]byte(p.stderr.String()), &m); err != nil || m["level"] != "ERROR" {
		t.Errorf("%v in %q", err, p.stderr.String())
	}
}

// What systemd is told, by a stand-in that reads the same socket.
func TestTheAgentTellsSystemd(t *testing.T) {
	testnet.RequireTracing(t)
	socket := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	told := make(chan string, 1000)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				close(told)
				return
			}
			told <- string(b[:n])
		}
	}()
	p := command(agentArgs(t, []string{"--no-record"})...)
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=4000000")
	a := untilServing(t, p.start(t))
	until := func(want string) string {
		t.Helper()
		for {
			select {
			case m := <-told:
				if strings.Contains(m, want) {
					return m
				}
			case <-time.After(testnet.Patience):
				t.Fatalf("no %s: %s", want, a.stderr.String())
			}
		}
	}
	if m := until("READY=1"); !strings.Contains(m, "STATUS=tracing on tier ") || !strings.Contains(m, a.url) {
		t.Errorf("it said %q", m)
	}
	until("WATCHDOG=1")
	until("WATCHDOG=1")
	a.signal(t, syscall.SIGHUP)
	if m := until("RELOADING=1"); !strings.Contains(m, "MONOTONIC_USEC=") {
		t.Errorf("it said %q", m)
	}
	until("READY=1")
	a.signal(t, syscall.SIGTERM)
	until("STOPPING=1")
	a.wait(t, exitDone)
}

// Many reports, scrapes and reloads leave nothing behind.
func TestTheAgentKeepsNoDescriptors(t *testing.T) {
	testnet.RequireTracing(t)
	config := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(config, []byte("window: 1m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, "--config", config)
	count := func() (files, threads int) {
		w := a.weigh(t)
		return w.files, w.threads
	}
	round := func() {
		for _, path := range []string{"/metrics", "/report", "/report?format=json", "/readyz"} {
			if code, text := a.get(t, path); code != 200 {
				t.Fatalf("%s: %d %.200s", path, code, text)
			}
		}
		a.signal(t, syscall.SIGHUP)
		http.DefaultClient.CloseIdleConnections()
	}
	for range 10 {
		round()
	}
	files, threads := count()
	for range 100 {
		round()
	}
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(100 * time.Millisecond) {
		f, n := count()
		if f <= files+2 && n <= threads+4 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d descriptors and %d threads, before %d and %d", f, n, files, threads)
		}
	}
	a.stop(t)
}

// Clients of the agent's that connect and never read do not stop it from tracing or answering.
func TestClientsThatNeverReadDoNotStopTheAgent(t *testing.T) {
	ns := testnet.New(t)
	s := serve(t, ns, "server", testnet.Server)
	a := startAgent(t, "--netns", of(ns), "--no-record")
	for range 200 {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 20 {
			_, _ = io.WriteString(c, "GET /report HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	s.calls(t, "client", 1000, 0)
	a.until(t, labelled("connects_total", "client", s.addr), 1000)
	a.stop(t)
}
