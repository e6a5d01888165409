package tracer_test

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// The tail of a trace is as complete as its middle, and what is still open then is reported with its figures so far.
func TestStopLosesNothingAndReportsWhatIsOpen(t *testing.T) {
	r := startTrace(t, tracer.Options{}).watch(testnet.New(t))
	const attempts = 3000
	s := &scene{r: r}
	var l *link
	r.ns.Do(t, func() {
		l = s.link()
		l.c.Write("abc")
		l.d.Read(3)
		refuse(r, attempts)
	})
	events := r.all(t)
	r.ns.Do(t, func() {
		l.c.Abort()
		l.d.Close()
	})
	if n := count(events, ofKind(event.ConnectFailed)); n != attempts || len(events) != n+4 {
		t.Errorf("%d failures in %d events, want %d and 4 others", n, len(events), attempts)
	}
	ends := map[event.Direction]end{event.Outbound: l.out.moved(3, 0), event.Inbound: l.in.moved(0, 3)}
	for _, e := range events {
		if e.Kind != event.Open {
			continue
		}
		w, ok := ends[e.Direction]
		delete(ends, e.Direction)
		if !ok || e.Local != w.local || e.Remote != w.remote || e.Owner.PID != w.owner.pid || !e.Counted ||
			e.SentBytes != w.sent || e.ReceivedBytes != w.received || e.Idle < 0 || e.Lifetime < 0 || e.Preexisting {
			t.Errorf("open connection %+v", e)
		}
	}
	if len(ends) != 0 {
		t.Errorf("open connections missing: %v", ends)
	}
}

// More open connections than fit the kernel's buffer at once, and connects that nobody answers: each is told once.
func TestStopTellsAllThatIsOpenOrBeingOpened(t *testing.T) {
	const links, attempts = 300, 20
	r := startTrace(t, tracer.Options{}).watch(testnet.New(t))
	var s *scene
	var held []*link
	r.ns.Do(t, func() {
		s = newScene(r)
		l := s.listen(s.server())
		for range links {
			held = append(held, s.linkVia(l))
		}
		for range attempts {
			s.keep(testnet.NewSocket(testnet.PeerAddr)).StartConnect(netip.AddrPortFrom(testnet.PeerAddr, 81))
		}
	})
	told := map[event.State]map[[2]netip.AddrPort]int{event.Established: {}, event.SynSent: {}}
	for _, e := range r.all(t) {
		if e.Kind == event.Open {
			told[e.NewState][[2]netip.AddrPort{e.Local, e.Remote}]++
		}
	}
	r.ns.Do(t, func() {
		for _, l := range held {
			l.c.Abort()
			l.d.Close()
		}
		s.end()
	})
	if n := len(told[event.Established]); n != 2*links {
		t.Errorf("%d ends of open connections, want %d", n, 2*links)
	}
	if n := len(told[event.SynSent]); n != attempts {
		t.Errorf("%d connects under way, want %d", n, attempts)
	}
	for state, ends := range told {
		for at, n := range ends {
			if n != 1 {
				t.Errorf("%s %v told %d times", state, at, n)
			}
		}
	}
	if loss := r.losses(t); loss.Unseen != 0 {
		t.Errorf("losses %+v", loss)
	}
}

// refuse makes so many refused connects.
func refuse(r *recorder, attempts int) {
	s := newScene(r)
	defer s.end()
	nobody := s.server()
	for range attempts {
		c := testnet.NewSocket(nobody.Addr())
		expect(c.Connect(nobody), unix.ECONNREFUSED)
		c.Close()
	}
}

