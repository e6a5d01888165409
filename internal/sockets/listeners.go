// Package sockets finds the sockets that exist already when tracing begins. So far: the listening ones, from procfs.
package sockets

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// listener is a listening socket on its way to having an owner: the process with the lowest pid that holds it open, init
// last. The owner's PID stays 0 when none could be seen.
type listener struct {
	event.Listener
	inode uint64
}

// maxListeners bounds what Listeners returns; it is what the tracer remembers.
const maxListeners = 8192

// Options say where to look. The zero value looks at this host.
type Options struct {
	ProcRoot   string // default /proc
	CgroupRoot string // default /sys/fs/cgroup
}

// Listeners returns the listening sockets of all network namespaces in which a process lives that may be looked at.
// It returns what it found also when it returns an error: that says what could not be read.
func Listeners(o Options) ([]event.Listener, error) {
	c := census{proc: cmp.Or(o.ProcRoot, "/proc"), cgroups: cmp.Or(o.CgroupRoot, "/sys/fs/cgroup")}
	pids, err := c.pids()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []listener
	seen := map[uint32]bool{}
	denied := 0
	for _, pid := range pids {
		netns, err := c.netns(pid)
		if errors.Is(err, fs.ErrPermission) {
			denied++
		}
		if err != nil || seen[netns] {
			continue
		}
		for _, table := range []string{"tcp", "tcp6"} {
			listeners, err := c.table(pid, netns, table)
			found = append(found, listeners...)
			seen[netns] = seen[netns] || err == nil // another process may live on in the namespace
		}
		if len(found) > maxListeners {
			found = found[:maxListeners]
			break
		}
	}
	c.findOwners(pids, found)
	listeners := make([]event.Listener, len(found))
	for i := range found {
		listeners[i] = found[i].Listener
	}
	if denied > 0 {
		return listeners, fmt.Errorf("%d of %d processes may not be looked at: sockets in their network namespaces are unknown", denied, len(pids))
	}
	return listeners, nil
}

type census struct{ proc, cgroups string }

// pids returns the processes there are, lowest first, init last: it holds sockets for others.
func (c census) pids() ([]int, error) {
	entries, err := os.ReadDir(c.proc)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return append(pids, 1), nil
}

func (c census) path(pid int, parts ...string) string {
	return filepath.Join(append([]string{c.proc, strconv.Itoa(pid)}, parts...)...)
}

func (c census) netns(pid int) (uint32, error) {
	link, err := os.Readlink(c.path(pid, "ns", "net"))
	if err != nil {
		return 0, err
	}
	return parseInode(link, "net:[")
}

// parseInode reads the number in net:[4026531840] or socket:[12345].
func parseInode(link, prefix string) (uint32, error) {
	digits, ok := strings.CutPrefix(link, prefix)
	digits, closed := strings.CutSuffix(digits, "]")
	if !ok || !closed {
		return 0, fmt.Errorf("%q is no %s…]", link, prefix)
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err
}

// table reads the listening sockets of /proc/PID/net/tcp or tcp6.
func (c census) table(pid int, netns uint32, name string) ([]listener, error) {
	f, err := os.Open(c.path(pid, "net", name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []listener
	lines := bufio.NewScanner(f)
	lines.Scan() // the title
	for lines.Scan() && len(found) < maxListeners {
		l, ok := parseListener(lines.Text())
		if !ok {
			break // the listening ones come first, then perhaps 300,000 others
		}
		l.Netns = netns
		found = append(found, l)
	}
	return found, nil
}

// parseListener reads a line of /proc/net/tcp: sl local rem st … inode. 0A is TCP_LISTEN.
func parseListener(line string) (listener, bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return listener{}, false
	}
	addr, port, ok := strings.Cut(f[1], ":")
	if !ok {
		return listener{}, false
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return listener{}, false
	}
	ip, err := parseAddr(addr)
	if err != nil {
		return listener{}, false
	}
	inode, err := strconv.ParseUint(f[9], 10, 64)
	l := listener{inode: inode}
	l.Local = netip.AddrPortFrom(ip, uint16(number))
	return l, err == nil
}

// parseAddr reads an address as the kernel prints it: 32-bit words in host order.
func parseAddr(s string) (netip.Addr, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, fmt.Errorf("%q is no address", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip.Unmap(), nil
}

// findOwners looks for the listeners among the open files of all processes.
func (c census) findOwners(pids []int, found []listener) {
	byInode := make(map[uint64][]*listener, len(found))
	for i := range found {
		byInode[found[i].inode] = append(byInode[found[i].inode], &found[i])
	}
	missing := len(byInode)
	for _, pid := range pids {
		if missing == 0 {
			return
		}
		for _, inode := range c.socketInodes(pid) {
			listeners, ok := byInode[inode]
			if !ok || listeners[0].Owner.PID != 0 {
				continue
			}
			missing--
			for _, l := range listeners {
				l.Owner = c.owner(pid)
			}
		}
	}
}

// socketInodes returns the sockets that a process has open; none when it may not be looked at.
func (c census) socketInodes(pid int) []uint64 {
	dir, err := os.Open(c.path(pid, "fd"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	var inodes []uint64
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			link, linkErr := os.Readlink(c.path(pid, "fd", name))
			if linkErr != nil {
				continue
			}
			if inode, err := parseInode(link, "socket:["); err == nil {
				inodes = append(inodes, uint64(inode))
			}
		}
		if err != nil { // io.EOF, or the process is gone
			return inodes
		}
	}
}

// owner describes a process as the tracer would have seen it.
func (c census) owner(pid int) event.Owner {
	o := event.Owner{PID: uint32(pid), Basis: event.OwnerListener}
	if comm, err := readSome(c.path(pid, "comm"), len(o.Comm)); err == nil {
		copy(o.Comm[:len(o.Comm)-1], strings.TrimSuffix(comm, "\n"))
	}
	if list, err := readSome(c.path(pid, "cgroup"), 64<<10); err == nil {
		o.CgroupID = c.cgroupID(list)
	}
	return o
}

// cgroupID is the inode of the process's directory in the cgroup v2 hierarchy.
func (c census) cgroupID(list string) uint64 {
	for line := range strings.Lines(list) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		for _, root := range []string{c.cgroups, filepath.Join(c.cgroups, "unified")} {
			var st unix.Stat_t
			if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
				continue
			}
			if unix.Stat(filepath.Join(root, path), &st) == nil {
				return st.Ino
			}
		}
	}
	return 0
}

func readSome(path string, limit int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)))
	return string(b), err
}
