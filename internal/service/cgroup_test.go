package service

import (
	"strings"
	"testing"
)

const (
	id64  = "2403ccfe427f1dc7b6120dccb9ac58c2f8456950380d587a9f33ea7f00dd303d"
	id64b = "db622e6f7b16079db56fd7814031f7e8fc78b3050c24fe2fc431beeebbeb1c8e"
	uid   = "2fc932ce-fdcc-454b-97bd-aadfdeb4c340"
	uid_  = "2fc932ce_fdcc_454b_97bd_aadfdeb4c340"
	hash  = "1d0ad2f1b9a94c32a7e8d5c6b7a89012"
)

func TestParseCgroup(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		want       placement
	}{
		{"the root names nothing", "/", placement{}},
		{"an empty path names nothing", "", placement{}},
		{"a system service", "/system.slice/nginx.service", placement{unit: "nginx.service"}},
		{"an instance of a template with escapes", `/system.slice/system-postgresql.slice/postgresql@15-main\x2dtest.service`,
			placement{unit: `postgresql@15-main\x2dtest.service`}},
		{"a session of a user", "/user.slice/user-1000.slice/session-3.scope", placement{unit: "session-3.scope"}},
		{"a service of a user's manager", "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
			placement{unit: "foo.service"}},
		{"a user's manager itself", "/user.slice/user-1000.slice/user@1000.service/init.scope", placement{unit: "init.scope"}},
		{"a directory below a service", "/system.slice/containerd.service/supervised/x", placement{unit: "containerd.service"}},
		{"init", "/init.scope", placement{unit: "init.scope"}},
		{"a slice alone is no unit with processes", "/system.slice", placement{}},
		{"a bare suffix is no unit", "/system.slice/.service", placement{}},
		{"a unit whose name systemd had to escape", "/system.slice/_cgroup.procs.service", placement{unit: "cgroup.procs.service"}},
		{"another cgroup namespace's relative path", "/../../system.slice/nginx.service", placement{unit: "nginx.service"}},

		{"Docker, systemd driver", "/system.slice/docker-" + id64 + ".scope", placement{container: id64}},
		{"Docker, cgroupfs driver", "/docker/" + id64, placement{container: id64}},
		{"Docker, cgroupfs driver under a slice", "/docker.slice/" + id64, placement{container: id64}},
		{"Docker, an old Debian without a parent", "/" + id64, placement{container: id64}},
		{"Docker, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id64 + ".scope",
			placement{unit: "user@1000.service", container: id64}},
		{"Docker in Docker: the inner one", "/docker/" + id64 + "/docker/" + id64b, placement{container: id64b}},
		{"systemd inside Docker", "/docker/" + id64 + "/system.slice/nginx.service",
			placement{unit: "nginx.service", container: id64}},
		{"BuildKit", "/system.slice/docker.service/docker/buildkit/xq2nw7f4m1z0o8k5t3y6u9i2p",
			placement{unit: "docker.service", container: "xq2nw7f4m1z0o8k5t3y6u9i2p"}},
		{"GitHub's runner", "/actions_job/" + id64, placement{container: id64}},
		{"nerdctl, cgroupfs driver", "/default/" + id64, placement{container: id64}},
		{"nerdctl, systemd driver", "/system.slice/nerdctl-" + id64 + ".scope", placement{container: id64}},

		{"podman as root", "/machine.slice/libpod-" + id64 + ".scope", placement{container: id64}},
		{"podman with a payload directory", "/machine.slice/libpod-" + id64 + ".scope/container", placement{container: id64}},
		{"podman rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id64 + ".scope/container",
			placement{unit: "user@1000.service", container: id64}},
		{"podman, cgroupfs driver", "/libpod_parent/libpod-" + id64, placement{container: id64}},
		{"podman split inside a unit (quadlet)", "/system.slice/web.service/libpod-payload-" + id64,
			placement{unit: "web.service", container: id64}},
		{"podman's pod slice is no container by itself", "/machine.slice/machine-libpod_pod_" + id64b + ".slice/libpod-" + id64 + ".scope",
			placement{container: id64}},
		{"conmon runs on the host", "/machine.slice/libpod-conmon-" + id64 + ".scope",
			placement{unit: "libpod-conmon-" + id64 + ".scope"}},
		{"CRI-O's conmon runs on the host", "/system.slice/crio-conmon-" + id64 + ".scope",
			placement{unit: "crio-conmon-" + id64 + ".scope"}},

		{"Kubernetes, cgroupfs driver, burstable", "/kubepods/burstable/pod" + uid + "/" + id64, placement{pod: uid, container: id64}},
		{"Kubernetes, cgroupfs driver, guaranteed", "/kubepods/pod" + uid + "/" + id64, placement{pod: uid, container: id64}},
		{"Kubernetes, static pod", "/kubepods/burstable/pod" + hash + "/" + id64, placement{pod: hash, container: id64}},
		{"Kubernetes, CRI-O with cgroupfs", "/kubepods/besteffort/pod" + uid + "/crio-" + id64, placement{pod: uid, container: id64}},
		{"Kubernetes, containerd with systemd",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + id64 + ".scope",
			placement{pod: uid, container: id64}},
		{"Kubernetes, guaranteed pod with systemd",
			"/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + id64 + ".scope", placement{pod: uid, container: id64}},
		{"Kubernetes, CRI-O with systemd",
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/crio-" + id64 + ".scope/container",
			placement{pod: uid, container: id64}},
		{"Kubernetes, dockershim",
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/docker-" + id64 + ".scope",
			placement{pod: uid, container: id64}},
		{"Kubernetes, static pod with systemd",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hash + ".slice/cri-containerd-" + id64 + ".scope",
			placement{pod: hash, container: id64}},
		{"Kubernetes, kubelet with a cgroup root of its own",
			"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uid_ +
				".slice/cri-containerd-" + id64 + ".scope", placement{pod: uid, container: id64}},
		{"Kubernetes in Docker (kind): pod and container are the inner ones",
			"/docker/" + id64b + "/kubelet/kubepods/burstable/pod" + uid + "/" + id64, placement{pod: uid, container: id64}},
		{"Kubernetes, containerd without SystemdCgroup: three names in one",
			"/system.slice/containerd.service/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + id64,
			placement{unit: "containerd.service", pod: uid, container: id64}},
		{"a process of a pod outside any container", "/kubepods/burstable/pod" + uid, placement{pod: uid}},

		{"LXC, cgroup v1", "/lxc/web", placement{container: "web"}},
		{"LXC, Proxmox", "/lxc/100/ns/system.slice/nginx.service", placement{unit: "nginx.service", container: "100"}},
		{"LXC, cgroup v2", "/lxc.payload.web/system.slice/nginx.service", placement{unit: "nginx.service", container: "web"}},
		{"LXC 4.0", "/lxc.payload/web", placement{container: "web"}},
		{"LXC's monitor runs on the host", "/lxc.monitor.web", placement{}},

		{"ECS on EC2", "/ecs/8f67bd8c-1b4e-4e4c-a0c1-2b4d1d5c6a7e/" + id64, placement{container: id64}},
		{"ECS with systemd", "/ecstasks.slice/ecstasks-" + hash + ".slice/docker-" + id64 + ".scope", placement{container: id64}},
		{"ECS on Fargate", "/ecs/" + hash + "/" + hash + "-3054012820", placement{container: hash + "-3054012820"}},
		{"Garden", "/garden/6f265890-5165-7fab-6b52-18d1", placement{container: "6f265890-5165-7fab-6b52-18d1"}},
		{"Garden under its unit", "/system.slice/garden.service/garden/70eb4ce5-a065-4401-6990-88ed",
			placement{unit: "garden.service", container: "70eb4ce5-a065-4401-6990-88ed"}},

		{"63 hex digits are no container", "/docker/" + id64[1:], placement{}},
		{"65 hex digits are no container", "/docker/a" + id64, placement{}},
		{"64 digits that are not hex are no container", "/docker/" + strings.Repeat("z", 64), placement{}},
		{"32 hex digits without more are no container", "/process_api/" + hash, placement{}},
		{"a service may end in a long number", "/system.slice/job-" + id64 + ".service", placement{unit: "job-" + id64 + ".service"}},
		{"pod is part of many words", "/system.slice/tripod.service", placement{unit: "tripod.service"}},
		{"a service called like a pod", "/system.slice/my-podcast.slice/x.service", placement{unit: "x.service"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := parseCgroup(tc.path); got != tc.want {
				t.Errorf("parseCgroup(%q)\n got %+v\nwant %+v", tc.path, got, tc.want)
			}
		})
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("/kubepods.slice/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + id64)
	f.Add("/lxc.payload./garden//-/pod/.scope/_.service")
	f.Fuzz(func(t *testing.T, path string) {
		p := parseCgroup(path)
		for _, part := range []string{p.unit, p.container} {
			if !strings.Contains(path, part) || strings.Contains(part, "/") {
				t.Errorf("parseCgroup(%q) made up %q", path, part)
			}
		}
		if p.pod != "" && strings.Trim(p.pod, "0123456789abcdef-") != "" {
			t.Errorf("parseCgroup(%q): pod %q is no uid", path, p.pod)
		}
	})
}

func TestChooseCgroup(t *testing.T) {
	for _, tc := range []struct{ name, lines, want string }{
		{"cgroup v2 has one line", "0::/system.slice/nginx.service\n", "/system.slice/nginx.service"},
		{"hybrid: systemd's hierarchy has the unit and v2 is unused",
			"12:memory:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "/system.slice/nginx.service"},
		{"hybrid: both have the unit, v2 is taken",
			"1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service/sub\n", "/system.slice/a.service/sub"},
		{"hybrid: the container is in the v1 lines, v2 says who started it",
			"12:net_cls,net_prio:/docker/" + id64 + "\n1:name=systemd:/docker/" + id64 + "\n0::/system.slice/containerd.service\n",
			"/docker/" + id64},
		{"v1 alone with only a controller", "9:cpu,cpuacct:/docker/" + id64 + "\n1:name=systemd:/\n", "/docker/" + id64},
		{"nothing but a directory of unknown meaning: v2", "4:memory:/process_api/" + hash + "\n0::/\n", "/"},
		{"a removed cgroup", "0::/system.slice/nginx.service (deleted)\n", "/system.slice/nginx.service"},
		{"colons in the path", "0::/kubepods-pod" + uid_ + ".slice:cri-containerd:" + id64 + "\n",
			"/kubepods-pod" + uid_ + ".slice:cri-containerd:" + id64},
		{"no newline at the end", "0::/x.scope", "/x.scope"},
		{"not the format at all", "hello\n\n::\n0:x\n0::relative\n", ""},
		{"an empty file", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := chooseCgroup(tc.lines); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
