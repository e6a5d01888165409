package service

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
)

// process is what /proc tells of one process, raw.
type process struct {
	exe, cgroup      string
	runtime, library string
}

// deletedSuffix is what the kernel appends to a path whose file or directory was removed (d_path in fs/d_path.c,
// proc_cgroup_show in kernel/cgroup/cgroup.c).
const deletedSuffix = " (deleted)"

// maxProcFile is enough for /proc/PID/cgroup: a line for each of some 14 hierarchies, with a path of at most 4096 bytes.
const maxProcFile = 64 << 10

// readProcess reads the process that o names. ok is false when that process is gone, or is another one by now.
//
// Every file is opened through one handle on /proc/PID, which never leads to a later process with the same pid. The
// name is read last: if it still is the event's, the program has not been replaced by execve in between.
func readProcess(procRoot string, o *event.Owner, in *inspector) (p process, ok bool) {
	if o.PID == 0 {
		return process{}, false
	}
	dir, err := os.OpenRoot(filepath.Join(procRoot, strconv.FormatUint(uint64(o.PID), 10)))
	if err != nil {
		return process{}, false
	}
	defer dir.Close()

	exe, err := dir.Readlink("exe") // a kernel thread has none; another user's needs CAP_SYS_PTRACE
	if err == nil {
		p.exe = strings.TrimSuffix(exe, deletedSuffix)
	}
	cgroups, err := readFile(dir, "cgroup")
	if err != nil {
		return process{}, false
	}
	p.cgroup = chooseCgroup(cgroups)
	p.runtime, p.library = in.runtime(dir, p.exe, o.Comm.Raw())
	comm, err := readFile(dir, "comm")
	if err != nil || strings.TrimSuffix(comm, "\n") != o.Comm.Raw() {
		return process{}, false
	}
	return p, true
}

func readFile(dir *os.Root, name string) (string, error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	return string(b), err
}

// chooseCgroup picks, from the lines of /proc/PID/cgroup, the path that says most: one that names a container or pod,
// else one that names a unit, else the cgroup v2 path.
//
// Where both versions are mounted, the v2 path may be "/" while systemd's own hierarchy has the unit, or be that of the
// container runtime's unit while the v1 ones have the container.
func chooseCgroup(lines string) string {
	var best string
	bestScore := -1
	for line := range strings.Lines(lines) {
		path, score := scoreCgroup(strings.TrimSuffix(line, "\n"))
		if score > bestScore {
			best, bestScore = path, score
		}
	}
	return best
}

// scoreCgroup rates one line, "hierarchy:controllers:path": what the path names first, then which hierarchy it is.
func scoreCgroup(line string) (path string, score int) {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
		return "", -1
	}
	path = strings.TrimSuffix(parts[2], deletedSuffix)
	switch p := parseCgroup(path); {
	case p.container != "" || p.pod != "":
		score = 20
	case p.unit != "":
		score = 10
	}
	switch {
	case parts[0] == "0" && parts[1] == "":
		score += 2
	case parts[1] == "name=systemd":
		score++
	}
	return path, score
}
