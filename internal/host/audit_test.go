package host

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// tree makes files below a /proc.
func tree(t *testing.T, files map[string]string) Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Root{Proc: dir, Files: dir}
}

func TestPortsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, want := range []string{"", "0", "65535", "8080,9148-9150", "1-65535", "0-1,65534-65535", "80-81"} {
		set, err := ParsePorts(want)
		if err != nil || set.String() != want {
			t.Errorf("%q became %q, %v", want, set, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	set := new(PortSet)
	for range 30000 {
		set.Add(uint16(random.Uint32()))
	}
	back, err := ParsePorts(set.String())
	if err != nil || *back != *set {
		t.Errorf("a random set became another: %v", err)
	}
	var none *PortSet
	if none.String() != "" {
		t.Error("a nil set has ports")
	}
}

// What one file says does not depend on another that cannot be read.
func TestFactsAreKnownEachByItself(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/net/ipv4/tcp_tw_reuse": "1\n", "sys/net/ipv4/tcp_fin_timeout": "soon\n", "thread-self/net/sockstat": "TCP: inuse 1 tw x\n",
	})
	a := r.Audit()
	if f := a.Sysctls["tcp_tw_reuse"]; !f.Known() || f.Value != 1 || !strings.HasSuffix(f.Path, "/tcp_tw_reuse") {
		t.Errorf("%+v", f)
	}
	for name, err := range map[string]error{
		"a word": a.Sysctls["tcp_fin_timeout"].Err, "no file": a.Sysctls["tcp_timestamps"].Err, "no range": a.PortRange.Err, "no list": a.Reserved.Err,
		"no netstat": a.Counters.Err, "a count that is none": a.TimeWaits.Err, "no table": a.Sockets.Err,
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if !a.HasIPv4 {
		t.Error("there is a directory of sysctls")
	}
}

func TestSocketsAreParsed(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       string // "" for an error
	}{
		{"a listener", "0: 0100007F:1538 00000000:0000 0A 00000000:00000007 00:00000000 00000000 0 0 12345 1 0", "127.0.0.1:5432 0.0.0.0:0 LISTEN 7 12345 false"},
		{"a TIME_WAIT", "0: 0100007F:1538 0200007F:0050 06 00000000:00000000 03:00000177 00000000 0 0 0 3 0", "127.0.0.1:5432 127.0.0.2:80 TIME_WAIT 0 0 true"},
		{"a timewait socket in FIN_WAIT2", "0: 0100007F:1538 0200007F:0050 05 00000000:00000000 03:00000177 00000000 0 0 0 3 0", "127.0.0.1:5432 127.0.0.2:80 FIN_WAIT2 0 0 true"},
		{"IPv4 in IPv6", "0: 0000000000000000FFFF00000100007F:01BB 0000000000000000FFFF00000100007F:C350 01 0:0 00:0 0 0 0 9 1", "127.0.0.1:443 127.0.0.1:50000 ESTABLISHED 0 9 false"},
		{"a state that is none", "0: 0100007F:1538 0200007F:0050 0F 0:0 00:0 0 0 0 9 1", ""},
		{"a long state", "0: 0100007F:1538 0200007F:0050 10A 0:0 00:0 0 0 0 9 1", ""},
		{"a queue that is none", "0: 0100007F:1538 0200007F:0050 01 0:x 00:0 0 0 0 9 1", ""},
		{"an odd address", "0: 0100007F00:1538 0200007F:0050 01 0:0 00:0 0 0 0 9 1", ""},
		{"a port too far", "0: 0100007F:11538 0200007F:0050 01 0:0 00:0 0 0 0 9 1", ""},
		{"a cut line", "0: 0100007F:1538 0200007F:0050 01 0:0", ""},
		{"nothing", "", ""},
	} {
		row, err := parseSocket(c.line)
		got := fmt.Sprint(row.local, " ", row.remote, " ", row.state, " ", row.queue, " ", row.inode, " ", row.timewait)
		if (err == nil) != (c.want != "") || err == nil && got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

func FuzzSockets(f *testing.F) {
	f.Add("0: 0100007F:1538 0200007F:0050 06 00000000:00000000 03:00000177 00000000 0 0 0 3 0")
	f.Fuzz(func(t *testing.T, line string) {
		row, err := parseSocket(line)
		if err != nil {
			return
		}
		s := &Sockets{Toward: map[Pair]*Holds{}}
		s.add(&row, false, func(uint16) bool { return true })
		if s.Outbound+s.Inbound > 1 || (row.state == event.Listen) == (s.Outbound == 1) {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

func TestConnectionsOfAListeningAddressAreInbound(t *testing.T) {
	const title = "  sl  local_address rem_address   st\n"
	line := func(local, remote, state string) string {
		return "0: " + local + " " + remote + " " + state + " 0:0 00:0 0 0 0 9 1\n"
	}
	table := title + line("0100007F:0050", "00000000:0000", "0A") + line("00000000:0051", "00000000:0000", "0A") +
		line("0100007F:0050", "0900000A:9C40", "01") + // accepted
		line("0200007F:0050", "0900000A:9C40", "01") + // nobody listens at that address
		line("0200007F:0051", "0900000A:9C40", "01") + // accepted
		line("0200007F:9C41", "0900000A:0050", "01") + // called
		line("0200007F:9C40", "0900000A:0050", "01") // from a reserved port, so by bind()
	six := title + line("0000000000000000FFFF00000300007F:0051", "0000000000000000FFFF00000900000A:9C40", "06")
	r := tree(t, map[string]string{"thread-self/net/tcp": table, "thread-self/net/tcp6": six,
		"sys/net/ipv4/ip_local_port_range": "40000 40010\n", "sys/net/ipv4/ip_local_reserved_ports": "40000\n"})
	s := r.Audit().Sockets
	if !s.Known() || s.Value.Inbound != 3 || s.Value.Outbound != 3 || s.Value.Elsewhere != 2 || len(s.Value.Listeners) != 2 || len(s.Value.Toward) != 1 {
		t.Errorf("%+v, %v", s.Value, s.Err)
	}
	without := tree(t, map[string]string{"thread-self/net/tcp": table}) // a kernel without IPv6
	if s := without.Audit().Sockets; !s.Known() || s.Value.Inbound != 2 {
		t.Errorf("%+v, %v", s.Value, s.Err)
	}
}

func TestTheKernelTellsQueueAndBacklog(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	for _, err := range []error{unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 7), unix.Fstat(fd, &st)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	a := Root{}.Audit()
	if !a.Backlogs.Known() || a.Backlogs.Value[st.Ino] != 7 {
		t.Errorf("backlog %d, %v", a.Backlogs.Value[st.Ino], a.Backlogs.Err)
	}
	for _, l := range a.Sockets.Value.Listeners {
		if l.Inode == st.Ino && l.Queue == 3 {
			p, err := Root{}.Processes(map[uint64]bool{st.Ino: true})
			if err != nil || len(p.Listening) != 1 || p.Listening[0].PID != os.Getpid() || p.Tasks[uint32(os.Getuid())] < 1 {
				t.Errorf("%+v, %v", p.Listening, err)
				return
			}
			own := p.Listening[0]
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || own.MaxFiles.Value != int(limit.Cur) || own.OpenFiles.Value < 4 {
				t.Errorf("%+v, want a limit of %d, %v", own, limit.Cur, err)
			}
			return
		}
	}
	t.Errorf("the socket is not there with three that wait: %+v", a.Sockets.Value.Listeners)
}

func TestAnswersThatAreCutOffAreErrors(t *testing.T) {
	for _, b := range [][]byte{
		append([]byte{40, 0, 0, 0, 20, 0}, make([]byte, 20)...), // longer than there is
		append([]byte{8, 0, 0, 0, 20, 0}, make([]byte, 20)...),  // shorter than its head
	} {
		if done, err := addBacklogs(b, map[uint64]int{}); done || err == nil {
			t.Errorf("%v: %v, %v", b, done, err)
		}
	}
}

func TestThisHostCanBeAudited(t *testing.T) {
	a := Root{}.Audit()
	if !a.PortRange.Known() || !a.Reserved.Known() || !a.Counters.Known() || !a.TimeWaits.Known() || !a.Sockets.Known() || a.Netns == 0 {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"TcpExtListenOverflows", "TcpExtListenDrops", "TcpExtTCPTimeWaitOverflow", "TcpPassiveOpens"} {
		if _, ok := a.Counters.Value[name]; !ok {
			t.Errorf("no counter %s", name)
		}
	}
	l := Root{}.Limits()
	for name, f := range map[string]Fact[int]{"threads": l.Tasks, "threads-max": l.ThreadsMax, "pid_max": l.PIDMax, "files": l.OpenFiles, "file-max": l.FileMax} {
		if !f.Known() || f.Value <= 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if c := (Root{}).Capabilities(); !c.Known() {
		t.Errorf("%+v", c)
	}
}
