package event

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Kind is what happened.
type Kind uint8

// The kinds, named in JSON as [Kind.String] says.
const (
	Connect       Kind = iota + 1 // this host's connect() was established
	Accept                        // a connection from outside was established
	ConnectFailed                 // connect() came to nothing, Error says why
	Close                         // a connection ended and no TIME_WAIT is held here
	TimeWait                      // a connection ended and the kernel made a timewait socket here
	Lost                          // Count events are missing here
	Open                          // not a happening: a connection or a timewait socket (NewState says) that is there when the window ends
	Existing                      // not a happening: one that was there before the window began, found by a census
	TimeWaitEnd                   // a timewait socket was removed, Cause says why
	BindFailed                    // bind() failed for want of a port or of the address
	// Progress is not a happening: how a connection that is open has been used so far. Without a name, for it is in no output,
	// and in no capture.
	Progress
)

var kindNames = [...]string{
	Connect: "connect", Accept: "accept", ConnectFailed: "connect_failed", Close: "close", TimeWait: "time_wait",
	Lost: "lost", Open: "open", Existing: "existing", TimeWaitEnd: "time_wait_end", BindFailed: "bind_failed",
}

// String returns the name used in JSON and filters.
func (k Kind) String() string { return name(kindNames[:], int(k)) }

// Direction is who opened the connection.
type Direction uint8

// Outbound: this host called connect. Inbound: this host accepted.
const (
	Outbound Direction = iota + 1
	Inbound
)

var directionNames = [...]string{Outbound: "outbound", Inbound: "inbound"}

func (d Direction) String() string { return name(directionNames[:], int(d)) }

// State is a TCP state with the number of include/net/tcp_states.h.
type State uint8

// The states as the kernel numbers them.
const (
	Established State = iota + 1
	SynSent
	SynRecv
	FinWait1
	FinWait2
	TimeWaitState
	Closed // TCP_CLOSE
	CloseWait
	LastAck
	Listen
	Closing
	NewSynRecv
)

var stateNames = [...]string{
	Established: "ESTABLISHED", SynSent: "SYN_SENT", SynRecv: "SYN_RECV", FinWait1: "FIN_WAIT1", FinWait2: "FIN_WAIT2",
	TimeWaitState: "TIME_WAIT", Closed: "CLOSE", CloseWait: "CLOSE_WAIT", LastAck: "LAST_ACK", Listen: "LISTEN",
	Closing: "CLOSING", NewSynRecv: "NEW_SYN_RECV",
}

// String returns the kernel's name without TCP_.
func (s State) String() string { return name(stateNames[:], int(s)) }

// Closer is who closed first.
type Closer uint8

// ClosedLocal, ClosedRemote: whose FIN came first. ClosedBoth: the FINs crossed (CLOSING). ClosedReset: the connection
// ended by RST, abort or timeout.
const (
	ClosedLocal Closer = iota + 1
	ClosedRemote
	ClosedBoth
	ClosedReset
)

var closerNames = [...]string{ClosedLocal: "local", ClosedRemote: "remote", ClosedBoth: "both", ClosedReset: "reset"}

func (c Closer) String() string { return name(closerNames[:], int(c)) }

// Basis is how a fact is known.
type Basis uint8

// Exact: the kernel said so. Inferred: derived from what the kernel said, and can be wrong.
const (
	Exact Basis = iota + 1
	Inferred
)

var basisNames = [...]string{Exact: "exact", Inferred: "inferred"}

func (b Basis) String() string { return name(basisNames[:], int(b)) }

// OwnerBasis is how the owner of a connection is known.
type OwnerBasis uint8

// How an owner can be known, best first.
const (
	OwnerUnknown  OwnerBasis = iota // nobody known
	OwnerConnect                    // called connect()
	OwnerListener                   // called listen() on the socket that accepted
	OwnerCloser                     // closed the connection; whoever opened it was not seen
	OwnerCgroup                     // only the cgroup is known, from the socket itself
	OwnerHolder                     // had it open when tracing began; whoever opened it was not seen
)

var ownerBasisNames = [...]string{
	OwnerUnknown: "unknown", OwnerConnect: "connect", OwnerListener: "listen", OwnerCloser: "close", OwnerCgroup: "cgroup", OwnerHolder: "holder",
}

func (b OwnerBasis) String() string { return name(ownerBasisNames[:], int(b)) }

// Cause tells failures apart that share an errno, and ends that share a state.
type Cause uint8

// Of a failure: PortsExhausted: no local port was left toward the destination (EADDRNOTAVAIL), or for a bind() to port 0
// (EADDRINUSE). TupleInUse: the port was chosen by bind() and its 4-tuple was taken (EADDRNOTAVAIL, too). NoRoute: no SYN
// was sent for want of a route. NotLocal: bind() to an address that this namespace does not have (EADDRNOTAVAIL).
// PortTaken: bind() to a port of the caller's choice that another socket has (EADDRINUSE).
//
// Of an end: TimeWaitOverflow: a TIME_WAIT was due and the kernel made none, because of tcp_max_tw_buckets or for want of
// memory.
//
// Of the end of a TIME_WAIT: Expired: its time was over. Reused: connect() took its port for the same destination. Killed:
// before its time by an RST, a new SYN of the peer, `ss -K`, or with its namespace.
const (
	PortsExhausted Cause = iota + 1
	TupleInUse
	TimeWaitOverflow
	Expired
	Reused
	Killed
	NoRoute
	NotLocal
	PortTaken
)

var causeNames = [...]string{
	PortsExhausted: "ports-exhausted", TupleInUse: "tuple-in-use", TimeWaitOverflow: "time-wait-overflow",
	Expired: "expired", Reused: "reused", Killed: "killed", NoRoute: "no-route", NotLocal: "not-local", PortTaken: "port-taken",
}

func (c Cause) String() string { return name(causeNames[:], int(c)) }

// Error is an errno, or one of the two below, which no errno can be.
type Error uint16

// NoError: nothing failed. Canceled: the application itself gave up (close, shutdown, exit or disconnect while the
// connect was under way), which leaves no errno. UnknownError: it failed before a SYN was sent and nothing says why.
const (
	NoError      Error = 0
	UnknownError Error = 0xfffe
	Canceled     Error = 0xffff
)

// EADDRNOTAVAIL and EADDRINUSE have names here because they are what this tool is about: what connect() and what bind()
// says when no port is left.
const (
	EADDRNOTAVAIL = Error(unix.EADDRNOTAVAIL)
	EADDRINUSE    = Error(unix.EADDRINUSE)
)

// String returns the errno's symbol, CANCELED, UNKNOWN, or "" for NoError.
func (e Error) String() string {
	switch e {
	case NoError:
		return ""
	case Canceled:
		return "CANCELED"
	case UnknownError:
		return "UNKNOWN"
	}
	if s := unix.ErrnoName(unix.Errno(e)); s != "" {
		return s
	}
	return "errno " + strconv.Itoa(int(e))
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// Printable returns s with everything escaped that could act on a terminal, a log or a page: control characters,
// invalid UTF-8, invisible and direction-changing characters, as \x1b or \u202e. Backslashes stay as they are, for
// systemd's unit names are full of them.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r != '\\' && r != '"' {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}
