package verdict

import (
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// advice is what to do first. Where ports were missing, that comes before all else.
func advice(n Name, r *churn.Row) []string {
	if r.FailedWith(event.EADDRNOTAVAIL) == 0 {
		return byName[n]
	}
	return append([]string{scarce(r)}, byName[n]...)
}

var byName = map[Name][]string{
	Unpooled: {
		"keep connections open and reuse them: a connection pool, or keep-alive, created once and shared by all callers.",
	},
	UndersizedPool: {
		"there is a pool and it is too small: allow as many idle connections per destination as there are concurrent callers.",
	},
	ConnectFailing: {
		"repair the destination, or its address in this service's configuration, and let retries wait longer each time.",
	},
}

// scarce puts pooling first: more ports only move the day on which they run out.
func scarce(r *churn.Row) string {
	if r.TupleInUse > r.PortsExhausted {
		return "let the kernel choose the source port: bind() before connect() with IP_BIND_ADDRESS_NO_PORT, or no bind() at all."
	}
	return "reuse connections first: a wider port range only delays the next exhaustion."
}
