package tracer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/netns"
)

// Unseen is a network namespace whose existing sockets a census could not look at, and why. What happens in it while
// tracing is seen all the same.
type Unseen = netns.Unseen

// Unseen returns the namespaces that the last census could not look at.
func (t *Tracer) Unseen() []Unseen { return t.unseen }

// firstCensus announces the connections and timewait sockets that were there before the window.
func (t *Tracer) firstCensus(emit func(*event.Event)) error {
	if p := t.programs["socket_holders"]; p != nil {
		if err := drain(p, nil); err != nil {
			return fmt.Errorf("find owners of existing sockets: %w", err)
		}
	}
	if err := t.census(emit); err != nil {
		return err
	}
	c, err := t.counters()
	t.timeWaits.baseline = c.TimewaitsFound
	return err
}

// census announces the connections and timewait sockets that nobody has told of, and ends those that should be there and
// were not met.
func (t *Tracer) census(emit func(*event.Event)) error {
	began := cpuTime()
	t.timeWaits.censuses++
	round := uint32(uint8(t.timeWaits.censuses))
	if err := t.variables.CensusRound.Set(round); err != nil {
		return fmt.Errorf("begin census: %w", err)
	}
	if err := t.censusOfAll(round, emit); err != nil {
		return err
	}
	if t.timeWaits.censuses > 1 { // before, nothing is missing
		if err := t.sweep(); err != nil {
			return err
		}
	}
	t.timeWaits.censusTook = cpuTime() - began
	return nil
}

// censusOfAll goes over the table of all sockets, where it can be read, then over each namespace that it does not hold.
func (t *Tracer) censusOfAll(round uint32, emit func(*event.Event)) error {
	walk := t.programs["walk_sockets"]
	if walk != nil {
		err := drainMap(walk, t.maps.EhashRuns, t.snapshots(emit))
		if err != nil {
			return fmt.Errorf("census: walk_sockets: %w", err)
		}
	}
	spaces, unseen, err := netns.List(netns.Options{})
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	t.unseen = unseen
	for i, ns := range spaces {
		if i == 0 && walk != nil {
			continue // our own: its table was walked
		}
		if err := t.censusOf(ns, walk != nil, round, emit); err != nil {
			return err
		}
	}
	return nil
}

// censusOf goes over one namespace; over one that was walked only if it has a table of its own. One that cannot be
// entered is unseen, one that has vanished is none any more.
func (t *Tracer) censusOf(ns netns.Namespace, walked bool, round uint32, emit func(*event.Event)) error {
	var failed error
	done := false
	err := ns.Do(func() error {
		if walked && !hasOwnTable() {
			return nil
		}
		done = true
		failed = drain(t.programs["existing_sockets"], t.snapshots(emit))
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, netns.ErrGone):
		return nil
	case err != nil:
		t.unseen = append(t.unseen, Unseen{Inode: ns.Inode, Why: err.Error()})
		return nil
	case failed != nil:
		return fmt.Errorf("census of network namespace %d: %w", ns.Inode, failed)
	case !done:
		return nil
	}
	if err := t.maps.Visited.Put(ns.Inode, round); err != nil {
		return fmt.Errorf("note census: %w", err)
	}
	return nil
}

// hasOwnTable reports whether the calling thread's network namespace keeps its TCP sockets in a table of its own, which
// is possible since Linux 6.1 (Documentation/networking/ip-sysctl.rst). The initial namespace says the same of its table,
// which all others share; there is nothing left in it for iter/tcp then.
func hasOwnTable() bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_ehash_entries")
	return err == nil && !bytes.HasPrefix(text, []byte("-"))
}

// sweep deletes what is gone, and ends what the last census missed.
func (t *Tracer) sweep() error {
	if err := drainMap(t.programs["sweep_timewaits"], t.maps.Timewaits, nil); err != nil {
		return fmt.Errorf("sweep timewait sockets: %w", err)
	}
	return nil
}

// emitHeld hands on every timewait socket that is held at the end of the window.
func (t *Tracer) emitHeld(emit func(*event.Event)) error {
	if !t.TimeWaitsKnown() {
		return nil
	}
	err := drainMap(t.programs["held_timewaits"], t.maps.Timewaits, t.snapshots(emit))
	if err != nil {
		return fmt.Errorf("read held timewait sockets: %w", err)
	}
	return nil
}

// drainMap runs an iterator over the elements of m, and lets read have what it writes.
func drainMap(p *ebpf.Program, m *ebpf.Map, read func(io.Reader) error) error {
	return drainIter(link.IterOptions{Program: p, Map: m}, read)
}

// drain runs an iterator over the kernel's own objects, as seen by the calling thread.
func drain(p *ebpf.Program, read func(io.Reader) error) error {
	return drainIter(link.IterOptions{Program: p}, read)
}

func drainIter(o link.IterOptions, read func(io.Reader) error) error {
	it, err := link.AttachIter(o)
	if err != nil {
		return fmt.Errorf("attach iterator: %w", err)
	}
	defer it.Close()
	reader, err := it.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer reader.Close()
	if read == nil {
		read = discard
	}
	return read(reader)
}

func discard(r io.Reader) error {
	return eachRecord(r, 1, func([]byte) error { return nil })
}

// BlockedPorts returns a bit for each port that bind() or listen() has taken in the calling thread's network namespace,
// so that no connect() can choose it. It returns false where the kernel's memory cannot be read.
func (t *Tracer) BlockedPorts() (ports [1024]uint64, known bool, err error) {
	p := t.programs["blocked_ports"]
	if p == nil {
		return ports, false, nil
	}
	n := 0
	err = drainMap(p, t.maps.PortRuns, func(r io.Reader) error {
		return eachRecord(r, 1, func(eight []byte) error {
			if n < len(ports)*8 {
				ports[n/8] |= uint64(eight[0]) << (8 * (n % 8))
			}
			n++
			return nil
		})
	})
	if err != nil {
		return ports, false, fmt.Errorf("read ports taken by bind(): %w", err)
	}
	return ports, n == len(ports)*8, nil
}
