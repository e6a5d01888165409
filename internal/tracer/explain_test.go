package tracer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHint(t *testing.T) {
	good := facts{major: 6, minor: 1, btf: true, lockdown: "none"}
	with := func(change func(*facts)) facts {
		f := good
		change(&f)
		return f
	}
	eperm := fmt.Errorf("load program: %w", unix.EPERM)
	for _, c := range []struct {
		name  string
		err   error
		facts facts
		want  string // part of the hint; "" for none
	}{
		{"a kernel that is too old", eperm, with(func(f *facts) { f.major, f.minor = 5, 4 }), "needs Linux 5.10 or later; this is 5.4"},
		{"a kernel of another age", eperm, with(func(f *facts) { f.major, f.minor = 4, 19 }), "this is 4.19"},
		{"a kernel without BTF", errors.New("no BTF"), with(func(f *facts) { f.btf = false }), "CONFIG_DEBUG_INFO_BTF=y"},
		{"no capability at all", eperm, with(func(f *facts) { f.missing = []string{"CAP_BPF", "CAP_PERFMON"} }), "needs CAP_BPF and CAP_PERFMON"},
		{"one capability is missing", eperm, with(func(f *facts) { f.missing = []string{"CAP_PERFMON"} }), "needs CAP_PERFMON:"},
		{"a kernel in lockdown", eperm, with(func(f *facts) { f.lockdown = "confidentiality" }), "locked down (confidentiality)"},
		{"refused for no visible reason", eperm, good, "seccomp"},
		{"no memory for the maps", fmt.Errorf("create map: %w", unix.ENOMEM), good, "--sockets"},
		{"something else", errors.New("something else"), good, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hint(c.err, c.facts)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("hint %q, want %q in it", got, c.want)
			}
			le := &LoadError{Err: c.err, Hint: got, Missing: c.facts.missing}
			if !errors.Is(le, c.err) || !strings.HasPrefix(le.Error(), got) {
				t.Errorf("error %q of %q", le, c.err)
			}
		})
	}
}
