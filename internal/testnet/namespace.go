package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of every namespace, all on lo. Client is the source of connections to the others.
var (
	Client  = netip.MustParseAddr("10.1.0.1")
	Server  = netip.MustParseAddr("10.1.0.2")
	Server2 = netip.MustParseAddr("10.1.0.3")
	// PeerAddr is nobody's: packets to it (and all of 10.2.0.0/16) leave by lo and reach only a [Peer].
	PeerAddr = netip.MustParseAddr("10.2.0.9")
	router   = netip.MustParseAddr("10.2.0.254")
	// Local6 and Server6 are ::1 and a unique local address (RFC 4193).
	Local6  = netip.IPv6Loopback()
	Server6 = netip.MustParseAddr("fd00:1::2")
)

// Namespace is a network namespace and the one OS thread that lives in it.
type Namespace struct {
	inode uint32
	born  time.Time
	tasks chan func()
	dead  chan struct{} // closed when the thread is gone
}

// New makes a namespace that goes with the test. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN: see [RequireTracing].
func New(tb testing.TB) *Namespace {
	tb.Helper()
	n := &Namespace{tasks: make(chan func()), dead: make(chan struct{})}
	ready := make(chan error)
	go n.live(ready)
	if err := <-ready; err != nil {
		tb.Fatalf("make network namespace: %v", err)
	}
	tb.Cleanup(n.Close)
	return n
}

// Born is when it was made: what happened before under the same number was in another namespace.
func (n *Namespace) Born() time.Time { return n.born }

// Close ends the namespace's thread. The kernel removes the namespace once no socket or process holds it.
func (n *Namespace) Close() {
	select {
	case <-n.dead:
		return
	default:
	}
	close(n.tasks)
	<-n.dead
}

// Hold keeps the namespace, and so its number, until the returned file is closed: the kernel gives the number of a
// namespace that is gone to the next one, while timewait sockets of the first are still being ended.
func (n *Namespace) Hold() (f *os.File, err error) {
	done := make(chan struct{})
	task := func() {
		defer close(done)
		f, err = os.Open("/proc/thread-self/ns/net")
	}
	select {
	case n.tasks <- task:
		<-done
		return f, err
	case <-n.dead:
		return nil, errors.New("hold network namespace: its thread is gone")
	}
}

// live is the thread's whole life. The thread goes back home before it is unlocked, for the runtime will reuse it; one
// that cannot go back dies with the goroutine.
func (n *Namespace) live(ready chan<- error) {
	defer close(n.dead)
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		ready <- err
		return
	}
	defer func() { _ = home.Close() }()
	err = n.enter()
	ready <- err
	if err == nil {
		for task := range n.tasks {
			task()
		}
	}
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
}

func (n *Namespace) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return err
	}
	n.inode, n.born = uint32(st.Ino), time.Now()
	// Without IPv6 in the kernel the file is not there, and the tests that need it say so.
	_ = os.WriteFile(sysctlPath("net.ipv6.conf.lo.disable_ipv6"), []byte("0"), 0)
	if err := linkUp(); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	for _, a := range []netip.Addr{Client, Server, Server2} {
		if err := addAddress(netip.PrefixFrom(a, 24)); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	if HasIPv6() {
		if err := addAddress(netip.PrefixFrom(Server6, 64)); err != nil {
			return fmt.Errorf("add address %s: %w", Server6, err)
		}
	}
	return addRoute(netip.MustParsePrefix("10.2.0.0/16"), unix.RTN_UNICAST)
}

// HasIPv6 says whether the kernel has IPv6 at all.
func HasIPv6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

// Inode is the namespace's inode number, by which events name it.
func (n *Namespace) Inode() uint32 { return n.inode }

// Do runs f on the namespace's thread and waits for it. Inside f use [Must], [Fail] and [Until], never tb.Fatal.
func (n *Namespace) Do(tb testing.TB, f func()) {
	tb.Helper()
	var thrown any
	returned := false
	done := make(chan struct{})
	task := func() {
		defer close(done)
		defer func() {
			if thrown = recover(); thrown != nil {
				if _, ok := thrown.(failure); !ok {
					thrown = fmt.Sprintf("%v\n%s", thrown, debug.Stack())
				}
			}
		}()
		f()
		returned = true
	}
	select {
	case n.tasks <- task:
		<-done
	case <-n.dead:
		tb.Fatal("the namespace's thread is gone")
	}
	switch {
	case thrown != nil:
		tb.Fatal(thrown)
	case !returned:
		tb.Fatal("tb.Fatal or tb.Skip was called on the namespace's thread")
	}
}

// Refuse adds a route for p of type unix.RTN_UNREACHABLE, RTN_PROHIBIT or RTN_BLACKHOLE. Call it inside [Namespace.Do].
func Refuse(p netip.Prefix, kind uint8) { Must(addRoute(p, kind)) }

// Sysctl sets a sysctl of the namespace ("net.ipv4.tcp_fin_timeout") and returns what puts the old value back. Call
// both inside [Namespace.Do].
func Sysctl(name, value string) (restore func()) {
	old := Must1(os.ReadFile(sysctlPath(name)))
	Must(os.WriteFile(sysctlPath(name), []byte(value), 0))
	return func() { Must(os.WriteFile(sysctlPath(name), old, 0)) }
}

// HasSysctl says whether this kernel has the sysctl. Call it inside [Namespace.Do].
func HasSysctl(name string) bool {
	_, err := os.Stat(sysctlPath(name))
	return err == nil
}

// sysctlPath is the file of a sysctl. /proc/sys/net shows the namespace of the thread that opens it.
func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }
