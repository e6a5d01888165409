package host

import "testing"

func TestPortSetCounts(t *testing.T) {
	set := new(PortSet)
	for _, port := range []uint16{0, 63, 64, 127, 128, 8080, 8080, 65535} {
		set.Add(port)
	}
	for _, c := range []struct {
		low, high uint16
		want      int
	}{
		{0, 65535, 7},
		{1, 65535, 6},
		{0, 65534, 6},
		{63, 64, 2},
		{64, 64, 1},
		{65, 126, 0},
		{65, 127, 1},
		{63, 128, 4},
		{8080, 8080, 1},
		{8081, 65534, 0},
		{65535, 65535, 1},
		{128, 63, 0},
	} {
		if got := set.CountIn(c.low, c.high); got != c.want {
			t.Errorf("from %d to %d: %d ports, want %d", c.low, c.high, got, c.want)
		}
	}
	if set.Count() != 7 {
		t.Errorf("%d ports, want 7", set.Count())
	}
	for port, want := range map[uint16]bool{
		0: true, 1: false, 62: false, 63: true, 64: true, 8080: true, 8144: false, 65535: true,
	} {
		if set.Has(port) != want {
			t.Errorf("has %d: %v", port, !want)
		}
	}
}

func TestNilPortSetIsEmpty(t *testing.T) {
	var set *PortSet
	if set.Has(80) || set.Count() != 0 || set.CountIn(1, 65535) != 0 {
		t.Error("a nil set has ports")
	}
}

func TestPortsAreParsed(t *testing.T) {
	for _, c := range []struct {
		list    string
		count   int
		has     uint16 // 0: none asked
		wantErr bool
	}{
		{list: "\n"},
		{list: "8080,9148-9150\n", count: 4, has: 9149},
		{list: "9150\n", count: 1, has: 9150},
		{list: "0-65535\n", count: 65536, has: 65535},
		{list: "65535\n", count: 1, has: 65535},
		{list: "8080,\n", wantErr: true},
		{list: "9150-9148\n", wantErr: true},
		{list: "65536\n", wantErr: true},
		{list: "1-65536\n", wantErr: true},
		{list: "-5\n", wantErr: true},
		{list: "http\n", wantErr: true},
		{list: "80 81\n", wantErr: true},
		{list: "1-2-3\n", wantErr: true},
	} {
		set, err := ParsePorts(c.list)
		switch {
		case (err != nil) != c.wantErr:
			t.Errorf("%q: %v", c.list, err)
		case err == nil && (set.Count() != c.count || c.has != 0 && !set.Has(c.has)):
			t.Errorf("%q: %d ports, want %d with %d", c.list, set.Count(), c.count, c.has)
		}
	}
}
