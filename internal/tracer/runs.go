package tracer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// Runs is what a program has cost so far. Nothing is counted unless the kernel keeps statistics (sysctl
// kernel.bpf_stats_enabled), which costs some 20 ns a run itself.
type Runs struct {
	Program string
	Count   uint64
	Runtime time.Duration
}

// Runs returns what the programs have cost, in the order of their names.
func (t *Tracer) Runs() ([]Runs, error) {
	var all []Runs
	add := func(name string, p *ebpf.Program) error {
		s, err := p.Stats()
		if err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("read program statistics: %w", err)
		}
		if err == nil {
			all = append(all, Runs{name, s.RunCount, s.Runtime})
		}
		return nil
	}
	for i, p := range t.copies {
		name := "inet_sock_set_state"
		if i > 0 {
			name = furtherCopy(i)
		}
		if err := add(name, p); err != nil {
			return nil, err
		}
	}
	for name, p := range t.programs {
		if err := add(name, p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Runs) int { return strings.Compare(a.Program, b.Program) })
	return all, nil
}