// A connection and a listener that are older than the trace: nobody saw who opened them, and events say so.
func TestWhatIsOlderThanTheTrace(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := &scene{}
	var old *link
	var l *testnet.Socket
	ns.Do(t, func() {
		l = s.listen(s.server())
		old = s.linkVia(l)
		old.c.Write("abc")
		old.d.Read(3)
	})
	r := startTrace(t, tracer.Options{}).watch(ns)
	s.r = r
	r.mark(t) // the census is over
	var young *link
	ns.Do(t, func() {
		old.c.Write("de")
		old.d.Read(2)
		s.closeClient(old)
		old.d.Close()
		young = s.linkVia(l)
		s.closeClient(young)
		young.d.Close()
		l.Close()
	})
	r.stopAndCompare(t)
	got := map[event.Kind]int{}
	for i := range r.events {
		e := &r.events[i]
		got[e.Kind]++
		ofOld := e.Local.Port() == old.out.local.Port() || e.Remote.Port() == old.out.local.Port()
		began := ofOld && e.Kind != event.Open // its TIME_WAIT did not
		switch {
		case e.Preexisting != began || e.InCensus != began || (e.DirectionBasis == event.Inferred) != ofOld:
			t.Errorf("older than the trace: %t, but %+v", ofOld, *e)
		case ofOld && (e.Lifetime != event.Unknown || e.Owner.PID != uint32(os.Getpid()) || e.Owner.Basis != event.OwnerHolder):
			t.Errorf("%s: nobody saw it begin, and this process held it", observe(e, want{}))
		case e.Kind == event.Existing && e.NewState != event.Established:
			t.Errorf("%s: it was established", observe(e, want{}))
		case !ofOld && e.Direction == event.Inbound && (e.Owner.Basis == event.OwnerListener || e.Owner.Basis == event.OwnerConnect):
			t.Errorf("%s: nobody saw the listener", observe(e, want{}))
		}
	}
	events := r.events
	wants := map[event.Kind]int{
		event.Existing: 2, event.Connect: 1, event.Accept: 1, event.TimeWait: 2, event.Close: 2, event.Open: 2,
	}
	if !maps.Equal(got, wants) {
		t.Errorf("%v, want %v", got, wants)
	}
	closer := slices.IndexFunc(events, func(e event.Event) bool {
		return e.Kind == event.Close && e.Remote == young.out.local
	})
	if closer < 0 || events[closer].Owner.PID != uint32(os.Getpid()) || events[closer].Owner.Basis != event.OwnerCloser {
		t.Errorf("the closer of an inbound connection is not its owner: %+v", events)
	}
	ended := slices.IndexFunc(events, func(e event.Event) bool { return e.Kind == event.Close && e.Remote == old.out.local })
	if ended < 0 || events[ended].SentBytes != 0 || events[ended].ReceivedBytes != 5 {
		t.Errorf("payload of the old inbound connection: %+v", events)
	}
}

// Attempts that were under way when tracing began end with their reasons, if not with their owners.
func TestAttemptsOlderThanTheTrace(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	s := &scene{}
	var refused, canceled, opened *testnet.Socket
	var refuser, opener *testnet.PeerConn
	ns.Do(t, func() {
		s.peer = testnet.NewPeer()
		refused, refuser, _ = s.toPeer()
		canceled, _, _ = s.toPeer()
		opened, opener, _ = s.toPeer()
	})
	r := startTrace(t, tracer.Options{}).watch(ns)
	r.mark(t) // it is known who holds them
	ns.Do(t, func() {
		defer s.end()
		refuser.Refuse()
		expect(refused.ConnectResult(), unix.ECONNREFUSED)
		canceled.Close()
		opener.Establish()
		testnet.Must(opened.ConnectResult())
		opened.Abort()
	})
	got := map[netip.AddrPort][]event.Event{}
	for _, e := range r.collect(t, 4) {
		got[e.Remote] = append(got[e.Remote], e)
		if e.Direction != event.Outbound || e.ConnectTime >= 0 || e.Owner.PID != uint32(os.Getpid()) || e.Owner.Basis != event.OwnerHolder {
			t.Errorf("%s: %+v", observe(&e, want{}), e)
		}
	}
	is := func(s *testnet.Socket, i int, kind event.Kind, err event.Error) {
		t.Helper()
		if es := got[s.Remote]; len(es) <= i || es[i].Kind != kind || es[i].Error != err || es[i].Local != s.Local {
			t.Errorf("event %d toward %s is not %s %q: %+v", i, s.Remote, kind, err, es)
		}
	}
	is(refused, 0, event.ConnectFailed, event.Error(unix.ECONNREFUSED))
	is(canceled, 0, event.ConnectFailed, event.Canceled)
	is(opened, 0, event.Connect, 0)
	is(opened, 1, event.Close, 0)
}

