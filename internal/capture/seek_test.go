package capture

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// long is a capture of many blocks: each has 200 events of one second and of one to three of 40 destinations. In some
// there are settings.
const perBlock = 200

func long(tb testing.TB, blocks int) (events []event.Event, file []byte) {
	tb.Helper()
	random := rand.New(rand.NewPCG(9, 9))
	var all []Item
	for n := range blocks {
		for i := range perBlock {
			e := blank(generatedStart + int64(n)*1e9 + int64(i)*1e6)
			to := (n + i%(1+n%3)) % 40
			e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(to / 10), byte(to)}), uint16(1000+to%4))
			e.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, 9}), uint16(random.Uint32()))
			// What cannot be compressed, so that blocks have a size.
			e.SentBytes, e.ReceivedBytes, e.Lifetime = random.Uint64()>>16, random.Uint64()>>16, time.Duration(random.Uint64()>>16)
			events = append(events, e)
		}
	}
	for i := range events {
		if i%(100*perBlock) == 100 {
			all = append(all, Item{Kind: KindSettings, Settings: &host.Settings{Netns: uint32(i)}})
		}
		all = append(all, Item{Kind: KindEvent, Event: &events[i]})
	}
	return events, write(tb, all, nil)
}

// counted counts what is read of a file.
type counted struct {
	*bytes.Reader
	n int64
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(b, at)
	c.n += int64(n)
	return n, err
}

// Seeking gives what reading everything and leaving out gives; with an index, without one, and from a pipe.
func TestSeeking(t *testing.T) {
	events, file := long(t, 1000)
	all := blocks(t, file)
	noTrailer := file[:all[len(all)-1].at]
	at := func(second int) int64 { return generatedStart + int64(second)*1e9 }
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name string
		o    ReadOptions
		wide bool // about everything is wanted
	}{
		{"from", ReadOptions{Since: at(990)}, false},
		{"until", ReadOptions{Until: at(7)}, false},
		{"ten seconds", ReadOptions{Since: at(500), Until: at(510)}, false},
		{"within a block", ReadOptions{Since: at(500) + 3e6, Until: at(500) + 9e6}, false},
		{"before everything", ReadOptions{Until: at(0)}, false},
		{"after everything", ReadOptions{Since: at(5000)}, false},
		{"everything", ReadOptions{Since: 1}, true},
		{"a host", ReadOptions{Destinations: []Destination{{Prefix: prefix("10.0.1.15/32")}}}, true},
		{"a host in ten seconds", ReadOptions{Since: at(300), Until: at(310), Destinations: []Destination{{Prefix: prefix("10.0.1.15/32")}}}, false},
		{"a network", ReadOptions{Until: at(80), Destinations: []Destination{{Prefix: prefix("10.0.3.0/24")}}}, false},
		{"a port", ReadOptions{Until: at(80), Destinations: []Destination{{Port: 1003}}}, false},
		{"an address and port", ReadOptions{Until: at(80), Destinations: []Destination{{prefix("10.0.0.2/32"), 1002}, {prefix("10.0.0.3/32"), 1003}}}, false},
		{"nobody", ReadOptions{Destinations: []Destination{{Prefix: prefix("192.0.2.77/32")}}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []event.Event
			for i := range events {
				if chosen(&events[i], c.o) {
					want = append(want, events[i])
				}
			}
			indexed := &counted{Reader: bytes.NewReader(file)}
			for how, r := range map[string]io.Reader{
				"index": indexed, "heads": bytes.NewReader(noTrailer), "pipe": io.MultiReader(bytes.NewReader(file)),
			} {
				got, err := read(r, c.o)
				if err != nil {
					t.Fatal(err)
				}
				if how == "heads" {
					got = got[:len(got)-1] // the trailer is missing
				}
				if d := of(got, KindDamage); len(d) > 0 {
					t.Errorf("%s: damage: %s", how, told(d))
				}
				var some []event.Event
				for _, i := range of(got, KindEvent) {
					if chosen(i.Event, c.o) { // others of the same blocks may come along
						some = append(some, *i.Event)
					}
				}
				if !slices.Equal(some, want) {
					t.Errorf("%s: %d events, want %d", how, len(some), len(want))
				}
				if n := len(of(got, KindSettings)); n != len(events)/(100*perBlock) {
					t.Errorf("%s: %d settings, want %d: they are needed whatever is read", how, n, len(events)/(100*perBlock))
				}
				if len(of(got, KindEnd)) != 1 {
					t.Errorf("%s: no end", how)
				}
			}
			if indexed.n > int64(len(file))/2+4*readSize && !c.wide {
				t.Errorf("%d bytes of %d were read", indexed.n, len(file))
			}
		})
	}
}

