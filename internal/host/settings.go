// Package host reads the settings of a network namespace that decide which local ports connect() can choose, and how
// long TIME_WAIT keeps them.
package host

import (
	"net/netip"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Settings are what decides, in one network namespace, which local ports connect() can choose and how long TIME_WAIT
// keeps them. All of them are sysctls of the namespace, but for Blocked.
type Settings struct {
	// Netns is the inode number of the namespace (struct net, ns.inum).
	Netns uint32
	// RangeLow and RangeHigh are net.ipv4.ip_local_port_range, both included. IPv6 uses it, too. A socket can narrow it
	// by IP_LOCAL_PORT_RANGE (inet_sk_get_local_port_range in net/ipv4/inet_connection_sock.c).
	RangeLow, RangeHigh uint16
	// Reserved is net.ipv4.ip_local_reserved_ports, inside the range and outside: ports that connect() and bind() never
	// choose by themselves (inet_is_local_reserved_port in include/net/ip.h). nil: not known.
	Reserved *PortSet
	// Blocked are the ports with a bucket that bind() or listen() made. They are closed to every connect() that chooses
	// its port, whatever the destination (tb->fastreuse >= 0 in __inet_hash_connect, net/ipv4/inet_hashtables.c). No
	// sysctl tells them, so [Read] leaves them nil: not known.
	Blocked *PortSet
	// TimeWaitReuse is net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 over loopback only. See [Settings.Reusable].
	TimeWaitReuse int
	// TimeWaitReuseDelay is net.ipv4.tcp_tw_reuse_delay: how old a TIME_WAIT must be for connect() to take its port.
	// Before Linux 6.14 it is 1 s at most: up to the next change of the kernel's second (tcp_twsk_unique).
	TimeWaitReuseDelay time.Duration
	// Timestamps is net.ipv4.tcp_timestamps != 0: new connections ask for TCP timestamps, without which their TIME_WAIT
	// cannot be reused early.
	Timestamps bool
	// MaxTimeWait is net.ipv4.tcp_max_tw_buckets: with that many timewait sockets in the namespace the kernel makes no
	// more (inet_twsk_alloc in net/ipv4/inet_timewait_sock.c).
	MaxTimeWait int
	// FinTimeout is net.ipv4.tcp_fin_timeout: how long an orphan waits in FIN_WAIT2 (tcp_fin_time in include/net/tcp.h).
	FinTimeout time.Duration
	// PortStep is net.ipv4.ip_local_port_step_width (Linux 7.1): up to how many ports of one parity connect() jumps on
	// from a taken one; 0: off, or a kernel without it.
	PortStep int
}

// RangeSize is the number of ports in the range, reserved ones included.
func (s *Settings) RangeSize() int {
	if s.RangeLow == 0 || s.RangeHigh < s.RangeLow {
		return 0
	}
	return int(s.RangeHigh) - int(s.RangeLow) + 1
}

// InRange says whether port is in the range, reserved or not.
func (s *Settings) InRange(port uint16) bool {
	return port != 0 && s.RangeLow <= port && port <= s.RangeHigh
}

// Reusable says whether connect() would take the port of a TIME_WAIT between local and remote once it is
// TimeWaitReuseDelay old: the rule of tcp_twsk_unique in net/ipv4/tcp_ipv4.c. Timestamps says that the connection had
// TCP timestamps (tw_ts_recent_stamp); s.Timestamps does not matter, for it is about new ones. Substate is the timewait
// socket's, for one in FIN_WAIT2 is not taken.
//
// The kernel also takes over loopback what is bound to device lo without an address of it: that cannot be told from
// here. Nor does the rule hold for a socket that bind() gave its port: that one takes any TIME_WAIT with timestamps.
func (s *Settings) Reusable(local, remote netip.Addr, timestamps bool, substate event.State) bool {
	if !timestamps || substate != event.TimeWaitState {
		return false
	}
	switch s.TimeWaitReuse {
	case 0:
		return false
	case 2:
		return isLoopback(local) || isLoopback(remote)
	default:
		return true
	}
}

// isLoopback is ipv4_is_loopback, ipv6_addr_loopback or ipv6_addr_v4mapped_loopback: 127.0.0.0/8, ::1 and
// ::ffff:127.0.0.0/104.
func isLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// Equal reports whether s and o, which can be nil, say the same.
func (s *Settings) Equal(o *Settings) bool {
	if s == nil || o == nil {
		return s == o
	}
	a, b := *s, *o
	a.Reserved, a.Blocked, b.Reserved, b.Blocked = nil, nil, nil, nil
	return a == b && s.Reserved.equal(o.Reserved) && s.Blocked.equal(o.Blocked)
}

func (p *PortSet) equal(o *PortSet) bool {
	if p == nil || o == nil {
		return p == o
	}
	return *p == *o
}
