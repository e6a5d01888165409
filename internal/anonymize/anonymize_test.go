package anonymize

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/event"
)

var keyA, keyB = []byte("a key of this test, not of yours"), []byte("another key of this test, longer")

func mapper(tb testing.TB, key []byte, names bool) *Mapper {
	tb.Helper()
	m, err := New(key, names)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// What a key makes of an address is a promise: captures of this year are compared with those of the last.
func TestReplacementsStayTheSame(t *testing.T) {
	m := mapper(t, keyA, true)
	for from, want := range map[string]string{
		"10.2.3.4": "126.69.207.71", "192.0.2.1": "117.173.32.123", "fd00::7": "fdf2:6838:ce42:354d:53dd:fcbe:55f4:b2b1",
		"::ffff:10.2.3.4": "::ffff:126.69.207.71",
	} {
		if got := m.Addr(netip.MustParseAddr(from)).String(); got != want {
			t.Errorf("%s becomes %s, want %s", from, got, want)
		}
	}
	if got, want := m.Hashed("host", "db1"), "host-df056e81c5"; got != want {
		t.Errorf("host db1 becomes %s, want %s", got, want)
	}
}

// addresses are some of both families, many of them neighbours.
func addresses() (all []netip.Addr) {
	for _, first := range []string{"10.20.0.0", "1.0.0.0", "223.255.0.0", "192.168.255.0", "126.255.255.0"} {
		a := netip.MustParseAddr(first)
		for range 3000 {
			if kept(a) {
				break
			}
			all = append(all, a)
			a = a.Next()
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a := netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		six := a.As16()
		six[0], six[1], six[10], six[11] = 0x20, 0x01, 0, 0
		if !kept(a) {
			all = append(all, a)
		}
		all = append(all, netip.AddrFrom16(six))
	}
	return all
}

func TestAnAddressBecomesOneOfItsFamilyAndNoTwoTheSame(t *testing.T) {
	a, again, b := mapper(t, keyA, false), mapper(t, keyA, true), mapper(t, keyB, false)
	from := make(map[netip.Addr]netip.Addr)
	same := 0
	for _, addr := range addresses() {
		to := a.Addr(addr)
		switch {
		case to.Is4() != addr.Is4() || to.Is4In6():
			t.Fatalf("%s becomes %s, of another family", addr, to)
		case kept(to):
			t.Fatalf("%s becomes %s, which has a meaning", addr, to)
		case again.Addr(addr) != to:
			t.Fatalf("%s becomes %s and %s with the same key", addr, to, again.Addr(addr))
		}
		if other, ok := from[to]; ok && other != addr {
			t.Fatalf("%s and %s both become %s", addr, other, to)
		}
		from[to] = addr
		if to == b.Addr(addr) || to == addr {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of %d addresses do not depend on the key", same, len(from))
	}
}

// Neighbours must not become neighbours: that would tell which hosts are in one network.
func TestNetworksCannotBeTold(t *testing.T) {
	m := mapper(t, keyA, false)
	for _, first := range []string{"10.20.0.0", "fd20::"} {
		networks := make(map[netip.Prefix]bool)
		a := netip.MustParseAddr(first)
		for range 200 {
			p, err := m.Addr(a).Prefix(16)
			if err != nil {
				t.Fatal(err)
			}
			networks[p] = true
			a = a.Next()
		}
		if len(networks) < 100 {
			t.Errorf("200 neighbours of %s become addresses of only %d networks", first, len(networks))
		}
	}
}

func TestWhatEveryHostHasIsKept(t *testing.T) {
	m := mapper(t, keyA, true)
	for _, a := range []string{
		"127.0.0.1", "127.0.0.53", "127.255.255.255", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "::1", "ff02::1", "::ffff:127.0.0.1",
	} {
		if got := m.Addr(netip.MustParseAddr(a)).String(); got != a {
			t.Errorf("%s becomes %s", a, got)
		}
	}
	if got := m.Addr(netip.Addr{}); got.IsValid() {
		t.Errorf("no address becomes %s", got)
	}
	if got := m.Addr(netip.MustParseAddr("fe80::1%eth7")); got.Zone() != "" || strings.Contains(got.String(), "fe80::1") {
		t.Errorf("fe80::1%%eth7 becomes %s", got)
	}
}

// What is remembered is bounded, and forgetting changes nothing.
func TestForgettingChangesNothing(t *testing.T) {
	m := mapper(t, keyA, true)
	a := netip.MustParseAddr("2001:db8::")
	first, name := m.Addr(a), m.Hashed("exe", "/usr/bin/x")
	for range 2*maxCached + 7 {
		m.Addr(a)
		a = a.Next()
	}
	if len(m.addrs) > maxCached {
		t.Errorf("%d addresses are remembered", len(m.addrs))
	}
	if got := m.Addr(netip.MustParseAddr("2001:db8::")); got != first {
		t.Errorf("first %s, then %s", first, got)
	}
	if got := m.Hashed("exe", "/usr/bin/x"); got != name {
		t.Errorf("first %s, then %s", name, got)
	}
}

func TestAddressesInTexts(t *testing.T) {
	m := mapper(t, keyA, false)
	four := func(s string) string { return m.Addr(netip.MustParseAddr(s)).String() }
	for text, want := range map[string]string{
		"":                        "",
		"nginx.service":           "nginx.service",
		"10.2.3.4":                four("10.2.3.4"),
		"10.2.3.4:5432":           four("10.2.3.4") + ":5432",
		"db-10.2.3.4.example.com": "db-" + four("10.2.3.4") + ".example.com",
		"x10.2.3.4y":              "x" + four("10.2.3.4") + "y",
		"ip-10-2-3-4":             "ip-" + strings.ReplaceAll(four("10.2.3.4"), ".", "-"),
		"ip_10_2_3_4_x":           "ip_" + strings.ReplaceAll(four("10.2.3.4"), ".", "_") + "_x",
		"sshd@17-10.2.3.4:22-10.9.9.9:51234.service": "sshd@17-" + four("10.2.3.4") + ":22-" + four("10.9.9.9") + ":51234.service",
		"a:b:10.2.3.4":                         "a:b:" + four("10.2.3.4"),
		"::ffff:10.2.3.4":                      "::ffff:" + four("10.2.3.4"),
		"127.0.0.1 and ::1 and ::":             "127.0.0.1 and ::1 and ::",
		"fd00::7":                              four("fd00::7"),
		"FD00::7":                              four("fd00::7"),
		"[fd00::7]:443":                        "[" + four("fd00::7") + "]:443",
		"failed:fd00::7, gone":                 "failed:" + four("fd00::7") + ", gone",
		"at fd00:1:2:3:4:5:6:7.":               "at " + four("fd00:1:2:3:4:5:6:7") + ".",
		"2026-11-22 05:18:02":                  "2026-11-22 05:18:02",
		"aa:bb:cc:dd:ee:0f":                    "aa:bb:cc:dd:ee:0f",
		"2b5bd5d1-8a5a-4dbb-a1d4-5d1e0c1f0a0f": "2b5bd5d1-8a5a-4dbb-a1d4-5d1e0c1f0a0f",
		"std::vector":                          "std::vector",
		"10.2.3":                               "10.2.3",
		"310.2.3.4":                            "310.2.3.4",
	} {
		if got := m.Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// No text, however strange, keeps an address that stands by itself in it.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "x ", "::", "a:", "1.2.3.4.", "::ffff:", "10-2-3-4-", "é"} {
		f.Add(s, s)
	}
	m := mapper(f, keyA, false)
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, a := range []string{"10.2.3.4", "2001:db8:4:3:2:1:7:8"} {
			if got := m.Text(before + " " + a + ". " + after); strings.Contains(got, a) {
				t.Errorf("%s is in %q", a, got)
			}
		}
	})
}

func TestNames(t *testing.T) {
	kept, gone := mapper(t, keyA, false), mapper(t, keyA, true)
	comm := func(s string) (c event.Comm) { copy(c[:], s); return c }
	for _, test := range []struct {
		m    *Mapper
		comm string
		same bool
	}{{kept, "java", true}, {kept, "10.2.3.4", false}, {kept, "a\xff", true}, {gone, "java", false}, {gone, "", true}} {
		got := test.m.Comm(comm(test.comm))
		if (got == comm(test.comm)) != test.same {
			t.Errorf("comm %q becomes %q", test.comm, got.Raw())
		}
		if !test.same && (len(got.Raw()) != len("svc-1a2b3c4d5e") || got != test.m.Comm(comm(test.comm))) {
			t.Errorf("comm %q becomes %q and %q", test.comm, got.Raw(), test.m.Comm(comm(test.comm)))
		}
	}
	if got := gone.Comm(comm("java")); got.String() != gone.Name(CommSort, "java") {
		t.Errorf("comm java becomes %q, as a name %q", got.String(), gone.Name(CommSort, "java"))
	}
	if got := kept.Name("exe", "/opt/10.2.3.4/x"); strings.Contains(got, "10.2.3.4") || !strings.HasPrefix(got, "/opt/") {
		t.Errorf("an executable's name becomes %q", got)
	}
	if gone.Name("exe", "x") == gone.Name("unit", "x") || gone.Name("exe", "") != "" {
		t.Error("an executable and a unit become the same, or nothing becomes something")
	}
}

func TestAnEventKeepsAllButAddressesAndComm(t *testing.T) {
	e := event.Event{
		UnixNano: 5, Kind: event.Connect, Local: netip.MustParseAddrPort("10.0.0.7:40000"), Remote: netip.MustParseAddrPort("[fd00::7]:443"),
		Owner: event.Owner{PID: 7, CgroupID: 8},
	}
	copy(e.Owner.Comm[:], "java")
	got := e
	mapper(t, keyA, true).Event(&got)
	if got.Local.Port() != 40000 || got.Remote.Port() != 443 || got.Local == e.Local || got.Remote == e.Remote || got.Owner.Comm == e.Owner.Comm {
		t.Errorf("it becomes %+v", got)
	}
	got.Local, got.Remote, got.Owner.Comm = e.Local, e.Remote, e.Owner.Comm
	if got != e {
		t.Errorf("it becomes %+v", got)
	}
}

func TestKeys(t *testing.T) {
	if _, err := New([]byte("short"), false); err == nil {
		t.Error("a key of 5 bytes is taken")
	}
	if a, b := RandomKey(), RandomKey(); len(a) < MinKey || string(a) == string(b) {
		t.Errorf("random keys %x and %x", a, b)
	}
}

func BenchmarkAddress(b *testing.B) {
	m := mapper(b, keyA, false)
	a := netip.MustParseAddr("1.0.0.0")
	for b.Loop() {
		m.Addr(a)
		a = a.Next()
	}
}
