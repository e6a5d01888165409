package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// childEcho NAME ADDRESS: gives back what it is sent, on any number of connections.
func childEcho(args []string) {
	testnet.SetComm(args[0])
	l := testnet.Must1(net.Listen("tcp4", args[1]))
	fmt.Println("listening")
	for {
		go answers(testnet.Must1(l.Accept()))
	}
}

// childAsker NAME TO CONNECTIONS PAUSE: on each of so many connections it asks again and again, with pauses; 0: on a new
// connection each time. When it is told to, it closes them all and prints how many questions there were.
func childAsker(args []string) {
	testnet.SetComm(args[0])
	to, pause := args[1], testnet.Must1(time.ParseDuration(args[3]))
	var pool []net.Conn
	for range testnet.Must1(strconv.Atoi(args[2])) {
		pool = append(pool, testnet.Must1(net.Dial("tcp4", to)))
	}
	var stop atomic.Bool
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		stop.Store(true)
	}()
	fmt.Println("begun")
	asked := 0
	for b := make([]byte, 16); !stop.Load(); time.Sleep(pause) {
		all := pool
		if len(pool) == 0 {
			all = []net.Conn{testnet.Must1(net.Dial("tcp4", to))}
		}
		for _, c := range all {
			testnet.Must1(c.Write([]byte("question")))
			testnet.Must1(c.Read(b))
			asked++
		}
		if len(pool) == 0 {
			testnet.Must(all[0].Close())
		}
	}
	for _, c := range pool {
		testnet.Must(c.Close())
	}
	fmt.Println(asked)
}

// echo starts a server that gives back what it is sent, until the test ends.
func echo(tb testing.TB, ns *testnet.Namespace) {
	tb.Helper()
	ns.Do(tb, func() {
		c := testnet.StartChild("echo", []string{"server", one.String()})
		c.Line()
		tb.Cleanup(func() { ns.Do(tb, c.Kill) })
	})
}

// asker is such a child.
type asker struct {
	ns    *testnet.Namespace
	child *testnet.Child
	name  string
}

func newAsker(tb testing.TB, ns *testnet.Namespace, name string, connections int, pause time.Duration) *asker {
	tb.Helper()
	a := &asker{ns: ns, name: name}
	ns.Do(tb, func() {
		a.child = testnet.StartChild("asker", []string{name, one.String(), strconv.Itoa(connections), pause.String()})
		a.child.Line()
	})
	tb.Cleanup(func() { ns.Do(tb, a.child.Kill) })
	return a
}

// stop ends it, and returns how many questions it asked.
func (a *asker) stop(tb testing.TB) (asked int) {
	tb.Helper()
	a.ns.Do(tb, func() {
		a.child.Say("stop")
		asked = testnet.Must1(strconv.Atoi(a.child.Line()))
	})
	return asked
}

// verdicts are the agent's by service.
func (a *daemonized) verdicts(tb testing.TB) map[string]string {
	tb.Helper()
	found := make(map[string]string)
	for key := range a.metrics(tb) {
		if labels, ok := strings.CutPrefix(key, "tcpstate_verdict_info{"); ok {
			found[label(labels, "service")] = label(labels, "verdict")
		}
	}
	return found
}

// label is the value of one of the labels of a metric.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+"=\"")
	value, _, _ := strings.Cut(rest, "\"")
	return value
}

// viewed are the verdicts of services in the last lines of a view.
func viewed(lines string, services map[string]string) map[string]string {
	found := make(map[string]string)
	for line := range strings.Lines(lines) {
		for name := range services {
			if strings.Contains(line, " service="+name+" ") && strings.Contains(line, "direction=outbound") {
				_, rest, _ := strings.Cut(line, "verdict=")
				found[name] = strings.Fields(rest)[0]
			}
		}
	}
	return found
}

func untilSame(tb testing.TB, who string, want map[string]string, get func() map[string]string) {
	tb.Helper()
	for end := time.Now().Add(testnet.Patience); ; time.Sleep(200 * time.Millisecond) {
		got := get()
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("%s says %v, want %v", who, got, want)
		}
	}
}