// chosen is what the options mean.
func chosen(e *event.Event, o ReadOptions) bool {
	if e.UnixNano < o.Since || o.Until != 0 && e.UnixNano >= o.Until {
		return false
	}
	for _, d := range o.Destinations {
		if (!d.Prefix.IsValid() || d.Prefix.Contains(e.Remote.Addr())) && (d.Port == 0 || d.Port == e.Remote.Port()) {
			return true
		}
	}
	return len(o.Destinations) == 0
}

// Damage in a part that is looked for is told; what is left out is not called missing.
func TestSeekingPastDamage(t *testing.T) {
	_, file := long(t, 1000)
	all := blocks(t, file)
	at := func(second int) int64 { return generatedStart + int64(second)*1e9 }
	for i, b := range all {
		if b.head.kind != eventBlock || i%50 != 3 {
			continue
		}
		damaged := slices.Clone(file)
		damaged[b.frameAt+9]++
		second := int((b.head.first - generatedStart) / 1e9)
		for around := -2; around <= 2; around++ {
			got := mustRead(t, damaged, ReadOptions{Since: at(second + around), Until: at(second + around + 2)})
			want, missing := max(0, min(1000-second-around, 2))*perBlock, 0
			if around == 0 || around == -1 {
				want, missing = want-perBlock, perBlock
			}
			for _, d := range of(got, KindDamage) {
				missing -= int(d.Damage.EventsMissing)
			}
			if n := len(of(got, KindEvent)); n != want || missing != 0 {
				t.Errorf("second %d%+d: %d events, want %d; %d more are missing than told", second, around, n, want, missing)
			}
		}
	}
}

func TestADamagedIndexIsNotNeeded(t *testing.T) {
	_, file := long(t, 600)
	for _, b := range blocks(t, file) {
		if b.head.kind != indexBlock && b.head.kind != trailerBlock {
			continue
		}
		damaged := slices.Clone(file)
		damaged[b.at+20]++
		got := mustRead(t, damaged, ReadOptions{Since: generatedStart + 100e9, Until: generatedStart + 110e9})
		if n := len(of(got, KindEvent)); n != 10*perBlock {
			t.Errorf("%d events, want %d", n, 10*perBlock)
		}
	}
}

// An address that was a local one first is found as a remote one.
func TestAFingerprintHasEveryRemoteAddress(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:5432"), netip.MustParseAddrPort("198.51.100.1:443")
	c := newEncoder()
	for range 2 { // the second block knows nothing of the first
		c.begin(&block{})
		c.add(&event.Event{Kind: event.Connect, Local: a, Remote: b})
		before := c.block.print
		if d := (Destination{Prefix: netip.PrefixFrom(a.Addr(), 32)}); d.in(before.append(nil)) {
			t.Errorf("%v is in the fingerprint of connections from there", d)
		}
		c.add(&event.Event{Kind: event.Connect, Local: b, Remote: a})
		print := c.block.print.append(nil)
		for _, remote := range []netip.AddrPort{a, b} {
			if d := (Destination{netip.PrefixFrom(remote.Addr(), 32), remote.Port()}); !d.in(print) {
				t.Errorf("%v is not in the fingerprint", d)
			}
		}
	}
}

