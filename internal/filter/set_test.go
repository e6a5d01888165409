package filter

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// web accepts a connection on port 80.
func web() (*event.Event, *service.Service) {
	return &event.Event{
		Kind: event.Accept, Direction: event.Inbound, Netns: 7, Owner: ownerOf(33, 60, "nginx"),
		Local: netip.MustParseAddrPort("10.0.0.7:80"), Remote: netip.MustParseAddrPort("10.9.9.9:5432"),
	}, &service.Service{Name: "nginx", Comm: "nginx", Unit: "web.service", Kind: service.KindContainer, ContainerID: "web"}
}

func TestSet(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flags Flags
		want  string
	}{
		{"no flag chooses everything", Flags{}, "java refused web"},
		{"an address", Flags{Dst: []string{"10.2.3.4"}}, "java"},
		{"a network", Flags{Dst: []string{"10.0.0.0/8"}}, "java web"},
		{"a network with a port", Flags{Dst: []string{"10.0.0.0/8:5432"}}, "java web"},
		{"an address with another port", Flags{Dst: []string{"10.2.3.4:80"}}, ""},
		{"an IPv6 address", Flags{Dst: []string{"2001:db8::5"}}, "refused"},
		{"an IPv6 network without a port", Flags{Dst: []string{"2001:db8::/32"}}, "refused"},
		{"an IPv6 address in brackets", Flags{Dst: []string{"[2001:db8::5]"}}, "refused"},
		{"an IPv6 address with a port", Flags{Dst: []string{"[2001:db8::5]:80"}}, "refused"},
		{"an IPv6 network with a port", Flags{Dst: []string{"[2001:db8::/32]:80"}}, "refused"},
		{"an IPv6 network with a port and no brackets", Flags{Dst: []string{"2001:db8::/32:80"}}, "refused"},
		{"an IPv6 network with another port", Flags{Dst: []string{"[2001:db8::/32]:81"}}, ""},
		{"two destinations are either", Flags{Dst: []string{"10.2.3.4", "2001:db8::5"}}, "java refused"},
		{"two flags are both", Flags{Dst: []string{"10.0.0.0/8"}, Comm: []string{"java"}}, "java"},
		{"two flags of which one fits", Flags{Dst: []string{"10.2.3.4"}, Comm: []string{"nginx"}}, ""},
		{"the port is the remote one outbound and the local one inbound", Flags{Port: []string{"5432"}}, "java"},
		{"a local port inbound", Flags{Port: []string{"80"}}, "refused web"},
		{"a pid", Flags{PID: []string{"33", "4"}}, "web"},
		{"a comm is not a part of one", Flags{Comm: []string{"jav"}}, ""},
		{"a unit", Flags{Unit: []string{"shop.service"}}, "java"},
		{"a unit without its suffix", Flags{Unit: []string{"shop"}}, "java"},
		{"the first digits of a container's id", Flags{Container: []string{"ab12a"}}, "java"},
		{"one digit of a container's id", Flags{Container: []string{"a"}}, "java"},
		{"digits from its middle", Flags{Container: []string{"b12a"}}, ""},
		{"a container's name", Flags{Container: []string{"web"}}, "web"},
		{"a network namespace", Flags{Netns: []string{"4026531840"}}, "java refused"},
		{"IPv4", Flags{IPv4: true}, "java web"},
		{"IPv6", Flags{IPv6: true}, "refused"},
		{"IPv4 and IPv6", Flags{IPv4: true, IPv6: true}, "java refused web"},
		{"failures", Flags{FailureOnly: true}, "refused"},
		{"expressions", Flags{Filter: []string{"comm==java", "comm==nginx"}}, "java web"},
		{"an expression and a flag", Flags{Filter: []string{"dst.port==5432"}, PID: []string{"33"}}, "web"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := NewSet(tc.flags)
			if err != nil {
				t.Fatal(err)
			}
			for name, of := range map[string]func() (*event.Event, *service.Service){"java": java, "refused": refused, "web": web} {
				e, v := of()
				want := strings.Contains(" "+tc.want+" ", " "+name+" ")
				if got := s.Match(e, v); got != want {
					t.Errorf("%s: got %v", name, got)
				}
			}
		})
	}
}

