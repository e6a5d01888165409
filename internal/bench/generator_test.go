package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func init() {
	testnet.RunChild(testnet.Children{"generate": generate})
}

// load is what a generator does: each of its threads is client and server of its own connections, so that a connection
// needs no scheduling and the rate is the highest that the host can make. All in 127.0.0.0/8 of its own namespace.
type load struct {
	threads      int
	connections  int  // a thread
	destinations int  // addresses that a thread connects to in turn, 256 at most
	rate         int  // connections a second of each thread; 0: as fast as can be
	hold         bool // leave them open until released
}

// generated is what a generator did.
type generated struct {
	Connections int
	Seconds     float64
	CPU         time.Duration // of the whole process, in the kernel, too
}

func (g generated) rate() float64 { return float64(g.Connections) / g.Seconds }

// cpu is the CPU time of one connection.
func (g generated) cpu() float64 { return float64(g.CPU) / float64(g.Connections) }

// start starts a generator in ns. What it did is its first line.
func (l load) start(b *testing.B, ns *testnet.Namespace) (c *testnet.Child) {
	ns.Do(b, func() {
		c = testnet.StartChild("generate", []string{
			"-threads", strconv.Itoa(l.threads), "-connections", strconv.Itoa(l.connections),
			"-destinations", strconv.Itoa(l.destinations), "-rate", strconv.Itoa(l.rate), "-hold=" + strconv.FormatBool(l.hold),
		})
	})
	return c
}

// run runs a generator in ns to its end.
func (l load) run(b *testing.B, ns *testnet.Namespace) (g generated) {
	c := l.start(b, ns)
	ns.Do(b, func() {
		testnet.Must(json.Unmarshal([]byte(c.Line()), &g))
		c.Wait()
	})
	return g
}

// maxTime ends a generator that is far too slow.
const maxTime = 20 * time.Second

// generate is the child process.
func generate(args []string) {
	var l load
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.IntVar(&l.threads, "threads", 1, "")
	flags.IntVar(&l.connections, "connections", 1, "")
	flags.IntVar(&l.destinations, "destinations", 1, "")
	flags.IntVar(&l.rate, "rate", 0, "")
	flags.BoolVar(&l.hold, "hold", false, "")
	testnet.Must(flags.Parse(args))

	failed := make(chan error, l.threads)
	began, cpu := time.Now(), processTime()
	for i := range l.threads {
		go l.thread(i, failed)
	}
	for range l.threads {
		testnet.Must(<-failed)
	}
	g := generated{l.threads * l.connections, time.Since(began).Seconds(), processTime() - cpu}
	line := testnet.Must1(json.Marshal(g))
	fmt.Println(string(line))
	if l.hold {
		testnet.AwaitRelease()
	}
}

// thread runs one thread and says how it went.
func (l load) thread(number int, done chan<- error) {
	runtime.LockOSThread()
	done <- l.connect(number)
	if l.hold {
		select {} // its descriptors live as long as the thread
	}
}

// connect makes the connections of a thread.
func (l load) connect(number int) error {
	if l.hold {
		// A table of descriptors of its own: RLIMIT_NOFILE is for each.
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			return err
		}
	}
	port := 7000 + number
	listener, err := listen(port)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range l.connections {
		if l.rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(l.rate))))
		}
		if time.Since(began) > maxTime {
			return fmt.Errorf("only %d connections in %s", i, maxTime)
		}
		if err := l.connection(listener, i, number, port); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

func listen(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return 0, err
	}
	return fd, unix.Listen(fd, 16)
}

// connection is one connection, closed by the client first: ten transitions, four records and a timewait socket. Eight
// source addresses take turns, so that ports last and no pair of ends comes again while it is in TIME_WAIT. Held
// connections come from one, which makes as many rows inbound as outbound.
func (l load) connection(listener, i, number, port int) error {
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(client, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	from := unix.SockaddrInet4{Addr: [4]byte{127, byte(64 + number), 0, 1}}
	if !l.hold {
		from.Addr[3] += byte(i & 7)
	}
	to := unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 1, 0, byte(i % l.destinations)}}
	if err := unix.Bind(client, &from); err != nil {
		return err
	}
	if err := unix.Connect(client, &to); err != nil {
		return err
	}
	server, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return errno
	}
	if l.hold {
		return nil
	}
	return errors.Join(unix.Close(client), unix.Close(int(server)))
}

// processTime is the CPU time of this process.
func processTime() time.Duration { return cpuTime(os.Getpid()) }

// cpuTime is the CPU time of a process so far, by its own clock: clock_getcpuclockid(3).
func cpuTime(pid int) time.Duration {
	const scheduled = 2 // CPUCLOCK_SCHED in include/linux/posix-timers.h
	var ts unix.Timespec
	testnet.Must(unix.ClockGettime(int32(^pid<<3|scheduled), &ts))
	return time.Duration(ts.Nano())
}
