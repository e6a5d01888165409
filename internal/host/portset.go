package host

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// PortSet is a set of ports, a bit for each. A nil one can be asked, and is empty.
type PortSet [1024]uint64

// Add puts port into the set.
func (p *PortSet) Add(port uint16) { p[port/64] |= 1 << (port % 64) }

// Has says whether port is in the set.
func (p *PortSet) Has(port uint16) bool { return p != nil && p[port/64]&(1<<(port%64)) != 0 }

// Count is the number of ports in the set.
func (p *PortSet) Count() int { return p.CountIn(0, 65535) }

// CountIn is the number of ports in the set from low to high, both included.
func (p *PortSet) CountIn(low, high uint16) int {
	if p == nil || low > high {
		return 0
	}
	n := 0
	for i := low / 64; i <= high/64; i++ {
		word := p[i]
		if i == low/64 {
			word &= ^uint64(0) << (low % 64)
		}
		if i == high/64 {
			word &= ^uint64(0) >> (63 - high%64)
		}
		n += bits.OnesCount64(word)
	}
	return n
}

// ParsePorts reads "8080,9148-9150", which is how the kernel prints a set of ports (proc_do_large_bitmap in
// kernel/sysctl.c).
func ParsePorts(list string) (*PortSet, error) {
	set := new(PortSet)
	list = strings.TrimSpace(list)
	if list == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		low, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%.20q is no port", first)
		}
		high, err := strconv.ParseUint(last, 10, 16)
		if err != nil || high < low {
			return nil, fmt.Errorf("%.20q is no range of ports", part)
		}
		for port := low; port <= high; port++ {
			set.Add(uint16(port))
		}
	}
	return set, nil
}

// String writes the set as the kernel prints and reads it: "8080,9148-9150", "" when it is empty.
func (p *PortSet) String() string {
	var b strings.Builder
	for low := 0; low <= 65535; low++ {
		if !p.Has(uint16(low)) {
			continue
		}
		high := low
		for high < 65535 && p.Has(uint16(high+1)) {
			high++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(low))
		if high > low {
			b.WriteString("-" + strconv.Itoa(high))
		}
		low = high
	}
	return b.String()
}
