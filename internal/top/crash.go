package top

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// Crash keeps a panic of any goroutine until the terminal is as it was before, for a panic that ends the process at
// once leaves the terminal raw, and its own words on a screen that is gone. Every goroutine that runs beside [Run]
// begins with
//
//	defer crash.Catch(cancel)
//
// where cancel ends the ctx of Run; when Run has returned, [Crash.Err] says what happened.
type Crash struct {
	mu  sync.Mutex
	err error
}

// Catch is to be deferred. It keeps the first panic and calls stop.
func (c *Crash) Catch(stop func()) {
	if cause := recover(); cause != nil {
		c.keep(cause, debug.Stack())
		stop()
	}
}

func (c *Crash) keep(cause any, stack []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("this is a bug in tcpstate, please report it: %v\n\n%s", cause, stack)
	}
}

// Err is the panic with its stack, nil when there was none.
func (c *Crash) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
