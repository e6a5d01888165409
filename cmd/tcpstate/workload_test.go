package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

const (
	question = "0123456789" // what a client sends
	answer   = "abcdefg"    // what it receives
	deadPort = 9            // where nobody listens
)

func init() {
	testnet.RunChild(testnet.Children{
		"client":  childClient,
		"server":  childServer,
		"limited": childLimited,
		"caller":  childCaller,
		"keeper":  childKeeper,
		"echo":    childEcho,
		"asker":   childAsker,
	})
}

// childServer NAME ADDRESS: answers one question per connection, one connection after the other, until killed.
func childServer(args []string) {
	testnet.SetComm(args[0])
	l := testnet.Listen(netip.MustParseAddr(args[1]), 0)
	// Programs that load at the same time can take long before the first call.
	testnet.Must(unix.SetsockoptTimeval(l.FD(), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{}))
	fmt.Println(l.Local)
	for {
		c := l.Accept()
		c.Read(len(question))
		c.Write(answer)
		c.ReadEnd()
		c.Close()
	}
}

// childClient NAME TO N DEAD M: asks TO one question on each of N connections, calls DEAD M times, and prints what it
// counted of both.
func childClient(args []string) {
	testnet.SetComm(args[0])
	to, dead := netip.MustParseAddrPort(args[1]), netip.MustParseAddrPort(args[3])
	opened, refused := 0, 0
	for range testnet.Must1(strconv.Atoi(args[2])) {
		c := testnet.Dial(to)
		opened++
		c.Write(question)
		c.Read(len(answer))
		c.Close()
	}
	for range testnet.Must1(strconv.Atoi(args[4])) {
		s := testnet.NewSocket(dead.Addr())
		if s.Connect(dead) == unix.ECONNREFUSED {
			refused++
		}
		s.Close()
	}
	fmt.Println(opened, refused)
}

// childLimited PATH ARGUMENTS: becomes tcpstate at PATH with hardly any memory that may be locked.
func childLimited(args []string) {
	testnet.Must(unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 8192, Max: 8192}))
	testnet.Must(os.Unsetenv("TCPSTATE_TEST_CHILD"))
	testnet.Must(syscall.Exec(args[0], args, os.Environ()))
}

// server is a listening process in a namespace.
type server struct {
	ns    *testnet.Namespace
	child *testnet.Child
	addr  netip.AddrPort
}

// serve starts a server called name, which goes with the test.
func serve(tb testing.TB, ns *testnet.Namespace, name string, at netip.Addr) *server {
	tb.Helper()
	s := &server{ns: ns}
	ns.Do(tb, func() {
		s.child = testnet.StartChild("server", []string{name, at.String()})
		s.addr = netip.MustParseAddrPort(s.child.Line())
	})
	tb.Cleanup(func() { ns.Do(tb, s.child.Kill) })
	return s
}

// calls runs a client called name to its end: so many questions to the server, so many calls to a dead port. Its own
// count must be the same. It returns the client's pid.
func (s *server) calls(tb testing.TB, name string, questions, refused int) (pid uint32) {
	tb.Helper()
	s.ns.Do(tb, func() {
		dead := netip.AddrPortFrom(s.addr.Addr(), deadPort)
		before := connections()
		c := testnet.StartChild("client", []string{
			name, s.addr.String(), strconv.Itoa(questions), dead.String(), strconv.Itoa(refused),
		})
		pid = c.PID()
		if got, want := c.Line(), fmt.Sprint(questions, refused); got != want {
			testnet.Fail("the client counted %s, want %s", got, want)
		}
		c.Wait()
		testnet.Until("the server's ends to be closed", func() bool { return connections() <= before })
	})
	return pid
}

// connections is how many the thread's namespace has, listening sockets and refused calls not excepted.
func connections() int {
	return testnet.ReadSockstat().InUse + int(testnet.ReadCounters()["TcpCurrEstab"])
}

// of is the filter for a namespace.
func of(ns *testnet.Namespace) string { return strconv.FormatUint(uint64(ns.Inode()), 10) }
