package tracer_test

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// trace is a running tracer. It sees the whole host; each namespace of interest has a recorder.
type trace struct {
	tracer *tracer.Tracer
	cancel context.CancelFunc
	done   chan error

	mu        sync.Mutex
	recorders map[uint32]*recorder // by the namespace's inode
	early     []event.Event        // what existed in namespaces that are not watched yet: the census comes at once
	spaces    []*os.File           // keep the namespaces, so that none takes another's number
	check     tracer.TimeWaitCheck // the last one while running
	tier      string               // what TimeWaitTier said then
}

// keepCheck is called between two events, the only moment at which a running tracer can be asked.
func (t *trace) keepCheck(tr *tracer.Tracer) {
	check, err := tr.TimeWaitCheck()
	if err != nil {
		return // the end of the test asks again
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.check, t.tier = check, tr.TimeWaitTier()
}

// lastCheck returns the last comparison with the kernel's own counts, of a running tracer.
func (t *trace) lastCheck() tracer.TimeWaitCheck {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.check
}

// startTrace starts a tracer that stops with the test, or at stop.
func startTrace(tb testing.TB, o tracer.Options) *trace {
	tb.Helper()
	t := &trace{done: make(chan error, 1), recorders: map[uint32]*recorder{}}
	t.run(tb, o, t.emit)
	return t
}

// run starts the tracer with emit in place of the trace's own.
func (t *trace) run(tb testing.TB, o tracer.Options, emit func(*event.Event)) {
	tb.Helper()
	testnet.RequireTracing(tb)
	o.Tick = 20 * time.Millisecond // scenarios wait for their events
	var tr *tracer.Tracer
	o.Drained = func() { t.keepCheck(tr) }
	tr, err := tracer.Open(o)
	if err != nil {
		tb.Fatalf("open tracer: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.tracer, t.cancel = tr, cancel
	go func() { t.done <- tr.Run(ctx, emit) }()
	tb.Cleanup(func() {
		t.stop(tb)
		for _, f := range t.spaces {
			_ = f.Close()
		}
		if err := tr.Close(); err != nil {
			tb.Errorf("close tracer: %v", err)
		}
	})
}

func (t *trace) emit(e *event.Event) {
	t.mu.Lock()
	r := t.recorders[e.Netns]
	if r == nil && e.Kind == event.Existing && len(t.early) < mostEarly {
		t.early = append(t.early, *e)
	}
	t.mu.Unlock()
	if r != nil {
		r.emit(e)
	}
}

// stop ends the trace, after which everything has been emitted.
func (t *trace) stop(tb testing.TB) {
	tb.Helper()
	if t.cancel == nil {
		return
	}
	t.cancel()
	t.cancel = nil
	if err := <-t.done; err != nil {
		tb.Errorf("run tracer: %v", err)
	}
}

// losses are the tracer's losses. Rescued transitions are none, but are logged.
func (t *trace) losses(tb testing.TB) tracer.Loss {
	tb.Helper()
	loss, err := t.tracer.Loss()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d transitions were handled by further copies of the program", loss.Rescued)
	loss.Rescued = 0
	return loss
}

// recorder keeps the events of one namespace.
type recorder struct {
	*trace
	ns    *testnet.Namespace
	space *os.File // keeps it while the trace runs

	mu       sync.Mutex
	events   []event.Event
	held     timeWaits // in TIME_WAIT, by the events so far
	expired  int       // TIME_WAITs that ended after their minute, no part of any scenario
	taken    int       // how many of events collect has returned
	seen     int       // marks that came back
	made     int       // marks made
	patience time.Duration
}

// mostEarly bounds what is kept before a namespace is watched.
const mostEarly = 100_000

// watch starts to keep ns's events.
func (t *trace) watch(ns *testnet.Namespace) *recorder {
	r := &recorder{trace: t, ns: ns, patience: testnet.Patience, held: timeWaits{}}
	t.mu.Lock()
	for i := range t.early {
		if e := &t.early[i]; e.Netns == ns.Inode() && e.UnixNano >= ns.Born().UnixNano() {
			r.emit(e)
		}
	}
	t.recorders[ns.Inode()] = r
	t.mu.Unlock()
	var err error
	if r.space, err = ns.Hold(); err != nil {
		panic(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaces = append(t.spaces, r.space)
	return r
}

// markAddr refuses connections: a refused connect to it is the recorder's mark, seen only after all that came before.
var markAddr = netip.AddrPortFrom(testnet.Server2, 9)

func (r *recorder) emit(e *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Remote == markAddr {
		r.seen++
		return
	}
	if aged := r.held.count(e); aged {
		r.expired++
		return
	}
	r.events = append(r.events, *e)
}

// heldNow returns what is in TIME_WAIT by the events so far.
func (r *recorder) heldNow() timeWaits {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.held)
}

// ends are both ends of a connection.
type ends struct{ local, remote netip.AddrPort }

// timeWaits are the TIME_WAITs that are held, by their beginnings and ends. Of the same ends there can be two for a
// moment: when the end of the first is told after the beginning of the second.
type timeWaits map[ends]timeWait

type timeWait struct {
	held  int   // below 0: more ends than beginnings
	begun int64 // the last one
}

// minute is TCP_TIMEWAIT_LEN, less what clocks may differ.
const minute = 59 * time.Second

// count counts e. It reports whether e is the end of a TIME_WAIT that had lasted its minute.
func (t timeWaits) count(e *event.Event) (aged bool) {
	k := ends{e.Local, e.Remote}
	w := t[k]
	switch {
	case e.Kind == event.TimeWait, e.Kind == event.Existing && e.NewState == event.TimeWaitState:
		w.held++
		w.begun = e.UnixNano
	case e.Kind == event.TimeWaitEnd:
		aged = w.held == 1 && !e.InCensus && e.UnixNano-w.begun > minute.Nanoseconds()
		w.held--
	default:
		return false
	}
	if t[k] = w; w.held == 0 {
		delete(t, k)
	}
	return aged
}

// sum is how many are held.
func (t timeWaits) sum() (n int) {
	for _, w := range t {
		n += w.held
	}
	return n
}

// mark makes a mark and waits for it: whatever the kernel recorded before is then in events.
func (r *recorder) mark(tb testing.TB) {
	tb.Helper()
	r.made++
	r.ns.Do(tb, func() {
		s := testnet.NewSocket(markAddr.Addr())
		if s.Connect(markAddr) == nil {
			testnet.Fail("the mark's port accepts connections")
		}
		s.Close()
	})
	if !r.wait(func() bool { return r.seen >= r.made }) {
		tb.Errorf("mark %d was not seen within %s", r.made, r.patience)
	}
}

// collect returns the events since the last collect, of which there should be n. It waits for these, for the kernel's
// timers and other CPU may not be done, and then for a mark, behind which there can be nothing more of theirs.
func (r *recorder) collect(tb testing.TB, n int) []event.Event {
	tb.Helper()
	r.wait(func() bool { return len(r.events)-r.taken >= n })
	r.mark(tb)
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.events[r.taken:len(r.events):len(r.events)]
	r.taken = len(r.events)
	return got
}

// pending is how many of the events that collect has not returned yet f is true for.
func (r *recorder) pending(f func(*event.Event) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return count(r.events[r.taken:], f)
}

// wait says whether cond came true. Once something did not, a test has failed already and the rest need not wait long.
func (r *recorder) wait(cond func() bool) bool {
	for end := time.Now().Add(r.patience); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		ok := cond()
		r.mu.Unlock()
		if ok {
			return true
		}
		if time.Now().After(end) {
			r.patience = time.Second
			return false
		}
	}
}

// all stops the trace and returns every event of the namespace, marks left out.
func (r *recorder) all(tb testing.TB) []event.Event {
	tb.Helper()
	r.stop(tb)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

// agrees reports whether a comparison with the kernel's count agreed in this namespace. Others are at work in others.
func (r *recorder) agrees(c tracer.TimeWaitCheck) bool {
	for _, n := range c.Namespaces {
		if n.Netns == r.ns.Inode() && n.Kernel >= 0 && n.Ours != n.Kernel {
			return false
		}
	}
	return c.Known
}

// timeWaitsByKernel are the namespace's timewait sockets as the kernel lists them.
func (r *recorder) timeWaitsByKernel(tb testing.TB) map[ends]event.State {
	tb.Helper()
	found := map[ends]event.State{}
	r.ns.Do(tb, func() {
		for _, w := range testnet.ReadTimewaits() {
			found[ends{w.Local, w.Remote}] = w.Substate
		}
	})
	return found
}

// stopAndCompare stops the trace, in a namespace at rest. It fails the test unless exactly the timewait sockets that the
// kernel lists are told as held, each once and as it is, and the events give as many.
func (r *recorder) stopAndCompare(tb testing.TB) {
	tb.Helper()
	before := r.timeWaitsByKernel(tb)
	events := r.all(tb)
	after := r.timeWaitsByKernel(tb)
	told := map[ends]bool{}
	for i := range events {
		e := &events[i]
		if e.Kind != event.Open || e.NewState != event.TimeWaitState {
			continue
		}
		k := ends{e.Local, e.Remote}
		if _, ok := before[k]; !ok || told[k] {
			tb.Errorf("told twice, or never there: %s", observe(e, want{}))
		}
		told[k] = true
		if substate, ok := after[k]; ok && (substate != before[k] || substate != e.Substate) {
			tb.Errorf("substate %s by the kernel: %s", substate, observe(e, want{}))
		}
		if e.Remaining < 0 || e.Remaining > minute+5*time.Second {
			tb.Errorf("%s left: %s", e.Remaining, observe(e, want{}))
		}
		if byEvents := r.held[k]; byEvents.held != 1 {
			tb.Errorf("held %d times by the events: %s", byEvents.held, observe(e, want{}))
		}
	}
	missing := 0
	for k, substate := range after {
		if !told[k] {
			if missing++; missing <= 10 {
				tb.Errorf("not told as held: %s > %s %s", k.local, k.remote, substate)
			}
		}
	}
	// What ended in between, by its timer, can be in one and not in the other.
	if n := r.held.sum(); n != len(told) && len(before) == len(after) {
		tb.Errorf("%d TIME_WAITs held by the events, %d told at the end, %d by the kernel", n, len(told), len(after))
	}
	check, err := r.tracer.TimeWaitCheck()
	if err != nil {
		tb.Fatal(err)
	}
	// By census, what ends between it and the comparison is not known.
	if !r.agrees(check) && r.tracer.TimeWaitTierNumber() != 3 {
		tb.Errorf("the last comparison with the kernel's count: %+v", check)
	}
}
