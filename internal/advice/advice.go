// Package advice says what to change where connections are not reused: in the application first, on the host second.
//
// All advice stands in one table, with the public document that each piece is taken from. To add to it, add a row to
// the section for the verdict or kind in one of the table_*.go files; the tests check that it can be reached and reads
// like the others.
package advice

// The values of [Case.Verdict].
const (
	Unpooled       = "unpooled"
	UndersizedPool = "undersized-pool"
	Pooled         = "pooled"
	ConnectFailing = "connect-failing"
	TooFewToTell   = "too-few-to-tell"
)

// The values of [Case.Kind], the cause as far as it was told apart. Any other counts as "".
const (
	Leak           = "leak"
	RetryStorm     = "retry-storm"
	DualStack      = "dual-stack-fallback" // one address of a name is refused, the other works
	RecycledPool   = "recycled-pool"
	ServerCloses   = "server-closes"    // the server's side closes first
	KeepAliveLimit = "keep-alive-limit" // the server closes after n requests
	IdleTimeout    = "idle-timeout"     // the server closes what is idle
	HealthCheck    = "health-check"
	LoadGenerator  = "load-generator"
	Restart        = "restart"
	Relay          = "relay" // it connects once for each connection it accepts
)

// Case is one service and destination that advice is asked for. What is not known is "".
type Case struct {
	Verdict string
	Kind    string
	Program string // the process's name (comm), with whatever version or title it has: "php-fpm8.2", "gunicorn: maste"
	Runtime string // what runs it: "java", "python", "nginx"
	Library string // the client library it has loaded: "libpq"
	// Protocol is a guess: see [Protocol].
	Protocol string

	PortsExhausted bool // connects failed because every port was taken
	TupleInUse     bool // connects failed because a port that bind() had chosen was in use toward the destination
	ClosedByServer bool // the server's side, whichever that is, closes first and so holds TIME_WAIT
	// Inbound says that the service is the server. Then its clients are at fault, and Program, Runtime, Library and
	// Protocol are the server's own.
	Inbound bool
}

// Advice is one thing to change.
type Advice struct {
	Text   string // one or two sentences with the setting's exact name
	Source string // the document it is taken from: a URL, or "RFC n"
}

// Max bounds what [For] returns.
const Max = 3

// For returns what to change, the most specific first and at most [Max]. It is nil where nothing is to be changed: for
// a pool, or too few connects to tell, without a kind and without missing ports.
//
// Each section of the table that fits the verdict, the kind and the other circumstances gives its best rows. A row fits
// if each list it has contains the case's value; the best are those that ask for most, where the program's name counts
// more than all else, then the runtime, then the library, then the protocol. Rows of one rank keep the table's order.
// What is about missing ports frames the rest: first what they mean, last what the host can do.
func For(c Case) []Advice {
	var first, middle, last []Advice
	for i := range table {
		s := &table[i]
		if !s.fits(&c) {
			continue
		}
		switch s.place {
		case atFirst:
			first = append(first, s.best(&c)...)
		case atLast:
			last = append(last, s.best(&c)...)
		default:
			middle = append(middle, s.best(&c)...)
		}
	}
	first, last = first[:min(1, len(first))], last[:min(1, len(last))]
	middle = middle[:min(Max-len(first)-len(last), len(middle))]
	return append(append(first, middle...), last...)
}