func TestFailureOnlyAndErrors(t *testing.T) {
	s, err := NewSet(Flags{FailureOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		e    event.Event
		want bool
	}{
		{"a connection that was reset", event.Event{Kind: event.Close, Error: 104}, true},
		{"a connection that this host aborted", event.Event{Kind: event.Close, ClosedBy: event.ClosedReset}, false},
		{"a bind() that failed", event.Event{Kind: event.BindFailed, Error: event.EADDRINUSE}, true},
		{"lost failures of bind()", event.Event{Kind: event.Lost, Of: event.BindFailed}, true},
		{"the end of a TIME_WAIT", event.Event{Kind: event.TimeWaitEnd, ClosedBy: event.ClosedLocal}, false},
		{"lost failures", event.Event{Kind: event.Lost, Of: event.ConnectFailed}, true},
		{"lost resets, for their reasons are not kept", event.Event{Kind: event.Lost, Of: event.Close, ClosedBy: event.ClosedReset}, true},
		{"lost closes", event.Event{Kind: event.Lost, Of: event.Close, ClosedBy: event.ClosedLocal}, false},
		{"lost connects", event.Event{Kind: event.Lost, Of: event.Connect}, false},
		{"a loss of which nothing is known", event.Event{Kind: event.Lost}, true},
	} {
		if got := s.Match(&tc.e, nil); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}

func TestSetPassesLossesThatNothingIsKnownOf(t *testing.T) {
	s, err := NewSet(Flags{
		Dst: []string{"10.0.0.1:80"}, Port: []string{"80"}, PID: []string{"1"}, Comm: []string{"x"}, Unit: []string{"x"},
		Container: []string{"a"}, Netns: []string{"5"}, IPv4: true, FailureOnly: true, Filter: []string{"kind==close"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Match(&event.Event{Kind: event.Lost, Count: 3}, &service.Service{Name: "unknown", Kind: service.KindUnknown}) {
		t.Error("the loss was dropped: totals would look exact")
	}
}

func TestNetnsByPath(t *testing.T) {
	const path = "/proc/self/ns/net"
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	s, err := NewSet(Flags{Netns: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[uint32]bool{uint32(inode): true, uint32(inode) + 1: false} {
		if got := s.Match(&event.Event{Kind: event.Close, Netns: n}, nil); got != want {
			t.Errorf("netns %d: got %v", n, got)
		}
	}
}

func TestSetErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const (
		dstHint = `; write it like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32; with a port 10.0.0.0/8:5432 or [2001:db8::/32]:5432; names are not looked up`
		nsHint  = `; give an inode number, /run/netns/NAME or /proc/PID/ns/net`
	)
	for _, tc := range []struct {
		name  string
		flags Flags
		want  string
	}{
		{"an expression names itself", Flags{Filter: []string{"pid==x"}}, `filter "pid==x": "x" is not a whole number at 6; write it like service.pid==1`},
		{"a host name", Flags{Dst: []string{"db:5432"}}, `--dst: "db" is not an address or CIDR` + dstHint},
		{"an open bracket", Flags{Dst: []string{"[::1"}}, `--dst: "[::1" is not an address or CIDR` + dstHint},
		{"words after a bracket", Flags{Dst: []string{"[::1]x"}}, `--dst: "[::1]x" is not an address or CIDR` + dstHint},
		{"a colon without a port", Flags{Dst: []string{"10.0.0.1:"}}, `--dst: "10.0.0.1:" is not an address or CIDR` + dstHint},
		{"a port alone", Flags{Dst: []string{":80"}}, `--dst: "" is not an address or CIDR` + dstHint},
		{"a bad port", Flags{Dst: []string{"10.0.0.1:http"}}, `--dst: "http" is not a port; give a number from 1 to 65535`},
		{"a port too great", Flags{Port: []string{"80", "65536"}}, `--port: "65536" is not a port; give a number from 1 to 65535`},
		{"port 0", Flags{Port: []string{"0"}}, `--port: "0" is not a port; give a number from 1 to 65535`},
		{"a pid that is a name", Flags{PID: []string{"java\x1b"}}, `--pid: "java\x1b" is not a pid; give a number from 1 to 4194304`},
		{"a pid too great", Flags{PID: []string{"4194305"}}, `--pid: "4194305" is not a pid; give a number from 1 to 4194304`},
		{"an empty comm", Flags{Comm: []string{""}}, `--comm: the name is empty; give a program's name as in /proc/PID/comm`},
		{"a comm that the kernel would cut", Flags{Comm: []string{"prometheus-server"}},
			`--comm: "prometheus-server" is longer than the 15 bytes the kernel keeps of a name; did you mean "prometheus-serv"?`},
		{"an empty unit", Flags{Unit: []string{""}}, `--unit: the name is empty; give a unit like nginx.service`},
		{"a slice", Flags{Unit: []string{"user.slice"}}, `--unit: "user.slice" is a unit without processes; give a .service or .scope`},
		{"an empty container", Flags{Container: []string{""}}, `--container: the name is empty; give a container's id, or its first digits`},
		{"a namespace's name alone", Flags{Netns: []string{"blue"}}, `--netns: "blue" is not a network namespace (neither a number nor a path)` + nsHint},
		{"a namespace that is missing", Flags{Netns: []string{"/run/netns/\x1bnone"}},
			`--netns: "/run/netns/\x1bnone" is not a network namespace (no such file or directory)` + nsHint},
		{"a plain file", Flags{Netns: []string{file}}, `--netns: ` + strconv.Quote(file) + ` is not a network namespace (another kind of file)` + nsHint},
		{"a pid namespace", Flags{Netns: []string{"/proc/self/ns/pid"}},
			`--netns: "/proc/self/ns/pid" is not a network namespace (another kind of namespace)` + nsHint},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewSet(tc.flags)
			if err == nil || err.Error() != tc.want {
				t.Errorf("\n got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestPartialIsWhatChoosesAmongTheEventsOfAConnection(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags Flags
		want  bool
	}{
		{"no filter", Flags{}, false},
		{"who and where", Flags{Filter: []string{"comm==java,dst.port==5432,src.addr==10.0.0.0/8,direction==outbound"}, Port: []string{"80"}, IPv4: true}, false},
		{"a kind of event", Flags{Filter: []string{"dst.port==80,kind==connect"}}, true},
		{"how long it lived", Flags{Filter: []string{"lifetime_seconds<1"}}, true},
		{"failures only", Flags{FailureOnly: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewSet(c.flags)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Partial(); got != c.want {
				t.Errorf("partial: %t, want %t", got, c.want)
			}
		})
	}
}
