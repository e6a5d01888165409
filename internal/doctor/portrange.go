package doctor

import (
	"fmt"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// serviceLow is where a wide range may begin. Below it lie the default ports of most servers that are not reserved for
// root: MySQL 3306, PostgreSQL 5432, Redis 6379, HTTP 8080, Prometheus 9090, Kafka 9092, Elasticsearch 9200.
const serviceLow = 10240

const rangeSource = "__inet_hash_connect in net/ipv4/inet_hashtables.c, Documentation/networking/ip-sysctl.rst"

func (e *examiner) size() int { return int(e.PortRange.Value.High) - int(e.PortRange.Value.Low) + 1 }

// wantedRange is the range to write, or the one that is set.
func (e *examiner) wantedRange() host.PortRange {
	set := e.PortRange.Value
	switch {
	case !e.PortRange.Known():
		return host.PortRange{}
	case e.size() < defaultSize:
		return host.PortRange{Low: defaultLow, High: defaultHigh}
	case e.lowServices() > 0 && int(set.High)-serviceLow < defaultSize:
		return host.PortRange{Low: defaultLow, High: defaultHigh}
	case e.lowServices() > 0:
		low := uint16(serviceLow)
		if low%2 == set.High%2 { // the kernel wants ends of different parity
			low++
		}
		return host.PortRange{Low: low, High: set.High}
	}
	return set
}

// lowServices is how many ports the range has where most servers have theirs, reserved ones left out.
func (e *examiner) lowServices() int {
	r := e.PortRange.Value
	if r.Low >= serviceLow {
		return 0
	}
	return serviceLow - int(r.Low) - e.Reserved.Value.CountIn(r.Low, serviceLow-1)
}

// lowestHarmless is half of the default: a range of which the reserved ports leave less is too narrow.
const lowestHarmless = defaultSize / 2

// portRange says how many ports there are, and what they carry.
func (e *examiner) portRange() Check {
	const code = "port-range"
	source := e.PortRange.Path + "; " + rangeSource
	if err := errorOf(e.PortRange); err != nil {
		return unknown(code, source, err)
	}
	r := e.PortRange.Value
	c := check(code, fmt.Sprintf("%d %d", r.Low, r.High), source)
	reserved, usable := e.leftIn(r, e.Reserved.Value)
	c.say("%s for each source address and destination (%s in the range, %s reserved).",
		form.Count(usable, "port"), form.Grouped(e.size()), form.Grouped(reserved))
	if !e.Reserved.Known() {
		c.say("How many are reserved is not known (see reserved-ports).")
	}
	if usable > 0 {
		c.say("At %d s of TIME_WAIT they carry %s connections a second to one destination; from %s a second on, "+
			"half of them are taken, and each connect() searches that half in vain.",
			timeWaitSeconds, form.Grouped(usable/timeWaitSeconds), form.Grouped(usable/2/timeWaitSeconds))
	}
	e.judgeRange(&c, usable)
	if e.wanted != r && c.Status.rank() >= Warning.rank() {
		c.sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("%d %d", e.wanted.Low, e.wanted.High))
	}
	return c
}

// leftIn returns how many ports of a range are reserved, and how many are not.
func (e *examiner) leftIn(r host.PortRange, reserved *host.PortSet) (in, left int) {
	in = reserved.CountIn(r.Low, r.High)
	return in, int(r.High) - int(r.Low) + 1 - in
}

func (e *examiner) judgeRange(c *Check, usable int) {
	_, left := e.leftIn(e.wanted, e.merged)
	switch {
	case usable == 0:
		c.raise(Critical, "None is left: every connect() that does not bind() first fails with EADDRNOTAVAIL.")
	case e.size() < defaultSize:
		c.raise(Warning, "That is narrower than the kernel's default, %d %d, which has %s.", defaultLow, defaultHigh,
			form.Count(defaultSize, "port"))
	case e.lowServices() > 0:
		e.judgeWide(c)
	}
	if usable > 0 && left < lowestHarmless {
		c.raise(Warning, "Reserved ports leave less than half of what the kernel's default range has: reserve fewer.")
	}
}

// judgeWide is about a range that reaches down to where servers listen. One who has reserved ports in it, and
// everything that listens there, knows what he does.
func (e *examiner) judgeWide(c *Check) {
	status := Warning
	r := e.PortRange.Value
	if e.claimed && e.Reserved.Value.CountIn(r.Low, r.High) > 0 && *e.merged == *e.Reserved.Value {
		status = Info
	}
	wide := "The range"
	if r.Low <= 1024 && r.High == 65535 {
		wide = "It is the widest range there is, and"
	}
	c.raise(status, "%s reaches down to %d: %s below %d, where most servers have their default ports, can be taken "+
		"by an outgoing connection and its TIME_WAIT. A server that starts then fails with EADDRINUSE, unless its "+
		"port is reserved. From %d on there are still %s.",
		wide, r.Low, form.Count(e.lowServices(), "port"), serviceLow, e.wanted.Low,
		form.Count(int(e.wanted.High)-int(e.wanted.Low)+1, "port"))
}

// inRange says whether connect() can choose a port, now or once what is told here is written.
func (e *examiner) inRange(port uint16) bool {
	r := e.PortRange.Value
	return r.Low <= port && port <= r.High || e.wanted.Low <= port && port <= e.wanted.High
}

func portName(port uint16) string { return strconv.Itoa(int(port)) }
