package churn

// RecentSeconds is how far back [Row.Recent] reaches.
const RecentSeconds = 60

// recent counts the connections opened in each of the last seconds.
type recent struct {
	newest int64 // Unix seconds
	ring   [RecentSeconds + 1]uint32
}

func (r *recent) add(unixNano int64, n uint64) {
	s := unixNano / 1e9
	if s > r.newest {
		for i := max(r.newest, s-int64(len(r.ring))) + 1; i <= s; i++ {
			r.ring[uint64(i)%uint64(len(r.ring))] = 0
		}
		r.newest = s
	}
	if s > r.newest-int64(len(r.ring)) {
		increase(&r.ring[uint64(s)%uint64(len(r.ring))], n)
	}
}

// Recent returns how many connections were opened in each of the sixty whole seconds before unixNano, the oldest first;
// nil where none were, or the table was not asked to keep that.
func (r *Row) Recent(unixNano int64) []uint32 {
	if r.recent == nil {
		return nil
	}
	counts := make([]uint32, RecentSeconds)
	end := unixNano / 1e9
	for i := range counts {
		s := end - RecentSeconds + int64(i)
		if s > r.recent.newest-int64(len(r.recent.ring)) && s <= r.recent.newest {
			counts[i] = r.recent.ring[uint64(s)%uint64(len(r.recent.ring))]
		}
	}
	return counts
}
