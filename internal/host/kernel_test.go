package host

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

func TestOwnSettingsAreRead(t *testing.T) {
	s, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if s.Netns == 0 || s.RangeSize() < 1 || s.FinTimeout <= 0 || s.TimeWaitReuseDelay <= 0 ||
		s.Reserved == nil || s.Blocked != nil {
		t.Errorf("implausible settings: %+v", s)
	}
}

func TestSettingsAreThoseOfTheThreadsNamespace(t *testing.T) {
	testnet.RequireTracing(t)
	n := testnet.New(t)
	var reserved []string
	for port := 20001; port < 24001; port += 2 { // 12 KB: more than one buffer
		reserved = append(reserved, strconv.Itoa(port))
	}
	var s Settings
	n.Do(t, func() {
		for name, value := range map[string]string{
			"ip_local_port_range": "20000 20099", "ip_local_reserved_ports": strings.Join(reserved, ","), "tcp_tw_reuse": "1",
			"tcp_timestamps": "0", "tcp_max_tw_buckets": "77", "tcp_fin_timeout": "13",
		} {
			testnet.Sysctl("net.ipv4."+name, value)
		}
		s = testnet.Must1(Read())
	})
	if s.Netns != n.Inode() || s.RangeLow != 20000 || s.RangeHigh != 20099 || s.TimeWaitReuse != 1 || s.Timestamps ||
		s.MaxTimeWait != 77 || s.FinTimeout != 13*time.Second {
		t.Errorf("settings of %d: %+v", n.Inode(), s)
	}
	if s.Reserved.Count() != len(reserved) || s.Reserved.CountIn(s.RangeLow, s.RangeHigh) != 50 || !s.Reserved.Has(23999) {
		t.Errorf("%d ports reserved, %d in the range, want %d and 50",
			s.Reserved.Count(), s.Reserved.CountIn(s.RangeLow, s.RangeHigh), len(reserved))
	}
	if home, err := Read(); err != nil || home.Netns == n.Inode() || home.FinTimeout == 13*time.Second {
		t.Errorf("settings of this thread: %+v, %v", home, err)
	}
}

// held is a TIME_WAIT that holds the only port toward its destination.
type held struct {
	mode       int
	to         netip.AddrPort
	timestamps bool // of the connection
	later      bool // tcp_timestamps when its port is asked for again
	substate   event.State
	local      netip.Addr
}

func (h held) String() string {
	return fmt.Sprintf("mode %d, %v to %v, timestamps %v then %v, substate %v",
		h.mode, h.local, h.to, h.timestamps, h.later, h.substate)
}

func TestReusableIsWhatConnectDoes(t *testing.T) {
	testnet.RequireTracing(t)
	n := testnet.New(t)
	var cases []*held
	n.Do(t, func() {
		testnet.Sysctl("net.ipv4.ip_local_port_range", "20000 20000")
		cases = heldPorts()
		for _, c := range cases {
			c.make()
		}
	})
	time.Sleep(2100 * time.Millisecond) // older kernels: until the second has changed twice
	for _, c := range cases {
		n.Do(t, func() {
			testnet.Sysctl("net.ipv4.tcp_tw_reuse", strconv.Itoa(c.mode))
			testnet.Sysctl("net.ipv4.tcp_timestamps", number(c.later))
			s := testnet.Must1(Read())
			want := s.Reusable(c.local, c.to.Addr(), c.timestamps, c.substate)
			socket := testnet.NewSocket(c.to.Addr())
			defer socket.Close()
			switch err := socket.Connect(c.to); {
			case err != nil && err != unix.EADDRNOTAVAIL:
				t.Errorf("%v: %v", c, err)
			case (err == nil) != want:
				t.Errorf("%v: reusable %v, but connect(): %v", c, want, err)
			}
		})
	}
}

// heldPorts lists every combination, each with a destination of its own.
func heldPorts() []*held {
	addrs := []netip.Addr{testnet.Server, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.9.9.9")}
	if testnet.HasIPv6() {
		addrs = append(addrs, testnet.Local6, testnet.Server6, netip.MustParseAddr("::ffff:127.0.0.1"))
	}
	substates := []event.State{event.TimeWaitState}
	if testnet.KernelAtLeast("6.1") { // some 5.10 take one in FIN_WAIT2, others do not
		substates = append(substates, event.FinWait2)
	}
	var all []*held
	for mode := range 3 {
		for _, a := range addrs {
			for _, substate := range substates {
				for stamps := range 4 {
					to := netip.AddrPortFrom(a, uint16(9000+len(all)))
					all = append(all, &held{mode: mode, to: to, timestamps: stamps&1 != 0, later: stamps&2 != 0, substate: substate})
				}
			}
		}
	}
	return all
}

func (h *held) make() {
	testnet.Sysctl("net.ipv4.tcp_timestamps", number(h.timestamps))
	listener := testnet.Listen(h.to.Addr(), h.to.Port())
	client := testnet.Dial(h.to)
	client.Ends()
	server := listener.Accept()
	client.Close()
	h.local = client.Local.Addr()
	if h.substate == event.TimeWaitState {
		server.ReadEnd()
		server.Close()
	}
	to := netip.AddrPortFrom(h.to.Addr().Unmap(), h.to.Port())
	testnet.Until("timewait socket", func() bool {
		state, ok := testnet.SocketState(client.Local, to)
		return ok && state == h.substate
	})
}

func number(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
