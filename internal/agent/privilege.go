package agent

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Capability is one that the agent has a use for.
type Capability struct {
	Value cap.Value
	Name  string
	// For says what for, Without what is missing without it.
	For, Without string
	// Loading: it is needed to load and attach only, as far as the kernel lets it go then.
	Loading bool
}

// Capabilities are all that the agent can make use of.
func Capabilities() []Capability {
	return []Capability{
		{cap.BPF, "CAP_BPF", "load the tracing programs", "nothing can be traced", true},
		{cap.PERFMON, "CAP_PERFMON", "attach them", "nothing can be traced", true},
		{cap.SYS_PTRACE, "CAP_SYS_PTRACE", "look at the processes of other users: which program they are, what they listen on, in which network namespace they live",
			"services are known by their command name only", false},
		{cap.DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read the files of /proc that only their owner may",
			"who listened before tracing began is not known", false},
		{cap.SYS_ADMIN, "CAP_SYS_ADMIN", "read the port range and other settings of other network namespaces (setns)",
			"toward destinations of containers it is not known how many local ports there are", false},
	}
}

// Held is a capability, and whether the process has it.
type Held struct {
	Capability
	Have bool
}

// HeldCapabilities returns what of Capabilities the process has in effect.
func HeldCapabilities() []Held {
	now := cap.GetProc()
	var all []Held
	for _, c := range Capabilities() {
		have, err := now.GetFlag(cap.Effective, c.Value)
		all = append(all, Held{c, err == nil && have})
	}
	return all
}

// Drop gives up all capabilities but those, on all threads, for ever: they are not taken back by running a program either.
func Drop(keep []cap.Value) error {
	now, want := cap.GetProc(), cap.NewSet()
	for _, v := range keep {
		for _, flag := range []cap.Flag{cap.Permitted, cap.Effective} {
			if have, err := now.GetFlag(cap.Permitted, v); err == nil && have {
				if err := want.SetFlag(flag, true, v); err != nil {
					return fmt.Errorf("drop capabilities: %w", err)
				}
			}
		}
	}
	if may, err := now.GetFlag(cap.Effective, cap.SETPCAP); err == nil && may {
		if err := dropBound(want); err != nil {
			return err
		}
	}
	if err := cap.ResetAmbient(); err != nil {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	if err := want.SetProc(); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}

// dropBound takes all others out of the bounding set.
func dropBound(want *cap.Set) error {
	for v := cap.Value(0); v < cap.MaxBits(); v++ {
		kept, err := want.GetFlag(cap.Permitted, v)
		if err == nil && kept {
			continue
		}
		if bound, err := cap.GetBound(v); err != nil || !bound {
			continue
		}
		if err := cap.DropBound(v); err != nil {
			return fmt.Errorf("drop %s from the bounding set: %w", v, err)
		}
	}
	return nil
}

// Without runs try while the capabilities are not in effect, and says whether it worked: what the kernel asks for later
// differs from version to version, and nothing but the attempt tells.
func Without(values []cap.Value, try func() error) (err error) {
	before, fewer := cap.GetProc(), cap.GetProc()
	if err := fewer.SetFlag(cap.Effective, false, values...); err != nil {
		return err
	}
	if err := fewer.SetProc(); err != nil {
		return err
	}
	defer func() {
		if back := before.SetProc(); back != nil && err == nil {
			err = back
		}
	}()
	return try()
}

// Become makes the process another user's, with its groups, and keeps the capabilities that the agent can use.
func Become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("there is no user %q: make one (systemd-sysusers, or useradd --system %s), or name another", name, name)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	if uid == os.Geteuid() {
		return nil
	}
	groups, err := groupsOf(u)
	if err != nil {
		return fmt.Errorf("groups of user %s: %w", name, err)
	}
	had := cap.GetProc()
	// libcap keeps what is permitted over setuid(), not what is in effect.
	if err := cap.SetGroups(gid, groups...); err != nil {
		return fmt.Errorf("become user %s: %w (that takes CAP_SETGID: start it as root, or as that user)", name, err)
	}
	if err := cap.SetUID(uid); err != nil {
		return fmt.Errorf("become user %s: %w (that takes CAP_SETUID: start it as root, or as that user)", name, err)
	}
	want := cap.NewSet()
	// SETPCAP is for the bounding set, SYS_RESOURCE for maps before Linux 5.11: Drop takes them.
	for _, v := range append(values(Capabilities()), cap.SETPCAP, cap.SYS_RESOURCE) {
		if have, err := had.GetFlag(cap.Permitted, v); err == nil && have {
			if err := want.SetFlag(cap.Permitted, true, v); err != nil {
				return err
			}
			if err := want.SetFlag(cap.Effective, true, v); err != nil {
				return err
			}
		}
	}
	if err := want.SetProc(); err != nil {
		return fmt.Errorf("keep capabilities as user %s: %w", name, err)
	}
	return nil
}

func groupsOf(u *user.User) ([]int, error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	var groups []int
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, err
		}
		groups = append(groups, n)
	}
	return groups, nil
}

func values(all []Capability) []cap.Value {
	var v []cap.Value
	for _, c := range all {
		v = append(v, c.Value)
	}
	return v
}
