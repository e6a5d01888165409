package churn

import "math"

// second is what happened to a budget's ports within one second.
type second struct {
	opened  uint32 // connections established
	refused uint32 // connects that found no port
	freed   uint32 // connections that ended without a TIME_WAIT
	entered uint32 // TIME_WAITs that began
	early   uint32 // TIME_WAITs that ended before their time: reused, killed
	first   uint32 // nanoseconds into the second of its first connect, opened or refused
}

// want notes the time of a connect, which is counted only thereafter.
func (s *second) want(unixNano int64) {
	if in := uint32(unixNano % 1e9); in < s.first || s.opened|s.refused == 0 {
		s.first = in
	}
}

// seconds is how many seconds a history holds: as long as a TIME_WAIT lasts.
const seconds = 64

// history holds the last seconds, as far as events have come. The zero value is ready to use.
type history struct {
	newest int64 // Unix seconds
	ring   [seconds]second
	stale  second // takes what is older than the ring
}

// at returns the second of a time. Times may jump, ahead and a little back.
func (h *history) at(unixNano int64) *second {
	s := unixNano / 1e9
	if s > h.newest {
		h.advance(s)
	} else if s <= h.newest-seconds {
		return &h.stale
	}
	return &h.ring[uint64(s)%seconds]
}

func (h *history) advance(to int64) {
	for s := max(h.newest, to-seconds) + 1; s <= to; s++ {
		h.ring[uint64(s)%seconds] = second{}
	}
	h.newest = to
}

// each calls yield for the seconds from one time to another, both included, as far as they are known, oldest first.
func (h *history) each(from, to int64, yield func(s int64, of *second)) {
	for s := max(from/1e9, h.newest-seconds+1); s <= min(to/1e9, h.newest); s++ {
		yield(s, &h.ring[uint64(s)%seconds])
	}
}

// entered is how many TIME_WAITs began in a second, as far as that is known.
func (h *history) entered(s int64) uint32 {
	if s > h.newest || s <= h.newest-seconds {
		return 0
	}
	return h.ring[uint64(s)%seconds].entered
}

// increase adds n to a counter of a second, which stops at its largest value.
func increase(counter *uint32, n uint64) {
	*counter = saturatingAdd(*counter, uint32(min(n, math.MaxUint32)))
}
