package tracer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// nowhere and nowhere6 have no route; notOurs and notOurs6 are no addresses of the namespace.
var (
	nowhere  = netip.MustParseAddrPort("10.77.0.9:80")
	nowhere6 = netip.MustParseAddrPort("[2001:db8::9]:80")
	notOurs  = netip.MustParseAddr("203.0.113.9")
	notOurs6 = netip.MustParseAddr("2001:db8::1")
)

// syscallScenarios are calls that fail without a change of state, and those that look like it.
var syscallScenarios = []scenario{
	{name: "bind() until no port is left", run: func(s *scene) []want {
		return s.bindUntilExhausted(testnet.Client)
	}},
	{name: "bind() until no port is left, IPv6", lacks: ipv6Lacks, run: func(s *scene) []want {
		return s.bindUntilExhausted(testnet.Server6)
	}},
	{name: "bind() without an address until no port is left", run: func(s *scene) []want {
		return s.bindUntilExhausted(netip.IPv4Unspecified())
	}},
	{name: "bind() to a taken port", run: func(s *scene) []want {
		l := s.listen(s.server())
		expect(s.socket().TryBind(l.Local), unix.EADDRINUSE)
		return []want{bindFailed(l.Local, unix.EADDRINUSE, event.PortTaken)}
	}},
	{name: "bind() to an address of somebody else", run: func(s *scene) []want {
		a, b := addrPort(notOurs, 0), addrPort(notOurs, s.port())
		expect(s.socket().TryBind(a), unix.EADDRNOTAVAIL)
		expect(s.socket().TryBind(b), unix.EADDRNOTAVAIL)
		return []want{bindFailed(a, unix.EADDRNOTAVAIL, event.NotLocal), bindFailed(b, unix.EADDRNOTAVAIL, event.NotLocal)}
	}},
	{name: "bind() to an address of somebody else, IPv6", lacks: ipv6Lacks, run: func(s *scene) []want {
		at := addrPort(notOurs6, 0)
		expect(s.socket6().TryBind(at), unix.EADDRNOTAVAIL)
		return []want{bindFailed(at, unix.EADDRNOTAVAIL, event.NotLocal)}
	}},
	{name: "no route", run: func(s *scene) []want {
		expect(s.socket().Connect(nowhere), unix.ENETUNREACH)
		return []want{refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)}
	}},
	{name: "no route, without waiting", run: func(s *scene) []want {
		c := s.socket()
		testnet.Must(unix.SetNonblock(c.FD(), true))
		expect(c.Connect(nowhere), unix.ENETUNREACH)
		return []want{refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)}
	}},
	{name: "no route for a socket that is bound", run: func(s *scene) []want {
		c, at := s.socket(), addrPort(testnet.Client, s.port())
		c.Bind(at)
		expect(c.Connect(nowhere), unix.ENETUNREACH)
		w := refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)
		w.local = at
		return []want{w}
	}},
	{name: "no route, IPv6", lacks: ipv6Lacks, run: func(s *scene) []want {
		expect(s.socket6().Connect(nowhere6), unix.ENETUNREACH)
		return []want{refusedCall(nowhere6, unix.ENETUNREACH, event.NoRoute)}
	}},
	{name: "no route, IPv4 by an IPv6 socket", lacks: ipv6Lacks, run: func(s *scene) []want {
		mapped := addrPort(netip.AddrFrom16(nowhere.Addr().As16()), nowhere.Port())
		expect(s.socket6().Connect(mapped), unix.ENETUNREACH)
		return []want{refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)}
	}},
	{name: "routes that refuse", run: func(s *scene) (wants []want) {
		for _, r := range []struct {
			prefix string
			kind   uint8
			errno  unix.Errno
			cause  event.Cause
		}{
			{"10.90.0.0/16", unix.RTN_UNREACHABLE, unix.EHOSTUNREACH, event.NoRoute},
			{"10.91.0.0/16", unix.RTN_PROHIBIT, unix.EACCES, 0},
			{"10.92.0.0/16", unix.RTN_BLACKHOLE, unix.EINVAL, event.NoRoute},
		} {
			p := netip.MustParsePrefix(r.prefix)
			testnet.Refuse(p, r.kind)
			to := addrPort(p.Addr().Next(), s.port())
			expect(s.socket().Connect(to), r.errno)
			wants = append(wants, refusedCall(to, r.errno, r.cause))
		}
		return wants
	}},
	{name: "a multicast address", run: func(s *scene) []want {
		to := netip.MustParseAddrPort("224.0.0.5:80")
		expect(s.socket().Connect(to), unix.ENETUNREACH)
		return []want{refusedCall(to, unix.ENETUNREACH, event.NoRoute)}
	}},
	{name: "a link-local address without its interface", lacks: ipv6Lacks, run: func(s *scene) []want {
		to := netip.MustParseAddrPort("[fe80::9]:80")
		expect(s.socket6().Connect(to), unix.EINVAL)
		return []want{refusedCall(to, unix.EINVAL, 0)}
	}},
	{name: "the same socket tries again and again", run: func(s *scene) []want {
		c, to := s.socket(), s.server()
		for range 3 {
			expect(c.Connect(nowhere), unix.ENETUNREACH)
		}
		expect(c.Connect(to), unix.ECONNREFUSED)
		expect(c.Connect(nowhere), unix.ENETUNREACH) // not told: the socket has sent a SYN
		w := refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)
		return []want{w, w, w, attempt(to).refused()}
	}},
	{name: "the same errors from the network, to a connect that waits", run: func(s *scene) (wants []want) {
		for _, code := range []struct {
			icmp  byte
			errno unix.Errno
		}{{0, unix.ENETUNREACH}, {1, unix.EHOSTUNREACH}} {
			to := s.raw()
			kid := testnet.StartChild("fail", []string{to.String(), nowhere.String()})
			p := s.peer.Meet(to.Port())
			p.ICMPError(icmpUnreachable, code.icmp)
			if got := kid.Line(); got != unix.ErrnoName(code.errno) {
				testnet.Fail("connect: %s", got)
			}
			kid.Line()
			kid.Release()
			after := refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)
			after.owner = child(kid)
			wants = append(wants, attemptFrom(p.KernelEnd(), to).of(child(kid)).failed(event.Error(code.errno)), after)
		}
		return wants
	}},
	{name: "the same errors from the network, told by a second connect()", run: func(s *scene) []want {
		c, p, out := s.toPeer()
		testnet.Must(unix.SetNonblock(c.FD(), true))
		expect(c.Connect(out.remote), unix.EALREADY)
		p.ICMPError(icmpUnreachable, 1)
		c.UntilState(event.Closed)
		expect(c.Connect(out.remote), unix.EHOSTUNREACH)
		return []want{out.failed(event.Error(unix.EHOSTUNREACH))}
	}},
	{name: "no local port left, IPv6", lacks: ipv6Lacks, run: func(s *scene) []want {
		s.sysctl("net.ipv4.ip_local_port_range", "50200 50200")
		l := s.listen(addrPort(testnet.Server6, s.port()))
		k := s.linkVia(l)
		expect(s.socket6().Connect(l.Local), unix.EADDRNOTAVAIL)
		w := attempt(l.Local).exhausted()
		w.local = addrPort(testnet.Server6, 0)
		return append(k.abort(), w)
	}},
	{name: "what is not TCP", run: func(s *scene) []want {
		udp := s.open(unix.AF_INET, unix.SOCK_DGRAM, 0)
		at := &unix.SockaddrInet4{Port: int(s.port()), Addr: testnet.Client.As4()}
		testnet.Must(unix.Bind(udp, at))
		expect(unix.Bind(s.open(unix.AF_INET, unix.SOCK_DGRAM, 0), at), unix.EADDRINUSE)
		expect(unix.Connect(udp, &unix.SockaddrInet4{Port: 80, Addr: nowhere.Addr().As4()}), unix.ENETUNREACH)
		foreign := &unix.SockaddrInet4{Addr: notOurs.As4()}
		expect(unix.Bind(s.open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP), foreign), unix.EADDRNOTAVAIL)
		path := &unix.SockaddrUnix{Name: fmt.Sprintf("@tcpstate-%d", s.port())}
		testnet.Must(unix.Bind(s.open(unix.AF_UNIX, unix.SOCK_STREAM, 0), path))
		expect(unix.Bind(s.open(unix.AF_UNIX, unix.SOCK_STREAM, 0), path), unix.EADDRINUSE)
		return nil
	}},
	{name: "calls that are wrong in themselves", run: func(s *scene) []want {
		good := rawAddress(unix.AF_INET, nowhere)
		c := s.socket()
		for _, bad := range []struct {
			call    uintptr
			fd      int
			address []byte
			size    int
			errno   unix.Errno
		}{
			{unix.SYS_BIND, c.FD(), nil, 16, unix.EFAULT},
			{unix.SYS_CONNECT, c.FD(), nil, 16, unix.EFAULT},
			{unix.SYS_CONNECT, c.FD(), good, 4, unix.EINVAL},
			{unix.SYS_CONNECT, c.FD(), good, -1, unix.EINVAL},
			{unix.SYS_CONNECT, c.FD(), rawAddress(unix.AF_APPLETALK, nowhere), 16, unix.EAFNOSUPPORT},
			{unix.SYS_CONNECT, -1, good, 16, unix.EBADF},
			{unix.SYS_BIND, 1 << 30, good, 16, unix.EBADF},
		} {
			expect(rawCall(bad.call, bad.fd, bad.address, bad.size), bad.errno)
		}
		c.Bind(addrPort(testnet.Client, s.port()))
		expect(c.TryBind(addrPort(testnet.Client, s.port())), unix.EINVAL)
		return nil
	}},
}

