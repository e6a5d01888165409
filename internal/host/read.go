package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Read returns the settings of the calling thread's network namespace. /proc/sys/net shows those of the thread that
// opens it (net_ctl_header_lookup in net/sysctl_net.c), so a caller inside another namespace has to be locked to its
// thread.
func Read() (Settings, error) { return read("/proc") }

func read(proc string) (Settings, error) {
	netns, err := readNetns(filepath.Join(proc, "thread-self/ns/net"))
	if err != nil {
		return Settings{}, fmt.Errorf("read own network namespace: %w", err)
	}
	c := sysctls{dir: filepath.Join(proc, "sys/net/ipv4")}
	s := Settings{Netns: netns}
	s.RangeLow, s.RangeHigh = c.portRange("ip_local_port_range")
	s.Reserved = c.ports("ip_local_reserved_ports")
	s.TimeWaitReuse = c.number("tcp_tw_reuse")
	s.TimeWaitReuseDelay = time.Duration(c.numberOr("tcp_tw_reuse_delay", 1000)) * time.Millisecond
	s.Timestamps = c.number("tcp_timestamps") != 0
	s.MaxTimeWait = c.number("tcp_max_tw_buckets")
	s.FinTimeout = time.Duration(c.number("tcp_fin_timeout")) * time.Second
	s.PortStep = c.numberOr("ip_local_port_step_width", 0)
	if c.err != nil {
		return Settings{}, c.err
	}
	return s, nil
}

// readNetns reads the number in a link to net:[4026531840].
func readNetns(path string) (uint32, error) {
	link, err := os.Readlink(path)
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(link, "net:[")
	digits, closed := strings.CutSuffix(digits, "]")
	inode, err := strconv.ParseUint(digits, 10, 32)
	if !ok || !closed || err != nil {
		return 0, fmt.Errorf("%s: %.40q is no network namespace", path, link)
	}
	return uint32(inode), nil
}

// sysctls reads files of one directory until one fails; err is what failed first.
type sysctls struct {
	dir string
	err error
}

// text is the whole content of a file, or "" after a failure.
//
// It is read in one piece, into a larger buffer if it has filled the first: proc_do_large_bitmap cuts a list off at the
// end of the reader's buffer, and a second read of it gives nothing.
func (c *sysctls) text(name string) string {
	if c.err != nil {
		return ""
	}
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		c.err = err
		return ""
	}
	defer f.Close()
	for size := 4 << 10; size <= maxText; size *= 8 {
		b := make([]byte, size)
		n, err := f.ReadAt(b, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			c.err = err
			return ""
		}
		if n < size {
			return string(b[:n])
		}
	}
	c.fail(name, fmt.Errorf("longer than %d bytes", maxText))
	return ""
}

// maxText is more than any list of ports: 32768 that are no neighbours make 196 KB.
const maxText = 256 << 10

func (c *sysctls) fail(name string, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w", filepath.Join(c.dir, name), err)
	}
}

// numbers reads a file that has exactly n of them.
func (c *sysctls) numbers(name string, n int) []int {
	numbers := make([]int, n)
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
		number, err := strconv.ParseInt(word, 10, 33) // int and unsigned int
		if err != nil {
			c.fail(name, fmt.Errorf("%.40q is no number", word))
			return numbers
		}
		numbers[i] = int(number)
	}
	return numbers
}

func (c *sysctls) number(name string) int { return c.numbers(name, 1)[0] }

// numberOr is for a sysctl that older kernels do not have.
func (c *sysctls) numberOr(name string, missing int) int {
	if c.err != nil {
		return missing
	}
	number := c.number(name)
	if errors.Is(c.err, fs.ErrNotExist) {
		c.err = nil
		return missing
	}
	return number
}

// portRange reads ip_local_port_range. ipv4_local_port_range in net/ipv4/sysctl_net_ipv4.c lets nobody set 0, or the
// lower end above the upper.
func (c *sysctls) portRange(name string) (low, high uint16) {
	ends := c.numbers(name, 2)
	if c.err == nil && (ends[0] < 1 || ends[1] < ends[0] || ends[1] > 65535) {
		c.fail(name, fmt.Errorf("%d to %d is no range of ports", ends[0], ends[1]))
	}
	return uint16(ends[0]), uint16(ends[1])
}

func (c *sysctls) ports(name string) *PortSet {
	text := c.text(name)
	if c.err != nil {
		return nil
	}
	set, err := ParsePorts(text)
	if err != nil {
		c.fail(name, err)
	}
	return set
}
