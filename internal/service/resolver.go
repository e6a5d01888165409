package service

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Options say where a [Resolver] looks, and how much it keeps. The zero value is good for a live trace.
type Options struct {
	ProcRoot   string // where procfs is mounted; default /proc
	CgroupRoot string // where the cgroup hierarchy is mounted; default /sys/fs/cgroup
	// Max is how many services are remembered; default 4096. Later ones are known by name and pid only, and counted:
	// those that came first stay, so that a process renaming itself for ever cannot push out the others.
	Max int
	// Offline is for events from elsewhere, a capture: their processes are not on this host, so nothing is looked up.
	Offline bool
	// Learned is called, from See and Service, when something was found out about a service. It can be nil.
	Learned func(event.Identity, *Service)
}

// Resolver knows the owners of connections. It is not safe for concurrent use.
type Resolver struct {
	proc    string
	offline bool
	max     int
	entries map[event.Identity]*entry
	recent  [8]struct {
		owner event.Owner
		entry *entry
	}
	cgroups cgroups
	inspect *inspector
	// pidsFree is how many slots the sets of pids may still take, all together.
	pidsFree int
	refused  uint64
	learned  func(event.Identity, *Service)
}

// entry is a service and how often it was looked for.
type entry struct {
	Service
	pidChanges uint64 // times that another pid than the last one came
	looks      int
}

// maxLooks bounds the attempts at the files of one service. They come with its 1st, 2nd, 4th, 8th … change of pid:
// short-lived processes are often gone before the look, but not all of thousands.
const maxLooks = 16

// NewResolver returns a Resolver that knows nobody yet. It opens nothing and needs no closing.
func NewResolver(opts Options) *Resolver {
	if opts.ProcRoot == "" {
		opts.ProcRoot = "/proc"
	}
	if opts.CgroupRoot == "" {
		opts.CgroupRoot = "/sys/fs/cgroup"
	}
	if opts.Max <= 0 {
		opts.Max = 4096
	}
	return &Resolver{
		proc: opts.ProcRoot, offline: opts.Offline, max: opts.Max, pidsFree: maxPidsSlots,
		entries: make(map[event.Identity]*entry),
		cgroups: cgroups{root: opts.CgroupRoot, now: time.Now},
		inspect: newInspector(),
		learned: opts.Learned,
	}
}

// See notes an owner as its event passes and returns its service, never nil. The same identity gives the same pointer,
// whose fields fill up as more gets known.
//
// An identity that is new is looked up in /proc; one that is known costs one map look-up and no allocation.
func (r *Resolver) See(o *event.Owner) *Service {
	near := &r.recent[o.PID%uint32(len(r.recent))]
	if near.entry != nil && near.owner == *o && near.entry.PID == o.PID { // events come in runs
		return &near.entry.Service
	}
	e, ok := r.entries[o.Identity()]
	if !ok {
		return r.meet(o)
	}
	if o.PID != e.PID && o.PID != 0 {
		r.changePID(e, o)
	}
	near.owner, near.entry = *o, e
	return &e.Service
}

// Service returns what is known of an owner, never nil. Unlike See it may walk the cgroup tree, so it is for building
// reports, not for every event.
func (r *Resolver) Service(o *event.Owner) *Service {
	e, ok := r.entries[o.Identity()]
	if !ok {
		r.meet(o)
		if e, ok = r.entries[o.Identity()]; !ok {
			return stranger(o)
		}
	}
	if e.Cgroup == "" && !r.offline {
		if p := r.cgroups.find(e.CgroupID); p != "" {
			e.place(p)
			e.settle()
			r.tell(o, e)
		}
	}
	return &e.Service
}

func (r *Resolver) tell(o *event.Owner, e *entry) {
	if r.learned != nil {
		r.learned(o.Identity(), &e.Service)
	}
}

// Refused returns how many look-ups came from services beyond the bound.
func (r *Resolver) Refused() uint64 { return r.refused }

// meet makes the entry of a new identity.
func (r *Resolver) meet(o *event.Owner) *Service {
	if len(r.entries) >= r.max {
		r.refused++
		return stranger(o)
	}
	e := &entry{Service: Service{CgroupID: o.CgroupID, Comm: o.Comm.String()}}
	r.entries[o.Identity()] = e
	if o.PID != 0 {
		r.changePID(e, o)
		return &e.Service
	}
	r.look(e, o)
	return &e.Service
}

// stranger is all that is known of an owner without looking.
func stranger(o *event.Owner) *Service {
	s := &Service{CgroupID: o.CgroupID, Comm: o.Comm.String(), PID: o.PID}
	if o.PID != 0 {
		s.Processes = 1
		s.ProcessesMore = true
	}
	s.settle()
	return s
}

// changePID notes that another process of the service came.
func (r *Resolver) changePID(e *entry, o *event.Owner) {
	e.PID = o.PID
	e.pidChanges++
	added, fits := e.pids.add(o.PID, &r.pidsFree)
	switch {
	case added:
		e.Processes++
	case !fits:
		e.Processes = max(e.Processes, 1)
		e.ProcessesMore = true
	}
	if e.Exe == "" && e.looks < maxLooks && e.pidChanges&(e.pidChanges-1) == 0 {
		r.look(e, o)
	}
}

// look completes e from /proc, or at least from the cgroup's id.
func (r *Resolver) look(e *entry, o *event.Owner) {
	e.looks++
	if r.offline {
		e.settle()
		return
	}
	defer func() {
		e.settle()
		r.tell(o, e)
	}()
	if p, ok := readProcess(r.proc, o, r.inspect); ok {
		e.Exe = printable(p.exe)
		e.Runtime, e.Library = printable(p.runtime), printable(p.library)
		// The process's cgroup says more than the socket's: a socket that systemd opened for a service is init's.
		if p.cgroup != "" {
			e.place(p.cgroup)
		}
	}
	if e.Cgroup == "" {
		if p, _ := r.cgroups.open(e.CgroupID); p != "" {
			e.place(p)
		}
	}
}
