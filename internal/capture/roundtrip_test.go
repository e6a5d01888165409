package capture

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// last are the bounds of the types that a reader checks.
var last = map[reflect.Type]uint8{
	reflect.TypeFor[event.Kind]():       uint8(lastKind),
	reflect.TypeFor[event.Direction]():  uint8(lastDirection),
	reflect.TypeFor[event.Basis]():      uint8(lastBasis),
	reflect.TypeFor[event.OwnerBasis](): uint8(lastOwnerBasis),
	reflect.TypeFor[event.State]():      uint8(lastState),
	reflect.TypeFor[event.Closer]():     uint8(lastCloser),
	reflect.TypeFor[event.Cause]():      uint8(lastCause),
}

// randomNumber has all magnitudes.
func randomNumber(random *rand.Rand) uint64 { return random.Uint64() >> random.IntN(64) }

// randomize sets a value of any type that events, settings and services are made of: every field.
func randomize(t *testing.T, v reflect.Value, random *rand.Rand) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		*x = netip.AddrPortFrom(randomAddr(random), uint16(randomNumber(random)))
		return
	case **host.PortSet:
		*x = randomPorts(random)
		return
	}
	if bound, ok := last[v.Type()]; ok {
		v.SetUint(uint64(random.IntN(int(bound) + 1)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			randomize(t, v.Field(i), random)
		}
	case reflect.Array:
		for i := range v.Len() {
			randomize(t, v.Index(i), random)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			randomize(t, v.Index(i), random)
		}
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(randomNumber(random)) - int64(random.IntN(3)))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(randomNumber(random) & (1<<v.Type().Bits() - 1))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", random.Uint64()))
	default:
		t.Fatalf("%s: a type that this test cannot fill", v.Type())
	}
}

func randomAddr(random *rand.Rand) netip.Addr {
	var raw [16]byte
	for i := range raw {
		raw[i] = byte(random.IntN(3))
	}
	switch random.IntN(5) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(raw[:]))
	case 2:
		return netip.AddrFrom16(raw).WithZone(fmt.Sprintf("eth%d", random.IntN(3)))
	case 3:
		return netip.AddrFrom16(netip.AddrFrom4([4]byte(raw[:])).As16()) // IPv4 in IPv6
	}
	return netip.AddrFrom16(raw)
}

func randomPorts(random *rand.Rand) *host.PortSet {
	if random.IntN(4) == 0 {
		return nil
	}
	set := new(host.PortSet)
	for range random.IntN(200) {
		first := random.IntN(65536)
		for port := first; port < min(first+random.IntN(20), 65536); port++ {
			set.Add(uint16(port))
		}
	}
	if random.IntN(4) == 0 {
		set.Add(65535)
	}
	return set
}

// Every field comes back, one that will be added to event.Event as well: it fails here until it is stored.
func TestEveryFieldOfEventsComesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	events := make([]event.Event, 3*MaxBlockEvents/2)
	for i := range events {
		switch {
		case i > 0 && i%4 == 0: // mostly like another, as real ones are
			events[i] = events[random.IntN(i)]
			randomize(t, reflect.ValueOf(&events[i]).Elem().Field(random.IntN(reflect.TypeFor[event.Event]().NumField())), random)
		case i%4 == 1: // zeros
		default:
			randomize(t, reflect.ValueOf(&events[i]).Elem(), random)
		}
	}
	all := mustRead(t, write(t, items(events), nil), ReadOptions{})
	got := of(all, KindEvent)
	if len(got) != len(events) {
		t.Fatalf("%d events, want %d; damage:\n%s", len(got), len(events), told(of(all, KindDamage)))
	}
	for i := range events {
		if *got[i].Event != events[i] {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, *got[i].Event, events[i])
		}
	}
}

func TestARealisticStreamComesBack(t *testing.T) {
	events := generated()
	all := mustRead(t, write(t, items(events), nil), ReadOptions{})
	if d := of(all, KindDamage); len(d) > 0 {
		t.Fatalf("damage: %+v", *d[0].Damage)
	}
	got := of(all, KindEvent)
	for i := range got {
		if *got[i].Event != events[i] {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, *got[i].Event, events[i])
		}
	}
	if len(got) != len(events) {
		t.Fatalf("%d events, want %d", len(got), len(events))
	}
}

func TestEveryFieldOfSettingsAndServicesComesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var settings host.Settings
		var service Service
		var header Header
		randomize(t, reflect.ValueOf(&settings).Elem(), random)
		randomize(t, reflect.ValueOf(&service).Elem(), random)
		h := reflect.ValueOf(&header).Elem()
		for i := range h.NumField() - 1 { // Facts is any JSON
			randomize(t, h.Field(i), random)
		}
		header.Facts = []byte(`{"a":[1]}`)
		var file bytes.Buffer
		w, err := NewWriter(&file, header, Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, w, &Item{Kind: KindSettings, Settings: &settings})
		put(t, w, &Item{Kind: KindService, Service: &service})
		if err := w.Close(End{Facts: []byte(`"x"`)}); err != nil {
			t.Fatal(err)
		}
		c, err := NewReader(&file, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&header, c.Header()); d != "" {
			t.Errorf("header: %s", d)
		}
		for _, want := range []any{&settings, &service, &End{Facts: []byte(`"x"`), Totals: Totals{Kinds: map[string]uint64{}, Facts: 2}}} {
			i, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			var got any = i.End
			switch i.Kind {
			case KindSettings:
				got = i.Settings
			case KindService:
				got = i.Service
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("kind %d: %s", i.Kind, d)
			}
		}
	}
}

