package service

import "testing"

func TestPids(t *testing.T) {
	t.Run("counts different ones up to the bound and remembers them", func(t *testing.T) {
		var p pids
		free := maxPidsSlots
		for i := range uint32(2 * maxPids) {
			pid := (i + 1) * 2048 // one stride of the table's size
			added, fits := p.add(pid, &free)
			if want := i < maxPids; added != want || fits != want {
				t.Fatalf("add no. %d: added %v, fits %v, want %v", i+1, added, fits, want)
			}
			if again, _ := p.add(pid, &free); again {
				t.Fatalf("pid %d counted twice", pid)
			}
		}
		if !p.has(2048) || !p.has(maxPids*2048) || p.has((maxPids+1)*2048) || p.has(0) {
			t.Error("the set does not hold what was put in")
		}
	})
	t.Run("stops where all sets together reach their bound", func(t *testing.T) {
		free := 4
		var a, b pids
		for pid := range uint32(3) {
			if added, _ := a.add(pid+1, &free); !added {
				t.Fatalf("pid %d does not fit", pid+1)
			}
		}
		if _, fits := a.add(4, &free); fits {
			t.Error("a grew beyond the common bound")
		}
		if _, fits := b.add(1, &free); fits || b.has(1) {
			t.Error("b took a slot that is not free")
		}
	})
}
