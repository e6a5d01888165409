package tracer

import (
	"net/netip"
	"reflect"
	"testing"
	"unsafe"

	"github.com/tcpstate/tcpstate/internal/event"
)

// The event is reused, so a field that decode left alone would tell of another connection.
func TestDecodeWritesEveryField(t *testing.T) {
	for _, tc := range []struct {
		name string
		raw  bpfEvent
	}{
		{"a record of zeros", bpfEvent{}},
		{"a connection's end", bpfEvent{
			TimeNs: 5, StartNs: 1, EstablishedNs: 2, Kind: uint8(event.Close), Direction: uint8(event.Outbound), Flags: flagCounted,
			Src: netip.MustParseAddr("10.0.0.1").As16(), Dst: netip.MustParseAddr("2001:db8::1").As16(),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var fresh, used event.Event
			soil(reflect.ValueOf(&used).Elem())
			used.Local, used.Remote = netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[fe80::1%eth0]:2")
			sample := unsafe.Slice((*byte)(unsafe.Pointer(&tc.raw)), recordSize)
			for _, ev := range []*event.Event{&fresh, &used} {
				if err := new(Tracer).decode(sample, ev); err != nil {
					t.Fatal(err)
				}
			}
			if fresh != used {
				t.Errorf("a used event became %+v, a fresh one %+v", used, fresh)
			}
		})
	}
}

func TestDecodeRefusesAShortRecord(t *testing.T) {
	if err := new(Tracer).decode(make([]byte, recordSize-1), new(event.Event)); err == nil {
		t.Error("a short record was decoded")
	}
}

// soil sets every number and every flag inside v.
func soil(v reflect.Value) {
	switch {
	case v.CanInt():
		v.SetInt(77)
	case v.CanUint():
		v.SetUint(77)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			soil(v.Index(i))
		}
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[netip.AddrPort]():
		for i := range v.NumField() {
			soil(v.Field(i))
		}
	}
}
