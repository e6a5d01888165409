package tracer_test

import (
	"context"
	"net/netip"
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
	tr, err := tracer.Open(o)
	if err != nil {
		tb.Fatalf("open tracer: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.tracer, t.cancel = tr, cancel
	go func() { t.done <- tr.Run(ctx, emit) }()
	tb.Cleanup(func() {
		t.stop(tb)
		if err := tr.Close(); err != nil {
			tb.Errorf("close tracer: %v", err)
		}
	})
}

func (t *trace) emit(e *event.Event) {
	t.mu.Lock()
	r := t.recorders[e.Netns]
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
	ns *testnet.Namespace

	mu       sync.Mutex
	events   []event.Event
	taken    int // how many of events collect has returned
	seen     int // marks that came back
	made     int // marks made
	patience time.Duration
}

// watch starts to keep ns's events.
func (t *trace) watch(ns *testnet.Namespace) *recorder {
	r := &recorder{trace: t, ns: ns, patience: testnet.Patience}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recorders[ns.Inode()] = r
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
	r.events = append(r.events, *e)
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
