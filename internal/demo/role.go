package demo

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// roleVariable tells a process of the incident what it is.
const roleVariable = "TCPSTATE_DEMO_ROLE"

// Role returns the role that this process was started for; "" when it is an ordinary one.
func Role() string { return os.Getenv(roleVariable) }

// Play plays a role until standard input ends, and returns the exit code.
func Play(role string) int {
	roles := map[string]func(stop <-chan struct{}) (connected, failed uint64){
		"demo-server": serve, "demo-unpooled": unpooled, "demo-pooled": pooled, "demo-deadport": deadport,
	}
	play, ok := roles[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "tcpstate: %s=%q is no role of the demo\n", roleVariable, role)
		return 2
	}
	// The name of the thread group's leader is what tools show. Linux cuts it at 15 bytes.
	if err := os.WriteFile("/proc/self/comm", []byte(role), 0); err != nil {
		fmt.Fprintf(os.Stderr, "tcpstate: name process: %v\n", err)
		return 1
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	connected, failed := play(stop)
	fmt.Println(connected, failed)
	return 0
}

// ready tells the parent to go on.
func ready() { fmt.Print("r") }

func serve(stop <-chan struct{}) (uint64, uint64) {
	l, err := net.Listen("tcp", serverAddr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tcpstate: demo server:", err)
		return 0, 0
	}
	ready()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	<-stop
	_ = l.Close()
	return 0, 0
}

func echo(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(c, c)
}

// request sends a question and waits for the answer.
func request(c net.Conn) error {
	if _, err := io.WriteString(c, "SELECT 1"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len("SELECT 1")))
	return err
}

// every calls do at a fixed pace until stop.
func every(pace time.Duration, stop <-chan struct{}, do func()) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			do()
		}
	}
}

func unpooled(stop <-chan struct{}) (connected, failed uint64) {
	ready()
	every(5*time.Millisecond, stop, func() {
		c, err := net.Dial("tcp", serverAddr)
		if err != nil {
			failed++
			return
		}
		connected++
		_ = request(c)
		_ = c.Close()
	})
	return connected, failed
}

func pooled(stop <-chan struct{}) (connected, failed uint64) {
	ready()
	var clients sync.WaitGroup
	for range 4 {
		c, err := net.Dial("tcp", serverAddr)
		if err != nil {
			failed++
			continue
		}
		connected++
		clients.Go(func() {
			defer c.Close()
			every(10*time.Millisecond, stop, func() { _ = request(c) })
		})
	}
	clients.Wait()
	return connected, failed
}

func deadport(stop <-chan struct{}) (connected, failed uint64) {
	ready()
	every(50*time.Millisecond, stop, func() {
		c, err := net.Dial("tcp", deadAddr)
		if err != nil {
			failed++
			return
		}
		connected++
		_ = c.Close()
	})
	return connected, failed
}
