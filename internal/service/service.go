// Package service says who owns a connection: which program, and in which systemd unit, container or pod it runs.
//
// The kernel gives pid, name and cgroup with every event; /proc and the cgroup tree complete that while the process
// lives. A process that is gone keeps what the kernel said.
package service

import (
	"path"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/event"
)

// The kinds of service, named as in JSON: the innermost thing that contains the process.
const (
	KindProcess   = "process"
	KindUnit      = "unit"
	KindContainer = "container"
	KindPod       = "pod"
	KindUnknown   = "unknown"
)

// Kinds returns every value [Service.Kind] can have.
func Kinds() []string {
	return []string{KindProcess, KindUnit, KindContainer, KindPod, KindUnknown}
}

// Service is one owner of connections: all processes of one program name in one cgroup.
//
// Every text in it is printable, and "" where it is not known. Paths longer than 1024 bytes end in "…".
type Service struct {
	// Name is the program's name (Comm). Where the kernel gave none it is the name of the unit, container or
	// executable, whichever is known; else "unknown".
	Name string
	Kind string // one of [Kinds]

	PID uint32 // the newest pid seen; 0: not known
	// Processes is how many different pids were seen; at least so many when ProcessesMore is set.
	Processes     int
	ProcessesMore bool

	Comm string
	Exe  string // as /proc/PID/exe says, without the " (deleted)" of a program that was replaced
	// Runtime is what runs the program's code, one of [Runtimes]. It is a guess from names and loaded files, good enough
	// to choose advice by; where only Comm is known, from that.
	Runtime string
	// Library is the client library that the process has loaded, one of [Libraries]; "" also where it was not looked
	// for, because the runtime brings its own clients (Java, Go, Node, .NET).
	Library string
	// Unit is the innermost systemd service or scope. The scope that a container runtime makes for a container is not
	// named here: it is the container.
	Unit        string
	ContainerID string // the runtime's full id, 64 hex digits; for LXC and the like the container's name
	Pod         string // the Kubernetes pod's uid

	CgroupID uint64
	Cgroup   string // path below the root of its hierarchy

	pids pids
}

// MayHavePID reports whether pid was seen in s, or may have been: no pid was seen, or more than are remembered.
func (s *Service) MayHavePID(pid uint32) bool {
	return s.Processes == 0 || s.ProcessesMore || s.pids.has(pid)
}

// settle derives Kind and Name from the facts known by now.
func (s *Service) settle() {
	switch {
	case s.Pod != "":
		s.Kind = KindPod
	case s.ContainerID != "":
		s.Kind = KindContainer
	case s.Unit != "":
		s.Kind = KindUnit
	case s.Comm != "" || s.PID != 0:
		s.Kind = KindProcess
	default:
		s.Kind = KindUnknown
	}
	if s.Runtime == "" {
		s.Runtime = runtimeNamed(s.Comm)
	}
	s.Name = firstKnown(s.Comm, s.Unit, s.ContainerID, s.Pod, exeName(s.Exe), KindUnknown)
}

// place fills in what a cgroup path tells.
func (s *Service) place(cgroup string) {
	p := parseCgroup(cgroup)
	s.Cgroup, s.Unit, s.ContainerID, s.Pod = printable(cgroup), printable(p.unit), printable(p.container), printable(p.pod)
}

func firstKnown(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func exeName(exe string) string {
	if exe == "" {
		return ""
	}
	return path.Base(exe)
}

// maxText bounds one text of a Service, so that hostile paths (4096 bytes, four times that escaped) stay cheap.
const maxText = 1024

// printable is [event.Printable] with a bound.
func printable(s string) string {
	s = event.Printable(s)
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
