package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// How a server treats a connection that the other end has closed.
const (
	closes  = "closes"
	forgets = "forgets"
)

// childKeeper NAME ADDRESS PORT HOW: accepts.
//
// About once in 1000 connections the FIN of one that closes overtakes its ACK of the other end's, for they are sent on
// different CPUs. The late ACK then meets a TIME_WAIT, which answers; the socket is gone, and its RST ends the
// TIME_WAIT. No test may count on all of them.
func childKeeper(args []string) {
	testnet.SetComm(args[0])
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	l := testnet.Must1(config.Listen(context.Background(), "tcp", net.JoinHostPort(args[1], args[2])))
	fmt.Println("listening")
	for {
		c := testnet.Must1(l.Accept())
		go func() {
			_, _ = io.Copy(io.Discard, c) // an end by RST is an end, too
			if args[3] == forgets {
				select {}
			}
			_ = c.Close()
		}()
	}
}

// keep starts a server called name that closes its ends, and goes with the test.
func keep(tb testing.TB, ns *testnet.Namespace, name string, at netip.AddrPort) {
	tb.Helper()
	startKeeper(tb, ns, name, at, closes)
}

// startKeeper starts a server of either kind.
func startKeeper(tb testing.TB, ns *testnet.Namespace, name string, at netip.AddrPort, how string) (pid uint32) {
	tb.Helper()
	var c *testnet.Child
	ns.Do(tb, func() {
		c = testnet.StartChild("keeper", []string{name, at.Addr().String(), strconv.Itoa(int(at.Port())), how})
		c.Line()
	})
	tb.Cleanup(func() { ns.Do(tb, c.Kill) })
	return c.PID()
}

// How a caller's command treats its connections.
const (
	hold  = "hold"  // they stay open
	cycle = "cycle" // each is closed, and in TIME_WAIT here, before the next
	bound = "bound" // they stay open, and bind() chose their ports
	half  = "half"  // each is closed, and waits for the other end to do so, too
)

// childCaller NAME: does what its standard input says, a command a line, and answers each with a line. "COMMAND TO N
// PAUSE" calls TO N times with PAUSE in between; the answer is how many succeeded, how many found no port, and when the
// first of those was, Unix nanoseconds. "until TO N PAUSE COMMAND" stops at the first that finds none, and calls by the
// clock: each N+1st is due N pauses after the first.
func childCaller(args []string) {
	testnet.SetComm(args[0])
	c := crowd{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		to := netip.MustParseAddrPort(words[1])
		n, pause := testnet.Must1(strconv.Atoi(words[2])), testnet.Must1(time.ParseDuration(words[3]))
		c.opened, c.refused, c.since = 0, 0, 0
		if words[0] == "until" {
			for i, start := 0, time.Now(); i < n && c.refused == 0; i++ {
				time.Sleep(time.Until(start.Add(time.Duration(i) * pause)))
				c.call(words[4], to)
			}
		} else {
			for range n {
				c.call(words[0], to)
				time.Sleep(pause)
			}
		}
		fmt.Println(c.opened, c.refused, c.since)
	}
}

// crowd are a caller's connections.
type crowd struct {
	held            []*testnet.Socket
	opened, refused int
	since           int64
}

func (c *crowd) call(how string, to netip.AddrPort) {
	s := testnet.NewSocket(to.Addr())
	err := error(nil)
	if how == bound {
		err = s.TryBind(netip.AddrPortFrom(testnet.Client, 0))
	}
	if err == nil {
		err = s.Connect(to)
	}
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EADDRINUSE):
		if c.refused++; c.refused == 1 {
			c.since = time.Now().UnixNano()
		}
		s.Close()
		return
	case err != nil:
		testnet.Must(err)
	}
	c.opened++
	switch how {
	case cycle:
		s.Shutdown(unix.SHUT_WR)
		s.ReadEnd()
		s.Close()
	case half:
		s.Close()
	default:
		c.held = append(c.held, s)
	}
}

// caller is a client in a namespace.
type caller struct {
	ns    *testnet.Namespace
	child *testnet.Child
}

// newCaller starts one called name, which goes with the test.
func newCaller(tb testing.TB, ns *testnet.Namespace, name string) *caller {
	tb.Helper()
	c := &caller{ns: ns}
	ns.Do(tb, func() { c.child = testnet.StartChild("caller", []string{name}) })
	tb.Cleanup(func() { ns.Do(tb, c.child.Kill) })
	return c
}

// say gives a command; hear waits for what came of it.
func (c *caller) say(tb testing.TB, format string, args ...any) *caller {
	tb.Helper()
	c.ns.Do(tb, func() { c.child.Say(fmt.Sprintf(format, args...)) })
	return c
}

func (c *caller) hear(tb testing.TB) (opened, refused int, since time.Time) {
	tb.Helper()
	var at int64
	c.ns.Do(tb, func() { testnet.Must1(fmt.Sscan(c.child.Line(), &opened, &refused, &at)) })
	return opened, refused, time.Unix(0, at)
}

// call calls n times and wants so many to succeed.
func (c *caller) call(tb testing.TB, how string, to netip.AddrPort, n int, pause time.Duration, want int) {
	tb.Helper()
	opened, refused, _ := c.say(tb, "%s %s %d %s", how, to, n, pause).hear(tb)
	if opened != want || refused != n-want {
		tb.Fatalf("the client opened %d connections to %s and found no port for %d, want %d and %d", opened, to, refused, want, n-want)
	}
}

// set sets sysctls below net.ipv4 in a namespace, which is the test's own.
func set(tb testing.TB, ns *testnet.Namespace, sysctls map[string]string) {
	tb.Helper()
	ns.Do(tb, func() {
		for name, value := range sysctls {
			testnet.Sysctl("net.ipv4."+name, value)
		}
	})
}
