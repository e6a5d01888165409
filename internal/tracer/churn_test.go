package tracer_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// churner makes and ends TIME_WAITs in every way there is, in a process of its own. What comes to nothing for want of a
// port is part of it.
type churner struct {
	first     uint16 // of the ports that it binds to
	listeners []*testnet.Socket
	orphaned  []*testnet.Socket // accepted; the other end is an orphan in FIN_WAIT2
	turn      int
	made      int // connections
}

// childChurn makes churn for so many milliseconds for each line that it reads, and says how many connections it made
// since. Its argument is the first of 100 ports that are its own.
func childChurn(args []string) {
	c := &churner{first: uint16(testnet.Must1(strconv.Atoi(args[0])))}
	servers := []netip.Addr{testnet.Server, testnet.Server2}
	if testnet.HasIPv6() {
		servers = append(servers, testnet.Server6)
	}
	for i, at := range servers {
		c.listeners = append(c.listeners, testnet.Listen(at, c.first+50+uint16(i)))
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		c.run(time.Duration(testnet.Must1(strconv.Atoi(lines.Text()))) * time.Millisecond)
		fmt.Println(c.made)
	}
}

func (c *churner) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, step := range []func(*testnet.Socket){c.clientFirst, c.serverFirst, c.reset, c.rebind, c.rebind, c.returning, c.clientFirst} {
			c.turn++
			step(c.listeners[c.turn%len(c.listeners)])
		}
		if c.turn%70 == 0 && len(c.orphaned) < 100 {
			c.orphan(c.listeners[c.turn%len(c.listeners)])
		}
	}
}

// connect connects from port, or from one of the kernel's choice for 0. No port left, or one still in use: nil.
func (c *churner) connect(l *testnet.Socket, port uint16) (client, server *testnet.Socket) {
	client = testnet.NewSocket(l.Local.Addr())
	if port != 0 {
		client.Reuse()
		from := testnet.Client
		if l.Local.Addr().Is6() {
			from = l.Local.Addr()
		}
		if err := client.TryBind(addrPort(from, port)); err != nil {
			client.Close()
			return nil, nil
		}
	}
	if err := client.Connect(l.Local); err != nil {
		client.Close()
		if !errors.Is(err, unix.EADDRNOTAVAIL) {
			testnet.Fail("connect: %v", err)
		}
		return nil, nil
	}
	c.made++
	return client, l.Accept()
}

func closeBoth(first, second *testnet.Socket) {
	if first != nil {
		first.Close()
		second.Close()
	}
}

// clientFirst leaves a TIME_WAIT of the client, whose port connect() may reuse after a second.
func (c *churner) clientFirst(l *testnet.Socket) { closeBoth(c.connect(l, 0)) }

// serverFirst leaves one of the server.
func (c *churner) serverFirst(l *testnet.Socket) {
	client, server := c.connect(l, 0)
	closeBoth(server, client)
}

// reset leaves none.
func (c *churner) reset(l *testnet.Socket) {
	if client, server := c.connect(l, 0); client != nil {
		client.Abort()
		server.Close()
	}
}

// rebind takes over at once the TIME_WAIT that it left a few turns before.
func (c *churner) rebind(l *testnet.Socket) { closeBoth(c.connect(l, c.first+uint16(c.turn%7))) }

// returning comes back from a port while the server holds its TIME_WAIT: its SYN ends that.
func (c *churner) returning(l *testnet.Socket) {
	client, server := c.connect(l, c.first+10+uint16(c.turn%5))
	closeBoth(server, client)
}

// orphan leaves a timewait socket in FIN_WAIT2 that nobody will end but its timer.
func (c *churner) orphan(l *testnet.Socket) {
	if client, server := c.connect(l, 0); client != nil {
		client.Close()
		c.orphaned = append(c.orphaned, server)
	}
}

// churners are several of them.
type churners []*testnet.Child

// startChurn starts n churners. Call it inside [testnet.Namespace.Do].
func startChurn(n int) (all churners) {
	for i := range n {
		all = append(all, testnet.StartChild("churn", []string{strconv.Itoa(20000 + 100*i)}))
	}
	for _, kid := range all {
		kid.Line() // it is ready
	}
	return all
}

// start begins a while of churn, which await waits for.
func (c churners) start(d time.Duration) {
	for _, kid := range c {
		kid.Say(strconv.FormatInt(d.Milliseconds(), 10))
	}
}

// await returns how many connections were made so far.
func (c churners) await() (made int) {
	for _, kid := range c {
		made += testnet.Must1(strconv.Atoi(kid.Line()))
	}
	testnet.Until("connections end", func() bool {
		for _, s := range testnet.SocketStates() {
			switch s {
			case event.Listen, event.Established, event.CloseWait:
			default:
				return false
			}
		}
		return true
	})
	return made
}

func (c churners) stop() {
	for _, kid := range c {
		kid.Release()
	}
}