// Pools that stay open are told from programs without one while they are at work, by the agent, by the view, and by a
// report that ends now, and all of them say the same. What was told of them in between is in no total twice.
func TestPoolsThatStayOpenAreJudged(t *testing.T) {
	ns := testnet.New(t)
	echo(t, ns)
	early := newAsker(t, ns, "early", 3, 10*time.Millisecond) // opened its connections before anybody looked
	a := startAgent(t, "--netns", of(ns))
	both := traceAll(t, []string{"top", "--netns", of(ns), "--delay", "500ms"}, []string{"report", "--netns", of(ns), "-o", "json"})
	askers := []*asker{early, newAsker(t, ns, "pooled", 4, 10*time.Millisecond), newAsker(t, ns, "unpooled", 0, 10*time.Millisecond)}
	want := map[string]string{"early": "pooled", "pooled": "pooled", "unpooled": "unpooled"}

	untilSame(t, "the agent", want, func() map[string]string { return a.verdicts(t) })
	untilSame(t, "top", want, func() map[string]string { return viewed(both[0].stdout.String(), want) })
	stopAll(t, both)
	d := both[1].document(t)
	for name, verdict := range want {
		agrees(t, "the report of "+name, owned(t, d, "outbound", name), map[string]string{"verdict.name": verdict})
	}

	for _, x := range askers[1:] {
		n := float64(x.stop(t) * len("question"))
		a.until(t, labelled("sent_bytes_total", x.name, one), n)
		a.agree(t, map[string]float64{labelled("received_bytes_total", x.name, one): n, labelled("open_connections", x.name, one): 0})
	}
	n := float64(early.stop(t) * len("question"))
	a.until(t, labelled("open_connections", "early", one), 0)
	if sent := a.metrics(t)[labelled("sent_bytes_total", "early", one)]; sent <= 0 || sent >= n {
		t.Errorf("%v bytes were sent since tracing began, want fewer than all %v", sent, n)
	}
	a.stop(t)
}

// The segments of a recording that goes on tell of pools, too; and when it has ended, nothing is in a total twice.
func TestSegmentsTellOfPoolsThatStayOpen(t *testing.T) {
	ns := testnet.New(t)
	echo(t, ns)
	dir := t.TempDir()
	p := trace(t, "record", "-w", dir, "--rotate-every", "1s", "--netns", of(ns))
	askers := []*asker{newAsker(t, ns, "pooled", 4, 10*time.Millisecond), newAsker(t, ns, "unpooled", 0, 10*time.Millisecond)}
	time.Sleep(7 * time.Second)
	d := documentOf(t, replayed(t, "report", "-r", dir, "-o", "json"))
	for _, x := range askers {
		agrees(t, x.name, owned(t, d, "outbound", x.name), map[string]string{"verdict.name": x.name})
	}
	sent := []string{fmt.Sprint(askers[0].stop(t) * len("question")), fmt.Sprint(askers[1].stop(t) * len("question"))}
	time.Sleep(1500 * time.Millisecond)
	p.stop(t)
	d = documentOf(t, replayed(t, "report", "-r", dir, "-o", "json"))
	for i, x := range askers {
		agrees(t, x.name, owned(t, d, "outbound", x.name), map[string]string{"verdict.name": x.name, "sent_bytes": sent[i], "open.now": "0"})
	}
}

// Rounds take a bounded part of a CPU, and are made where something is open.
func TestHowOftenOpenConnectionsAreTold(t *testing.T) {
	now := time.Unix(1000, 0)
	r := rounds{failed: func(error) {}, every: 30 * time.Second}
	after := func(d time.Duration, want bool) {
		t.Helper()
		now = now.Add(d)
		if got := r.due(now); got != want {
			t.Errorf("due %v later: %v, want %v", d, got, want)
		}
	}
	r.see(&event.Event{Kind: event.Existing, NewState: event.TimeWaitState})
	after(0, false)
	after(firstRound, false) // nothing is open
	r.see(&event.Event{Kind: event.Connect})
	after(0, true)
	r.over(&tracer.Round{Told: 1, Took: 2 * time.Millisecond}, now)
	after(roundEvery-1, false)
	after(1, true)
	r.over(&tracer.Round{Told: 1, Took: 2 * time.Millisecond}, now)
	after(roundEvery, true)
	r.over(&tracer.Round{Told: 1, Took: 2 * time.Millisecond}, now)
	after(r.every-1, false) // not among the first
	after(1, true)
	r.over(&tracer.Round{Told: 100_000, Took: 300 * time.Millisecond}, now)
	after(199*time.Second, false)
	after(2*time.Second, true)
	r.over(&tracer.Round{}, now)
	after(roundAnyway-1, false)
	after(1, true)
	never := rounds{}
	never.see(&event.Event{Kind: event.Connect})
	if never.due(now) || never.due(now.Add(time.Hour)) {
		t.Error("a stream that was not asked to tells of what is open")
	}
}
