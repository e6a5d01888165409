package main

import (
	"maps"
	"slices"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
	"github.com/tcpstate/tcpstate/internal/netns"
	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// settings reads what is set in the network namespaces that are connected from, again and again: sysctls change, and
// namespaces come and go.
type settings struct {
	tracer *tracer.Tracer
	hand   func(*host.Settings) // takes what was read

	places map[uint32]netns.Namespace
	read   map[uint32]*host.Settings // what was read last
	ended  map[uint32]error          // namespaces that are there at the end: why they cannot be looked at, nil if they can
	used   map[uint32]bool           // namespaces that are connected from
	latest uint32                    // of used
	last   time.Time                 // when the settings were read
	search time.Time                 // when namespaces were looked for
}

const (
	// settingsEvery is how often settings are read; a namespace takes some 0.1 ms.
	settingsEvery = time.Second
	// searchEvery is how often namespaces are looked for that are not known: all processes are looked at for that.
	searchEvery = 5 * time.Second
)

func newSettings(t *tracer.Tracer, hand func(*host.Settings)) *settings {
	s := &settings{tracer: t, hand: hand, read: make(map[uint32]*host.Settings), used: make(map[uint32]bool)}
	s.find()
	for _, inode := range slices.Sorted(maps.Keys(s.places)) {
		_ = s.look(inode, false)
	}
	return s
}

// use notes where a connection comes from.
func (s *settings) use(e *event.Event) {
	if e.Netns != s.latest && e.Direction == event.Outbound {
		s.used[e.Netns], s.latest = true, e.Netns
	}
}

// find looks for all namespaces.
func (s *settings) find() {
	s.search = time.Now()
	s.places = make(map[uint32]netns.Namespace)
	found, _, err := netns.List(netns.Options{})
	if err != nil {
		return // then nothing is known, and the report says so
	}
	for _, n := range found {
		s.places[n.Inode] = n
	}
}

// refresh reads the settings of the namespaces that are connected from, when it is time to.
func (s *settings) refresh() {
	if time.Since(s.last) < settingsEvery {
		return
	}
	s.last = time.Now()
	for inode := range s.used {
		_ = s.look(inode, false)
	}
}

// finish reads everything once more, with the ports that bind() has taken, which takes some milliseconds a namespace.
func (s *settings) finish() {
	s.find()
	s.ended = make(map[uint32]error)
	for _, inode := range slices.Sorted(maps.Keys(s.places)) {
		s.ended[inode] = s.look(inode, s.used[inode])
	}
}

// look reads the settings of a namespace, and hands them on when they have changed. One that cannot be read is not known,
// and the report says so.
func (s *settings) look(inode uint32, blocked bool) error {
	place, ok := s.places[inode]
	if !ok {
		if time.Since(s.search) < searchEvery {
			return netns.ErrGone
		}
		s.find()
		if place, ok = s.places[inode]; !ok {
			return netns.ErrGone
		}
	}
	var found host.Settings
	err := place.Do(func() (err error) {
		if found, err = host.Read(); err != nil || !blocked {
			return err
		}
		ports, known, err := s.tracer.BlockedPorts()
		if known && err == nil {
			set := host.PortSet(ports)
			found.Blocked = &set
		}
		return err
	})
	if err != nil {
		delete(s.places, inode) // it may have moved to another process: look again
		return err
	}
	if !found.Equal(s.read[inode]) {
		s.read[inode] = &found
		s.hand(&found)
	}
	return nil
}

// namespaces are what the report says of each network namespace.
func (s *settings) namespaces(check *tracer.TimeWaitCheck) []report.NamespaceInput {
	kernel := make(map[uint32]uint64)
	for _, n := range check.Namespaces {
		if n.Kernel >= 0 {
			kernel[n.Netns] = uint64(n.Kernel)
		}
	}
	var spaces []report.NamespaceInput
	unseen := make(map[uint32]string)
	for _, u := range s.tracer.Unseen() {
		unseen[u.Inode] = u.Why
		spaces = append(spaces, report.NamespaceInput{Netns: u.Inode, Why: u.Why, TimeWait: countOf(kernel, u.Inode)})
	}
	for _, inode := range slices.Sorted(maps.Keys(s.ended)) {
		if _, known := unseen[inode]; known {
			continue
		}
		n := report.NamespaceInput{Netns: inode, Seen: true, TimeWait: countOf(kernel, inode), Settings: s.read[inode]}
		if err := s.ended[inode]; err != nil {
			n.Seen, n.Why, n.Settings = false, err.Error(), nil
		}
		spaces = append(spaces, n)
	}
	return spaces
}

func countOf(counts map[uint32]uint64, inode uint32) *uint64 {
	n, ok := counts[inode]
	if !ok {
		return nil
	}
	return &n
}
