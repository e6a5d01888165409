package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// claim is a port in the range that somebody listens on or is configured to, and that is not reserved.
type claim struct {
	port uint16
	who  string // who listens, "" for nobody yet; not printable
	file string // the configuration that names it
	// loopback: nobody outside reaches it, and only connections over loopback get in its way.
	loopback bool
	// chance: the kernel may have chosen the port, as for bind() to port 0. Reserving it would help nobody.
	chance bool
}

// unreserved returns them by port, and whether it can be known which they are.
func (e *examiner) unreserved() (claims []claim, known bool) {
	if errorOf(e.PortRange) != nil || errorOf(e.Reserved) != nil || errorOf(e.Sockets) != nil {
		return nil, false
	}
	byPort := make(map[uint16]*claim)
	for _, l := range e.Sockets.Value.Listeners {
		port := l.Local.Port()
		if !e.inRange(port) || e.Reserved.Value.Has(port) {
			continue
		}
		holder, known := e.holder(l.Inode)
		c := byPort[port]
		if c == nil {
			c = &claim{port: port, loopback: true, chance: true}
			byPort[port] = c
		}
		if known && c.who == "" {
			c.who = fmt.Sprintf("%s, pid %d", holder.Comm, holder.PID)
		}
		c.loopback = c.loopback && l.Local.Addr().IsLoopback()
		c.chance = c.chance && e.byChance(&l, holder)
	}
	e.addConfigured(byPort)
	for _, c := range byPort {
		claims = append(claims, *c)
	}
	slices.SortFunc(claims, func(a, b claim) int { return int(a.port) - int(b.port) })
	return claims, true
}

// addConfigured adds what the configuration of the host's own namespace names.
func (e *examiner) addConfigured(byPort map[uint16]*claim) {
	if e.space.Host == nil && !e.space.Own || e.space.Host != nil && !*e.space.Host {
		return
	}
	for _, configured := range e.in.Configured.Ports {
		c := byPort[configured.Port]
		switch {
		case !e.inRange(configured.Port) || e.Reserved.Value.Has(configured.Port):
			continue
		case c == nil:
			c = &claim{port: configured.Port}
			byPort[configured.Port] = c
		}
		c.file, c.chance = configured.File, false
	}
}

// holder is the process that listens: the one with the lowest pid.
func (e *examiner) holder(inode uint64) (*host.Process, bool) {
	for i := range e.in.Processes.Listening {
		p := &e.in.Processes.Listening[i]
		if slices.Contains(p.Sockets, inode) {
			return p, true
		}
	}
	return nil, false
}

// byChance says whether the kernel may have chosen a listening socket's port. Nothing tells it for certain, so all
// signs must agree: bind() to port 0 takes ports an odd number above the range's lower end first
// (inet_csk_find_open_port in net/ipv4/inet_connection_sock.c), that of today and that which ought to be; the port is
// in the range that distributions set; the command line does not name it; and nobody outside uses it, or its service
// tells rpcbind where it is.
func (e *examiner) byChance(l *host.ListeningSocket, holder *host.Process) bool {
	port := l.Local.Port()
	for _, low := range []uint16{e.PortRange.Value.Low, e.wanted.Low} {
		if port < max(low, defaultLow) || (port-low)%2 == 0 {
			return false
		}
	}
	if holder == nil { // the kernel's own, such as lockd's
		return l.Local.Addr().IsLoopback() || e.allSeen()
	}
	return !names(holder.Command, port) && (l.Local.Addr().IsLoopback() || strings.HasPrefix(holder.Comm, "rpc."))
}

// allSeen says whether every process of the host could be looked at.
func (e *examiner) allSeen() bool { return e.unseenProcesses() == "" && e.in.Processes.Everywhere }

// names says whether a command line has the number as a word of its own.
func names(command string, port uint16) bool {
	number := portName(port)
	for rest := command; ; {
		i := strings.Index(rest, number)
		if i < 0 {
			return false
		}
		end := i + len(number)
		if (i == 0 || !isDigit(rest[i-1])) && (end == len(rest) || !isDigit(rest[end])) {
			return true
		}
		rest = rest[end:]
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// merge adds to what is reserved what ought to be.
func (e *examiner) merge(claims []claim) {
	e.merged = e.Reserved.Value
	if len(claims) == 0 {
		return
	}
	merged := *e.Reserved.Value
	for _, c := range claims {
		if !c.chance {
			merged.Add(c.port)
		}
	}
	e.merged = &merged
}

// maxNamed is how many things a sentence names.
const maxNamed = 8

func (e *examiner) reservedPorts(claims []claim) Check {
	const code = "reserved-ports"
	source := e.Reserved.Path + "; " + e.Sockets.Path + " and tcp6; systemd's socket units and servers' " +
		"configuration; inet_is_local_reserved_port in include/net/ip.h"
	errs := []error{errorOf(e.Reserved), errorOf(e.PortRange), errorOf(e.Sockets)}
	if errs[0] != nil || errs[1] != nil || errs[2] != nil {
		return unknown(code, source, errs...)
	}
	c := check(code, shown(e.Reserved.Value.String()), source)
	var fixed, chance []string
	for _, claim := range claims {
		if claim.chance {
			chance = append(chance, claim.String())
		} else {
			fixed = append(fixed, claim.String())
		}
	}
	if len(fixed) == 0 && len(chance) == 0 {
		c.say("No port that somebody listens on, or is configured to, lies unreserved in the range.")
	}
	if len(fixed) > 0 {
		c.raise(Warning, "In the range and not reserved: %s. An outgoing connection, or its TIME_WAIT, can hold "+
			"such a port when the server starts, which then fails with EADDRINUSE.", list(fixed, maxNamed))
		c.sysctl("net.ipv4.ip_local_reserved_ports", e.merged)
	}
	if len(chance) > 0 {
		c.raise(Info, "Probably chosen by the kernel (bind() to port 0), for which it cannot be known: %s. If one "+
			"is configured, reserve it, too.", list(chance, maxNamed))
	}
	e.sayUnread(&c)
	return c
}

// sayUnread tells what may be missing.
func (e *examiner) sayUnread(c *Check) {
	if n := e.Sockets.Value.MoreListeners; n > 0 {
		c.raise(Unknown, "%s beyond the bound were not looked at.", form.Count(n, "listening socket"))
	}
	conf := &e.in.Configured
	if len(conf.Unread) > 0 {
		c.say("Ports that %s would name are not known: %s.", form.Count(len(conf.Unread)+conf.More, "unreadable file"),
			conf.Unread[0].Error())
	}
}

// shown is a list of ports of readable length.
func shown(ports string) string {
	const most = 200
	switch {
	case ports == "":
		return "none"
	case len(ports) > most:
		return ports[:strings.LastIndexByte(ports[:most], ',')+1] + "…"
	}
	return ports
}

func (c *claim) String() string {
	s := portName(c.port)
	var about []string
	if c.who != "" {
		about = append(about, c.who)
	}
	if c.who == "" && c.file == "" {
		about = append(about, "owner not seen")
	}
	if c.file != "" {
		about = append(about, c.file)
	}
	if c.loopback {
		about = append(about, "loopback only")
	}
	return s + " (" + strings.Join(about, "; ") + ")"
}
