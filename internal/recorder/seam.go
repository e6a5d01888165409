package recorder

import (
	"hash/maphash"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// seam is where one segment ends and the next begins: a checkpoint takes some milliseconds, and what happens meanwhile is
// in it or is not. The events of that time come after it, and tell which.
type seam struct {
	at, until int64 // when the checkpoint began, and when it was over, Unix nanoseconds
	seed      maphash.Seed
	listed    map[uint64]struct{}     // what was in it, by hash
	young     map[uint64]*event.Event // what may have begun after all before it was taken: its beginning may still come
	horizon   time.Duration           // as old at most is what is young
	begun     map[uint64]struct{}     // what has begun since
}

// timeWaitLength is TCP_TIMEWAIT_LEN (include/net/tcp.h), and slack more than jiffies and the coarseness of timers make of
// it.
const (
	timeWaitLength = 60 * time.Second
	slack          = 50 * time.Millisecond
)

// newSeam makes one for a checkpoint that begins so long after all that had happened was taken.
func newSeam(since time.Duration) *seam {
	return &seam{
		horizon: since + 2*time.Second,
		seed:    maphash.MakeSeed(), listed: make(map[uint64]struct{}), young: make(map[uint64]*event.Event),
		begun: make(map[uint64]struct{}),
	}
}

// key is the connection of e, apart from its TIME_WAIT, which follows it under the same addresses.
func (s *seam) key(e *event.Event, wait bool) uint64 {
	return maphash.Comparable(s.seed, struct {
		netns         uint32
		local, remote any
		direction     event.Direction
		wait          bool
	}{e.Netns, e.Local, e.Remote, e.Direction, wait})
}

// exists takes an event of the checkpoint.
func (s *seam) exists(e *event.Event, emit func(*event.Event)) {
	wait := e.NewState == event.TimeWaitState
	k := s.key(e, wait)
	s.listed[k] = struct{}{}
	if wait && (e.Remaining < 0 || e.Remaining > timeWaitLength-s.horizon) || !wait && e.Lifetime >= 0 && e.Lifetime < s.horizon {
		young := *e
		s.young[k] = &young
		return
	}
	emit(e)
}

// pass takes an event that comes after the checkpoint.
func (s *seam) pass(e *event.Event, emit func(*event.Event)) {
	switch e.Kind {
	case event.Connect, event.Accept:
		k := s.key(e, false)
		delete(s.young, k) // its beginning is this
		s.begun[k] = struct{}{}
	case event.TimeWait:
		s.wasThere(s.key(e, false), emit)
		s.end(e, s.key(e, false), event.Established, emit)
		k := s.key(e, true)
		delete(s.young, k) // its beginning is this
		s.begun[k] = struct{}{}
	case event.Close:
		s.wasThere(s.key(e, false), emit)
		s.end(e, s.key(e, false), event.Established, emit)
	case event.TimeWaitEnd:
		k := s.key(e, true)
		s.wasThere(k, emit)
		s.end(e, k, event.TimeWaitState, emit)
	}
	emit(e)
}

// wasThere hands on what was held back and ends now: it was there all the time.
func (s *seam) wasThere(k uint64, emit func(*event.Event)) {
	if y := s.young[k]; y != nil {
		emit(y)
		delete(s.young, k)
	}
}

// end makes up for what ended before the checkpoint came to it, and had begun before.
func (s *seam) end(e *event.Event, k uint64, state event.State, emit func(*event.Event)) {
	_, listed := s.listed[k]
	_, begun := s.begun[k]
	if listed || begun {
		return
	}
	existed := *e
	existed.Kind, existed.UnixNano, existed.NewState, existed.OldState = event.Existing, s.at, state, state
	existed.Preexisting, existed.InCensus, existed.Remaining = true, true, event.Unknown
	if existed.Lifetime >= 0 { // as of then
		existed.Lifetime = max(0, existed.Lifetime-time.Duration(e.UnixNano-s.at))
	}
	emit(&existed)
}

// settle hands on what was held back: it had begun before the checkpoint.
func (s *seam) settle(emit func(*event.Event)) {
	for k, y := range s.young {
		emit(y)
		delete(s.young, k)
	}
}
