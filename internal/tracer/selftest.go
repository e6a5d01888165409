package tracer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// nothingYet is a port under test that no connect goes to.
const nothingYet = 1 << 16

const (
	// selfTestPatience is how long the events of the self-test may take to come.
	selfTestPatience = time.Second
	// selfTestLook is how often it is looked for them: too few to wake the reader, they are there at the first.
	selfTestLook = 10 * time.Millisecond
)

// selfTest makes a TIME_WAIT on 127.0.0.1 and ends it at once by connecting again from the same port, which is always
// allowed, and looks whether both were seen: a hook that attaches can still never be called (functions are inlined).
// What it does is in no report: the window begins afterwards. It teaches tier 2 the address of the timers' handler.
func (t *Tracer) selfTest() error {
	if t.tier == TierCensus || !t.TimeWaitsKnown() {
		return nil
	}
	cancels, starts, err := t.timerRuns()
	if err != nil {
		return err
	}
	port, err := t.makeTimeWaits()
	if err != nil {
		t.untested = err.Error()
		return nil
	}
	if err := t.settle(0); err != nil {
		return err
	}
	silent, err := t.silentHooks(port)
	if err == nil && silent == "" {
		silent, err = t.silentTimers(cancels, starts)
	}
	if err != nil || silent == "" {
		return err
	}
	return errors.New("self-test: " + silent)
}

// silentHooks reads what the self-test's connections to port gave. It returns in words what did not come.
func (t *Tracer) silentHooks(port uint16) (string, error) {
	var rec ringbuf.Record
	var ev event.Event
	seen := map[event.Kind]int{}
	giveUp := time.Now().Add(selfTestPatience)
	t.reader.SetDeadline(time.Now())
	for seen[event.TimeWait] < 1 || seen[event.TimeWaitEnd] < 1 || seen[event.Close] < 1 {
		err := t.reader.ReadInto(&rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if time.Now().After(giveUp) {
				break
			}
			t.reader.SetDeadline(time.Now().Add(selfTestLook))
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read ring buffer: %w", err)
		}
		if err := t.decode(rec.RawSample, &ev); err != nil {
			return "", err
		}
		if ev.Remote.Port() == port {
			seen[ev.Kind]++
		}
	}
	switch {
	case seen[event.Connect] == 0:
		return "no connect was seen", nil
	case seen[event.TimeWait] != 1:
		return fmt.Sprintf("%d beginnings of a TIME_WAIT were seen instead of 1", seen[event.TimeWait]), nil
	case seen[event.TimeWaitEnd] != 1:
		return fmt.Sprintf("%d ends of a TIME_WAIT were seen instead of 1", seen[event.TimeWaitEnd]), nil
	}
	return "", nil
}

// silentTimers says which timer hook was not called any more since it had been called so often, although every connect
// sets a timer and takes it off.
func (t *Tracer) silentTimers(cancels, starts uint64) (string, error) {
	if t.tier != TierTimers {
		return "", nil
	}
	cancelsNow, startsNow, err := t.timerRuns()
	switch {
	case err != nil:
		return "", err
	case cancelsNow == cancels:
		return "timer_cancel was not called", nil
	case startsNow == starts:
		return "timer_start was not called", nil
	}
	return "", nil
}

// makeTimeWaits connects twice from one port to another, which it returns: the first connection ends in TIME_WAIT, the
// second takes its place and is reset.
func (t *Tracer) makeTimeWaits() (port uint16, err error) {
	listener, err := loopbackSocket(0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(listener)
	if err := unix.Listen(listener, 2); err != nil {
		return 0, fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	if port, err = portOf(listener); err != nil {
		return 0, err
	}
	if err := t.variables.TestingPort.Set(uint32(port)); err != nil {
		return 0, fmt.Errorf("set port under test: %w", err)
	}
	defer func() { err = errors.Join(err, t.variables.TestingPort.Set(uint32(nothingYet))) }()
	from, err := connectOnce(listener, 0, port, false)
	if err != nil {
		return 0, err
	}
	_, err = connectOnce(listener, from, port, true)
	return port, err
}

// connectOnce connects from port (0: any) to port to of listener and closes, the connecting end first, or resets. It
// returns the port it connected from.
func connectOnce(listener int, from, to uint16, reset bool) (uint16, error) {
	s, err := loopbackSocket(from)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	if from, err = portOf(s); err != nil {
		return 0, err
	}
	if err := connectTo(s, to); err != nil {
		return 0, fmt.Errorf("connect on 127.0.0.1: %w", err)
	}
	accepted, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	for errors.Is(err, unix.EINTR) {
		accepted, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	}
	if err != nil {
		return 0, fmt.Errorf("accept on 127.0.0.1: %w", err)
	}
	defer unix.Close(accepted) // which ends the first connection in TIME_WAIT, before s is closed
	if reset {
		err = unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	} else {
		err = unix.Shutdown(s, unix.SHUT_WR)
	}
	return from, err
}

// connectTo waits for a second: a firewall may swallow what is sent.
func connectTo(s int, port uint16) error {
	if err := unix.SetNonblock(s, true); err != nil {
		return err
	}
	err := unix.Connect(s, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}})
	if !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(s), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 1000)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(fds, 1000)
	}
	if err != nil || n == 0 {
		return errors.Join(err, unix.ETIMEDOUT)
	}
	code, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code == 0 {
		return err
	}
	return unix.Errno(code)
}

// loopbackSocket is bound to 127.0.0.1 and port.
func loopbackSocket(port uint16) (int, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	err = errors.Join(unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(s, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}))
	if err != nil {
		_ = unix.Close(s)
		return -1, fmt.Errorf("bind to 127.0.0.1: %w", err)
	}
	return s, nil
}

func portOf(s int) (uint16, error) {
	a, err := unix.Getsockname(s)
	if err != nil {
		return 0, fmt.Errorf("ask for a socket's port: %w", err)
	}
	return uint16(a.(*unix.SockaddrInet4).Port), nil
}
