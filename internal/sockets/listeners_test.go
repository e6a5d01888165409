package sockets

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/tcpstate/tcpstate/internal/event"
)

func TestParseListener(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       string // "" for none
	}{
		{"an IPv4 listener", "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0", "127.0.0.1:5432"},
		{"any IPv4 address", "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0", "0.0.0.0:80"},
		{"an IPv6 listener", "   0: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1", "[2001:db8::1]:443"},
		{"any IPv6 address", "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1", "[::]:443"},
		{"an IPv4 address in an IPv6 socket", "   0: 0000000000000000FFFF00000100007F:01BB 0:0 0A 0:0 00:0 0 0 0 99 1", "127.0.0.1:443"},
		{"an established connection", "   2: 0100007F:1538 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0", ""},
		{"the title", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", ""},
		{"a cut line", "   0: 0100007F:1538 00000000:0000 0A", ""},
		{"a port that is none", "   0: 0100007F:XXXX 00000000:0000 0A 0:0 00:0 0 0 0 99 1", ""},
		{"an address that is none", "   0: 01:1538 00000000:0000 0A 0:0 00:0 0 0 0 99 1", ""},
		{"an inode that is none", "   0: 0100007F:1538 00000000:0000 0A 0:0 00:0 0 0 0 x 1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ok := parseListener(c.line)
			if ok != (c.want != "") || ok && l.Local.String() != c.want {
				t.Errorf("%v %v, want %q", l.Local, ok, c.want)
			}
		})
	}
}

// The owner is the lowest pid that has the socket open, but for init, which opens sockets for others.
func TestOwnersAreFoundInAProcfs(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	const table = "  sl  local_address rem_address   st\n" +
		" 0: 0100007F:1538 00000000:0000 0A 0:0 00:0 0 0 0 500 1\n" +
		" 1: 0100007F:0050 00000000:0000 0A 0:0 00:0 0 0 0 501 1\n" +
		" 2: 0100007F:0051 00000000:0000 0A 0:0 00:0 0 0 0 502 1\n"
	for _, pid := range []string{"1", "40", "41"} {
		link("net:[77]", "proc/"+pid+"/ns/net")
		write("proc/"+pid+"/net/tcp", table)
		write("proc/"+pid+"/cgroup", "1:name=systemd:/x\n0::/db.service\n")
	}
	write("proc/1/comm", "systemd\n")
	write("proc/40/comm", "postgres\n")
	write("proc/41/comm", "postgres\n")
	write("proc/self/comm", "not a pid\n")
	link("socket:[500]", "proc/1/fd/3")
	link("socket:[501]", "proc/1/fd/4")
	link("socket:[500]", "proc/40/fd/7")
	link("socket:[500]", "proc/41/fd/7")
	link("/dev/null", "proc/41/fd/0")
	write("cgroup/cgroup.procs", "")
	write("cgroup/db.service/cgroup.procs", "")

	found, err := Listeners(Options{ProcRoot: filepath.Join(root, "proc"), CgroupRoot: filepath.Join(root, "cgroup")})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 {
		t.Fatalf("%d listeners, want 3, for all three processes share a namespace: %v", len(found), found)
	}
	for i, want := range []struct {
		pid  uint32
		comm string
	}{{40, "postgres"}, {1, "systemd"}, {0, ""}} {
		o := found[i].Owner
		if o.PID != want.pid || o.Comm.String() != want.comm || found[i].Netns != 77 {
			t.Errorf("%v in %d belongs to %d %q, want %d %q", found[i].Local, found[i].Netns, o.PID, o.Comm, want.pid, want.comm)
		}
		if (o.CgroupID != 0) != (want.pid != 0) {
			t.Errorf("%v: cgroup id %d", found[i].Local, o.CgroupID)
		}
	}
}

func TestOwnListenerIsFound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := netip.MustParseAddrPort(l.Addr().String())
	found, err := Listeners(Options{})
	if err != nil {
		t.Log(err) // without root, other processes may be closed to us
	}
	for _, f := range found {
		if f.Local == want && f.Owner.PID == uint32(os.Getpid()) && f.Owner.Basis == event.OwnerListener {
			return
		}
	}
	t.Errorf("%v of pid %d is not among %d listeners", want, os.Getpid(), len(found))
}
