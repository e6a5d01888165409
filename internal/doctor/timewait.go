package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/form"
)

const reuseSource = "tcp_twsk_unique in net/ipv4/tcp_ipv4.c"

// number begins a check of a sysctl that is one number, or says that it is unknown.
func (e *examiner) number(code, name, source string) (c Check, value int, known bool) {
	f := e.Sysctls[name]
	source = f.Path + "; " + source
	if err := errorOf(f); err != nil {
		return unknown(code, source, err), 0, false
	}
	return check(code, strconv.Itoa(f.Value), source), f.Value, true
}

// absurd ends a check of a value that the kernel gives no meaning.
func absurd(c Check, value int, wants string) Check {
	c.Status = Unknown
	c.say("Not known: the kernel documents no meaning of %d, only %s.", value, wants)
	return c
}

// usable is the number of ports of the range that are not reserved, 0 if it is not known.
func (e *examiner) usable() int {
	if !e.PortRange.Known() {
		return 0
	}
	_, left := e.leftIn(e.PortRange.Value, e.Reserved.Value)
	return left
}

// reuseRate is what reuse carries: a port again after tcp_tw_reuse_delay, 1 s before Linux 6.14.
func (e *examiner) reuseRate() int {
	delay := e.Sysctls["tcp_tw_reuse_delay"]
	if !delay.Known() || delay.Value <= 0 {
		return e.usable()
	}
	return int(int64(e.usable()) * 1000 / int64(delay.Value))
}

func (e *examiner) rates() string {
	if e.usable() == 0 {
		return "raises the rate to one destination some sixtyfold"
	}
	return fmt.Sprintf("raises the rate to one destination from %s to about %s connections a second",
		form.Grouped(e.usable()/timeWaitSeconds), form.Grouped(e.reuseRate()))
}

func (e *examiner) twReuse() Check {
	c, value, known := e.number("tw-reuse", "tcp_tw_reuse", reuseSource)
	if !known {
		return c
	}
	stamps := e.Sysctls["tcp_timestamps"]
	c.Source += "; " + stamps.Path
	switch value {
	case 0:
		c.raise(Warning, "connect() never takes the port of a TIME_WAIT before its %d s are over. 1 %s; it is safe "+
			"for outgoing connections (RFC 6191) and needs tcp_timestamps on both ends.", timeWaitSeconds, e.rates())
		c.sysctl("net.ipv4.tcp_tw_reuse", 1)
	case 1:
		c.say("connect() takes over the port of a TIME_WAIT that is a second old, if both ends use timestamps: that %s.",
			e.rates())
	case 2:
		c.say("Over loopback only, which is the default since Linux 4.19. If ports toward other hosts run short, "+
			"net.ipv4.tcp_tw_reuse = 1 %s; it needs tcp_timestamps on both ends.", e.rates())
	default:
		return absurd(c, value, "0, 1 and 2")
	}
	switch {
	case value == 0:
	case errorOf(stamps) != nil:
		c.raise(Unknown, "Whether it has any effect is not known, for tcp_timestamps is not: %s.",
			reason(errorOf(stamps)))
	case stamps.Value == 0 && value == 1:
		c.raise(Warning, "Here it has no effect: tcp_timestamps is 0 (see timestamps).")
	case stamps.Value == 0:
		c.say("Here it has no effect: tcp_timestamps is 0 (see timestamps).")
	}
	return c
}

func (e *examiner) timestamps() Check {
	c, value, known := e.number("timestamps", "tcp_timestamps", reuseSource+", RFC 7323")
	switch {
	case !known:
	case value == 0:
		c.raise(Warning, "New connections have no timestamps: tcp_tw_reuse has no effect, and old segments with "+
			"wrapped sequence numbers are not recognised (PAWS).")
		c.sysctl("net.ipv4.tcp_timestamps", 1)
	case value == 1 || value == 2:
		c.say("On, as tcp_tw_reuse needs it.")
	default:
		return absurd(c, value, "0, 1 and 2")
	}
	return c
}