// markless refuses connections, and is no recorder's mark.
var markless = addrPort(testnet.Server2, 10)

const callThreads, callsEach = 8, 25

// childCalls makes the same calls in many threads: a bind() to the taken address that is its argument, a connect()
// without a route, and one that is refused from afar.
func childCalls(args []string) {
	taken := netip.MustParseAddrPort(args[0])
	var threads sync.WaitGroup
	for range callThreads {
		threads.Go(func() {
			runtime.LockOSThread()
			for range callsEach {
				s := testnet.NewSocket(taken.Addr())
				expect(s.TryBind(taken), unix.EADDRINUSE)
				expect(s.Connect(nowhere), unix.ENETUNREACH)
				expect(s.Connect(markless), unix.ECONNREFUSED)
				s.Close()
			}
		})
	}
	threads.Wait()
	fmt.Println("done")
	testnet.AwaitRelease()
}

// TestSyscalls also has all failures of connect() that change states: each must be told once, not twice.
func TestSyscalls(t *testing.T) {
	tr := startTrace(t, tracer.Options{Syscalls: true})
	if hooks := strings.Join(tr.tracer.Hooks(), "\n"); strings.Contains(hooks, "not seen") {
		t.Fatal(hooks)
	}
	r := tr.watch(testnet.New(t))
	r.mark(t)
	for _, sc := range append(syscallScenarios, failScenarios...) {
		t.Run(sc.name, func(t *testing.T) { runSeen(t, r, sc) })
	}
}

