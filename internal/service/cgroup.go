package service

import "strings"

// placement is what a cgroup path names.
type placement struct {
	unit, container, pod string
}

// parseCgroup reads a cgroup path. The innermost of each thing counts: a container may hold an init of its own with
// units of its own, and a Kubernetes node may itself be a container.
func parseCgroup(path string) placement {
	var p placement
	parent := ""
	for part := range strings.SplitSeq(path, "/") {
		if uid := podUID(part); uid != "" {
			p.pod = uid
		}
		if id := containerID(parent, part); id != "" {
			p.container = id
		} else if unit := unitName(part); unit != "" {
			p.unit = unit
		}
		parent = part
	}
	return p
}

// unitName returns the systemd unit that a directory stands for: a service or a scope. Slices only group units.
func unitName(part string) string {
	for _, suffix := range [...]string{".service", ".scope"} {
		if len(part) > len(suffix) && strings.HasSuffix(part, suffix) {
			// systemd puts "_" before names that a kernel file could have (cg_escape).
			return strings.TrimPrefix(part, "_")
		}
	}
	return ""
}

// containerID returns the container that a directory stands for.
func containerID(parent, part string) string {
	switch {
	case parent == "lxc", parent == "lxc.payload", parent == "buildkit":
		return part
	case strings.HasPrefix(part, "lxc.payload."):
		return strings.TrimPrefix(part, "lxc.payload.")
	case parent == "garden" && isDashedHex(part): // Cloud Foundry
		return part
	case isFargateID(part):
		return part
	}
	return longID(part)
}

// longID returns the 64 hex digits at the end of a container's directory, which every runtime that follows Docker has:
// ID (cgroupfs driver), docker-ID.scope, cri-containerd-ID.scope, crio-ID, libpod-ID.scope, libpod-payload-ID, and
// …pod….slice:cri-containerd:ID. The scope of conmon holds the monitor, which runs on the host.
func longID(part string) string {
	const digits = 64
	name := strings.TrimSuffix(part, ".scope")
	if len(name) < digits {
		return ""
	}
	prefix, id := name[:len(name)-digits], name[len(name)-digits:]
	if !isHex(id) || strings.HasSuffix(prefix, "conmon-") {
		return ""
	}
	if prefix != "" && prefix[len(prefix)-1] != '-' && prefix[len(prefix)-1] != ':' {
		return ""
	}
	return id
}

// isFargateID reports whether s is TASK-NUMBER, the id of a container in AWS Fargate: 32 hex digits and a decimal.
func isFargateID(s string) bool {
	task, number, ok := strings.Cut(s, "-")
	return ok && len(task) == 32 && isHex(task) && number != "" && strings.Trim(number, "0123456789") == ""
}

// podUID returns the uid of the pod that a directory stands for: podUID with the cgroupfs driver, …-podUID.slice with
// systemd's, where "-" is written "_". A static pod's uid is a hash without dashes.
func podUID(part string) string {
	part, _, _ = strings.Cut(part, ":")
	part = strings.TrimSuffix(part, ".slice")
	i := strings.LastIndex(part, "pod")
	if i < 0 || (i > 0 && part[i-1] != '-') {
		return ""
	}
	uid := strings.ReplaceAll(part[i+len("pod"):], "_", "-")
	if len(uid) == 32 && isHex(uid) {
		return uid
	}
	if len(uid) == 36 && isDashedHex(uid) && strings.Count(uid, "-") == 4 {
		return uid
	}
	return ""
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// isDashedHex reports whether s is groups of hex digits with dashes between, as in a UUID.
func isDashedHex(s string) bool {
	if !strings.Contains(s, "-") {
		return false
	}
	for group := range strings.SplitSeq(s, "-") {
		if !isHex(group) {
			return false
		}
	}
	return true
}
