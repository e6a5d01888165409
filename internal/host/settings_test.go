package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
)

// procfs makes a /proc with a default kernel's settings, changed by changes; "" removes a file.
func procfs(t *testing.T, changes map[string]string) string {
	t.Helper()
	files := map[string]string{
		"ip_local_port_range":      "32768\t60999\n",
		"ip_local_reserved_ports":  "8080,40000-40009\n",
		"tcp_tw_reuse":             "2\n",
		"tcp_tw_reuse_delay":       "100\n",
		"tcp_timestamps":           "1\n",
		"tcp_max_tw_buckets":       "131072\n",
		"tcp_fin_timeout":          "30\n",
		"ip_local_port_step_width": "7\n",
	}
	proc := t.TempDir()
	dir := filepath.Join(proc, "sys/net/ipv4")
	ns := filepath.Join(proc, "thread-self/ns")
	for _, d := range []string{dir, ns} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := "net:[4026531840]"
	for name, content := range changes {
		if name == "net" {
			link = content
			continue
		}
		files[name] = content
	}
	if err := os.Symlink(link, filepath.Join(ns, "net")); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if content == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func portSet(ports ...uint16) *PortSet {
	set := new(PortSet)
	for _, p := range ports {
		set.Add(p)
	}
	return set
}

func TestSettingsAreRead(t *testing.T) {
	want := Settings{
		Netns: 4026531840, RangeLow: 32768, RangeHigh: 60999,
		Reserved:      portSet(8080, 40000, 40001, 40002, 40003, 40004, 40005, 40006, 40007, 40008, 40009),
		TimeWaitReuse: 2, TimeWaitReuseDelay: 100 * time.Millisecond,
		Timestamps: true, MaxTimeWait: 131072, FinTimeout: 30 * time.Second, PortStep: 7,
	}
	for _, c := range []struct {
		name    string
		changes map[string]string
		change  func(s *Settings)
	}{
		{"all files", nil, func(*Settings) {}},
		{
			"a kernel older than 6.14", map[string]string{"tcp_tw_reuse_delay": "", "ip_local_port_step_width": ""},
			func(s *Settings) { s.TimeWaitReuseDelay, s.PortStep = time.Second, 0 },
		},
		{
			"nothing reserved, no timestamps", map[string]string{"ip_local_reserved_ports": "\n", "tcp_timestamps": "0\n"},
			func(s *Settings) { s.Reserved, s.Timestamps = new(PortSet), false },
		},
		{
			"timestamps without an offset are timestamps", map[string]string{"tcp_timestamps": "2\n"},
			func(*Settings) {},
		},
		{
			"the largest unsigned number", map[string]string{"ip_local_port_step_width": "4294967295\n"},
			func(s *Settings) { s.PortStep = 4294967295 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := want
			c.change(&want)
			got, err := read(procfs(t, c.changes))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// The kernel gives such a list to one read only, and cuts it off at the end of the buffer.
func TestLongListOfReservedPortsIsWhole(t *testing.T) {
	var list strings.Builder
	for port := 1; port < 65535; port += 2 {
		if port > 1 {
			list.WriteByte(',')
		}
		list.WriteString(strconv.Itoa(port))
	}
	s, err := read(procfs(t, map[string]string{"ip_local_reserved_ports": list.String() + "\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Reserved.Count() != 32767 || !s.Reserved.Has(65533) {
		t.Errorf("%d ports of a list of %d bytes, want 32767", s.Reserved.Count(), list.Len())
	}
}

func TestBadSettingsNameTheFile(t *testing.T) {
	for _, c := range []struct{ name, file, content string }{
		{"no range", "ip_local_port_range", ""},
		{"one end only", "ip_local_port_range", "32768\n"},
		{"three numbers", "ip_local_port_range", "1 2 3\n"},
		{"a range upside down", "ip_local_port_range", "60999\t32768\n"},
		{"a port that is none", "ip_local_port_range", "32768\t65536\n"},
		{"port 0", "ip_local_port_range", "0\t100\n"},
		{"a negative port", "ip_local_port_range", "-1\t100\n"},
		{"words", "ip_local_reserved_ports", "http,https\n"},
		{"no list", "ip_local_reserved_ports", ""},
		{"an endless list", "ip_local_reserved_ports", strings.Repeat("1,", 1<<20)},
		{"an empty file", "tcp_tw_reuse", "\n"},
		{"a word", "tcp_tw_reuse", "yes\n"},
		{"no reuse", "tcp_tw_reuse", ""},
		{"no timestamps", "tcp_timestamps", ""},
		{"too large a number", "tcp_max_tw_buckets", "99999999999\n"},
		{"a fraction", "tcp_fin_timeout", "1.5\n"},
		{"a bad delay", "tcp_tw_reuse_delay", "soon\n"},
		{"a bad step", "ip_local_port_step_width", "1 2\n"},
		{"no namespace", "net", "mnt:[4026531840]"},
		{"a namespace without an end", "net", "net:[4026531840"},
		{"a namespace too far", "net", "net:[99999999999]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := read(procfs(t, map[string]string{c.file: c.content}))
			if err == nil {
				t.Fatalf("no error, but %+v", s)
			}
			if !strings.Contains(err.Error(), "/"+c.file+":") || len(err.Error()) > 300 {
				t.Errorf("error %q does not name %s, or says too much", err, c.file)
			}
		})
	}
}

func TestRange(t *testing.T) {
	for _, c := range []struct {
		low, high uint16
		size      int
		in, notIn []uint16
	}{
		{32768, 60999, 28232, []uint16{32768, 50000, 60999}, []uint16{0, 32767, 61000}},
		{1, 65535, 65535, []uint16{1, 65535}, []uint16{0}},
		{5000, 5000, 1, []uint16{5000}, []uint16{4999, 5001}},
		{0, 0, 0, nil, []uint16{0, 1}}, // the zero Settings
	} {
		s := Settings{RangeLow: c.low, RangeHigh: c.high}
		if s.RangeSize() != c.size {
			t.Errorf("%d to %d: size %d, want %d", c.low, c.high, s.RangeSize(), c.size)
		}
		for _, p := range c.in {
			if !s.InRange(p) {
				t.Errorf("%d to %d: %d is not in it", c.low, c.high, p)
			}
		}
		for _, p := range c.notIn {
			if s.InRange(p) {
				t.Errorf("%d to %d: %d is in it", c.low, c.high, p)
			}
		}
	}
}

func TestReusable(t *testing.T) {
	const tw, fw2 = event.TimeWaitState, event.FinWait2
	for _, c := range []struct {
		mode          int
		local, remote string
		timestamps    bool
		substate      event.State
		want          bool
	}{
		{0, "10.1.0.1", "10.1.0.2", true, tw, false},
		{0, "127.0.0.1", "127.0.0.1", true, tw, false},
		{1, "10.1.0.1", "10.1.0.2", true, tw, true},
		{1, "fd00::1", "fd00::2", true, tw, true},
		{1, "10.1.0.1", "10.1.0.2", false, tw, false},
		{1, "10.1.0.1", "10.1.0.2", true, fw2, false},
		{1, "127.0.0.1", "127.0.0.1", false, tw, false},
		{2, "10.1.0.1", "10.1.0.2", true, tw, false},
		{2, "10.1.0.1", "10.1.0.1", true, tw, false}, // over lo, but by no address that says so
		{2, "fd00::1", "fd00::2", true, tw, false},
		{2, "::ffff:10.1.0.1", "::ffff:10.1.0.2", true, tw, false},
		{2, "127.0.0.1", "127.0.0.1", true, tw, true},
		{2, "10.1.0.1", "127.1.2.3", true, tw, true},
		{2, "127.255.255.255", "10.1.0.1", true, tw, true},
		{2, "128.0.0.1", "126.0.0.1", true, tw, false},
		{2, "::1", "::1", true, tw, true},
		{2, "::2", "::2", true, tw, false},
		{2, "::ffff:127.0.0.1", "::ffff:127.0.0.1", true, tw, true},
		{2, "127.0.0.1", "127.0.0.1", true, fw2, false},
		{2, "127.0.0.1", "127.0.0.1", false, tw, false},
	} {
		s := Settings{TimeWaitReuse: c.mode}
		got := s.Reusable(netip.MustParseAddr(c.local), netip.MustParseAddr(c.remote), c.timestamps, c.substate)
		if got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