// runSeen runs a scenario again if the kernel says that it has not called a program, which it does when a CPU was taken
// away from somebody in the wrong moment.
func runSeen(t *testing.T, r *recorder, sc scenario) {
	t.Helper()
	if sc.lacks != nil {
		var what string
		var why error
		r.ns.Do(t, func() { what, why = sc.lacks() })
		if why != nil {
			testnet.Lacks(t, what, why)
		}
	}
	for range 5 {
		before := missedCalls(t, r)
		wants := r.play(t, sc)
		r.wait(func() bool { return len(r.events)-r.taken >= len(wants) || missedCalls(t, r) > before })
		got := r.collect(t, 0)
		if missed := missedCalls(t, r) - before; missed > 0 && len(got) < len(wants) {
			t.Logf("%d calls were missed, and %d events", missed, len(wants)-len(got))
			continue
		}
		compare(t, wants, got)
		return
	}
	t.Error("calls were missed every time")
}

// play runs a scenario and returns what it wants.
func (r *recorder) play(t *testing.T, sc scenario) (wants []want) {
	t.Helper()
	r.ns.Do(t, func() {
		s := newScene(r)
		defer s.end()
		wants = sc.run(s)
	})
	return wants
}

func missedCalls(t *testing.T, r *recorder) uint64 {
	t.Helper()
	loss, err := r.tracer.Loss()
	if err != nil {
		t.Error(err)
	}
	return loss.Calls
}

// Many threads make the same calls at once: each event has its owner, none comes twice, and as many are missing at most
// as calls were missed by the kernel's count.
func TestSyscallsOfManyThreads(t *testing.T) {
	r := startTrace(t, tracer.Options{Syscalls: true}).watch(testnet.New(t))
	r.mark(t)
	var taken netip.AddrPort
	var kid *testnet.Child
	r.play(t, scenario{run: func(s *scene) []want {
		taken = s.listen(s.server()).Local
		kid = testnet.StartChild("calls", []string{taken.String()})
		if got := kid.Line(); got != "done" {
			testnet.Fail("child: %s", got)
		}
		kid.Release()
		return nil
	}})
	bind, connect := bindFailed(taken, unix.EADDRINUSE, event.PortTaken), refusedCall(nowhere, unix.ENETUNREACH, event.NoRoute)
	refused := attempt(markless).refused()
	bind.owner, connect.owner, refused.owner = child(kid), child(kid), child(kid)
	left := map[want]int{}
	for _, w := range []want{bind, connect, refused} {
		left[w] = callThreads * callsEach
	}
	got := r.collect(t, 0)
	for i := range got {
		w := observe(&got[i], want{anyPort: got[i].Remote == markless})
		if left[w]--; left[w] < 0 {
			t.Fatalf("unexpected, or too many: %s", w)
		}
	}
	missed := missedCalls(t, r)
	if testnet.KernelAtLeast("6.7") && uint64(left[bind]+left[connect]) > missed || left[refused] > 0 {
		t.Errorf("%d, %d and %d events are missing; the kernel counted %d missed calls", left[bind], left[connect], left[refused], missed)
	}
	t.Logf("%d of %d calls were missed, and %d events", missed, 3*callThreads*callsEach, left[bind]+left[connect])
}

