// Command load is the workload of monitoring/run: a server, a client without a pool, and one with a pool. Each client
// prints its own count at the end, with which the figures in Prometheus are compared:
//
//	load serve ADDR
//	load churn ADDR RATE DURATION [N]  connects RATE times a second, closes each connection first; ends when N found no port
//	load pool ADDR RATE DURATION      sends RATE requests a second over 4 connections
package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

// pooled is how many connections the pool has.
const pooled = 4

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "serve" {
		return serve(args[1])
	}
	if len(args) == 5 && args[0] != "churn" || len(args) < 4 || len(args) > 5 || args[0] != "churn" && args[0] != "pool" {
		return errors.New("usage: load serve ADDR | load churn ADDR RATE DURATION [N] | load pool ADDR RATE DURATION")
	}
	rate, err := strconv.Atoi(args[2])
	if err != nil || rate < 1 {
		return fmt.Errorf("rate %q: not a number above 0", args[2])
	}
	length, err := time.ParseDuration(args[3])
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	enough := math.MaxInt
	if len(args) == 5 {
		if enough, err = strconv.Atoi(args[4]); err != nil || enough < 1 {
			return fmt.Errorf("failures %q: not a number above 0", args[4])
		}
	}
	work := churn
	if args[0] == "pool" {
		work = pool
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil || !to.Addr().Is4() {
		return fmt.Errorf("address %q: not IPv4 with a port", args[1])
	}
	c := count{to: to, errors: map[syscall.Errno]int{}}
	each := time.NewTicker(time.Second / time.Duration(rate))
	defer each.Stop()
	for end := time.Now().Add(length); time.Now().Before(end) && c.errors[syscall.EADDRNOTAVAIL] < enough; <-each.C {
		if err := work(&c); err != nil {
			return err
		}
	}
	c.print()
	for _, s := range c.open {
		_ = syscall.Close(s)
	}
	return nil
}

// count is what a client saw itself.
type count struct {
	to           netip.AddrPort
	connected    int
	errors       map[syscall.Errno]int
	firstFailure time.Time // for want of a port
	open         []int
	next         int
}

// print writes a line for each figure: its name and its value.
func (c *count) print() {
	fmt.Println("connected", c.connected)
	for _, e := range []struct {
		name  string
		errno syscall.Errno
	}{{"EADDRNOTAVAIL", syscall.EADDRNOTAVAIL}, {"ECONNREFUSED", syscall.ECONNREFUSED}} {
		fmt.Println(e.name, c.errors[e.errno])
		delete(c.errors, e.errno)
	}
	fmt.Println("others", len(c.errors))
	if !c.firstFailure.IsZero() {
		fmt.Printf("first_failure %.3f\n", float64(c.firstFailure.UnixMilli())/1e3)
	}
}

// connect calls connect() once and counts what became of it. (net.Dial calls it three times when no port is left.) The
// socket is -1 when it failed.
func (c *count) connect() (int, error) {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	err = syscall.Connect(s, &syscall.SockaddrInet4{Addr: c.to.Addr().As4(), Port: int(c.to.Port())})
	if err == nil {
		c.connected++
		return s, nil
	}
	_ = syscall.Close(s)
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return -1, fmt.Errorf("connect: %w", err)
	}
	if errno == syscall.EADDRNOTAVAIL && c.firstFailure.IsZero() {
		c.firstFailure = time.Now()
	}
	c.errors[errno]++
	return -1, nil
}

func churn(c *count) error {
	s, err := c.connect()
	if s < 0 {
		return err
	}
	defer func() { _ = syscall.Close(s) }()
	return exchange(s)
}

func pool(c *count) error {
	if len(c.open) < pooled {
		s, err := c.connect()
		if s < 0 {
			return err
		}
		c.open = append(c.open, s)
	}
	c.next = (c.next + 1) % len(c.open)
	return exchange(c.open[c.next])
}

func exchange(s int) error {
	if _, err := syscall.Write(s, []byte("?")); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	if _, err := syscall.Read(s, make([]byte, 1)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// serve answers each byte until the other end closes.
func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer func() { _ = conn.Close() }()
			b := make([]byte, 64)
			for {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				if _, err := conn.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}
