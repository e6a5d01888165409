package capture

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// blank is an event with nothing but its time, and what it mostly is.
func blank(at int64) event.Event {
	return event.Event{
		UnixNano: at, Kind: event.Connect, Direction: event.Outbound, DirectionBasis: event.Exact,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
	}
}

// write writes a capture of items, ended or not.
func write(tb testing.TB, items []Item, end *End) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Host: "here", WindowStart: generatedStart}, Options{Queue: 1 << 13})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range items {
		put(tb, w, &items[i])
	}
	if end == nil {
		end = &End{}
	}
	if err := w.Close(*end); err != nil {
		tb.Fatal(err)
	}
	if s := w.Stats(); s.Dropped > 0 {
		tb.Fatalf("%d events dropped", s.Dropped)
	}
	return file.Bytes()
}

// put hands an item over. One of no kind makes the writer begin a new block.
func put(tb testing.TB, w *Writer, i *Item) {
	tb.Helper()
	var err error
	switch i.Kind {
	case KindEvent:
		w.Event(i.Event)
	case KindSettings:
		err = w.Settings(i.Settings)
	case KindService:
		err = w.Service(i.Service)
	default:
		w.flush()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// items makes items of events.
func items(events []event.Event) (all []Item) {
	for i := range events {
		all = append(all, Item{Kind: KindEvent, Event: &events[i]})
	}
	return all
}

// read reads everything there is, and copies what is used again.
func read(r io.Reader, o ReadOptions) (all []Item, err error) {
	c, err := NewReader(r, o)
	if err != nil {
		return nil, err
	}
	for {
		i, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all, c.Close()
		}
		if err != nil {
			return all, err
		}
		kept := *i
		if i.Event != nil {
			e := *i.Event
			kept.Event = &e
		}
		all = append(all, kept)
	}
}

// mustRead reads what has to be readable.
func mustRead(tb testing.TB, file []byte, o ReadOptions) []Item {
	tb.Helper()
	all, err := read(bytes.NewReader(file), o)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// of picks the items of a kind.
func of(all []Item, kind Kind) (some []Item) {
	for _, i := range all {
		if i.Kind == kind {
			some = append(some, i)
		}
	}
	return some
}

// blocks are where the blocks of an undamaged file begin, and their heads.
func blocks(tb testing.TB, file []byte) (all []blockAt) {
	tb.Helper()
	for at := 0; at < len(file); {
		n := headLength(file[at:])
		var h head
		if n == 0 || !intact(file[at:at+n]) || !h.parse(file[at:at+n]) {
			tb.Fatalf("no block at %d", at)
		}
		all = append(all, blockAt{head: h, at: at, frameAt: at + n, end: at + n + int(h.frame)})
		at += n + int(h.frame)
	}
	return all
}

type blockAt struct {
	head             head
	at, frameAt, end int
}

// small is a capture with something of everything: three blocks of events, settings, services, an end.
func small(tb testing.TB) (all []Item, file []byte) {
	tb.Helper()
	events := generated()[:60]
	reserved := new(host.PortSet)
	reserved.Add(8080)
	settings := &host.Settings{Netns: generatedNetns, RangeLow: 32768, RangeHigh: 60999, Reserved: reserved, FinTimeout: time.Minute}
	service := &Service{Identity: events[0].Owner.Identity(), Name: "a", Kind: "process", Processes: 1, PIDs: []uint32{7}}
	all = append(all, Item{Kind: KindSettings, Settings: settings})
	all = append(all, items(events[:20])...)
	all = append(all, Item{Kind: KindService, Service: service})
	all = append(all, items(events[20:30])...)
	all = append(all, Item{})
	all = append(all, items(events[30:50])...)
	all = append(all, Item{}, Item{Kind: KindSettings, Settings: settings})
	all = append(all, items(events[50:])...)
	return all, write(tb, all, &End{Facts: []byte(`{"closed":true}`)})
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
