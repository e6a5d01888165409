package agent

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/tcpstate/tcpstate/internal/event"
)

// pairs are the labels of a series as a metric has them, made once: nobody writes to them.
type pairs struct {
	base     []*dto.LabelPair
	closedBy [event.ClosedReset + 1][]*dto.LabelPair
}

// closers are the values of the label closed_by.
var closers = [event.ClosedReset + 1]string{
	"unknown", event.ClosedLocal.String(), event.ClosedRemote.String(), event.ClosedBoth.String(), event.ClosedReset.String(),
}

// newPairs makes those of a series; workload is whether it has the labels of Kubernetes, be they empty.
func newPairs(l Labels, workload bool) *pairs {
	p := &pairs{base: l.pairs(workload)}
	for by, name := range closers {
		p.closedBy[by] = p.with("closed_by", name)
	}
	return p
}

func (l *Labels) pairs(workload bool) []*dto.LabelPair {
	named := []string{"service", l.Service}
	if l.Listener != "" {
		named = append(named, "listener", l.Listener)
	} else {
		named = append(named, "destination", l.Destination)
	}
	if workload {
		named = append(named, "namespace", l.Namespace, "pod", l.Pod, "container", l.Container)
	}
	return pairsOf(named...)
}

// with returns the labels of the series and one more.
func (p *pairs) with(name, value string) []*dto.LabelPair {
	return sorted(append(slices.Clone(p.base), &dto.LabelPair{Name: &name, Value: &value}))
}

// pairsOf makes labels of their names and values, each name followed by its value.
func pairsOf(named ...string) []*dto.LabelPair {
	all := make([]*dto.LabelPair, 0, len(named)/2)
	for i := 0; i < len(named); i += 2 {
		all = append(all, &dto.LabelPair{Name: &named[i], Value: &named[i+1]})
	}
	return sorted(all)
}

// sorted puts labels in the order of their names, in which a metric must have them.
func sorted(all []*dto.LabelPair) []*dto.LabelPair {
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}
