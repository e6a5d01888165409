package tracer_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/testnet"
	"github.com/tcpstate/tcpstate/internal/tracer"
)

// Open connections are told of with what they have done so far, each round anew, and no longer when they have ended. A step
// of no time tells a part, and all come in the end.
func TestOpenConnectionsAreToldOf(t *testing.T) {
	testnet.RequireTracing(t)
	ns := testnet.New(t)
	var mu sync.Mutex
	latest := make(map[netip.AddrPort]event.Event) // by local end, in the last whole round
	rounds := 0
	var tr *tracer.Tracer
	told := make(map[netip.AddrPort]event.Event)
	tr, err := tracer.Open(tracer.Options{Tick: 10 * time.Millisecond, Drained: func() {
		over, err := tr.Progress(0, func(e *event.Event) {
			if e.Netns == ns.Inode() {
				told[e.Local] = *e
			}
		})
		if err != nil {
			t.Error(err)
		}
		if over != nil {
			mu.Lock()
			latest, rounds = told, rounds+1
			mu.Unlock()
			told = make(map[netip.AddrPort]event.Event)
		}
	}})
	testnet.Must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx, func(*event.Event) {}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		testnet.Must(tr.Close())
	}()
	// next is what the next round tells that begins now.
	next := func() map[netip.AddrPort]event.Event {
		mu.Lock()
		is := rounds
		mu.Unlock()
		testnet.Until("two rounds", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return rounds >= is+2
		})
		mu.Lock()
		defer mu.Unlock()
		return latest
	}
	ns.Do(t, func() {
		l := testnet.Listen(testnet.Server, 7001)
		defer l.Close()
		c := testnet.Dial(l.Local)
		d := l.Accept()
		asked := uint32(0)
		for range 3 {
			for range 4 {
				c.Write("question")
				d.Read(len("question"))
				d.Write("answer")
				c.Read(len("answer"))
				asked++
			}
			all := next()
			e := all[c.Local]
			if len(all) != 2 || e.Kind != event.Progress || e.Direction != event.Outbound || e.Exchanges() != asked ||
				e.SentBytes != uint64(asked)*8 || e.ReceivedBytes != uint64(asked)*6 || e.Preexisting || e.Lifetime <= 0 {
				t.Errorf("after %d questions: %d told, of the client %+v", asked, len(all), e)
			}
		}
		c.Abort()
		d.Close()
		if all := next(); len(all) != 0 {
			t.Errorf("after the end: %v", all)
		}
	})
}
