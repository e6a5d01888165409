package tracer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// syscallHooks are the programs of bpf/syscalls.h, each named like its tracepoint, and what is not seen without them.
var syscallHooks = []struct{ name, unseen string }{
	{"sys_exit_bind", "failures of bind() are not seen"},
	{"sys_exit_connect", "connects that fail for want of a route are not seen"},
}

// attachSyscalls hooks the optional programs as far as they were loaded. It returns a line for each that is absent: why,
// and what is not seen therefore.
func (t *Tracer) attachSyscalls() (absent []string) {
	for _, h := range syscallHooks {
		if err := t.attachSyscall(h.name); err != nil {
			absent = append(absent, fmt.Sprintf("%s: %v: %s", h.name, err, h.unseen))
		}
	}
	return absent
}

func (t *Tracer) attachSyscall(name string) error {
	program := t.programs[name]
	switch {
	case program != nil:
	case lockdown() == "confidentiality":
		return errors.New("the kernel is locked down (confidentiality)")
	case t.syscallsRefused != nil:
		return fmt.Errorf("the kernel refuses the program: %w", t.syscallsRefused)
	default:
		return errors.New("not asked for")
	}
	id, err := syscallEvent(name)
	if err != nil {
		return err
	}
	hook, err := attachToEvent(id, program)
	if err != nil {
		return err
	}
	t.syscallHooks = append(t.syscallHooks, hook)
	return nil
}

// detachSyscalls detaches in the reverse order of attaching.
func (t *Tracer) detachSyscalls() error {
	var errs []error
	for _, h := range slices.Backward(t.syscallHooks) {
		errs = append(errs, h.Close())
	}
	t.syscallHooks = nil
	return errors.Join(errs...)
}

// missedCalls is how many ends of bind() and connect() the kernel did not show to the programs, whatever came of the calls:
// on a CPU on which a map is being read or written by system call, or where a program of this type runs already, none
// is called, which matters where that can be preempted. Kernels before 6.7 do not count it.
func (t *Tracer) missedCalls() (n uint64, err error) {
	for _, h := range syscallHooks {
		p := t.programs[h.name]
		if p == nil {
			continue
		}
		stats, err := p.Stats()
		if err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
			return 0, fmt.Errorf("read program statistics: %w", err)
		}
		if err == nil {
			n += stats.RecursionMisses
		}
	}
	return n, nil
}

// syscallEvent returns the id of tracepoint syscalls:name.
func syscallEvent(name string) (uint64, error) {
	dir, err := openTracefs()
	if err != nil {
		return 0, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, "events/syscalls/"+name+"/id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, errors.New("this kernel has no tracepoints at system calls (CONFIG_FTRACE_SYSCALLS)")
	}
	if err != nil {
		return 0, fmt.Errorf("tracefs cannot be read: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0, fmt.Errorf("tracefs cannot be read: %w", err)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("tracefs: the tracepoint's id: %w", err)
	}
	return id, nil
}

// openTracefs opens the root directory of tracefs: where it is mounted on most hosts, else a mount that has no path,
// changes nothing for anybody, and goes with the descriptor. (/sys/kernel/debug/tracing is no place to look: that mounts
// it, and leaves it so.)
func openTracefs() (int, error) {
	const usual = "/sys/kernel/tracing"
	var fs unix.Statfs_t
	if unix.Statfs(usual, &fs) == nil && fs.Type == unix.TRACEFS_MAGIC {
		if fd, err := unix.Open(usual, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			return fd, nil
		}
	}
	fd, err := mountTracefs()
	if err != nil {
		return -1, fmt.Errorf("tracefs cannot be read: it is not mounted on %s, or not readable there, and a mount of its own is "+
			"refused: %w", usual, err)
	}
	return fd, nil
}

// mountTracefs needs CAP_SYS_ADMIN, and Linux 5.2.
func mountTracefs() (int, error) {
	config, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(config)
	if err := unix.FsconfigCreate(config); err != nil {
		return -1, err
	}
	return unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, 0)
}

// attachToEvent runs program at each occurrence of the event, in whatever process and on whatever CPU: the program is
// the event's (kernel/trace/trace_syscalls.c, perf_syscall_exit), the CPU that one has to name concerns only samples, of
// which there are none. cilium/ebpf does the same, but only where tracefs is mounted. Closing what is returned detaches.
func attachToEvent(id uint64, program *ebpf.Program) (io.Closer, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: id,
		Sample_type: unix.PERF_SAMPLE_RAW, Sample: 1, Wakeup: 1,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open the tracepoint (perf_event_open): %w", err)
	}
	event := os.NewFile(uintptr(fd), "perf event")
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, program.FD()); err != nil {
		return nil, errors.Join(fmt.Errorf("attach to the tracepoint: %w", err), event.Close())
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("enable the tracepoint: %w", err), event.Close())
	}
	return event, nil
}
