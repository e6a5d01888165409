package netns

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Options say where to look. The zero value looks at this host.
type Options struct {
	ProcRoot string   // default /proc
	Dirs     []string // where namespaces are mounted; default that of ip-netns(8), CRI-O and containerd, and Docker's

	limits limits // of tests
}

// limits bound a search. Zero values mean the defaults.
type limits struct{ namespaces, processes, threads int }

const (
	maxNamespaces = 1024
	maxProcesses  = 65536
	maxThreads    = 65536 // besides the processes' first
)

// Unseen is what [List] could not look at, so that namespaces may be missing.
type Unseen struct {
	Inode uint32 // 0: not known
	Why   string // printable
}

// List returns the network namespaces that a process or thread lives in, and those that a mount keeps; the calling
// thread's own first. A namespace that only an open file or a socket holds is in no list of the kernel's.
//
// An error means that nothing could be listed.
func List(o Options) (found []Namespace, unseen []Unseen, err error) {
	l := o.newLister()
	l.addOwn()
	l.addMounts()
	pids, err := l.addProcesses()
	if err != nil {
		return nil, nil, fmt.Errorf("list processes: %w", err)
	}
	l.addThreads(pids)
	l.sumUp()
	return l.found, l.unseen, nil
}

// Find returns the namespace with the number inode: quickly if process pid or a thread of it lives there, else by
// [List]. Pid 0 means no process.
func Find(inode, pid uint32) (Namespace, bool) { return Options{}.find(inode, pid) }

func (o Options) find(inode, pid uint32) (Namespace, bool) {
	l := o.newLister()
	l.addOwn()
	if pid != 0 {
		process := strconv.FormatUint(uint64(pid), 10)
		l.addProcess(process)
		if _, ok := l.get(inode); !ok {
			l.addThreads([]string{process})
		}
	}
	if n, ok := l.get(inode); ok {
		return n, true
	}
	all, _, err := List(o)
	if err != nil {
		return Namespace{}, false
	}
	for _, n := range all {
		if n.Inode == inode {
			return n, true
		}
	}
	return Namespace{}, false
}

// lister is one search.
type lister struct {
	proc   string
	dirs   []string
	limits limits

	found  []Namespace
	known  map[uint32]bool   // inodes met, of namespaces found and of those cut off
	missed map[uint32]string // inodes whose mounts lead nowhere, and why
	unseen []Unseen

	cut             int // namespaces found beyond the bound
	moreMissed      int // mounts that lead nowhere, beyond the bound
	denied          int // processes that may not be looked at
	moreProcesses   int // beyond the bound
	threadsLookedAt int
	threadsCut      bool
}

func (o Options) newLister() *lister {
	l := &lister{
		proc:   cmp.Or(o.ProcRoot, "/proc"),
		dirs:   o.Dirs,
		known:  map[uint32]bool{},
		missed: map[uint32]string{},
	}
	if l.dirs == nil {
		l.dirs = []string{"/run/netns", "/run/docker/netns"}
	}
	l.limits.namespaces = cmp.Or(o.limits.namespaces, maxNamespaces)
	l.limits.processes = cmp.Or(o.limits.processes, maxProcesses)
	l.limits.threads = cmp.Or(o.limits.threads, maxThreads)
	return l
}

func (l *lister) path(parts ...string) string {
	return filepath.Join(append([]string{l.proc}, parts...)...)
}

// add takes a namespace that was met, unless it is known.
func (l *lister) add(inode uint32, path string) {
	if l.known[inode] {
		return
	}
	l.known[inode] = true
	if len(l.found) >= l.limits.namespaces {
		l.cut++
		return
	}
	l.found = append(l.found, Namespace{Inode: inode, path: path})
}

func (l *lister) get(inode uint32) (Namespace, bool) {
	for _, n := range l.found {
		if n.Inode == inode {
			return n, true
		}
	}
	return Namespace{}, false
}

func (l *lister) addUnseen(inode uint32, why string) {
	l.unseen = append(l.unseen, Unseen{Inode: inode, Why: event.Printable(why)})
}

// addOwn puts this thread's namespace first, so that no bound cuts it off.
func (l *lister) addOwn() {
	if task, err := os.Readlink(l.path("thread-self")); err == nil { // PID/task/TID
		_ = l.addLink(task)
	}
}

// addLink adds the namespace of a process ("PID") or a thread ("PID/task/TID").
func (l *lister) addLink(task string) error {
	path := l.path(task, "ns/net")
	inode, err := readLink(path)
	if err == nil {
		l.add(inode, path)
	}
	return err
}

// addProcess adds the namespace of a process, and says whether it may be looked at.
func (l *lister) addProcess(pid string) (open bool) {
	if err := l.addLink(pid); !errors.Is(err, fs.ErrPermission) {
		return true
	}
	// A process that ends just now gives that error, too (proc_ns_readlink in fs/proc/namespaces.c).
	if _, err := os.Lstat(l.path(pid)); err == nil {
		l.denied++
	}
	return false
}

