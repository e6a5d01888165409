package testnet

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// MustTrace is the environment variable that turns a missing privilege from a skip into a failure. CI sets it.
const MustTrace = "TCPSTATE_MUST_TRACE"

// RequireTracing skips the test unless programs can be loaded and namespaces made here: root and the kernel's BTF.
// With [MustTrace] set it fails instead.
func RequireTracing(tb testing.TB) {
	tb.Helper()
	why := missingPrivilege()
	if why == "" {
		return
	}
	if os.Getenv(MustTrace) != "" {
		tb.Fatalf("cannot trace, and %s is set: %s", MustTrace, why)
	}
	tb.Skipf("cannot trace: %s", why)
}

func missingPrivilege() string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return "kernel without BTF: " + err.Error()
	}
	return ""
}

// RequireKernel skips the test on kernels older than version ("6.1"), which lack what.
func RequireKernel(tb testing.TB, version, what string) {
	tb.Helper()
	if !KernelAtLeast(version) {
		Lacks(tb, what, fmt.Errorf("needs Linux %s, this is %s", version, release()))
	}
}

// Lacks skips the test because this kernel, as built and configured, has no what. It is the only skip that CI permits,
// and its words always begin with "kernel lacks", so that a log can be searched for them.
func Lacks(tb testing.TB, what string, why error) {
	tb.Helper()
	tb.Skipf("kernel lacks %s: %v", what, why)
}

// KernelAtLeast says whether the running kernel is version ("6.1") or later, by uname.
func KernelAtLeast(version string) bool {
	return !versionLess(release(), version)
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "0.0"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func versionLess(a, b string) bool {
	am, an := majorMinor(a)
	bm, bn := majorMinor(b)
	return am < bm || am == bm && an < bn
}

func majorMinor(s string) (major, minor int) {
	// What does not parse stays 0, which is older than any kernel asked for.
	_, _ = fmt.Sscanf(strings.TrimSpace(s), "%d.%d", &major, &minor)
	return major, minor
}
