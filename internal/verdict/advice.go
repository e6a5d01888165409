package verdict

import (
	"github.com/tcpstate/tcpstate/internal/advice"
	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
)

// advise looks up what to do about v.
func advise(v *Verdict, r *churn.Row, p *Program) []advice.Advice {
	return advice.For(advice.Case{
		Verdict: string(v.Name), Kind: string(v.Kind), Program: p.Comm, Runtime: p.Runtime, Library: p.Library,
		Protocol:       advice.Protocol(r.Remote.Port()),
		PortsExhausted: r.PortsExhausted > 0 && r.PortsExhausted >= r.TupleInUse, TupleInUse: r.TupleInUse > r.PortsExhausted,
		ClosedByServer: otherShare(r) >= closedByServer,
	})
}

// adviseServer looks up what the owner of a listening socket can do about clients that do not reuse connections.
func adviseServer(clients Name, r *churn.Row, p *Program) []advice.Advice {
	return advice.For(advice.Case{
		Verdict: string(clients), Program: p.Comm, Runtime: p.Runtime, Library: p.Library, Inbound: true,
		Protocol:       advice.Protocol(r.Local.Port()),
		ClosedByServer: r.Closed > 0 && float64(r.ClosedBy[event.ClosedLocal]) >= closedByServer*float64(r.Closed),
	})
}
