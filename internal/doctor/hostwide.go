package doctor

import (
	"fmt"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// hostChecks are about what all namespaces share.
func (in *Input) hostChecks() []Check {
	l := &in.Limits
	checks := []Check{
		share("threads-max", "kernel.threads-max", "thread", l.Tasks, l.ThreadsMax, 1<<30,
			"copy_process in kernel/fork.c", "fork() and new threads fail with EAGAIN"),
		share("pid-max", "kernel.pid_max", "thread", l.Tasks, l.PIDMax, 1<<22,
			"alloc_pid in kernel/pid.c: each thread has a pid", "fork() and new threads fail with EAGAIN"),
		share("open-files", "fs.file-max", "open file", l.OpenFiles, l.FileMax, 1<<62,
			"alloc_empty_file in fs/file_table.c", "accept(), open() and the like fail with ENFILE, but for root"),
	}
	if len(in.Unseen) > 0 {
		checks = append(checks, in.unseen())
	}
	return append(checks, in.privileges())
}

// share judges how much of a limit of the whole host is used.
func share(code, name, noun string, used, limit host.Fact[int], largest int, function, harm string) Check {
	source := used.Path + "; " + limit.Path + "; " + function
	if used.Path == "" || limit.Path == "" || used.Err != nil || limit.Err != nil {
		return unknown(code, source, errorOf(used), errorOf(limit))
	}
	c := check(code, form.Grouped(limit.Value), source)
	c.say("%s on the whole host, %s of the limit.", form.Count(used.Value, noun), percent(used.Value, limit.Value))
	if s := level(used.Value, limit.Value); s != OK {
		c.raise(s, "At the limit %s.", harm)
		if more := min(max(2*limit.Value, 2*used.Value), largest); more > limit.Value {
			c.sysctl(name, more)
		}
	}
	return c
}

func (in *Input) unseen() Check {
	return Check{
		Code: "namespaces", Status: Unknown, partial: true,
		Source:  "/proc/PID/ns/net, /proc/self/mountinfo, /run/netns",
		Meaning: "There may be more network namespaces, with settings of their own: " + list(in.Unseen, maxNamed) + ".",
	}
}

// The capabilities' bits (include/uapi/linux/capability.h).
const (
	capDACOverride   = 1
	capDACReadSearch = 2
	capNetAdmin      = 12
	capSysPtrace     = 19
	capSysAdmin      = 21
	capSysResource   = 24
	capPerfmon       = 38
	capBPF           = 39
)

// capability is one that verbs use, and what for.
type capability struct {
	bit  uint
	name string
	buys string
}

var capabilities = []capability{
	{capBPF, "CAP_BPF", "with CAP_PERFMON loads the BPF program: trace, report"},
	{capPerfmon, "CAP_PERFMON", "with CAP_BPF attaches it: trace, report"},
	{capSysAdmin, "CAP_SYS_ADMIN", "enters other network namespaces: their settings and what exists there, " +
		"and demo, which makes one"},
	{capNetAdmin, "CAP_NET_ADMIN", "sets up the network of demo"},
	{capSysPtrace, "CAP_SYS_PTRACE", "with CAP_DAC_READ_SEARCH sees the open files of others: who listened " +
		"before tracing began, and here file-descriptors and reserved-ports"},
	{capDACReadSearch, "CAP_DAC_READ_SEARCH", "with CAP_SYS_PTRACE, as there"},
	{capSysResource, "CAP_SYS_RESOURCE", "on Linux 5.10 raises the limit of locked memory, which BPF maps " +
		"count against"},
}

// privileges says what each capability that is missing would be for.
func (in *Input) privileges() Check {
	const code = "privileges"
	f := in.Capabilities
	source := f.Path + " (CapEff); capabilities(7)"
	if err := errorOf(f); err != nil {
		return unknown(code, source, err)
	}
	var missing, about []string
	for _, c := range capabilities {
		if f.Value&(1<<c.bit) == 0 && !stands(f.Value, c.bit) && in.uses(c.bit) {
			missing = append(missing, c.name)
			about = append(about, c.name+" "+c.buys)
		}
	}
	if len(missing) == 0 {
		c := check(code, "all that any verb uses", source)
		c.say("Nothing is lacking.")
		return c
	}
	c := check(code, "without "+strings.Join(missing, ", "), source)
	c.raise(Info, "Lacking here: %s. Run as root (sudo tcpstate …), or grant it once (sudo setcap %s=ep tcpstate).",
		strings.Join(about, "; "), strings.ToLower(strings.Join(missing, ",")))
	return c
}

// uses says whether the kernel asks for a capability at all. Linux 5.11 counts maps against cgroups instead.
func (in *Input) uses(bit uint) bool {
	var major, minor int
	n, _ := fmt.Sscanf(in.Kernel, "%d.%d", &major, &minor) // what is no version counts as old
	return bit != capSysResource || n < 2 || major < 5 || major == 5 && minor < 11
}

// stands says whether CAP_SYS_ADMIN or CAP_DAC_OVERRIDE does for another one.
func stands(effective uint64, bit uint) bool {
	switch bit {
	case capBPF, capPerfmon:
		return effective&(1<<capSysAdmin) != 0
	case capDACReadSearch:
		return effective&(1<<capDACOverride) != 0
	}
	return false
}