// addProcesses adds the namespaces of all processes, and returns the pids of those that may be looked at.
func (l *lister) addProcesses() (pids []string, err error) {
	processes := 0
	err = eachName(l.proc, func(name string) {
		if name[0] < '1' || name[0] > '9' {
			return
		}
		processes++
		if processes <= l.limits.processes && l.addProcess(name) {
			pids = append(pids, name)
		}
	})
	l.moreProcesses = max(0, processes-l.limits.processes)
	if _, err := os.Lstat(l.path("1")); errors.Is(err, fs.ErrNotExist) {
		l.addUnseen(0, "the processes of other users: /proc is mounted with hidepid")
	}
	return pids, err
}

// addThreads adds the namespaces of the threads that went elsewhere than their processes' first threads.
func (l *lister) addThreads(pids []string) {
	for _, pid := range pids {
		if l.isSingleThreaded(pid) {
			continue
		}
		// An error: the process is gone.
		_ = eachName(l.path(pid, "task"), func(tid string) {
			if tid == pid || l.threadsCut {
				return
			}
			if l.threadsLookedAt >= l.limits.threads {
				l.threadsCut = true
				return
			}
			l.threadsLookedAt++
			_ = l.addLink(pid + "/task/" + tid)
		})
		if l.threadsCut {
			return
		}
	}
}

// isSingleThreaded asks the link count of /proc/PID/task, 2 and one for each thread (proc_task_getattr in
// fs/proc/base.c): that is quicker than reading the directory.
func (l *lister) isSingleThreaded(pid string) bool {
	var st unix.Stat_t
	return unix.Stat(l.path(pid, "task"), &st) == nil && st.Nlink == 3
}

// eachName calls f for each name in a directory, as they come.
func eachName(dir string, f func(name string)) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			f(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// addMounts adds the namespaces that are mounted anywhere in this mount namespace.
func (l *lister) addMounts() {
	err := l.readMounts()
	for _, dir := range l.dirs {
		err = errors.Join(err, l.addUnmounted(dir))
	}
	if err != nil {
		l.addUnseen(0, "mounted namespaces: "+err.Error())
	}
}

func (l *lister) readMounts() error {
	f, err := os.Open(l.path("self/mountinfo"))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if inode, path, ok := parseMount(lines.Text()); ok {
			l.addMount(inode, path)
		}
	}
	return lines.Err()
}

// addMount adds a mounted namespace if its path, which another mount can hide, leads there.
func (l *lister) addMount(inode uint32, path string) {
	var st unix.Stat_t
	switch err := unix.Stat(path, &st); {
	case err == nil && st.Ino == uint64(inode):
		l.add(inode, path)
	case len(l.missed) >= l.limits.namespaces:
		l.moreMissed++
	case err != nil:
		l.missed[inode] = fmt.Sprintf("mounted at %s: %v", path, err)
	default:
		l.missed[inode] = fmt.Sprintf("mounted at %s, below another mount", path)
	}
}

// addUnmounted tells what of a directory for mounted namespaces is none: it can be one in another mount namespace.
func (l *lister) addUnmounted(dir string) error {
	n, first := 0, ""
	err := eachName(dir, func(name string) {
		path := filepath.Join(dir, name)
		var st unix.Statfs_t
		if unix.Statfs(path, &st) != nil || st.Type != unix.NSFS_MAGIC {
			n, first = n+1, cmp.Or(first, path)
		}
	})
	switch {
	case n == 1:
		l.addUnseen(0, first+" is not mounted here, or no network namespace")
	case n > 1:
		l.addUnseen(0, fmt.Sprintf("%s and %d more are not mounted here, or no network namespaces", first, n-1))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// parseMount reads a line of /proc/self/mountinfo if it is a mounted network namespace's: "99 25 0:4 net:[4026532000]
// /run/netns/blue rw shared:5 - nsfs nsfs rw" (show_mountinfo in fs/proc_namespace.c, nsfs_show_path in fs/nsfs.c).
func parseMount(line string) (inode uint32, path string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 5 {
		return 0, "", false
	}
	inode, ok = parseInode(f[3])
	return inode, unescape(f[4]), ok
}

// unescape turns \040 and the like into the bytes that they stand for (mangle in fs/proc_namespace.c).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// sumUp adds what was counted to what is unseen.
func (l *lister) sumUp() {
	for _, inode := range slices.Sorted(maps.Keys(l.missed)) {
		if !l.known[inode] {
			l.addUnseen(inode, l.missed[inode])
		}
	}
	if l.moreMissed > 0 {
		l.addUnseen(0, fmt.Sprintf("more mounted namespaces that cannot be reached: %d", l.moreMissed))
	}
	if l.denied > 0 {
		l.addUnseen(0, fmt.Sprintf("processes that may not be looked at without CAP_SYS_PTRACE: %d", l.denied))
	}
	if l.moreProcesses > 0 {
		l.addUnseen(0, fmt.Sprintf("processes beyond the first %d: %d", l.limits.processes, l.moreProcesses))
	}
	if l.threadsCut {
		l.addUnseen(0, fmt.Sprintf("threads beyond the first %d", l.limits.threads))
	}
	if l.cut > 0 {
		l.addUnseen(0, fmt.Sprintf("network namespaces beyond the first %d: %d", l.limits.namespaces, l.cut))
	}
}
