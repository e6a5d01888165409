package agent

import (
	"net/netip"
	"time"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// noon is when the tests' windows begin.
const noon = int64(1_795_000_000_000_000_000)

func remote(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 5432)
}

// out is an event of a connection that this host opened to a destination.
func out(kind event.Kind, to netip.AddrPort, at time.Duration) event.Event {
	e := event.Event{
		UnixNano: noon + int64(at), Kind: kind, Direction: event.Outbound, Netns: 1,
		Owner: event.Owner{PID: 10, CgroupID: 7, Basis: event.OwnerConnect},
		Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: to,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
	}
	copy(e.Owner.Comm[:], "client")
	return e
}

// book is a ledger with its windows, as the agent has them.
type book struct {
	*Ledger
	windows *Windows
}

func newBook(o LedgerOptions) *book {
	o.Start = noon
	return &book{NewLedger(o), NewWindows(o.Destinations, 5*time.Minute, churn.Window{Start: noon}, nil)}
}

func (b *book) Observe(e *event.Event) {
	b.Count(e)
	b.windows.Observe(e)
}

func (b *book) SetHost(s *host.Settings) { b.windows.SetHost(s) }

func (b *book) Publish(now int64, waits bool) *Snapshot {
	s := b.Ledger.Publish(b.windows.Newest(), now, waits)
	b.windows.Turn(now)
	return s
}

// complete adds what the tracer would.
func complete(s *Snapshot) *Snapshot {
	s.Tracer = Tracer{Version: "1.2.3", Kernel: "6.1.0", Tier: 1}
	s.Exact = true
	s.Losses = []Reason{{"ring_full", 3}}
	s.Reload = Reload{OK: true, At: s.Start}
	return s
}
