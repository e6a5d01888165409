package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/host"
)

const title = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// row is a line of /proc/net/tcp; the addresses are 127.0.0.1, or what local and remote say as the kernel writes it.
func row(local string, port int, remote string, remotePort, state, queue, inode int) string {
	timer := "00"
	if state == 6 {
		timer = "03"
	}
	return fmt.Sprintf("   0: %s:%04X %s:%04X %02X 00000000:%08X %s:00000000 00000000     0        0 %d 1 0\n",
		local, port, remote, remotePort, state, queue, timer, inode)
}

const (
	anywhere = "00000000"
	loopback = "0100007F"
	server   = "0200010A" // 10.1.0.2
	client   = "0100010A" // 10.1.0.1
)

func listens(addr string, port, inode int) string { return row(addr, port, anywhere, 0, 10, 0, inode) }

// files are those of a host in good order, below /proc unless they begin with a slash.
func files(changes map[string]string) map[string]string {
	all := map[string]string{
		"sys/net/ipv4/ip_local_port_range":     "32768\t60999\n",
		"sys/net/ipv4/ip_local_reserved_ports": "\n",
		"sys/net/ipv4/tcp_tw_reuse":            "2\n",
		"sys/net/ipv4/tcp_tw_reuse_delay":      "1000\n",
		"sys/net/ipv4/tcp_timestamps":          "1\n",
		"sys/net/ipv4/tcp_fin_timeout":         "60\n",
		"sys/net/ipv4/tcp_max_tw_buckets":      "65536\n",
		"sys/net/core/somaxconn":               "4096\n",
		"sys/kernel/threads-max":               "100000\n",
		"sys/kernel/pid_max":                   "32768\n",
		"sys/fs/file-nr":                       "992\t0\t9223372036854775807\n",
		"sys/fs/file-max":                      "9223372036854775807\n",
		"loadavg":                              "0.00 0.01 0.05 1/311 4242\n",
		"thread-self/net/netstat":              "TcpExt: ListenOverflows ListenDrops TCPTimeWaitOverflow\nTcpExt: 0 0 0\n",
		"thread-self/net/snmp":                 "Tcp: RtoMin PassiveOpens\nTcp: 200 50000\n",
		"thread-self/net/sockstat":             "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1\n",
		"thread-self/net/tcp":                  title,
		"thread-self/net/tcp6":                 title,
		"thread-self/status":                   "Name:\ttcpstate\nCapEff:\t000001ffffffffff\n",
		"1/status":                             "Name:\tinit\nUid:\t0\t0\t0\t0\nThreads:\t1\n",
	}
	maps.Copy(all, changes)
	return all
}

// links are symbolic links of a fake /proc.
type links map[string]string