func TestFingerprints(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 10, 100, 1000} {
		var f fingerprint
		var in []Destination
		for range n {
			a := randomAddr(random)
			for !a.IsValid() {
				a = randomAddr(random)
			}
			d := Destination{netip.PrefixFrom(a.WithZone(""), a.BitLen()), uint16(random.Uint32() | 1)}
			in = append(in, d)
			f.addAddress(a)
			f.addService(a, d.Port)
		}
		print := f.append(nil)
		t.Logf("%d destinations: %d bytes", n, len(print))
		for _, d := range in {
			for _, q := range []Destination{d, {d.Prefix, 0}, {netip.Prefix{}, d.Port}, {netip.PrefixFrom(d.Prefix.Addr(), d.Prefix.Bits()*3/4).Masked(), d.Port}, {}} {
				if !q.in(print) {
					t.Fatalf("%d destinations: %v is not in %v", n, q, d)
				}
			}
		}
		wrong := 0
		for range 1000 {
			d := Destination{netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(random.Uint32()), byte(random.Uint32())}), 32), uint16(random.Uint32() | 1)}
			if d.in(print) {
				wrong++
			}
		}
		if n <= 100 && wrong > 50 {
			t.Errorf("%d destinations: %d of 1000 others seem to be in", n, wrong)
		}
	}
}

func TestInfo(t *testing.T) {
	want, file := small(t)
	for name, r := range map[string]io.Reader{"file": bytes.NewReader(file), "pipe": io.MultiReader(bytes.NewReader(file))} {
		s, err := Info(r)
		if err != nil {
			t.Fatal(err)
		}
		if whole := name == "pipe"; s.Whole != whole {
			t.Errorf("%s: all of it was read: %v", name, s.Whole)
		}
		checkSummary(t, name, s, want, len(file))
	}
	s, err := Verify(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, "verify", s, want, len(file))

	cut := file[:len(file)-200]
	s, err = Info(bytes.NewReader(cut))
	if err != nil || s.Complete || !s.Whole || len(s.Damages) != 1 || !s.MissingUnknown || s.Events != 60 {
		t.Errorf("cut: %+v, %v", s, err)
	}
	many := bytes.Repeat(file, 200)
	if s, err = Verify(bytes.NewReader(many)); err != nil || len(s.Damages) != maxDamages || s.DamagesMore == 0 || s.Events != 60 {
		t.Errorf("200 times: %v", err)
	}
}

func checkSummary(t *testing.T, name string, s *Summary, want []Item, size int) {
	t.Helper()
	kinds := map[string]uint64{}
	for _, i := range of(want, KindEvent) {
		kinds[i.Event.Kind.String()]++
	}
	events := of(want, KindEvent)
	if s.Events != 60 || fmt.Sprint(s.Kinds) != fmt.Sprint(kinds) || s.Facts != 3 || s.Blocks != 7 || s.Bytes != uint64(size) ||
		!s.Complete || len(s.Damages) != 0 || s.Header.Host != "here" ||
		s.First != events[0].Event.UnixNano || s.Last != events[59].Event.UnixNano {
		t.Errorf("%s: %+v", name, s)
	}
	if n, ok := s.BytesPerEvent(); !ok || n != float64(size)/60 {
		t.Errorf("%s: %g bytes an event", name, n)
	}
}

func TestOpen(t *testing.T) {
	_, file := small(t)
	path := filepath.Join(t.TempDir(), "x.tcps")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, ReadOptions{Since: 1})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, err := r.Next(); err == nil; i, err = r.Next() {
		if i.Kind == KindEvent {
			n++
		}
	}
	if err := r.Close(); err != nil || n != 60 {
		t.Errorf("%d events, %v", n, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, ReadOptions{}); err == nil || err.Error() != path+" is empty: nothing was recorded" {
		t.Errorf("%v", err)
	}
}
