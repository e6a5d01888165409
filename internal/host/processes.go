package host

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Processes are those of this pid namespace.
type Processes struct {
	// Listening are the processes that have a listening socket open, lowest pid first, init last.
	Listening []Process
	// Tasks counts threads by real user id.
	Tasks map[uint32]int
	// All is how many processes there are. Of those Denied the open files may not be seen, and MoreProcesses are beyond
	// the bound: any of them may have a listening socket open.
	All, Denied, MoreProcesses int
	// Hidden says that /proc shows this user's own processes only (hidepid), Everywhere that it is the initial pid
	// namespace's: there are no others.
	Hidden, Everywhere bool
}

// Process is a process that listens.
type Process struct {
	PID     int
	Comm    string // as the process set it: not printable
	UID     uint32
	Command string // its command line, a blank between the words, not printable; "" when it may not be seen
	// Sockets are the inodes of the listening sockets that it has open.
	Sockets []uint64
	// OpenFiles is how many file descriptors it has, MaxFiles and MaxTasks are its soft limits RLIMIT_NOFILE and
	// RLIMIT_NPROC; [Unlimited] is none.
	OpenFiles, MaxFiles, MaxTasks Fact[int]
}

// Unlimited is a limit that is none.
const Unlimited = -1

// initialPIDs is PROC_PID_INIT_INO of include/linux/proc_ns.h.
const initialPIDs = "pid:[4026531836]"

func (r Root) inInitialPIDs() bool {
	link, err := os.Readlink(r.proc("self/ns/pid"))
	return err == nil && link == initialPIDs
}

// Netns is the network namespace that the host's own processes live in, false if that cannot be seen, as in a
// container.
func (r Root) Netns() (inode uint32, known bool) {
	if !r.inInitialPIDs() {
		return 0, false
	}
	inode, err := readNetns(r.proc("1/ns/net"))
	if err == nil {
		return inode, true
	}
	// Process 1 may have privileges that this one lacks. The kernel's threads, of which 2 is the first, live where it
	// began (rest_init in init/main.c).
	inode, err = readNetns(r.proc("2/ns/net"))
	return inode, err == nil
}

const (
	maxProcesses = 65536
	maxHolders   = 8192
	maxCommand   = 4096
)

// Processes looks for those that have one of the listening sockets open, and counts all.
func (r Root) Processes(listening map[uint64]bool) (Processes, error) {
	p := Processes{Tasks: make(map[uint32]int)}
	pids, err := r.pids()
	if err != nil {
		return p, fmt.Errorf("list processes: %w", err)
	}
	_, err = os.Lstat(r.proc("1"))
	p.Hidden = errors.Is(err, fs.ErrNotExist)
	p.Everywhere = r.inInitialPIDs()
	p.All = len(pids)
	if len(pids) > maxProcesses {
		p.MoreProcesses = len(pids) - maxProcesses
		pids = pids[:maxProcesses]
	}
	for _, pid := range pids {
		r.look(&p, pid, listening)
	}
	return p, nil
}

// pids are sorted, but init, which opens sockets for others, is the last.
func (r Root) pids() ([]int, error) {
	entries, err := os.ReadDir(r.proc())
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int {
		if a == 1 || b == 1 {
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	})
	return pids, nil
}

func (r Root) look(p *Processes, pid int, listening map[uint64]bool) {
	dir := strconv.Itoa(pid)
	status, err := readStatus(r.proc(dir, "status"))
	if err != nil {
		return // the process is gone
	}
	uid, err := firstNumber(status["Uid"])
	if err == nil {
		threads, _ := strconv.Atoi(status["Threads"])
		p.Tasks[uid] += max(threads, 1)
	}
	open, sockets, err := r.openFiles(dir, listening)
	if errors.Is(err, fs.ErrPermission) {
		p.Denied++
	}
	if len(sockets) == 0 || len(p.Listening) >= maxHolders {
		return
	}
	holder := Process{
		PID: pid, UID: uid, Sockets: sockets,
		OpenFiles: Fact[int]{Value: open, Path: r.proc(dir, "fd"), Err: err},
		MaxFiles:  r.limit(dir, "Max open files"),
		MaxTasks:  r.limit(dir, "Max processes"),
	}
	if comm, err := readBounded(r.proc(dir, "comm")); err == nil {
		holder.Comm = strings.TrimSuffix(comm, "\n")
	}
	holder.Command = r.command(dir)
	p.Listening = append(p.Listening, holder)
}

// firstNumber reads the real id in "Uid:\t0\t0\t0\t0".
func firstNumber(s string) (uint32, error) {
	word, _, _ := strings.Cut(s, "\t")
	n, err := strconv.ParseUint(word, 10, 32)
	return uint32(n), err
}

// openFiles counts the descriptors of a process and returns which of the listening sockets are among them. Root without
// CAP_SYS_PTRACE may see how many there are of a process with more privileges, but not what they are.
func (r Root) openFiles(pid string, listening map[uint64]bool) (n int, sockets []uint64, err error) {
	dir, err := os.Open(r.proc(pid, "fd"))
	if err != nil {
		return 0, nil, err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		n += len(names)
		for _, name := range names {
			link, err := os.Readlink(r.proc(pid, "fd", name))
			if errors.Is(err, fs.ErrPermission) {
				return n, nil, err
			}
			if err != nil {
				continue
			}
			if inode, ok := socketInode(link); ok && listening[inode] && !slices.Contains(sockets, inode) {
				sockets = append(sockets, inode)
			}
		}
		if errors.Is(err, io.EOF) {
			return n, sockets, nil
		}
		if err != nil {
			return n, sockets, err
		}
	}
}

// socketInode reads the number in a link to socket:[12345].
func socketInode(link string) (uint64, bool) {
	digits, isSocket := strings.CutPrefix(link, "socket:[")
	digits, closed := strings.CutSuffix(digits, "]")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, isSocket && closed && err == nil
}

// limit reads the soft limit in a line like "Max open files            1024                 524288
// files".
func (r Root) limit(pid, name string) Fact[int] {
	f := Fact[int]{Path: r.proc(pid, "limits")}
	text, err := readBounded(f.Path)
	if err != nil {
		f.Err = err
		return f
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		words := strings.Fields(rest)
		if !ok || len(words) < 2 {
			continue
		}
		if words[0] == "unlimited" {
			f.Value = Unlimited
			return f
		}
		v, err := strconv.ParseUint(words[0], 10, 63)
		if err != nil {
			f.Err = fmt.Errorf("%s: %.40q is no limit", f.Path, words[0])
		}
		f.Value = int(v)
		return f
	}
	f.Err = fmt.Errorf("%s: no %s in it", f.Path, name)
	return f
}

// command is the beginning of the command line.
func (r Root) command(pid string) string {
	f, err := os.Open(r.proc(pid, "cmdline"))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCommand))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
}