// makeHost writes a tree; "" leaves a file out.
func makeHost(t *testing.T, changes map[string]string, to links) host.Root {
	t.Helper()
	dir := t.TempDir()
	place := func(name string) string {
		path := filepath.Join(dir, "proc", name)
		if strings.HasPrefix(name, "/") {
			path = filepath.Join(dir, "files", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, content := range files(changes) {
		if content == "" {
			continue
		}
		if err := os.WriteFile(place(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range to {
		if err := os.Symlink(target, place(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"self/ns/pid", "thread-self/ns/net"} {
		target := map[string]string{"self/ns/pid": "pid:[4026531836]", "thread-self/ns/net": "net:[77]"}[name]
		if _, ok := to[name]; !ok {
			if err := os.Symlink(target, place(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return host.Root{Proc: filepath.Join(dir, "proc"), Files: filepath.Join(dir, "files")}
}

// backlogOf is the backlog of the sockets of a fake host, whose kernel nobody can ask.
const backlogOf = 128

// examine reads and judges a fake host with one namespace, its own.
func examine(t *testing.T, root host.Root) *Document {
	t.Helper()
	a := root.Audit()
	listening := make(map[uint64]bool)
	if a.Sockets.Known() {
		a.Backlogs = host.Fact[map[uint64]int]{Path: "sock_diag(7)", Value: make(map[uint64]int)}
		for _, l := range a.Sockets.Value.Listeners {
			listening[l.Inode] = true
			a.Backlogs.Value[l.Inode] = backlogOf
		}
	}
	in := &Input{
		Host: "box", Kernel: "6.1.0", Configured: root.Configured(), Limits: root.Limits(), Capabilities: root.Capabilities(),
	}
	yes := true
	in.Spaces = []Space{{Namespace: Namespace{Netns: 77, Own: true, Host: &yes}, Audit: &a}}
	in.Processes, in.ProcessesErr = root.Processes(listening)
	return Examine(in)
}

func (d *Document) find(t *testing.T, code string) *Check {
	t.Helper()
	for i := range d.Checks {
		if d.Checks[i].Code == code {
			return &d.Checks[i]
		}
	}
	t.Fatalf("no check %s", code)
	return nil
}

// proc makes a process that listens.
func proc(pid int, comm, uid, command string, limits string, open int, inode int) (map[string]string, links) {
	dir := fmt.Sprint(pid)
	f := map[string]string{
		dir + "/status":  fmt.Sprintf("Name:\tx\nUid:\t%s\t%s\nThreads:\t4\n", uid, uid),
		dir + "/comm":    comm + "\n",
		dir + "/cmdline": strings.ReplaceAll(command, " ", "\x00") + "\x00",
		dir + "/limits":  "Limit                     Soft Limit           Hard Limit           Units     \n" + limits,
	}
	l := links{dir + "/fd/0": fmt.Sprintf("socket:[%d]", inode)}
	for i := 1; i < open; i++ {
		l[fmt.Sprintf("%s/fd/%d", dir, i)] = "/dev/null"
	}
	return f, l
}

func limits(files, tasks string) string {
	return fmt.Sprintf("Max processes             %-20s %-20s processes \nMax open files            %-20s %-20s files     \n",
		tasks, tasks, files, files)
}

func with(maps_ ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps_ {
		maps.Copy(all, m)
	}
	return all
}

func TestAHostInOrderIsQuiet(t *testing.T) {
	d := examine(t, makeHost(t, nil, nil))
	if d.Status != OK || d.ExitCode != 0 || d.Counts.OK != len(d.Checks) {
		t.Errorf("%+v, exit code %d", d.Counts, d.ExitCode)
	}
	for i := range d.Checks {
		c := &d.Checks[i]
		if c.Write != nil || c.Meaning == "" || c.Source == "" || c.Status != OK {
			t.Errorf("%+v", c)
		}
	}
	var b bytes.Buffer
	if err := WriteSysctl(&b, d, 77); err != nil || b.String() != "# tcpstate doctor: box, Linux 6.1.0: 16 ok\n# Nothing to change.\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestEachSettingIsJudged(t *testing.T) {
	const ipv4 = "sys/net/ipv4/"
	listener := func(addr string, port int) map[string]string {
		return map[string]string{"thread-self/net/tcp": title + listens(addr, port, 500)}
	}
	for _, test := range []struct {
		name    string
		changes map[string]string
		code    string
		status  Status
		write   string // "" for none
		says    string
	}{
		{"the widest range", map[string]string{ipv4 + "ip_local_port_range": "1024 65535"}, "port-range", Warning,
			"net.ipv4.ip_local_port_range = 10240 65535", "64,512 ports"},
		{"a wide range with an even end", map[string]string{ipv4 + "ip_local_port_range": "1024 65000"}, "port-range", Warning,
			"net.ipv4.ip_local_port_range = 10241 65000", ""},
		{"a wide range of one who reserves", map[string]string{ipv4 + "ip_local_port_range": "1024 65535",
			ipv4 + "ip_local_reserved_ports": "3306"}, "port-range", Info, "", "9,215 ports below 10240"},
		{"a wide range of one who reserves, but not all", with(listener(anywhere, 24224), map[string]string{
			ipv4 + "ip_local_port_range": "1024 65535", ipv4 + "ip_local_reserved_ports": "3306"}), "port-range", Warning,
			"net.ipv4.ip_local_port_range = 10240 65535", ""},
		{"a range whose lower part is reserved", map[string]string{ipv4 + "ip_local_port_range": "1024 65535",
			ipv4 + "ip_local_reserved_ports": "1024-10239"}, "port-range", OK, "", "55,296 ports"},
		{"a low range", map[string]string{ipv4 + "ip_local_port_range": "1024 31000"}, "port-range", Warning,
			"net.ipv4.ip_local_port_range = 32768 60999", ""},
		{"a narrow range", map[string]string{ipv4 + "ip_local_port_range": "50000 50099"}, "port-range", Warning,
			"net.ipv4.ip_local_port_range = 32768 60999", "100 ports"},
		{"one port less than the default", map[string]string{ipv4 + "ip_local_port_range": "32769 60999"}, "port-range", Warning,
			"net.ipv4.ip_local_port_range = 32768 60999", ""},
		{"a wider range", map[string]string{ipv4 + "ip_local_port_range": "10240 65535"}, "port-range", OK, "", "921 connections a second"},
		{"all ports reserved", map[string]string{ipv4 + "ip_local_reserved_ports": "1-65535"}, "port-range", Critical, "", "EADDRNOTAVAIL"},
		{"most ports reserved", map[string]string{ipv4 + "ip_local_reserved_ports": "32768-50000"}, "port-range", Warning, "", "reserve fewer"},
		{"a range upside down", map[string]string{ipv4 + "ip_local_port_range": "9 8"}, "port-range", Unknown, "", "is no range"},

		{"a listener in the range", listener(anywhere, 50052), "reserved-ports", Warning,
			"net.ipv4.ip_local_reserved_ports = 50052", "50052 (owner not seen)"},
		{"a listener beside what is reserved", with(listener(anywhere, 8081), map[string]string{
			ipv4 + "ip_local_port_range": "1024 65535", ipv4 + "ip_local_reserved_ports": "8080,9000-9002"}), "reserved-ports", Warning,
			"net.ipv4.ip_local_reserved_ports = 8080-8081,9000-9002", ""},
		{"a listener that is reserved", with(listener(anywhere, 50052), map[string]string{
			ipv4 + "ip_local_reserved_ports": "50050-50060"}), "reserved-ports", OK, "", ""},
		{"a listener outside the range", listener(anywhere, 8080), "reserved-ports", OK, "", ""},
		{"a listener in the range that is to be written", with(listener(anywhere, 40000), map[string]string{
			ipv4 + "ip_local_port_range": "50000 50099"}), "reserved-ports", Warning, "net.ipv4.ip_local_reserved_ports = 40000", ""},
		{"a listener on loopback with an even port", listener(loopback, 50052), "reserved-ports", Warning,
			"net.ipv4.ip_local_reserved_ports = 50052", "loopback only"},
		{"a listener on loopback whose port bind() may have chosen", listener(loopback, 50051), "reserved-ports", Info, "",
			"Probably chosen by the kernel"},
		{"no list of reserved ports", map[string]string{ipv4 + "ip_local_reserved_ports": ""}, "reserved-ports", Unknown, "", "ENOENT"},
		{"a list that is none", map[string]string{ipv4 + "ip_local_reserved_ports": "a-b"}, "reserved-ports", Unknown, "", "is no port"},
		{"no table of sockets", map[string]string{"thread-self/net/tcp": ""}, "reserved-ports", Unknown, "", "ENOENT"},
		{"a table of something else", map[string]string{"thread-self/net/tcp": title + "\x1b[31m rubbish\n"}, "reserved-ports", Unknown, "",
			"is no socket"},

		{"no reuse", map[string]string{ipv4 + "tcp_tw_reuse": "0"}, "tw-reuse", Warning, "net.ipv4.tcp_tw_reuse = 1", "from 470 to about 28,232"},
		{"reuse", map[string]string{ipv4 + "tcp_tw_reuse": "1"}, "tw-reuse", OK, "", "from 470 to about 28,232"},
		{"reuse after a tenth of a second", map[string]string{ipv4 + "tcp_tw_reuse": "1", ipv4 + "tcp_tw_reuse_delay": "100"}, "tw-reuse", OK, "",
			"282,320"},
		{"reuse over loopback", nil, "tw-reuse", OK, "", "loopback only"},
		{"reuse without timestamps", map[string]string{ipv4 + "tcp_tw_reuse": "1", ipv4 + "tcp_timestamps": "0"}, "tw-reuse", Warning, "", "no effect"},
		{"reuse, and nobody knows about timestamps", map[string]string{ipv4 + "tcp_tw_reuse": "1", ipv4 + "tcp_timestamps": ""}, "tw-reuse", Unknown, "", "ENOENT"},
		{"reuse of a kind that is none", map[string]string{ipv4 + "tcp_tw_reuse": "7"}, "tw-reuse", Unknown, "", "no meaning of 7"},
		{"no such file", map[string]string{ipv4 + "tcp_tw_reuse": ""}, "tw-reuse", Unknown, "", "ENOENT"},
		{"a word", map[string]string{ipv4 + "tcp_tw_reuse": "yes"}, "tw-reuse", Unknown, "", "is no number"},
		{"a megabyte", map[string]string{ipv4 + "tcp_tw_reuse": strings.Repeat("1", 1<<20)}, "tw-reuse", Unknown, "", "longer than"},

		{"no timestamps", map[string]string{ipv4 + "tcp_timestamps": "0"}, "timestamps", Warning, "net.ipv4.tcp_timestamps = 1", ""},
		{"absurd timestamps", map[string]string{ipv4 + "tcp_timestamps": "-3"}, "timestamps", Unknown, "", "no meaning of -3"},

		{"recycling", map[string]string{ipv4 + "tcp_tw_recycle": "1"}, "tw-recycle", Critical, "net.ipv4.tcp_tw_recycle = 0", "NAT"},
		{"no recycling", map[string]string{ipv4 + "tcp_tw_recycle": "0"}, "tw-recycle", OK, "", "Off"},
		{"a recycling that is no number", map[string]string{ipv4 + "tcp_tw_recycle": "on"}, "tw-recycle", Unknown, "", ""},

		{"a short FIN timeout", map[string]string{ipv4 + "tcp_fin_timeout": "15"}, "fin-timeout", Warning, "net.ipv4.tcp_fin_timeout = 60", "shortens no TIME_WAIT"},
		{"a long FIN timeout", map[string]string{ipv4 + "tcp_fin_timeout": "120"}, "fin-timeout", Warning, "net.ipv4.tcp_fin_timeout = 60", ""},
		{"a FIN timeout that is none", map[string]string{ipv4 + "tcp_fin_timeout": "1 2"}, "fin-timeout", Unknown, "", ""},

		{"many TIME_WAITs", map[string]string{"thread-self/net/sockstat": "TCP: inuse 5 orphan 0 tw 60000 alloc 7 mem 1\n"}, "max-tw-buckets", Warning,
			"net.ipv4.tcp_max_tw_buckets = 262144", "91 %"},
		{"more TIME_WAITs than any default", map[string]string{ipv4 + "tcp_max_tw_buckets": "300000",
			"thread-self/net/sockstat": "TCP: inuse 5 orphan 0 tw 300000 alloc 7 mem 1\n"}, "max-tw-buckets", Warning,
			"net.ipv4.tcp_max_tw_buckets = 600000", ""},
		{"overflows", map[string]string{"thread-self/net/netstat": overflowing(0, 5)}, "max-tw-buckets", Warning, "net.ipv4.tcp_max_tw_buckets = 262144", "5 overflows since boot"},
		{"overflows of a limit that was lower", map[string]string{"thread-self/net/netstat": overflowing(0, 5), ipv4 + "tcp_max_tw_buckets": "262144"},
			"max-tw-buckets", Info, "", ""},
		{"no TIME_WAITs allowed", map[string]string{ipv4 + "tcp_max_tw_buckets": "0"}, "max-tw-buckets", Warning, "net.ipv4.tcp_max_tw_buckets = 262144", ""},
		{"no counters", map[string]string{"thread-self/net/netstat": ""}, "max-tw-buckets", Unknown, "", "ENOENT"},
		{"no count of TIME_WAITs", map[string]string{"thread-self/net/sockstat": "nothing\n"}, "max-tw-buckets", Unknown, "", "no number of TIME_WAITs"},

		{"a tiny somaxconn", map[string]string{"sys/net/core/somaxconn": "16"}, "somaxconn", Warning, "net.core.somaxconn = 4096", ""},
		{"a small somaxconn", map[string]string{"sys/net/core/somaxconn": "1024"}, "somaxconn", Info, "", ""},
		{"a small somaxconn that servers have felt", with(listener(anywhere, 80), map[string]string{"sys/net/core/somaxconn": "128",
			"thread-self/net/netstat": overflowing(9, 0)}), "somaxconn", Warning, "net.core.somaxconn = 4096", ""},
		{"a full queue", map[string]string{"thread-self/net/tcp": title + row(anywhere, 80, anywhere, 0, 10, backlogOf+1, 500)}, "somaxconn", Critical, "",
			"0.0.0.0:80 129 of 128"},
		{"a queue that fills", map[string]string{"thread-self/net/tcp": title + row(anywhere, 80, anywhere, 0, 10, 103, 500)}, "somaxconn", Warning, "", ""},
		{"a queue that does not", map[string]string{"thread-self/net/tcp": title + row(anywhere, 80, anywhere, 0, 10, 102, 500)}, "somaxconn", OK, "", ""},
		{"many overflows", map[string]string{"thread-self/net/netstat": overflowing(500, 0)}, "listen-overflows", Warning, "", "since boot"},
		{"few overflows", map[string]string{"thread-self/net/netstat": overflowing(499, 0)}, "listen-overflows", Info, "", "since boot"},
		{"no such counter", map[string]string{"thread-self/net/netstat": "TcpExt: Other\nTcpExt: 1\n"}, "listen-overflows", Unknown, "", "no counter"},

		{"many threads", map[string]string{"sys/kernel/threads-max": "380"}, "threads-max", Warning, "kernel.threads-max = 760", "81 %"},
		{"nearly all pids", map[string]string{"sys/kernel/pid_max": "320"}, "pid-max", Critical, "kernel.pid_max = 640", "97 %"},
		{"no load", map[string]string{"loadavg": "0.00"}, "threads-max", Unknown, "", "does not say"},
		{"all files open", map[string]string{"sys/fs/file-max": "1000"}, "open-files", Critical, "fs.file-max = 2000", "99 %"},

		{"no capabilities", map[string]string{"thread-self/status": "CapEff:\t0000000000000000\n"}, "privileges", Info, "", "CAP_SYS_PTRACE with CAP_DAC_READ_SEARCH"},
		{"unknown capabilities", map[string]string{"thread-self/status": "CapEff:\tall\n"}, "privileges", Unknown, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := examine(t, makeHost(t, test.changes, nil)).find(t, test.code)
			write := ""
			if c.Write != nil {
				write = *c.Write
			}
			if c.Status != test.status || write != test.write || !strings.Contains(c.Meaning, test.says) {
				t.Errorf("%s, writes %q: %s\nwant %s, %q: %q", c.Status, write, c.Meaning, test.status, test.write, test.says)
			}
		})
	}
}

func overflowing(listen, timeWait int) string {
	return fmt.Sprintf("TcpExt: ListenOverflows ListenDrops TCPTimeWaitOverflow\nTcpExt: %d %d %d\n", listen, listen, timeWait)
}

// What may not be read is unknown, whoever is root in a test.
func TestWhatMayNotBeReadIsUnknown(t *testing.T) {
	a := makeHost(t, nil, nil).Audit()
	denied := &fs.PathError{Op: "open", Path: "/proc/sys/net/ipv4/x", Err: unix.EACCES}
	for name, f := range a.Sysctls {
		f.Err = denied
		a.Sysctls[name] = f
	}
	a.PortRange.Err, a.Reserved.Err, a.Sockets.Err, a.Counters.Err, a.TimeWaits.Err = denied, denied, denied, denied, denied
	d := Examine(&Input{Spaces: []Space{{Namespace: Namespace{Netns: 77, Own: true}, Audit: &a}}})
	for i := range d.Checks {
		c := &d.Checks[i]
		if c.Netns != nil && (c.Status != Unknown || !strings.Contains(c.Meaning, "permission denied (EACCES)") || c.Set != nil || c.Write != nil) {
			t.Errorf("%s: %s: %s", c.Code, c.Status, c.Meaning)
		}
	}
	if d.ExitCode != 1 {
		t.Errorf("exit code %d", d.ExitCode)
	}
}

// A container may have no /proc/sys at all: then nothing that is read there is ok, not even what would be right if it
// were absent.
func TestWithoutSysctlsNothingIsOK(t *testing.T) {
	none := map[string]string{}
	for name := range files(nil) {
		if strings.HasPrefix(name, "sys/") {
			none[name] = ""
		}
	}
	d := examine(t, makeHost(t, none, nil))
	for _, code := range []string{
		"port-range", "reserved-ports", "port-use", "tw-reuse", "timestamps", "tw-recycle", "fin-timeout", "max-tw-buckets", "somaxconn",
		"threads-max", "pid-max", "open-files",
	} {
		c := d.find(t, code)
		if c.Status != Unknown || !strings.Contains(c.Meaning, "not known") && !strings.Contains(c.Meaning, "Not known") || c.Write != nil {
			t.Errorf("%s: %s: %s", code, c.Status, c.Meaning)
		}
	}
	if d.Status != Unknown || d.ExitCode != 1 {
		t.Errorf("%s, exit code %d", d.Status, d.ExitCode)
	}
}

func TestWhoListensIsNamed(t *testing.T) {
	for _, test := range []struct {
		name, comm, command, addr string
		port                      int
		status                    Status
	}{
		{"an even port", "fluentd", "ruby fluentd", anywhere, 50052, Warning},
		{"an odd port", "grpc", "server", anywhere, 50051, Warning},
		{"an odd port on loopback", "containerd", "containerd", loopback, 38761, Info},
		{"an odd port on loopback that the command line names", "grpc", "server --listen=127.0.0.1:38761", loopback, 38761, Warning},
		{"an odd port on loopback that is part of a number", "grpc", "server --id=1387610", loopback, 38761, Info},
		{"a service that tells rpcbind", "rpc.statd", "/sbin/rpc.statd", anywhere, 38761, Info},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, l := proc(812, test.comm, "1000", test.command, limits("1024", "100"), 3, 500)
			f["thread-self/net/tcp"] = title + listens(test.addr, test.port, 500)
			c := examine(t, makeHost(t, f, l)).find(t, "reserved-ports")
			if who := fmt.Sprintf("%d (%s, pid 812", test.port, test.comm); c.Status != test.status || !strings.Contains(c.Meaning, who) {
				t.Errorf("%s: %s", c.Status, c.Meaning)
			}
		})
	}
}

func TestConfiguredPortsAreNamed(t *testing.T) {
	const range_ = "sys/net/ipv4/ip_local_port_range"
	changes := map[string]string{
		range_:                                       "10240 65535\n",
		"/etc/systemd/system/a.socket":               "[Unit]\nListenStream=20009\n[Socket]\nListenStream=20001\nListenStream = [::]:20002\nListenStream=/run/a\n",
		"/usr/lib/systemd/system/a.socket":           "[Socket]\nListenStream=20003\n", // hidden by the one in /etc
		"/usr/lib/systemd/system/b.socket":           "[Socket]\n#ListenStream=20004\nListenStream=127.0.0.1:20005\n",
		"/usr/lib/systemd/system/c.socket":           "[Socket]\nListenStream=20006\n",
		"/etc/systemd/system/c.socket.d/x.conf":      "[Socket]\nListenStream=\nListenStream=20007\n",
		"/etc/systemd/system/d.service":              "[Socket]\nListenStream=20008\n",
		"/etc/fluent/fluentd.conf":                   "<source>\n  @type forward\n  port 24224\n</source>\n<match **>\n  port 24225\n</match>\n",
		"/etc/services":                              "fido 60179/tcp\n",
		"/etc/mysql/mysql.conf.d/mysqld.cnf":         "[client]\nport = 33061\n[mysqld]\nmysqlx-port = 33060\n",
		"/etc/nginx/sites-enabled/default":           "server {\n  listen 80;\n  listen [::]:30080 ssl;\n}\n",
		"/etc/systemd/system/masked.socket.d/x.conf": "",
	}
	c := examine(t, makeHost(t, changes, nil)).find(t, "reserved-ports")
	const want = "net.ipv4.ip_local_reserved_ports = 20001-20002,20005,20007,24224,30080,33060"
	if c.Status != Warning || c.Write == nil || *c.Write != want || !strings.Contains(c.Meaning, "a.socket") {
		t.Errorf("%s %v: %s", c.Status, c.Write, c.Meaning)
	}
}

func TestPortUseTellsOutboundFromInbound(t *testing.T) {
	var table strings.Builder
	table.WriteString(title + listens(anywhere, 443, 500))
	for i := range 300 {
		table.WriteString(row(server, 443, client, 40000+i, 1, 0, 600+i)) // inbound: no port of ours
	}
	for i := range 60 {
		table.WriteString(row(client, 50000+i, server, 5432, 6, 0, 0))
	}
	for i := range 5 {
		table.WriteString(row(client, 50000+i, server, 6379, 1, 0, 1000+i))
	}
	table.WriteString(row(client, 9999, server, 5432, 1, 0, 2000))
	for _, test := range []struct {
		ports, reuse string
		status       Status
		says         string
	}{
		{"50000 50127", "2", OK, "10.1.0.2:5432 from 10.1.0.1 60 of 128 ports (46 %), 60 in TIME_WAIT"},
		{"50000 50119", "2", Warning, "60 of 120 ports (50 %)"},
		{"50000 50065", "2", Critical, "60 of 66 ports (90 %)"},
		{"50000 50065", "1", OK, "60 of them reusable"},
	} {
		d := examine(t, makeHost(t, map[string]string{
			"sys/net/ipv4/ip_local_port_range": test.ports, "sys/net/ipv4/tcp_tw_reuse": test.reuse, "thread-self/net/tcp": table.String(),
		}, nil))
		c := d.find(t, "port-use")
		if c.Status != test.status || *c.Set != "66 outbound, 300 inbound, 60 in TIME_WAIT" || !strings.Contains(c.Meaning, test.says) ||
			!strings.Contains(c.Meaning, "1 takes no port of the range") {
			t.Errorf("%s: %s: %s: %s", test.ports, c.Status, *c.Set, c.Meaning)
		}
		if len(d.Ports) != 2 || d.Ports[0].Used+d.Ports[1].Used != 65 {
			t.Errorf("%+v", d.Ports)
		}
	}
}

func TestLimitsOfListenersAreJudged(t *testing.T) {
	for _, test := range []struct {
		name, uid, files, tasks string
		open                    int
		descriptors, processes  Status
	}{
		{"plenty", "1000", "1024", "100", 10, OK, OK},
		{"nearly all files", "1000", "12", "100", 10, Warning, OK},
		{"all files", "1000", "10", "100", 10, Critical, OK},
		{"no limit", "1000", "unlimited", "unlimited", 10, OK, OK},
		{"nearly all threads", "1000", "1024", "5", 10, OK, Warning},
		{"all threads", "1000", "1024", "4", 10, OK, Critical},
		{"root is not bound", "0", "1024", "4", 10, OK, OK},
		{"limits that are none", "1000", "many", "-1", 10, Unknown, Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, l := proc(812, "nginx", test.uid, "nginx", limits(test.files, test.tasks), test.open, 500)
			f["thread-self/net/tcp"] = title + listens(anywhere, 80, 500)
			d := examine(t, makeHost(t, f, l))
			fds, tasks := d.find(t, "file-descriptors"), d.find(t, "user-processes")
			if fds.Status != test.descriptors || tasks.Status != test.processes {
				t.Errorf("%s: %s\n%s: %s", fds.Status, fds.Meaning, tasks.Status, tasks.Meaning)
			}
			if fds.Status.rank() >= Warning.rank() && (*fds.Write != "LimitNOFILE=65536" || *fds.WriteTo != toSystemd) {
				t.Errorf("writes %s", *fds.Write)
			}
		})
	}
}

// sysctls applies lines as sysctl -p does.
func apply(t *testing.T, root host.Root, snippet string) (applied int) {
	t.Helper()
	for line := range strings.Lines(snippet) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, " = ")
		if !ok {
			t.Fatalf("%q is no line of sysctl.d", line)
		}
		path := filepath.Join(root.Proc, "sys", strings.ReplaceAll(name, ".", "/"))
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		applied++
	}
	return applied
}

// Whatever is set, writing what doctor says once leaves nothing to write.
func TestWhatIsToldToWriteIsEnough(t *testing.T) {
	const ipv4 = "sys/net/ipv4/"
	ports := []int{80, 1500, 3306, 9999, 10240, 10241, 24224, 33000, 33060, 40001, 61000, 65535}
	var table strings.Builder
	table.WriteString(title)
	for i, p := range ports {
		table.WriteString(listens([]string{anywhere, loopback}[i%2], p, 500+i))
	}
	for _, r := range []string{"1024 65535", "1 65535", "1024 60999", "1024 40000", "1024 31000", "32768 60999", "50000 50009", "1 2", "10240 65535", "60000 65535", "9000 65535"} {
		for _, reserved := range []string{"", "24224", "1-10239", "32768-50000", "3306,24224,33060"} {
			for i, rest := range []map[string]string{
				{ipv4 + "tcp_tw_reuse": "0", ipv4 + "tcp_fin_timeout": "15"},
				{ipv4 + "tcp_tw_reuse": "1", ipv4 + "tcp_timestamps": "0", ipv4 + "tcp_tw_recycle": "1"},
				{ipv4 + "tcp_max_tw_buckets": "10", "thread-self/net/netstat": overflowing(3, 9), "sys/net/core/somaxconn": "5", "sys/kernel/pid_max": "311"},
			} {
				root := makeHost(t, with(map[string]string{
					"thread-self/net/tcp": table.String(), ipv4 + "ip_local_port_range": r, ipv4 + "ip_local_reserved_ports": reserved + "\n",
				}, rest), nil)
				var snippet, after bytes.Buffer
				if err := WriteSysctl(&snippet, examine(t, root), 77); err != nil {
					t.Fatal(err)
				}
				apply(t, root, snippet.String())
				d := examine(t, root)
				if err := WriteSysctl(&after, d, 77); err != nil {
					t.Fatal(err)
				}
				if n := apply(t, root, after.String()); n > 0 {
					t.Errorf("range %s, reserved %q, %d: after\n%s\nthere is still\n%s", r, reserved, i, snippet.String(), after.String())
				}
				for _, code := range []string{"reserved-ports", "tw-reuse", "timestamps", "tw-recycle", "fin-timeout", "max-tw-buckets", "somaxconn", "pid-max"} {
					if c := d.find(t, code); c.Status.rank() > Info.rank() {
						t.Errorf("range %s, reserved %q, %d: afterwards %s is %s: %s", r, reserved, i, code, c.Status, c.Meaning)
					}
				}
			}
		}
	}
}

// Of a namespace that is not the one written for, lines are comments: they could contradict.
func TestLinesOfOtherNamespacesAreComments(t *testing.T) {
	a := makeHost(t, map[string]string{"sys/net/ipv4/tcp_fin_timeout": "15"}, nil).Audit()
	b := makeHost(t, map[string]string{"sys/net/ipv4/tcp_fin_timeout": "20", "sys/net/ipv4/tcp_tw_reuse": "0"}, nil).Audit()
	no := false
	d := Examine(&Input{Spaces: []Space{
		{Namespace: Namespace{Netns: 1, Own: true}, Audit: &a},
		{Namespace: Namespace{Netns: 2, Host: &no, Path: "/run/netns/blue"}, Audit: &b},
		{Namespace: Namespace{Netns: 3, Path: "/proc/9/ns/net"}, Err: fmt.Errorf("setns: operation not permitted")},
	}})
	for live, want := range map[uint32][]string{
		1: {"net.ipv4.tcp_fin_timeout = 60"}, 2: {"net.ipv4.tcp_tw_reuse = 1", "net.ipv4.tcp_fin_timeout = 60"},
	} {
		var s bytes.Buffer
		if err := WriteSysctl(&s, d, live); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(s.String()) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				lines = append(lines, line)
			}
		}
		if !slices.Equal(lines, want) || !strings.Contains(s.String(), "nsenter --net=/run/netns/blue sysctl -p") {
			t.Errorf("for %d:\n%s", live, s.String())
		}
	}
	if c := d.find(t, "namespace"); c.Status != Unknown || *c.Netns != 3 || !strings.Contains(c.Meaning, "setns: operation not permitted") {
		t.Errorf("%+v", c)
	}
}

// What processes call themselves, and files, acts on no terminal and writes no line of its own.
func TestHostileNamesAreEscaped(t *testing.T) {
	evil := "\x1b[31m\nkernel.x = 1\u202e"
	f, l := proc(812, evil, "1000", evil, limits("2", "100"), 2, 500)
	f["thread-self/net/tcp"] = title + listens(anywhere, 50052, 500)
	f["/etc/systemd/system/\x1b\nkernel.y = 2.socket"] = "[Socket]\nListenStream=50054\n"
	f["sys/net/ipv4/tcp_fin_timeout"] = evil
	d := examine(t, makeHost(t, f, l))
	var columns, snippet, document bytes.Buffer
	for _, err := range []error{
		WriteColumns(&columns, d, Options{Width: 100, All: true}), WriteSysctl(&snippet, d, 77), WriteJSON(&document, d, false),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, form := range []string{columns.String(), snippet.String(), document.String()} {
		if !strings.Contains(form, "50052") {
			t.Errorf("it is not named in %s", form)
		}
		for _, r := range form {
			if r != '\n' && unicode.Is(unicode.C, r) {
				t.Fatalf("%q unescaped in %s", r, form)
			}
		}
	}
	for line := range strings.Lines(snippet.String()) {
		if strings.HasPrefix(line, "kernel.") {
			t.Errorf("a line of somebody else's: %s", line)
		}
	}
	var back Document
	if err := json.Unmarshal(document.Bytes(), &back); err != nil || len(back.Checks) != len(d.Checks) {
		t.Errorf("%v", err)
	}
}

// Each capability is told as lacking exactly when its bit is not set, or that of one which stands for it.
func TestCapabilitiesAreToldByTheirBits(t *testing.T) {
	for name, bit := range map[string]int{
		"CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
		"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE,
	} {
		in := Input{Kernel: "5.10.0", Capabilities: host.Fact[uint64]{Value: 1 << bit, Path: "status"}}
		if set := in.privileges().Set; slices.Contains(strings.Split(strings.TrimPrefix(*set, "without "), ", "), name) {
			t.Errorf("with %s: %s", name, *set)
		}
		in.Capabilities.Value = 0
		if set := *in.privileges().Set; !strings.Contains(set, name) {
			t.Errorf("without any: %s", set)
		}
	}
	in := Input{Kernel: "6.1.0", Capabilities: host.Fact[uint64]{Value: 1 << unix.CAP_SYS_ADMIN, Path: "status"}}
	if set := *in.privileges().Set; set != "without CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH" {
		t.Errorf("with CAP_SYS_ADMIN: %s", set)
	}
}

func TestJSONNamesDoNotChange(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, examine(t, makeHost(t, map[string]string{"sys/net/ipv4/tcp_tw_reuse": "0"}, nil)), false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"schema":"tcpstate.doctor/v1","host":{"name":"box","kernel":"6.1.0"},"status":"warning",` +
			`"counts":{"ok":15,"info":0,"unknown":0,"warning":1,"critical":0},"exit_code":1,` +
			`"namespaces":[{"netns":77,"own":true,"host":true,"path":""}],"checks":[{"netns":77,"code":"port-range","status":"ok","set":"32768 60999",`,
		`"write":null,"write_to":null,"source":"`, `"write":"net.ipv4.tcp_tw_reuse = 1","write_to":"sysctl","source":"`,
		`{"netns":null,"code":"privileges",`, `"ports":[],"ports_omitted":0}` + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}
