package main

import (
	"fmt"
	"sync"
)

// works are captures that are being written while the view goes on.
type works struct {
	all  sync.WaitGroup
	mu   sync.Mutex
	told []string // where they are
}

// start writes target by work, which says what became of it.
func (w *works) start(n *notes, target string, work func() (string, error)) {
	w.all.Go(func() {
		line, err := work()
		if err != nil {
			n.say(fmt.Sprintf("write %s: %v", target, err))
			return
		}
		n.say(line)
		w.mu.Lock()
		w.told = append(w.told, line)
		w.mu.Unlock()
	})
}

// wait waits for all, and returns what was said.
func (w *works) wait() []string {
	w.all.Wait()
	return w.told
}
