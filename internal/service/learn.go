package service

import (
	"slices"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Learn takes over what another Resolver had found out about the owner id, as a capture keeps it. What is counted from
// events (the newest pid, how many there were) is raised to what s says, and never lowered.
func (r *Resolver) Learn(id event.Identity, s *Service, pids []uint32) {
	e, ok := r.entries[id]
	if !ok {
		if len(r.entries) >= r.max {
			return
		}
		e = &entry{Service: Service{CgroupID: id.CgroupID, Comm: id.Comm.String()}}
		r.entries[id] = e
	}
	e.Exe, e.Runtime, e.Library = s.Exe, s.Runtime, s.Library
	e.Unit, e.ContainerID, e.Pod, e.Cgroup = s.Unit, s.ContainerID, s.Pod, s.Cgroup
	for _, pid := range pids {
		if pid != 0 {
			e.pids.add(pid, &r.pidsFree)
		}
	}
	if s.Processes > e.Processes {
		e.Processes, e.ProcessesMore = s.Processes, e.ProcessesMore || s.ProcessesMore
	}
	if e.PID == 0 {
		e.PID = s.PID
	}
	e.settle()
}

// Each calls yield for every service that is remembered, in a definite order.
func (r *Resolver) Each(yield func(event.Identity, *Service) bool) {
	ids := make([]event.Identity, 0, len(r.entries))
	for id := range r.entries {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b event.Identity) int {
		if a.CgroupID != b.CgroupID {
			if a.CgroupID < b.CgroupID {
				return -1
			}
			return 1
		}
		return slices.Compare(a.Comm[:], b.Comm[:])
	})
	for _, id := range ids {
		if !yield(id, &r.entries[id].Service) {
			return
		}
	}
}

// PIDs are the pids that were seen in s and are remembered, smallest first.
func (s *Service) PIDs() []uint32 {
	var all []uint32
	for _, pid := range s.pids.slots {
		if pid != 0 {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}
