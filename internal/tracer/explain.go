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
	// VerifierLog is the kernel's whole reasoning, many lines, when it refused the program.
	VerifierLog string
}

func (e *LoadError) Error() string {
	if e.Hint == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + ": " + e.Hint
}

func (e *LoadError) Unwrap() error { return e.Err }

func explain(err error) error {
	le := &LoadError{Err: err}
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		le.VerifierLog = fmt.Sprintf("%+v", ve)
	}
	le.Hint = hint(err)
	return le
}

// hint names the likeliest reason, commonest first.
func hint(err error) string {
	if missing := missingCapabilities(); len(missing) > 0 {
		return "tracing needs " + strings.Join(missing, " and ") + ": run it as root (sudo tcpstate …), or grant them " +
			"(sudo setcap cap_bpf,cap_perfmon=ep tcpstate)"
	}
	if major, minor := kernelVersion(); major < 5 || major == 5 && minor < 10 {
		return fmt.Sprintf("tracing needs Linux 5.10 or later; this is %d.%d", major, minor)
	}
	if _, statErr := os.Stat("/sys/kernel/btf/vmlinux"); statErr != nil {
		return "this kernel has no BTF type information (/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF=y, which " +
			"distribution kernels have"
	}
	if errors.Is(err, unix.EPERM) {
		if mode := lockdown(); mode != "" && mode != "none" {
			return "the kernel is locked down (" + mode + "), which refuses BPF"
		}
		return "the kernel refuses BPF although the capabilities are there: a container's seccomp profile or a security " +
			"module may forbid bpf(2)"
	}
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.E2BIG) {
		return "not enough memory for the maps: try a smaller --ring or --sockets"
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
