package agent

import (
	"testing"
	"time"
)

// Before the first beat, too, silence is what has passed.
func TestSilenceIsWhatHasPassed(t *testing.T) {
	s := NewState()
	if d := s.Silent(time.Now()); d < 0 || d > time.Minute {
		t.Errorf("silent for %s before the first beat", d)
	}
	now := time.Now()
	s.Beat(now.Add(2 * time.Second))
	if d := s.Silent(now.Add(5 * time.Second)); d != 3*time.Second {
		t.Errorf("silent for %s, want 3s", d)
	}
}
