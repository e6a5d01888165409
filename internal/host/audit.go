package host

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Fact is something read from the kernel, or why it is not known.
type Fact[T any] struct {
	Value T
	Path  string // the file that says it
	Err   error  // why Value is not known
}

// Known says whether Value is what the kernel says.
func (f Fact[T]) Known() bool { return f.Err == nil && f.Path != "" }

// Root says where a host's files are. The zero value is this host.
type Root struct {
	Proc string // default /proc
	// Files is what stands before /etc, /usr/lib and /run; default none.
	Files string
}

func (r Root) proc(parts ...string) string {
	return filepath.Join(append([]string{cmp.Or(r.Proc, "/proc")}, parts...)...)
}

// PortRange is net.ipv4.ip_local_port_range, both ends included.
type PortRange struct{ Low, High uint16 }

// Audit is what is set and counted in one network namespace, each fact by itself: one that cannot be read does not hide
// the others, as it does in [Read].
type Audit struct {
	Netns uint32

	PortRange Fact[PortRange]
	Reserved  Fact[*PortSet]
	// Sysctls are the others that are one number, by what stands behind net.ipv4 or net.core.
	Sysctls map[string]Fact[int]
	// HasIPv4 says that there is a directory for the sysctls of net.ipv4: what is not in it the kernel does not have.
	HasIPv4 bool

	// Counters are those of /proc/net/netstat and snmp, by names like TcpExtListenDrops: since the namespace was made,
	// for the host's own since boot.
	Counters Fact[map[string]int64]
	// TimeWaits is how many timewait sockets are held in the namespace.
	TimeWaits Fact[int]
	Sockets   Fact[*Sockets]
	// Backlogs is how many connections each listening socket lets wait for accept(), by the socket's inode.
	Backlogs Fact[map[uint64]int]
}

// The sysctls of an audit, besides those that are no single number.
var auditedIPv4 = []string{
	"tcp_tw_reuse", "tcp_tw_reuse_delay", "tcp_tw_recycle", "tcp_timestamps", "tcp_fin_timeout", "tcp_max_tw_buckets",
}

// Audit reads the calling thread's network namespace; a caller inside another namespace has to be locked to its thread.
func (r Root) Audit() Audit {
	ipv4, core := r.proc("sys/net/ipv4"), r.proc("sys/net/core")
	a := Audit{Sysctls: make(map[string]Fact[int])}
	a.Netns, _ = readNetns(r.proc("thread-self/ns/net"))
	_, err := os.Stat(ipv4)
	a.HasIPv4 = err == nil
	a.PortRange = readFact(ipv4, "ip_local_port_range", func(c *sysctls, name string) PortRange {
		low, high := c.portRange(name)
		return PortRange{low, high}
	})
	a.Reserved = readFact(ipv4, "ip_local_reserved_ports", (*sysctls).ports)
	for _, name := range auditedIPv4 {
		a.Sysctls[name] = readFact(ipv4, name, (*sysctls).number)
	}
	a.Sysctls["somaxconn"] = readFact(core, "somaxconn", (*sysctls).number)
	a.Counters = r.counters()
	a.TimeWaits = r.timeWaits()
	a.Sockets = r.sockets(a.PortRange, a.Reserved)
	a.Backlogs = r.backlogs()
	return a
}

// readFact reads one file of dir.
func readFact[T any](dir, name string, read func(*sysctls, string) T) Fact[T] {
	c := sysctls{dir: dir}
	v := read(&c, name)
	return Fact[T]{Value: v, Path: filepath.Join(dir, name), Err: c.err}
}

// counters reads pairs of lines, one with names and one with values.
func (r Root) counters() Fact[map[string]int64] {
	f := Fact[map[string]int64]{Value: make(map[string]int64), Path: r.proc("thread-self/net/netstat")}
	for _, file := range []string{"netstat", "snmp"} {
		text, err := readBounded(r.proc("thread-self/net", file))
		if err != nil {
			return Fact[map[string]int64]{Path: r.proc("thread-self/net", file), Err: err}
		}
		lines := strings.Split(text, "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			addCounters(f.Value, strings.Fields(lines[i]), strings.Fields(lines[i+1]))
		}
	}
	return f
}

func addCounters(to map[string]int64, names, values []string) {
	if len(names) == 0 || len(values) == 0 || names[0] != values[0] {
		return
	}
	for i := 1; i < min(len(names), len(values)); i++ {
		if v, err := strconv.ParseInt(values[i], 10, 64); err == nil {
			to[strings.TrimSuffix(names[0], ":")+names[i]] = v
		}
	}
}

