package churn

import (
	"testing"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

func TestNamespacesAreForgottenWhenNothingIsLeftOfThem(t *testing.T) {
	table := observe(New(Options{}), out(event.Connect, 0))
	for netns := uint32(1); netns <= 3; netns++ {
		table.SetHost(&host.Settings{Netns: netns, RangeLow: 1, RangeHigh: 100})
	}
	bind := out(event.BindFailed, 0)
	bind.Netns, bind.Cause = 3, event.PortsExhausted
	observe(table, bind)
	for netns := uint32(1); netns <= 4; netns++ {
		table.ForgetHost(netns)
	}
	if len(table.namespaces) != 2 || table.namespaces[2] != nil {
		t.Errorf("namespaces: %v, want 1, which a budget uses, and 3, whose bind() failed", table.namespaces)
	}
	if f := table.Budgets()[0].Figures(table.Window()); f.Settings == nil {
		t.Error("the budget has lost its settings")
	}
}
