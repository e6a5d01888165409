package main

import (
	"flag"
	"fmt"
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

var soak = flag.Duration("soak", 0, "compress 24 hours into `TIME`; 0: only the first three, which says nothing of memory")

// What happens in an hour, and again until it is over.
const (
	hourCalls   = 20000
	shortCalls  = 500 // where there is no time
	hourRefused = 20
	hourPorts   = 10 // of the client that needs more
	hourWithout = 5  // how often it finds none
)

// mostMemory is what the agent takes at most, in kB.
const mostMemory = 64 << 10

// A day on a host where containers come and go, in a few minutes: the totals are those of the clients and of the kernel,
// no counter ever goes down, and nothing grows. There is room for a third of the destinations: the others are summed up.
func TestADayOfTheAgent(t *testing.T) {
	testnet.RequireTracing(t)
	hours := 3
	if *soak > 0 {
		hours = 24
		aside(t)
	}
	config := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(config, []byte("window: 10s\ntrigger: exhausted>0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, "--config", config, "--keep", "10s", "--after", "1s", "--destinations", fmt.Sprint(hours), "--filter", "comm~^day-", "--ring", "8M")
	var d day
	for hour := range hours {
		t.Run(fmt.Sprint(hour), func(t *testing.T) { d.hour(t, a, hour) })
		d.agree(t, a)
		a.signal(t, syscall.SIGHUP)
		t.Logf("hour %d: %+v, %+v", hour, d.client, d.scale[hour])
	}
	if *soak > 0 {
		d.flat(t)
	}
	a.stop(t)
}

// aside keeps the first process off the CPUs of the day's traffic: some vendors' kernels hide from BPF what happens while
// one of its threads is current.
func aside(t *testing.T) {
	tasks, err := filepath.Glob("/proc/1/task/*")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("tasks of the first process: %q, %v", tasks, err)
	}
	var first unix.CPUSet
	first.Set(0)
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		var before unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &before); err != nil {
			continue // it has ended
		}
		if err := unix.SchedSetaffinity(tid, &first); err != nil {
			t.Logf("the first process stays where it is: %v", err)
			return
		}
		t.Cleanup(func() { _ = unix.SchedSetaffinity(tid, &before) })
	}
}

// day is what has happened.
type day struct {
	client struct{ opened, refused, without float64 } // as the clients counted
	kernel float64                                    // TcpActiveOpens
	seen   map[string]float64                         // every counter, lately
	scale  []weight                                   // of the hours
}

// weight is what the agent takes, the most in an hour.
type weight struct {
	kB, anonymous, files, threads int
}

// hour is a container with a server, clients that call it, and one that finds no port.
func (d *day) hour(t *testing.T, a *daemonized, hour int) {
	t.Helper()
	ns := testnet.New(t)
	set(t, ns, map[string]string{"tcp_tw_reuse": "1"})
	ns.Do(t, func() {
		var others unix.CPUSet
		testnet.Must(unix.SchedGetaffinity(0, &others))
		if others.Clear(0); *soak > 0 && others.Count() > 0 {
			testnet.Must(unix.SchedSetaffinity(0, &others)) // the children's, too
		}
	})
	s := serve(t, ns, fmt.Sprintf("day-server-%d", hour), testnet.Server)
	calls := hourCalls
	if *soak == 0 {
		calls = shortCalls
	}
	d.scale = append(d.scale, weight{})
	end := time.Now().Add(*soak / 24)
	for job := 0; job == 0 || time.Now().Before(end); job++ {
		s.calls(t, fmt.Sprintf("day-job-%d", hour), calls, hourRefused)
		d.client.opened += float64(calls)
		d.client.refused += hourRefused
		d.look(t, a)
	}
	d.exhaust(t, ns)
	ns.Do(t, func() { d.kernel += float64(testnet.ReadCounters()["TcpActiveOpens"]) })
}

func (d *day) exhaust(t *testing.T, ns *testnet.Namespace) {
	t.Helper()
	set(t, ns, map[string]string{"ip_local_port_range": fmt.Sprintf("61001 %d", 61000+hourPorts), "tcp_tw_reuse": "0"})
	at := netip.AddrPortFrom(testnet.Server2, 7000)
	keep(t, ns, "day-keeper", at)
	newCaller(t, ns, "day-without").call(t, hold, at, hourPorts+hourWithout, 0, hourPorts)
	d.client.opened += hourPorts
	d.client.without += hourWithout
}

