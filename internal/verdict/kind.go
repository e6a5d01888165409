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

// suspect is a row with what the rule says of it.
type suspect struct {
	survey  *Survey
	row     *churn.Row
	window  churn.Window
	program *Program
	figures *figures
	c       conclusion
	name    Name
	churns  bool // it opens connections without need
}

// signs are the kinds in the order in which they are looked for, each where it may be.
var signs = []struct {
	kind Kind
	may  func(*suspect) bool
	test func(*suspect) string
}{
	{DualStack, (*suspect).fails, func(x *suspect) string { return x.survey.twin(x.row, x.figures) }},
	{RetryStorm, func(x *suspect) bool { return x.fails() || x.c == exhausted }, func(x *suspect) string { return storm(x.row, x.window) }},
	{LoadGenerator, (*suspect).churning, func(x *suspect) string { return x.program.loadGenerator() }},
	{Leak, func(x *suspect) bool { return x.churns || x.c == leak }, func(x *suspect) string { return leaked(x.row, x.c) }},
	{Relay, (*suspect).churning, func(x *suspect) string { return x.survey.relay(x.row) }},
	{Restart, func(x *suspect) bool { return !x.churns && !x.fails() }, func(x *suspect) string { return restarted(x.row) }},
	{IdleTimeout, func(x *suspect) bool { return !x.fails() }, func(x *suspect) string { return idleTimeout(x.row) }},
	{KeepAliveLimit, func(x *suspect) bool { return x.churns || x.recycled() }, func(x *suspect) string { return keepAliveLimit(x.row) }},
	{ServerCloses, (*suspect).churning, func(x *suspect) string { return serverCloses(x.row, x.figures) }},
	{RecycledPool, (*suspect).recycled, func(x *suspect) string { return x.figures.recycledSentence() }},
	{HealthCheck, func(x *suspect) bool { return x.c == tooFew }, func(x *suspect) string { return healthCheck(x.row, x.figures) }},
}

// recognise looks for what the verdict's name does not say; the first that holds is taken.
func (s *Survey) recognise(r *churn.Row, w churn.Window, p *Program, f *figures, c conclusion) finding {
	x := suspect{survey: s, row: r, window: w, program: p, figures: f, c: c, name: c.name()}
	x.churns = x.name == Unpooled || x.name == UndersizedPool
	for i := range signs {
		if !signs[i].may(&x) {
			continue
		}
		if sentence := signs[i].test(&x); sentence != "" {
			return finding{signs[i].kind, sentence}
		}
	}
	return finding{}
}

func (x *suspect) fails() bool { return x.name == ConnectFailing }

func (x *suspect) churning() bool { return x.churns }

// recycled: reused many times, and yet opened again and again.
func (x *suspect) recycled() bool {
	return x.c == reused && x.figures.attempts >= rule.attempts && x.figures.avoidable() >= rule.avoidable
}

func otherShare(r *churn.Row) float64 {
	if r.Closed == 0 {
		return 0
	}
	return float64(r.ClosedBy[event.ClosedRemote]) / float64(r.Closed)
}