// twRecycle is about a sysctl that is gone since Linux 4.12.
func (e *examiner) twRecycle() Check {
	f := e.Sysctls["tcp_tw_recycle"]
	if e.HasIPv4 && errors.Is(f.Err, fs.ErrNotExist) {
		c := check("tw-recycle", "absent", f.Path+"; Linux 4.12 removed it (commit 4396e46187ca)")
		c.say("This kernel does not have it, which is right: it broke connections from behind NAT.")
		return c
	}
	c, value, known := e.number("tw-recycle", "tcp_tw_recycle",
		"tcp_v4_conn_request in net/ipv4/tcp_ipv4.c before Linux 4.12")
	switch {
	case !known:
	case value == 0:
		c.say("Off, as it must be.")
	default:
		c.raise(Critical, "On: of hosts behind one NAT address, whose timestamps differ, the kernel silently drops "+
			"the SYNs of all but one. It was removed in Linux 4.12. tcp_tw_reuse = 1 is the safe way to reuse ports.")
		c.sysctl("net.ipv4.tcp_tw_recycle", 0)
	}
	return c
}

func (e *examiner) finTimeout() Check {
	c, value, known := e.number("fin-timeout", "tcp_fin_timeout",
		"tcp_fin_time and TCP_TIMEWAIT_LEN in include/net/tcp.h")
	switch {
	case !known:
	case value == timeWaitSeconds:
		c.say("The default. It shortens no TIME_WAIT: those %d s are compiled into the kernel.", timeWaitSeconds)
	default:
		c.raise(Warning, "It shortens no TIME_WAIT, whose %d s are compiled into the kernel (TCP_TIMEWAIT_LEN): it "+
			"is how long a connection that this host has closed waits in FIN_WAIT2 for the other end's FIN, which "+
			"after %d s is met by a RST. Write the default back.", timeWaitSeconds, value)
		c.sysctl("net.ipv4.tcp_fin_timeout", timeWaitSeconds)
	}
	return c
}

// plentyOfTimeWaits is the largest default of tcp_max_tw_buckets that there is: half of 524,288 hash chains
// (tcp_sk_init in net/ipv4/tcp_ipv4.c).
const plentyOfTimeWaits = 262144

func (e *examiner) maxTimeWaits() Check {
	c, limit, known := e.number("max-tw-buckets", "tcp_max_tw_buckets",
		e.TimeWaits.Path+"; "+e.Counters.Path+" (TCPTimeWaitOverflow); inet_twsk_alloc in "+
			"net/ipv4/inet_timewait_sock.c")
	if !known {
		return c
	}
	overflows, counted := e.counter("TcpExtTCPTimeWaitOverflow")
	now := e.TimeWaits
	if err := cmp.Or(errorOf(now), counted); err != nil {
		c.raise(Unknown, "How many TIME_WAITs there are, or were refused, is not known: %s.", reason(err))
		return c
	}
	c.say("%s now, %s of the limit; %s since %s.", form.Count(now.Value, "TIME_WAIT"), percent(now.Value, limit),
		form.Count(overflows, "overflow"), e.since())
	switch {
	case 5*now.Value >= 4*limit:
		c.raise(Warning, "At the limit the kernel makes no more: it ends connections at once, and a late segment of "+
			"one can end up in the next. Each takes some 0.3 KB.")
		c.sysctl("net.ipv4.tcp_max_tw_buckets", max(2*now.Value, 2*limit, plentyOfTimeWaits))
	case overflows > 0 && limit < plentyOfTimeWaits:
		c.raise(Warning, "So often the kernel had to end a connection without TIME_WAIT, and a late segment of one "+
			"can end up in the next. Each takes some 0.3 KB.")
		c.sysctl("net.ipv4.tcp_max_tw_buckets", plentyOfTimeWaits)
	case overflows > 0:
		c.raise(Info, "The limit has been reached in that time; it may have been lower then.")
	}
	return c
}

// counter reads one of the kernel's.
func (e *examiner) counter(name string) (n int64, err error) {
	if err := errorOf(e.Counters); err != nil {
		return 0, err
	}
	n, ok := e.Counters.Value[name]
	if !ok {
		return 0, fmt.Errorf("%s: no counter %s in it", e.Counters.Path, name)
	}
	return n, nil
}

// since says since when the kernel counts here.
func (e *examiner) since() string {
	switch {
	case e.space.Host == nil:
		return "boot, or since this namespace was made"
	case *e.space.Host:
		return "boot"
	}
	return "this namespace was made"
}
