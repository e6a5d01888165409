// Package event is the vocabulary of tcpstate: what can happen to a TCP connection, in the words of the kernel.
//
// An Event is born in the tracer (or read back from a capture) and flows one way from there. Everything that handles
// one can therefore not tell a live kernel from a replay.
package event

import (
	"net/netip"
	"time"
)

// Event is one thing that happened to one connection (or, for [Lost], to several whose details are gone).
//
// It has no pointers of its own but those inside netip.Addr, so that one Event can be reused for a whole stream.
type Event struct {
	// UnixNano is when it happened: nanoseconds since the Unix epoch, from the kernel's monotonic clock plus one offset
	// per trace.
	UnixNano int64

	Kind      Kind
	Of        Kind // what kind of event was lost; only for Lost, zero when not even that is known
	Direction Direction
	// DirectionBasis is Inferred for a connection that was open before tracing began: nobody saw who opened it.
	DirectionBasis Basis

	// Netns is the inode number of the network namespace (struct net, ns.inum).
	Netns uint32
	Owner Owner

	// Local and Remote are the ends as this host sees them, IPv4-mapped addresses unmapped. The local port is 0 where
	// the kernel never chose one (EADDRNOTAVAIL).
	Local, Remote netip.AddrPort

	// OldState and NewState are the transition behind the event. NewState is TimeWait for a TimeWait event although
	// tracepoint inet_sock_set_state says CLOSE there: the kernel replaced the socket by a timewait socket.
	OldState, NewState State
	// Substate of the timewait socket when it was made: FinWait2 (the peer's FIN is still to come) or TimeWait.
	Substate State

	ClosedBy Closer

	// Error is why a connect failed or a connection ended early; NoError otherwise.
	Error Error
	Basis Basis // how Error is known
	Cause Cause

	// Preexisting: the connection was opened before tracing began, so its start is not known. (Of a TimeWaitEnd: its
	// TIME_WAIT began before.)
	Preexisting bool
	// InCensus: it was announced by an Existing event already.
	InCensus bool
	// AutoPort: connect() chose the local port, from the namespace's range. Not so where bind() chose it, or where the
	// socket has a range of its own (IP_LOCAL_PORT_RANGE).
	AutoPort bool

	// Remaining is how long a timewait socket has left (Open and Existing in TIME_WAIT); a little more can pass, for the
	// kernel's timers are coarse. Negative ([Unknown]): not known.
	Remaining time.Duration
	// Timestamps: the timewait socket's connection used TCP timestamps, without which its port cannot be reused early.
	Timestamps bool

	// Lifetime is from established to the end, ConnectTime from connect() to established (or to the failure).
	// Idle is how long nothing had been sent when the event was taken. Negative ([Unknown]): not known.
	Lifetime, ConnectTime, Idle time.Duration

	// Counted says that the counters below were read from the socket at this event.
	Counted bool
	// SentBytes and ReceivedBytes are payload: no SYN, no FIN, no retransmission counted twice.
	SentBytes, ReceivedBytes uint64
	// SentSegments and ReceivedSegments are the kernel's segs_out and segs_in; the Data ones carried payload.
	SentSegments, ReceivedSegments         uint32
	SentDataSegments, ReceivedDataSegments uint32
	// Retransmits is tcp_sock.total_retrans, unanswered SYNs included.
	Retransmits uint32

	// Count is how many events a Lost stands for.
	Count uint64
}

// Unknown stands for a duration that was not measured.
const Unknown time.Duration = -1

// Exchanges is how many times the two ends can have taken turns, at most: the smaller of the data segments sent and
// received. Uploads and downloads move thousands of segments in one exchange's direction only, so the minimum is robust.
func (e *Event) Exchanges() uint32 { return min(e.SentDataSegments, e.ReceivedDataSegments) }

// Owner is the process that a connection belongs to, as the kernel gave it, plus how that is known.
type Owner struct {
	// PID is the thread group id in the initial pid namespace; 0: not known.
	PID      uint32
	CgroupID uint64 // id in the cgroup v2 hierarchy (the inode of its directory); 0: not known
	// Comm is the name of the thread group's leader, as raw bytes, NUL padded. Any process can put anything there.
	Comm  Comm
	Basis OwnerBasis
}

// Identity is what makes processes one service: program name and cgroup, never the pid, so that a thousand runs of
// curl are one service.
type Identity struct {
	CgroupID uint64
	Comm     Comm
}

// Identity returns the service identity of o.
func (o *Owner) Identity() Identity { return Identity{CgroupID: o.CgroupID, Comm: o.Comm} }

// Comm is task_struct.comm: up to 15 bytes and a NUL.
type Comm [16]byte

// Raw returns the bytes before the first NUL. They are hostile input: see [Printable].
func (c Comm) Raw() string {
	for i, b := range c {
		if b == 0 {
			return string(c[:i])
		}
	}
	return string(c[:])
}

// String returns the name made printable.
func (c Comm) String() string { return Printable(c.Raw()) }

// Listener is a socket that listens, and who owns it.
type Listener struct {
	Netns uint32
	Local netip.AddrPort // the unspecified address: any
	Owner Owner
}
