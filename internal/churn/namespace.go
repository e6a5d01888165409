package churn

import "github.com/tcpstate/tcpstate/internal/host"

// namespace is what the budgets of one network namespace have in common.
type namespace struct {
	settings *host.Settings // nil: not known
	// slow is the parity (0, 1) of the ports that connect() tries only when all of the other one are taken: not that of
	// the first port of the range. noParity: not known, or the kernel does not go by parity.
	slow  uint16
	binds []*BindFailure

	// What the settings leave, found out when it is first asked for.
	measured          *host.Settings
	reserved, blocked int
}

const noParity = 2

// SetHost takes the latest settings of the network namespace s.Netns, and keeps s, which must not change any more.
// They can come before the namespace's first event, or after its last.
func (t *Table) SetHost(s *host.Settings) {
	n := t.namespaces[s.Netns]
	if n == nil {
		if len(t.namespaces) >= t.max {
			return
		}
		n = t.namespace(s.Netns)
	}
	was := n.slow
	n.settings, n.slow = s, slowParity(s)
	if was == noParity || was == n.slow {
		return
	}
	for _, b := range t.budgets {
		if b.namespace == n {
			b.parities = [2]parity{} // counted by the rule that was
			b.toldHalf = false
		}
	}
}

// namespace finds the namespace of an inode number, or makes it. Budgets and rows, which are bounded, bound these.
func (t *Table) namespace(netns uint32) *namespace {
	n := t.namespaces[netns]
	if n == nil {
		n = &namespace{slow: noParity}
		t.namespaces[netns] = n
	}
	return n
}

// slowParity is the rule of __inet_hash_connect() in net/ipv4/inet_hashtables.c: from a random port on, first all
// that have the parity of the range's first, then the others. With ip_local_port_step_width there is no such order.
func slowParity(s *host.Settings) uint16 {
	if s.PortStep != 0 || s.RangeSize() < 2 {
		return noParity
	}
	return 1 - s.RangeLow%2
}

// measure counts the ports of the range that connect() cannot choose: reserved ones, and of the others those which a
// bind() made its own.
func (n *namespace) measure() (reserved, blocked int) {
	s := n.settings
	if n.measured == s {
		return n.reserved, n.blocked
	}
	n.measured, n.reserved, n.blocked = s, 0, 0
	for port := int(s.RangeLow); port <= int(s.RangeHigh); port++ {
		switch p := uint16(port); {
		case s.Reserved != nil && s.Reserved.Has(p):
			n.reserved++
		case s.Blocked != nil && s.Blocked.Has(p):
			n.blocked++
		}
	}
	return n.reserved, n.blocked
}

// candidate reports whether a port is one of those that connect() can choose from. Without settings, all are.
func (n *namespace) candidate(port uint16) bool {
	s := n.settings
	return s == nil || s.InRange(port) && (s.Reserved == nil || !s.Reserved.Has(port))
}