// An IPv6 without any address says EADDRNOTAVAIL, like one without ports. It means no route.
func TestSyscallsNoSourceAddress(t *testing.T) {
	r := startTrace(t, tracer.Options{Syscalls: true}).watch(testnet.New(t))
	r.mark(t)
	runSeen(t, r, scenario{lacks: ipv6Lacks, run: func(s *scene) []want {
		to := addrPort(testnet.Local6, 80)
		s.sysctl("net.ipv6.conf.lo.disable_ipv6", "1")
		c := s.socket6()
		expect(c.Connect(to), unix.EADDRNOTAVAIL)
		expect(c.Connect(to), unix.EADDRNOTAVAIL)
		w := refusedCall(to, unix.EADDRNOTAVAIL, event.NoRoute)
		return []want{w, w}
	}})
}

// Where the hooks are not asked for, their failures make no event, and Hooks says so.
func TestSyscallsNotAskedFor(t *testing.T) {
	tr := startTrace(t, tracer.Options{})
	if n := strings.Count(strings.Join(tr.tracer.Hooks(), "\n"), "not asked for"); n != 2 {
		t.Errorf("hooks %q", tr.tracer.Hooks())
	}
	r := tr.watch(testnet.New(t))
	r.mark(t)
	runScenario(t, r, scenario{run: func(s *scene) []want {
		expect(s.socket().Connect(nowhere), unix.ENETUNREACH)
		expect(s.socket().TryBind(addrPort(notOurs, 0)), unix.EADDRNOTAVAIL)
		return nil
	}})
}

// bindFailed is the event of a bind() of this process to at.
func bindFailed(at netip.AddrPort, errno unix.Errno, cause event.Cause) want {
	return want{
		kind: event.BindFailed, dir: event.Outbound, local: at, old: event.Closed, new: event.Closed,
		err: event.Error(errno), basis: event.Exact, cause: cause, owner: self(event.OwnerConnect),
	}
}

// refusedCall is the event of a connect() of this process that sent no SYN.
func refusedCall(to netip.AddrPort, errno unix.Errno, cause event.Cause) want {
	w := bindFailed(addrPort(netip.IPv4Unspecified(), 0), errno, cause)
	w.kind, w.remote = event.ConnectFailed, to
	if to.Addr().Is6() {
		w.local = addrPort(netip.IPv6Unspecified(), 0)
	}
	return w
}

func (s *scene) bindUntilExhausted(at netip.Addr) (wants []want) {
	const ports = 20
	s.sysctl("net.ipv4.ip_local_port_range", "50100 50119")
	bound := 0
	for range ports + 5 {
		err := s.keep(testnet.NewSocket(at)).TryBind(addrPort(at, 0))
		if err == nil {
			bound++
			continue
		}
		expect(err, unix.EADDRINUSE)
		wants = append(wants, bindFailed(addrPort(at, 0), unix.EADDRINUSE, event.PortsExhausted))
	}
	if bound != ports {
		testnet.Fail("%d of %d ports were bound", bound, ports)
	}
	return wants
}

func (s *scene) socket6() *testnet.Socket { return s.keep(testnet.NewSocket(testnet.Local6)) }

// open opens a socket of any kind for the time of the scene.
func (s *scene) open(family, kind, protocol int) int {
	fd := testnet.Must1(unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol))
	s.undo = append(s.undo, func() { testnet.Must(unix.Close(fd)) })
	return fd
}

// rawAddress is a sockaddr_in that says family.
func rawAddress(family uint16, a netip.AddrPort) []byte {
	address := make([]byte, 16)
	*(*uint16)(unsafe.Pointer(&address[0])) = family
	address[2], address[3] = byte(a.Port()>>8), byte(a.Port())
	copy(address[4:], a.Addr().AsSlice())
	return address
}

// rawCall makes a system call that the wrappers would refuse. A nil address becomes a pointer that nothing is mapped at.
func rawCall(call uintptr, fd int, address []byte, size int) error {
	var errno unix.Errno
	if address == nil {
		_, _, errno = unix.Syscall(call, uintptr(fd), 8, uintptr(size))
	} else {
		_, _, errno = unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(size))
	}
	if errno == 0 {
		return errors.New("no error")
	}
	return errno
}
