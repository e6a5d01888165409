package churn

import "github.com/tcpstate/tcpstate/internal/event"

// AlertKind is what there is to tell at once.
type AlertKind uint8

// HalfTaken: connect() had to take a port of the second parity, so every port of the first was taken: from now on
// each connect() looks at half of the range in vain. OutOfPorts: a connect() failed because no port was left. Each is
// told once a budget.
const (
	HalfTaken AlertKind = iota + 1
	OutOfPorts
)

// Alert is told when it happens, see [Options].Alert.
type Alert struct {
	UnixNano int64
	Kind     AlertKind
	Budget   *Budget
	Owner    event.Owner // whose connect() it was
}

// alertHalf tells of the first connect that took a port of the second parity. Before the namespace's settings are
// known nobody can tell which that is: then it is the first thereafter.
func (t *Table) alertHalf(b *Budget, e *event.Event) {
	if b == nil || !e.AutoPort || b.toldHalf || e.Local.Port()%2 != b.namespace.slow {
		return
	}
	b.toldHalf = true
	t.tell(HalfTaken, b, e)
}

func (t *Table) alertExhausted(b *Budget, e *event.Event) {
	if b == nil || b.exhaustedSince == 0 || b.toldExhausted {
		return
	}
	b.toldExhausted = true
	t.tell(OutOfPorts, b, e)
}

func (t *Table) tell(kind AlertKind, b *Budget, e *event.Event) {
	if t.alert != nil {
		t.alert(Alert{UnixNano: e.UnixNano, Kind: kind, Budget: b, Owner: e.Owner})
	}
}
