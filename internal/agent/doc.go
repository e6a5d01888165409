// Package agent is what the daemon keeps and serves: counters since it began, the windows that reports are made of, and
// the HTTP server and the exporters that show them.
//
// One goroutine, the one that reads the ring, owns the [Ledger] and the [Windows]. Once a second it publishes a
// [Snapshot], which nobody changes; all else reads that.
package agent