// timeWaits reads "TCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1", which is the namespace's own but for alloc and mem
// (sockstat_seq_show in net/ipv4/proc.c).
func (r Root) timeWaits() Fact[int] {
	f := Fact[int]{Path: r.proc("thread-self/net/sockstat")}
	text, err := readBounded(f.Path)
	if err != nil {
		f.Err = err
		return f
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(words); i += 2 {
			if words[i] == "tw" {
				f.Value, f.Err = strconv.Atoi(words[i+1])
				return f
			}
		}
	}
	f.Err = fmt.Errorf("%s: no number of TIME_WAITs in it", f.Path)
	return f
}

// Limits are the host's own: they hold for all namespaces together.
type Limits struct {
	// Tasks is how many threads there are on the host, in every container.
	Tasks      Fact[int]
	ThreadsMax Fact[int] // kernel.threads-max
	PIDMax     Fact[int] // kernel.pid_max: each thread has one
	OpenFiles  Fact[int] // of all processes
	FileMax    Fact[int] // fs.file-max
}

// Limits reads them.
func (r Root) Limits() Limits {
	return Limits{
		Tasks:      r.tasks(),
		ThreadsMax: readFact(r.proc("sys/kernel"), "threads-max", (*sysctls).number),
		PIDMax:     readFact(r.proc("sys/kernel"), "pid_max", (*sysctls).number),
		OpenFiles: readFact(r.proc("sys/fs"), "file-nr", func(c *sysctls, name string) int {
			return int(c.large(name, 3)[0])
		}),
		FileMax: readFact(r.proc("sys/fs"), "file-max", func(c *sysctls, name string) int {
			return int(c.large(name, 1)[0])
		}),
	}
}

// large reads a file of n unsigned numbers that may have 64 bits; what int cannot hold is the largest that it can.
func (c *sysctls) large(name string, n int) []int64 {
	numbers := make([]int64, n)
	text := c.text(name)
	if c.err != nil {
		return numbers
	}
	words := strings.Fields(text)
	if len(words) != n {
		c.fail(name, fmt.Errorf("%.40q: want %d numbers", text, n))
		return numbers
	}
	for i, word := range words {
		v, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			c.fail(name, fmt.Errorf("%.40q is no number", word))
			return numbers
		}
		numbers[i] = int64(min(v, 1<<63-1))
	}
	return numbers
}

// tasks reads "0.00 0.01 0.05 2/311 4242": 311 threads exist (loadavg_proc_show in fs/proc/loadavg.c).
func (r Root) tasks() Fact[int] {
	f := Fact[int]{Path: r.proc("loadavg")}
	text, err := readBounded(f.Path)
	if err != nil {
		f.Err = err
		return f
	}
	words := strings.Fields(text)
	if len(words) == 5 {
		if _, all, ok := strings.Cut(words[3], "/"); ok {
			f.Value, f.Err = strconv.Atoi(all)
			return f
		}
	}
	f.Err = fmt.Errorf("%s: %.40q does not say how many threads there are", f.Path, text)
	return f
}

// Capabilities are the effective ones of this process, a bit each.
func (r Root) Capabilities() Fact[uint64] {
	f := Fact[uint64]{Path: r.proc("thread-self/status")}
	words, err := readStatus(f.Path)
	if err != nil {
		f.Err = err
		return f
	}
	f.Value, err = strconv.ParseUint(words["CapEff"], 16, 64)
	if err != nil {
		f.Err = fmt.Errorf("%s: %.40q are no capabilities", f.Path, words["CapEff"])
	}
	return f
}

// readStatus reads lines like "Threads:\t12".
func readStatus(path string) (map[string]string, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	words := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			words[name] = strings.TrimSpace(value)
		}
	}
	return words, nil
}

// readBounded reads a small file.
func readBounded(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > maxText:
		return "", fmt.Errorf("%s: longer than %d bytes", path, maxText)
	}
	return string(b), nil
}

// eachLine calls f for each line of a file until f says that it is enough. A line longer than any of the kernel's is an
// error.
func eachLine(path string, f func(line string) (more bool)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), 64<<10)
	for lines.Scan() {
		if !f(lines.Text()) {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s: a line longer than 64 KiB", path)
	}
	return lines.Err()
}