// Settings and services stand between the same events as before, across blocks, and in each order.
func TestOrderIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var all []Item
	var want []string
	for n := range 3000 {
		e := blank(int64(n))
		i := Item{Kind: Kind(1 + random.IntN(3)), Event: &e, Settings: &host.Settings{Netns: uint32(n)}, Service: &Service{Name: fmt.Sprint(n)}}
		want = append(want, fmt.Sprintf("%d %d", i.Kind, n))
		all = append(all, i)
		if random.IntN(300) == 0 {
			all = append(all, Item{})
		}
	}
	var got []string
	for _, i := range mustRead(t, write(t, all, nil), ReadOptions{}) {
		switch i.Kind {
		case KindEvent:
			got = append(got, fmt.Sprintf("%d %d", i.Kind, i.Event.UnixNano))
		case KindSettings:
			got = append(got, fmt.Sprintf("%d %d", i.Kind, i.Settings.Netns))
		case KindService:
			got = append(got, fmt.Sprintf("%d %s", i.Kind, i.Service.Name))
		}
	}
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// A kind that is added to the vocabulary has to be told to the reader, which leaves out what it does not know: figures
// are kept in arrays.
func TestTheReaderKnowsAllNames(t *testing.T) {
	for _, c := range []struct{ last, next fmt.Stringer }{
		{lastKind, lastKind + 1},
		{lastDirection, lastDirection + 1},
		{lastBasis, lastBasis + 1},
		{lastOwnerBasis, lastOwnerBasis + 1},
		{lastState, lastState + 1},
		{lastCloser, lastCloser + 1},
		{lastCause, lastCause + 1},
	} {
		number := fmt.Sprint(reflect.ValueOf(c.next).Uint())
		if c.next.String() != number || c.last.String() == number {
			t.Errorf("%T: the last is not %s", c.last, c.last)
		}
	}
}

func TestUnknownValuesAreLeftOutAndTold(t *testing.T) {
	known, strange := blank(1), blank(2)
	strange.Cause = lastCause + 1
	all := mustRead(t, write(t, items([]event.Event{known, strange, known, strange, strange}), nil), ReadOptions{})
	d := of(all, KindDamage)
	if len(of(all, KindEvent)) != 2 || len(d) != 1 || d[0].Damage.EventsMissing != 3 {
		t.Errorf("%d events, damage %+v", len(of(all, KindEvent)), d)
	}
}

// A kind has a place of its own in a path's last ports.
func TestKindsHaveSlots(t *testing.T) {
	if lastKind >= kindSlots {
		t.Errorf("%d kinds, %d slots", lastKind, kindSlots)
	}
}

// Any zstd reads the file: heads are frames to skip.
func TestPlainZstdReadsIt(t *testing.T) {
	_, file := small(t)
	z, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(text, []byte(`"host":"here"`)) || !bytes.Contains(text, []byte(`{"closed":true}`)) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestBlocksAreBounded(t *testing.T) {
	events := make([]event.Event, 10_000)
	for i := range events {
		events[i] = blank(generatedStart + int64(i))
	}
	// Slowly: one a quarter of a second.
	for i := range 9 {
		events = append(events, blank(generatedStart+int64(i)*250_000_000))
	}
	var counts []int
	for _, b := range blocks(t, write(t, items(events), nil)) {
		if b.head.kind != eventBlock {
			continue
		}
		counts = append(counts, int(b.head.events))
		if b.head.last-b.head.first > int64(1e9) {
			t.Errorf("a block of %d ns", b.head.last-b.head.first)
		}
	}
	if want := []int{4096, 4096, 1808 + 3, 3, 3}; !slices.Equal(counts, want) {
		t.Errorf("blocks of %d events, want %d", counts, want)
	}
}

func TestHostileTextsArePrintable(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Host: "\x1b[2J", Hooks: []string{"a\nb"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, &Item{Kind: KindService, Service: &Service{Name: "\u202eexe", Exe: "/bin/\x07"}})
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewReader(&file, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	if h := c.Header(); h.Host != `\x1b[2J` || h.Hooks[0] != `a\nb` || i.Service.Name != `\u202eexe` || i.Service.Exe != `/bin/\a` {
		t.Errorf("%q %q %q %q", h.Host, h.Hooks, i.Service.Name, i.Service.Exe)
	}
}
