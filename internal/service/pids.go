package service

import "math/bits"

// The bounds on remembered pids: for one service, and for all together (in table slots of 4 bytes).
const (
	maxPids      = 1024
	maxPidsSlots = 1 << 18
)

// pids is a small set of pids: open addressing, at most three quarters full, never 0.
type pids struct {
	slots []uint32
	n     int
}

// slot returns where pid is, or where it would go. There is always a free slot to stop at.
func (p *pids) slot(pid uint32) int {
	mask := uint32(len(p.slots) - 1)
	i := pid * 0x9e3779b1 >> (32 - bits.Len32(mask)) // 2^32 / golden ratio: any stride of pids spreads
	for p.slots[i] != 0 && p.slots[i] != pid {
		i = (i + 1) & mask
	}
	return int(i)
}

func (p *pids) has(pid uint32) bool {
	return len(p.slots) > 0 && pid != 0 && p.slots[p.slot(pid)] == pid
}

// add puts pid in. fits is false when there is no room for it; free is the number of slots all sets may still take.
func (p *pids) add(pid uint32, free *int) (added, fits bool) {
	if p.has(pid) {
		return false, true
	}
	if p.n == maxPids || !p.room(free) {
		return false, false
	}
	p.slots[p.slot(pid)] = pid
	p.n++
	return true, true
}

// room makes room for one more.
func (p *pids) room(free *int) bool {
	if p.n < len(p.slots)*3/4 {
		return true
	}
	size := max(4, 2*len(p.slots))
	if *free < size-len(p.slots) {
		return false
	}
	*free -= size - len(p.slots)
	old := p.slots
	p.slots = make([]uint32, size)
	for _, pid := range old {
		if pid != 0 {
			p.slots[p.slot(pid)] = pid
		}
	}
	return true
}
