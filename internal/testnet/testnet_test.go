package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

func init() {
	RunChild(Children{"greet": func(args []string) {
		SetComm("greeter")
		comm, err := os.ReadFile("/proc/self/comm")
		Must(err)
		fmt.Printf("%s to %s", comm[:len(comm)-1], args[0])
		fmt.Println()
		AwaitRelease()
	}})
}

func TestVersionComparison(t *testing.T) {
	tests := []struct {
		release, version string
		less             bool
	}{
		{"6.1.0-56-cloud-amd64", "6.1", false},
		{"5.10.0-32-cloud-amd64", "6.1", true},
		{"6.18.44", "6.2", false},
		{"6.2.0", "6.18", true},
		{"7.2.13+deb14", "6.18", false},
	}
	for _, tt := range tests {
		if got := versionLess(tt.release, tt.version); got != tt.less {
			t.Errorf("versionLess(%q, %q) = %v", tt.release, tt.version, got)
		}
	}
}

func TestSegmentSurvivesItsPacket(t *testing.T) {
	sent := &Segment{
		From: netip.MustParseAddrPort("10.2.0.9:80"), To: netip.MustParseAddrPort("10.1.0.1:40000"),
		Seq: 0xfffffffe, Ack: 7, Flags: ACK | PSH | FIN, Payload: []byte("odd"),
	}
	packet := tcpPacket(sent)
	got, ok := parseSegment(packet)
	if !ok || got.From != sent.From || got.To != sent.To || got.Seq != sent.Seq || got.Ack != sent.Ack ||
		got.Flags != sent.Flags || string(got.Payload) != "odd" || got.next() != 2 {
		t.Errorf("sent %+v, parsed %+v", sent, got)
	}
	if c := checksum(packet[:ipHeader]); c != 0 {
		t.Errorf("checksum over the IP header with its checksum is %#x, not 0", c)
	}
	for cut := range len(packet) {
		if _, ok := parseSegment(packet[:cut]); ok && cut < ipHeader+tcpHeader {
			t.Errorf("parsed a packet cut to %d bytes", cut)
		}
	}
}

// A test that silently needs root is a test that CI never runs.
func TestWithoutPrivilegesTestsSkipUnlessTheyMustTrace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become nobody")
	}
	run := func(env ...string) (string, error) {
		c := exec.Command("/proc/self/exe", "-test.v", "-test.run=TestNamespacesAreSeparate")
		c.Env = append([]string{"PATH=/bin"}, env...)
		c.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil || !strings.Contains(out, "--- SKIP: TestNamespacesAreSeparate") {
		t.Errorf("without %s: %v\n%s", MustTrace, err, out)
	}
	if out, err := run(MustTrace + "=1"); err == nil || !strings.Contains(out, "--- FAIL: TestNamespacesAreSeparate") {
		t.Errorf("with %s: %v\n%s", MustTrace, err, out)
	}
}

func TestNamespacesAreSeparate(t *testing.T) {
	RequireTracing(t)
	a, b := New(t), New(t)
	if a.Inode() == b.Inode() || a.Inode() == 0 {
		t.Errorf("inodes %d and %d", a.Inode(), b.Inode())
	}
	var l *Socket
	a.Do(t, func() { l = Listen(Server, 80) })
	t.Cleanup(func() { a.Do(t, l.Close) })
	b.Do(t, func() {
		if err := NewSocket(Server).Connect(netip.AddrPortFrom(Server, 80)); !errors.Is(err, unix.ECONNREFUSED) {
			Fail("connect in the other namespace: %v", err)
		}
		restore := Sysctl("net.ipv4.tcp_fin_timeout", "7")
		restore()
		if c := ReadCounters(); c["TcpActiveOpens"] != 1 || c["TcpAttemptFails"] != 1 {
			Fail("counters: %d opens, %d fails", c["TcpActiveOpens"], c["TcpAttemptFails"])
		}
	})
}

func TestPeerMakesATimeWaitThatProcShows(t *testing.T) {
	RequireTracing(t)
	New(t).Do(t, func() {
		peer := NewPeer()
		defer peer.Close()
		s := NewSocket(PeerAddr)
		s.StartConnect(netip.AddrPortFrom(PeerAddr, 80))
		c := peer.Meet(80)
		c.Establish()
		Must(s.ConnectResult())
		s.Close()
		c.Await(FIN | ACK)
		c.Send(ACK, "")
		UntilState(s.Local, s.Remote, event.FinWait2)
		if n := ReadSockstat().TimeWait; n != 1 {
			Fail("sockstat counts %d timewait sockets", n)
		}
		c.Send(FIN|ACK, "")
		UntilState(s.Local, s.Remote, event.TimeWaitState)
		c.Send(RST, "")
		UntilState(s.Local, s.Remote, event.Closed)
	})
}

func TestChildRunsInTheNamespaceUnderItsOwnName(t *testing.T) {
	RequireTracing(t)
	New(t).Do(t, func() {
		c := StartChild("greet", []string{"you"})
		if got := c.Line(); got != "greeter to you" {
			Fail("child said %q", got)
		}
		c.Release()
	})
}