// A ring that is full costs details, never totals.
func TestRingTooSmallKeepsTotals(t *testing.T) {
	testnet.RequireTracing(t)
	const attempts, links = 2000, 50
	ns := testnet.New(t)
	tr := &trace{done: make(chan error, 1), recorders: map[uint32]*recorder{}}
	r := tr.watch(ns)
	gate := make(chan struct{})
	var open bool
	tr.run(t, tracer.Options{RingBytes: os.Getpagesize()}, func(e *event.Event) {
		if !open {
			<-gate
			open = true
		}
		tr.emit(e)
	})
	ns.Do(t, func() {
		refuse(r, attempts)
		s := newScene(r)
		defer s.end()
		l := s.listen(s.server())
		for range links {
			k := s.linkVia(l)
			k.c.Write("12345")
			k.d.Read(5)
			k.abort()
		}
	})
	close(gate)
	events := r.all(t)
	total := map[event.Kind]uint64{}
	var lost, sent, received uint64
	for i := range events {
		e := &events[i]
		n, kind := uint64(1), e.Kind
		if kind == event.Lost {
			n, kind = e.Count, e.Of
			lost += n
		}
		total[kind] += n
		if kind == event.Close {
			sent += e.SentBytes
			received += e.ReceivedBytes
		}
	}
	if lost == 0 {
		t.Error("nothing was lost: the ring is not small enough for this test")
	}
	want := map[event.Kind]uint64{
		event.ConnectFailed: attempts, event.Connect: links, event.Accept: links, event.Close: 2 * links,
	}
	for kind, n := range want {
		if total[kind] != n {
			t.Errorf("%d %s events and losses, want %d", total[kind], kind, n)
		}
	}
	if len(total) != len(want) {
		t.Errorf("kinds %v", total)
	}
	if sent != 5*links || received != 5*links {
		t.Errorf("%d bytes sent and %d received, want %d each", sent, received, 5*links)
	}
	loss := tr.losses(t)
	if loss.RingFull < lost || !loss.TotalsExact() {
		t.Errorf("losses %+v, %d in the namespace", loss, lost)
	}
}

func TestTwoTracersSeeTheSame(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	a, b := startTrace(t, tracer.Options{}).watch(ns), startTrace(t, tracer.Options{}).watch(ns)
	var wants []want
	ns.Do(t, func() {
		s := newScene(a)
		defer s.end()
		k := s.link()
		s.closeClient(k)
		k.d.Close()
		to := s.server()
		expect(s.socket().Connect(to), unix.ECONNREFUSED)
		wants = append(k.closedByClient(), attempt(to).refused())
	})
	compare(t, wants, a.collect(t, len(wants)))
	// The first one's end is not the second one's.
	a.stop(t)
	compare(t, wants, b.collect(t, len(wants)))
	play(t, b, func(s *scene) []want { return s.link().abort() })
}

// The owner's cgroup is that of the process that connected, and survives it.
func testCgroup(t *testing.T, tr *trace) {
	r := tr.watch(testnet.New(t))
	root := t.TempDir()
	if err := unix.Mount("none", root, "cgroup2", 0, ""); err != nil {
		testnet.Lacks(t, "cgroup2", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	dir := filepath.Join(root, "tcpstate-test")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	var l netip.AddrPort
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		server := s.listen(s.server())
		l = server.Local
		kid := testnet.StartChild("cgroup", []string{dir, l.String()})
		d := s.keep(server.Accept())
		kid.Line()
		kid.Release()
		d.ReadEnd()
		d.Close()
	})
	seen := 0
	for _, e := range r.collect(t, 4) {
		if e.Remote != l {
			continue
		}
		seen++
		if e.Owner.CgroupID != st.Ino {
			t.Errorf("%s: cgroup %d, want %d", observe(&e, want{}), e.Owner.CgroupID, st.Ino)
		}
	}
	if seen != 2 {
		t.Errorf("%d outbound events", seen)
	}
}

// What a hostile process name becomes when it is shown.
func TestHostileCommIsPrintable(t *testing.T) {
	var c event.Comm
	copy(c[:], hostileComm)
	if s := c.String(); strings.ContainsAny(s, "\x1b\r\n\u202e") || !utf8.ValidString(s) {
		t.Errorf("%q", s)
	}
}
