package service

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups finds the path of a cgroup by its id, for processes that are gone.
type cgroups struct {
	root string
	now  func() time.Time

	byID   map[uint64]string // made by walk
	walked time.Time
}

// maxCgroups bounds a walk: big hosts have some ten thousand cgroups. It goes breadth first, so that what it leaves out
// is what lies deepest.
const maxCgroups = 32768

// walkEvery is how often a walk may be repeated for an id that the last one did not meet.
const walkEvery = time.Second

// find returns the path of a cgroup below the root, "" when there is none.
func (c *cgroups) find(id uint64) string {
	if id == 0 {
		return ""
	}
	path, certain := c.open(id)
	if certain {
		return path
	}
	if p, ok := c.byID[id]; ok {
		return p
	}
	if now := c.now(); c.byID == nil || now.Sub(c.walked) >= walkEvery {
		c.byID = walk(c.mount(), maxCgroups)
		c.walked = c.now()
	}
	return c.byID[id]
}

// fileidKernfs is FILEID_KERNFS of include/linux/exportfs.h: a file handle that is the 64-bit id.
const fileidKernfs = 0xfe

// open asks the kernel for the directory with that id. certain is false when it would not say: no cgroup v2 there, or
// no CAP_DAC_READ_SEARCH.
//
// Requires at least Linux 5.5.
func (c *cgroups) open(id uint64) (path string, certain bool) {
	root := c.mount()
	var fs unix.Statfs_t
	if id == 0 || unix.Statfs(root, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return "", false
	}
	mount, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(mount)
	handle := unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id))
	fd, err := unix.OpenByHandleAt(mount, handle, unix.O_PATH|unix.O_CLOEXEC)
	if errors.Is(err, unix.ESTALE) {
		return "", true // removed
	}
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", false
	}
	return below(root, strings.TrimSuffix(target, deletedSuffix)), true
}

// mount returns where cgroup v2 is: on hosts that still use version 1 it may be a directory further down.
func (c *cgroups) mount() string {
	unified := filepath.Join(c.root, "unified")
	if _, err := os.Stat(filepath.Join(unified, "cgroup.procs")); err == nil {
		return unified
	}
	return c.root
}

// walk lists at most limit directories below root by inode number, which is the cgroup's id.
func walk(root string, limit int) map[uint64]string {
	byID := make(map[uint64]string)
	queue := []string{root}
	if info, err := os.Lstat(root); err == nil {
		byID[inode(info)] = "/"
	}
	for len(queue) > 0 && len(byID) < limit {
		dir := queue[0]
		queue = queue[1:]
		entries, _ := os.ReadDir(dir) // a cgroup that was just removed has none
		for _, entry := range entries {
			if !entry.IsDir() || len(byID) >= limit {
				continue
			}
			info, err := entry.Info()
			if err != nil {
				continue
			}
			path := filepath.Join(dir, entry.Name())
			byID[inode(info)] = below(root, path)
			queue = append(queue, path)
		}
	}
	return byID
}

func inode(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// below returns path as seen from root, with a leading slash.
func below(root, path string) string {
	rest, ok := strings.CutPrefix(path, filepath.Clean(root))
	if !ok {
		return path
	}
	if rest == "" {
		return "/"
	}
	return rest
}
