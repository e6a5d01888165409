package recorder

import (
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

// What ended before the checkpoint came to it existed when the checkpoint began, and was as old as it was then: by its birth it
// is known later.
func TestWhatEndedAtASeamIsAsOldAsItWasThen(t *testing.T) {
	w := newWorld(t, Options{})
	e := w.event(event.Close, 1)
	s := newSeam(0)
	s.at = e.UnixNano - int64(5*time.Millisecond)
	for lifetime, want := range map[time.Duration]time.Duration{
		time.Second: 995 * time.Millisecond, time.Millisecond: 0, event.Unknown: event.Unknown,
	} {
		e.Lifetime = lifetime
		var existed []event.Event
		s.end(e, s.key(e, false), event.Established, func(e *event.Event) { existed = append(existed, *e) })
		if len(existed) != 1 || existed[0].Lifetime != want || existed[0].UnixNano != s.at {
			t.Errorf("%v: %+v, want one that had lived for %v", lifetime, existed, want)
		}
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
}