// look asks as others do in an hour, and compares with what was answered before.
func (d *day) look(t *testing.T, a *daemonized) {
	t.Helper()
	now := a.metrics(t)
	for key, before := range d.seen {
		name, _, _ := strings.Cut(key, "{")
		if is, there := now[key]; strings.HasSuffix(name, "_total") && (!there || is < before) {
			t.Errorf("%s was %v and is %v (%v)", key, before, is, there)
		}
	}
	d.seen = now
	for _, path := range []string{"/report", "/report?format=json", "/readyz"} {
		if code, text := a.get(t, path); code != 200 {
			t.Fatalf("%s: %d %.200s", path, code, text)
		}
	}
	w := &d.scale[len(d.scale)-1]
	*w = w.most(a.weigh(t))
}

// weigh is what the agent takes now.
func (a *daemonized) weigh(t *testing.T) (w weight) {
	t.Helper()
	pid := a.cmd.Process.Pid
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	w.files = len(files)
	status := capabilitiesOf(t, pid)
	for name, to := range map[string]*int{"VmRSS": &w.kB, "RssAnon": &w.anonymous, "Threads": &w.threads} {
		number, _, _ := strings.Cut(status[name], " ")
		if *to, err = strconv.Atoi(number); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return w
}

// most is the larger of each.
func (w weight) most(o weight) weight {
	return weight{max(w.kB, o.kB), max(w.anonymous, o.anonymous), max(w.files, o.files), max(w.threads, o.threads)}
}

// agree waits until all is counted, and compares.
func (d *day) agree(t *testing.T, a *daemonized) {
	t.Helper()
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(50 * time.Millisecond) {
		wrong := d.differences(a.metrics(t))
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %s", strings.Join(wrong, ", "), a.stderr.String())
		}
	}
}

// differences are the totals that are not what they should be.
func (d *day) differences(metrics map[string]float64) (wrong []string) {
	sum := func(name, label string) (n float64) {
		for key, v := range metrics {
			if is, labels, _ := strings.Cut(key, "{"); is == "tcpstate_"+name && strings.Contains(labels, label) {
				n += v
			}
		}
		return n
	}
	c := &d.client
	for _, x := range []struct {
		name, label string
		want        float64
	}{
		{"connects_total", "", c.opened}, {"accepts_total", "", c.opened},
		{"connects_total", "", d.kernel - c.refused},
		{"closes_total", "destination=", c.opened},
		{"connect_failures_total", `error="ECONNREFUSED"`, c.refused},
		{"connect_failures_total", `error="EADDRNOTAVAIL"`, c.without},
		{"connect_failures_total", "", c.refused + c.without},
		{"port_exhaustions_total", "", c.without},
		{"open_connections", "", 0},
	} {
		if got := sum(x.name, x.label); got != x.want {
			wrong = append(wrong, fmt.Sprintf("%s{%s} is %v, want %v", x.name, x.label, got, x.want))
		}
	}
	if *soak > 0 && metrics["tcpstate_totals_exact"] != 1 { // else other tests' traffic is traced, too
		wrong = append(wrong, "totals are not exact")
	}
	for key, n := range metrics {
		if len(wrong) > 0 && n > 0 && strings.HasPrefix(key, "tcpstate_lost_total{") {
			wrong = append(wrong, fmt.Sprintf("%s is %v", key, n))
		}
	}
	return wrong
}

// flat compares the end of the day with its morning.
func (d *day) flat(t *testing.T) {
	t.Helper()
	most := func(hours []weight) (w weight) {
		for _, h := range hours {
			w = w.most(h)
		}
		return w
	}
	morning, night := most(d.scale[2:8]), most(d.scale[18:])
	if night.files > morning.files+2 || night.threads > morning.threads+4 {
		t.Errorf("descriptors and threads grew: %+v, in the morning %+v", night, morning)
	}
	if night.kB > morning.kB+morning.kB/10 || night.kB > mostMemory {
		t.Errorf("memory is %d kB, in the morning %d; %d at most", night.kB, morning.kB, mostMemory)
	}
}
