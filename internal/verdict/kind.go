package verdict

import (
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// Kind says more closely what was recognised, beside the verdict's name. "" where nothing was.
type Kind string

// The kinds.
const (
	// Leak: connections are opened, used once and not closed.
	Leak Kind = "leak"
	// RetryStorm: connects fail again and again, and the waits between them do not grow.
	RetryStorm Kind = "retry-storm"
	// DualStack: one address family is refused while the other, of the same service and port, works.
	DualStack Kind = "dual-stack-fallback"
	// RecycledPool: a pool that replaces its connections more often than it has to.
	RecycledPool Kind = "recycled-pool"
	// ServerCloses: the other end closes first, after one use.
	ServerCloses Kind = "server-closes"
	// KeepAliveLimit: the other end closes first, always after the same number of uses.
	KeepAliveLimit Kind = "keep-alive-limit"
	// IdleTimeout: the other end closes first, always after the same time without use.
	IdleTimeout Kind = "idle-timeout"
	// HealthCheck: one connection after the other, by the clock.
	HealthCheck Kind = "health-check"
	// LoadGenerator: the program is one that makes load, and did as it was told.
	LoadGenerator Kind = "load-generator"
	// Restart: the connections ended together and were opened anew, once.
	Restart Kind = "restart"
	// Relay: what the service accepts it passes on, byte for byte, one connection for one.
	Relay Kind = "relay"
)

// Kinds returns every Kind.
func Kinds() []Kind {
	return []Kind{
		Leak, RetryStorm, DualStack, RecycledPool, ServerCloses, KeepAliveLimit, IdleTimeout, HealthCheck, LoadGenerator,
		Restart, Relay,
	}
}

// Limits of what is recognised. Only the name of a verdict was measured against recorded clients; these are set so that
// what they say is true of the figures, whatever the cause.
const (
	stormRate        = 5   // failed connects per second
	stormSeconds     = 3   // with failures in each
	stormLater       = 0.3 // of them in the second half of the window
	twinShare        = 0.8 // the other family works so often, of the times this one fails
	closedByServer   = 0.9
	limitUses        = 5   // below, a protocol's log-in looks the same
	sameUses         = 0.9 // the tenth least used connection, of the most used one
	idleShare        = 0.8
	idleSpread       = 1.25 // the 90th percentile of the idle times, of the 10th
	idleEnds         = 3
	checkGaps        = 3
	checkVariation   = 0.15
	checkGap         = 0.2 // seconds
	relayed          = 20
	relayDifference  = 0.05
	leakedCloseWaits = 10
)

// finding is a kind with the sentence that shows why.
type finding struct {
	kind     Kind
	sentence string
}

// recognise looks for what the verdict's name does not say; the first that holds is taken.
func (s *Survey) recognise(r *churn.Row, w churn.Window, p *Program, f *figures, c conclusion) finding {
	name := c.name()
	churns := name == Unpooled || name == UndersizedPool
	tests := []struct {
		may  bool
		test func() string
		kind Kind
	}{
		{name == ConnectFailing, func() string { return s.twin(r, f) }, DualStack},
		{name == ConnectFailing || c == exhausted, func() string { return storm(r, w) }, RetryStorm},
		{churns, func() string { return p.loadGenerator() }, LoadGenerator},
		{c == leak || churns, func() string { return leaked(r, c) }, Leak},
		{churns, func() string { return s.relay(r) }, Relay},
		{!churns && name != ConnectFailing, func() string { return restarted(r) }, Restart},
		{name != ConnectFailing, func() string { return idleTimeout(r) }, IdleTimeout},
		{churns || recycled(c, f), func() string { return keepAliveLimit(r) }, KeepAliveLimit},
		{churns, func() string { return serverCloses(r, f) }, ServerCloses},
		{recycled(c, f), func() string { return f.recycledSentence() }, RecycledPool},
		{c == tooFew, func() string { return healthCheck(r, f) }, HealthCheck},
	}
	for _, t := range tests {
		if !t.may {
			continue
		}
		if sentence := t.test(); sentence != "" {
			return finding{t.kind, sentence}
		}
	}
	return finding{}
}

// recycled: reused many times, and yet opened again and again.
func recycled(c conclusion, f *figures) bool {
	return c == reused && f.attempts >= rule.attempts && f.avoidable() >= rule.avoidable
}

func otherShare(r *churn.Row) float64 {
	if r.Closed == 0 {
		return 0
	}
	return float64(r.ClosedBy[event.ClosedRemote]) / float64(r.Closed)
}
