package testnet

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Counters are the kernel's own figures for a namespace, from /proc/net/snmp and /proc/net/netstat, by the names nstat
// uses: "TcpActiveOpens", "TcpExtTW".
type Counters map[string]int64

// ReadCounters reads the counters of the calling thread's namespace: call it inside [Namespace.Do].
func ReadCounters() Counters {
	c := Counters{}
	for _, file := range []string{"snmp", "netstat"} {
		lines := strings.Split(procNet(file), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			c.addLines(strings.Fields(lines[i]), strings.Fields(lines[i+1]))
		}
	}
	return c
}

func (c Counters) addLines(names, values []string) {
	for i := 1; i < len(names) && i < len(values); i++ {
		// A value that is no number (there is none) would read as 0 and fail the comparison it is used in.
		v, _ := strconv.ParseInt(values[i], 10, 64)
		c[strings.TrimSuffix(names[0], ":")+names[i]] = v
	}
}

// Minus is what was counted between old and c.
func (c Counters) Minus(old Counters) Counters {
	d := Counters{}
	for name, v := range c {
		d[name] = v - old[name]
	}
	return d
}

// Sockstat is the line "TCP:" of /proc/net/sockstat.
type Sockstat struct {
	InUse, Orphan, TimeWait, Alloc int // TimeWait counts timewait sockets of both substates
}

// ReadSockstat reads the calling thread's namespace: call it inside [Namespace.Do].
func ReadSockstat() Sockstat {
	var s Sockstat
	var mem int
	for line := range strings.Lines(procNet("sockstat")) {
		if strings.HasPrefix(line, "TCP:") {
			_, err := fmt.Sscanf(line, "TCP: inuse %d orphan %d tw %d alloc %d mem %d", &s.InUse, &s.Orphan, &s.TimeWait, &s.Alloc, &mem)
			Must(err)
		}
	}
	return s
}

// SocketState is the state of the socket with these ends as /proc/net/tcp and tcp6 show it, that of a timewait socket
// included (which shows its substate). It says false when there is none. Call it inside [Namespace.Do].
func SocketState(local, remote netip.AddrPort) (event.State, bool) {
	columns, ok := findSocket(local, remote)
	if !ok {
		return 0, false
	}
	return event.State(Must1(strconv.ParseUint(columns[0], 16, 8))), true
}

// IsTimewait says whether the socket with these ends is a timewait socket, in whatever substate: its timer says so.
// Call it inside [Namespace.Do].
func IsTimewait(local, remote netip.AddrPort) bool {
	columns, ok := findSocket(local, remote)
	return ok && strings.HasPrefix(columns[2], "03:")
}

// Timewait is a timewait socket as /proc/net/tcp and tcp6 show it.
type Timewait struct {
	Local, Remote netip.AddrPort
	Substate      event.State
}

// ReadTimewaits reads the calling thread's namespace: call it inside [Namespace.Do].
func ReadTimewaits() (all []Timewait) {
	eachSocket(func(c []string) {
		if isTimewait(c) {
			all = append(all, Timewait{parseProcAddr(c[1]), parseProcAddr(c[2]), parseProcState(c[3])})
		}
	})
	return all
}

// SocketStates returns the states of all sockets but timewait sockets. Call it inside [Namespace.Do].
func SocketStates() (all []event.State) {
	eachSocket(func(c []string) {
		if !isTimewait(c) {
			all = append(all, parseProcState(c[3]))
		}
	})
	return all
}

// eachSocket calls f with the columns of each line of /proc/net/tcp and tcp6.
func eachSocket(f func(columns []string)) {
	files := []string{"tcp"}
	if HasIPv6() {
		files = append(files, "tcp6")
	}
	for _, file := range files {
		for line := range strings.Lines(procNet(file)) {
			if c := strings.Fields(line); len(c) > 5 && c[0] != "sl" {
				f(c)
			}
		}
	}
}

func isTimewait(columns []string) bool { return strings.HasPrefix(columns[5], "03:") }

func parseProcState(s string) event.State { return event.State(Must1(strconv.ParseUint(s, 16, 8))) }

// parseProcAddr reads what procAddr writes, and unmaps it.
func parseProcAddr(s string) netip.AddrPort {
	digits, port, _ := strings.Cut(s, ":")
	b := Must1(hex.DecodeString(digits))
	for i := 0; i+3 < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		Fail("no address: %q", s)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(Must1(strconv.ParseUint(port, 16, 16))))
}

// findSocket returns what follows the addresses in the socket's line: state, queues, timer and more. See
// Documentation/networking/proc_net_tcp.rst of the kernel.
func findSocket(local, remote netip.AddrPort) ([]string, bool) {
	if local.Addr().Is4() {
		if c, ok := findLine("tcp", local, remote); ok {
			return c, true
		}
	}
	if !HasIPv6() {
		return nil, false
	}
	return findLine("tcp6", mapped(local), mapped(remote))
}

func mapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

func findLine(file string, local, remote netip.AddrPort) ([]string, bool) {
	want := procAddr(local) + " " + procAddr(remote) + " "
	for line := range strings.Lines(procNet(file)) {
		if _, rest, ok := strings.Cut(line, want); ok {
			return strings.Fields(rest), true
		}
	}
	return nil, false
}

// UntilState waits until the socket with these ends is in state; event.Closed also when it is gone.
func UntilState(local, remote netip.AddrPort, state event.State) {
	Until(fmt.Sprintf("%s > %s in state %s", local, remote, state), func() bool {
		s, ok := SocketState(local, remote)
		return s == state && ok || state == event.Closed && !ok
	})
}

// procAddr writes an address as /proc/net/tcp does: 32-bit words in the host's byte order (little-endian here).
func procAddr(a netip.AddrPort) string {
	var s strings.Builder
	b := a.Addr().AsSlice()
	for i := 0; i < len(b); i += 4 {
		fmt.Fprintf(&s, "%02X%02X%02X%02X", b[i+3], b[i+2], b[i+1], b[i])
	}
	fmt.Fprintf(&s, ":%04X", a.Port())
	return s.String()
}

func procNet(file string) string {
	return string(Must1(os.ReadFile("/proc/thread-self/net/" + file)))
}
