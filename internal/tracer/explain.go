package tracer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// LoadError is why tracing cannot start, with what to do about it.
type LoadError struct {
	Err  error
	Hint string // one sentence; "" when nothing better is known than Err
	// Missing are the capabilities that this process lacks.
	Missing []string
	// VerifierLog is the kernel's whole reasoning, many lines, when it refused the program.
	VerifierLog string
}

// Error begins with what to do; what the kernel said follows, unless it would mislead: it does not say which capability
// is missing.
func (e *LoadError) Error() string {
	switch {
	case e.Hint == "":
		return e.Err.Error()
	case len(e.Missing) > 0:
		return e.Hint
	default:
		return e.Hint + " (" + e.Err.Error() + ")"
	}
}

func (e *LoadError) Unwrap() error { return e.Err }

func explain(err error) error {
	f := factsOfHost()
	le := &LoadError{Err: err, Missing: f.missing, Hint: hint(err, f)}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		le.VerifierLog = fmt.Sprintf("%+v", ve)
	}
	return le
}

// facts are what can keep a host from tracing.
type facts struct {
	missing      []string // capabilities
	major, minor int      // of the kernel
	btf          bool
	lockdown     string
}

func factsOfHost() facts {
	f := facts{missing: missingCapabilities(), lockdown: lockdown()}
	f.major, f.minor = kernelVersion()
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	f.btf = err == nil
	return f
}

// hint names the likeliest reason, commonest first, and what to do.
func hint(err error, f facts) string {
	switch {
	case f.major < 5 || f.major == 5 && f.minor < 10:
		return fmt.Sprintf("tracing needs Linux 5.10 or later; this is %d.%d", f.major, f.minor)
	case !f.btf:
		return "this kernel has no BTF type information (/sys/kernel/btf/vmlinux): tracing needs a kernel with " +
			"CONFIG_DEBUG_INFO_BTF=y, as distributions ship it"
	case len(f.missing) > 0:
		return "loading and attaching the BPF program needs " + strings.Join(f.missing, " and ") +
			": run it as root (sudo tcpstate …), or grant it once (sudo setcap cap_bpf,cap_perfmon=ep tcpstate)"
	case errors.Is(err, unix.EPERM) && f.lockdown != "" && f.lockdown != "none":
		return "the kernel is locked down (" + f.lockdown + ") and refuses the BPF program"
	case errors.Is(err, unix.EPERM):
		return "the kernel refuses BPF although the capabilities are there: a container's seccomp profile or a security " +
			"module may forbid bpf(2)"
	case errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.E2BIG):
		return "there is not enough memory for the maps: try a smaller --ring or --sockets"
	}
	return ""
}

// missingCapabilities returns those of CAP_BPF and CAP_PERFMON that this process lacks; CAP_SYS_ADMIN stands for both.
func missingCapabilities() []string {
	effective, err := effectiveCapabilities()
	if err != nil || effective&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return nil
	}
	var missing []string
	if effective&(1<<unix.CAP_BPF) == 0 {
		missing = append(missing, "CAP_BPF")
	}
	if effective&(1<<unix.CAP_PERFMON) == 0 {
		missing = append(missing, "CAP_PERFMON")
	}
	return missing
}

func effectiveCapabilities() (uint64, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseUint(strings.TrimSpace(line), 16, 64)
}

func kernelVersion() (major, minor int) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0
	}
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major, minor
}

// lockdown returns the kernel's lockdown mode, "" when it has none or does not say.
func lockdown() string {
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}
