package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// host is a made-up /proc and cgroup tree.
type host struct {
	t            *testing.T
	proc, cgroup string
}

func newHost(t *testing.T) *host {
	t.Helper()
	return &host{t: t, proc: t.TempDir(), cgroup: t.TempDir()}
}

func (h *host) resolver() *Resolver {
	return NewResolver(Options{ProcRoot: h.proc, CgroupRoot: h.cgroup})
}

// run makes a process.
func (h *host) run(pid uint32, comm, exe, cgroup string) {
	h.t.Helper()
	dir := filepath.Join(h.proc, strconv.Itoa(int(pid)))
	h.must(os.Mkdir(dir, 0o755))
	h.must(os.WriteFile(filepath.Join(dir, "comm"), []byte(comm+"\n"), 0o644))
	h.must(os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o644))
	if exe != "" {
		h.must(os.Symlink(exe, filepath.Join(dir, "exe")))
	}
}

// mkdir makes a cgroup and returns its id.
func (h *host) mkdir(path string) uint64 {
	h.t.Helper()
	dir := filepath.Join(h.cgroup, path)
	h.must(os.MkdirAll(dir, 0o755))
	info, err := os.Stat(dir)
	h.must(err)
	return info.Sys().(*syscall.Stat_t).Ino
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func owner(pid uint32, cgroup uint64, comm string) *event.Owner {
	o := &event.Owner{PID: pid, CgroupID: cgroup, Basis: event.OwnerConnect}
	copy(o.Comm[:15], comm)
	return o
}

// facts are a service without its memory.
type facts struct {
	Name, Kind, Comm, Exe, Unit, ContainerID, Pod, Cgroup string
	PID                                                   uint32
	Processes                                             int
}

func factsOf(s *Service) facts {
	return facts{s.Name, s.Kind, s.Comm, s.Exe, s.Unit, s.ContainerID, s.Pod, s.Cgroup, s.PID, s.Processes}
}

func TestSee(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(*host)
		owner *event.Owner
		want  facts
	}{
		{
			"a plain process",
			func(h *host) { h.run(812, "pgbench", "/usr/bin/pgbench", "0::/\n") },
			owner(812, 1, "pgbench"),
			facts{Name: "pgbench", Kind: "process", PID: 812, Processes: 1, Comm: "pgbench", Exe: "/usr/bin/pgbench", Cgroup: "/"},
		},
		{
			"a service keeps the program's name",
			func(h *host) { h.run(7, "nginx", "/usr/sbin/nginx", "0::/system.slice/web.service\n") },
			owner(7, 20, "nginx"),
			facts{Name: "nginx", Kind: "unit", PID: 7, Processes: 1, Comm: "nginx", Exe: "/usr/sbin/nginx",
				Unit: "web.service", Cgroup: "/system.slice/web.service"},
		},
		{
			"a pod",
			func(h *host) { h.run(7, "java", "/opt/java", "0::/kubepods/burstable/pod"+uid+"/"+id64+"\n") },
			owner(7, 20, "java"),
			facts{Name: "java", Kind: "pod", PID: 7, Processes: 1, Comm: "java", Exe: "/opt/java", ContainerID: id64, Pod: uid,
				Cgroup: "/kubepods/burstable/pod" + uid + "/" + id64},
		},
		{
			"a process that is gone keeps what the kernel said",
			func(*host) {},
			owner(99, 20, "curl"),
			facts{Name: "curl", Kind: "process", PID: 99, Processes: 1, Comm: "curl"},
		},
		{
			"a pid that is another program by now tells nothing",
			func(h *host) { h.run(99, "sshd", "/usr/sbin/sshd", "0::/system.slice/ssh.service\n") },
			owner(99, 20, "curl"),
			facts{Name: "curl", Kind: "process", PID: 99, Processes: 1, Comm: "curl"},
		},
		{
			"a program that was replaced on disk",
			func(h *host) { h.run(7, "nginx", "/usr/sbin/nginx (deleted)", "0::/\n") },
			owner(7, 1, "nginx"),
			facts{Name: "nginx", Kind: "process", PID: 7, Processes: 1, Comm: "nginx", Exe: "/usr/sbin/nginx", Cgroup: "/"},
		},
		{
			"a process whose exe may not be read has a unit all the same",
			func(h *host) { h.run(7, "nginx", "", "0::/system.slice/web.service\n") },
			owner(7, 20, "nginx"),
			facts{Name: "nginx", Kind: "unit", PID: 7, Processes: 1, Comm: "nginx", Unit: "web.service", Cgroup: "/system.slice/web.service"},
		},
		{
			"a process without a name is called by its program",
			func(h *host) { h.run(7, "", "/usr/bin/nameless", "0::/\n") },
			owner(7, 1, ""),
			facts{Name: "nameless", Kind: "process", PID: 7, Processes: 1, Exe: "/usr/bin/nameless", Cgroup: "/"},
		},
		{
			"nobody known",
			func(*host) {},
			&event.Owner{},
			facts{Name: "unknown", Kind: "unknown"},
		},
		{
			"hostile names come out escaped",
			func(h *host) {
				h.run(7, "\x1b[2Jsh\nx\xff", "/tmp/\x1b]0;owned\a\n\u202ecod (deleted)", "0::/x/\x1b[31mevil\xfe.service\n")
			},
			owner(7, 20, "\x1b[2Jsh\nx\xff"),
			facts{Name: `\x1b[2Jsh\nx\xff`, Kind: "unit", PID: 7, Processes: 1, Comm: `\x1b[2Jsh\nx\xff`,
				Exe: `/tmp/\x1b]0;owned\a\n\u202ecod`, Unit: `\x1b[31mevil\xfe.service`, Cgroup: `/x/\x1b[31mevil\xfe.service`},
		},
		{
			"files of another format tell nothing",
			func(h *host) { h.run(7, "x", "/x", "garbage\x00\n:::\n") },
			owner(7, 20, "x"),
			facts{Name: "x", Kind: "process", PID: 7, Processes: 1, Comm: "x", Exe: "/x"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			tc.setup(h)
			s := h.resolver().See(tc.owner)
			if got := factsOf(s); got != tc.want {
				t.Errorf("\n got %+v\nwant %+v", got, tc.want)
			}
			if s.CgroupID != tc.owner.CgroupID {
				t.Errorf("cgroup id %d, want %d", s.CgroupID, tc.owner.CgroupID)
			}
		})
	}
}

func TestLongPathsAreCut(t *testing.T) {
	h := newHost(t)
	exe := "/" + strings.Repeat("\xffé", 1300)
	h.run(7, "x", exe, "0::/"+strings.Repeat("\x1b/", 2000)+"deep.service\n")
	s := h.resolver().See(owner(7, 20, "x"))
	for what, got := range map[string]string{"exe": s.Exe, "cgroup": s.Cgroup} {
		if len(got) > maxText+len("…") || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
			t.Errorf("%s has %d bytes: %q", what, len(got), got)
		}
	}
	if s.Unit != "deep.service" {
		t.Errorf("unit %q is taken from the path that was cut", s.Unit)
	}
}

func TestOneShotProcessesAreOneService(t *testing.T) {
	h := newHost(t)
	r := h.resolver()
	const runs = 3000
	var first *Service
	for pid := uint32(1); pid <= runs; pid++ {
		s := r.See(owner(pid, 20, "curl"))
		if first == nil {
			first = s
		}
		if s != first {
			t.Fatalf("pid %d is another service", pid)
		}
	}
	if first.PID != runs || first.Processes != maxPids || !first.ProcessesMore {
		t.Errorf("pid %d, processes %d, more %v", first.PID, first.Processes, first.ProcessesMore)
	}
	if e := r.entries[owner(1, 20, "curl").Identity()]; e.looks != 12 { // pids 1, 2, 4 … 2048
		t.Errorf("looked %d times for %d processes that were gone", e.looks, runs)
	}
	if !first.MayHavePID(1) || !first.MayHavePID(runs+1) {
		t.Error("beyond the bound every pid is possible")
	}
}

func TestSeeRetriesUntilExeIsKnown(t *testing.T) {
	h := newHost(t)
	r := h.resolver()
	s := r.See(owner(1, 20, "curl")) // gone already
	h.run(2, "curl", "/usr/bin/curl", "0::/system.slice/cron.service\n")
	r.See(owner(2, 20, "curl"))
	if s.Exe != "/usr/bin/curl" || s.Unit != "cron.service" || s.Kind != KindUnit || s.Processes != 2 {
		t.Fatalf("after the second process: %+v", factsOf(s))
	}
	h.run(4, "curl", "/tmp/curl", "0::/other.service\n")
	for pid := uint32(3); pid < 20; pid++ {
		r.See(owner(pid, 20, "curl"))
	}
	if e := r.entries[owner(1, 20, "curl").Identity()]; s.Exe != "/usr/bin/curl" || e.looks != 2 {
		t.Errorf("exe %q after %d looks: files were read although all was known", s.Exe, e.looks)
	}
}

func TestServicesWithOneNameAreToldApartByCgroup(t *testing.T) {
	h := newHost(t)
	h.run(1, "java", "/opt/java", "0::/a.service\n")
	h.run(2, "java", "/opt/java", "0::/b.service\n")
	r := h.resolver()
	a, b := r.See(owner(1, 20, "java")), r.See(owner(2, 21, "java"))
	if a == b || a.Unit != "a.service" || b.Unit != "b.service" {
		t.Errorf("got %+v and %+v", factsOf(a), factsOf(b))
	}
}

func TestPIDIsTheNewest(t *testing.T) {
	r := newHost(t).resolver()
	for _, pid := range []uint32{5, 6, 5, 0} {
		r.See(owner(pid, 20, "nginx"))
	}
	s := r.See(owner(0, 20, "nginx"))
	if s.PID != 5 || s.Processes != 2 || s.ProcessesMore {
		t.Errorf("pid %d, processes %d, more %v; want 5, 2, false", s.PID, s.Processes, s.ProcessesMore)
	}
	if !s.MayHavePID(6) || s.MayHavePID(7) {
		t.Error("pids 5 and 6 were seen, 7 was not")
	}
}

func TestServicesAreBounded(t *testing.T) {
	h := newHost(t)
	r := NewResolver(Options{ProcRoot: h.proc, CgroupRoot: h.cgroup, Max: 2})
	a := r.See(owner(1, 20, "a"))
	r.See(owner(2, 20, "b"))
	if r.Refused() != 0 {
		t.Fatalf("refused %d within the bound", r.Refused())
	}
	c := r.See(owner(3, 20, "c"))
	if got, want := factsOf(c), (facts{Name: "c", Kind: "process", Comm: "c", PID: 3, Processes: 1}); got != want {
		t.Errorf("beyond the bound: got %+v, want %+v", got, want)
	}
	if r.See(owner(1, 20, "a")) != a || len(r.entries) != 2 || r.Refused() != 1 {
		t.Errorf("%d entries, %d refused", len(r.entries), r.Refused())
	}
	if s := r.Service(owner(4, 20, "d")); s.Name != "d" || len(r.entries) != 2 {
		t.Errorf("Service beyond the bound: %+v, %d entries", factsOf(s), len(r.entries))
	}
}

func TestServiceFindsTheCgroupOfAProcessThatIsGone(t *testing.T) {
	h := newHost(t)
	id := h.mkdir("system.slice/batch.service")
	r := h.resolver()
	o := owner(9, id, "batch")
	if s := r.See(o); s.Cgroup != "" {
		t.Fatalf("See walked the cgroup tree: %+v", factsOf(s))
	}
	want := facts{Name: "batch", Kind: "unit", Comm: "batch", PID: 9, Processes: 1, Unit: "batch.service",
		Cgroup: "/system.slice/batch.service"}
	if got := factsOf(r.Service(o)); got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestServiceKnownByCgroupOnly(t *testing.T) {
	h := newHost(t)
	unit, container := h.mkdir("system.slice/batch.service"), h.mkdir("docker/"+id64)
	r := h.resolver()
	for id, want := range map[uint64]facts{
		unit:      {Name: "batch.service", Kind: "unit", Unit: "batch.service", Cgroup: "/system.slice/batch.service"},
		container: {Name: id64, Kind: "container", ContainerID: id64, Cgroup: "/docker/" + id64},
		1 << 60:   {Name: "unknown", Kind: "unknown"},
	} {
		if got := factsOf(r.Service(&event.Owner{CgroupID: id, Basis: event.OwnerCgroup})); got != want {
			t.Errorf("cgroup %d:\n got %+v\nwant %+v", id, got, want)
		}
	}
}

func TestTheCgroupTreeIsWalkedAtMostOnceASecond(t *testing.T) {
	h := newHost(t)
	r := h.resolver()
	now := time.Unix(1000, 0)
	r.cgroups.now = func() time.Time { return now }
	r.Service(owner(1, 1<<60, "a"))
	id := h.mkdir("late.service") // after the walk
	if s := r.Service(owner(2, id, "b")); s.Cgroup != "" {
		t.Fatalf("walked twice at one moment: %q", s.Cgroup)
	}
	now = now.Add(walkEvery)
	if s := r.Service(owner(2, id, "b")); s.Unit != "late.service" {
		t.Errorf("a second later: unit %q", s.Unit)
	}
}

func TestWalk(t *testing.T) {
	h := newHost(t)
	h.mkdir("a/b/c")
	h.mkdir("d")
	h.must(os.Symlink(h.cgroup, filepath.Join(h.cgroup, "loop")))
	h.must(os.WriteFile(filepath.Join(h.cgroup, "cgroup.procs"), nil, 0o644))
	if got := walk(h.cgroup, maxCgroups); len(got) != 5 {
		t.Errorf("walk found %v, want the root and 4 directories", got)
	}
	got := walk(h.cgroup, 3)
	paths := make(map[string]bool)
	for _, p := range got {
		paths[p] = true
	}
	if len(got) != 3 || !paths["/a"] || !paths["/d"] {
		t.Errorf("a bounded walk found %v, want the root and what lies directly below", got)
	}
	if got := walk(filepath.Join(h.cgroup, "missing"), 10); len(got) != 0 {
		t.Errorf("walk of nothing found %v", got)
	}
}

func TestUnifiedHierarchyOfAHybridHost(t *testing.T) {
	h := newHost(t)
	h.mkdir("systemd/wrong.service")
	id := h.mkdir("unified/right.service")
	h.must(os.WriteFile(filepath.Join(h.cgroup, "unified", "cgroup.procs"), nil, 0o644))
	if s := h.resolver().Service(owner(1, id, "a")); s.Cgroup != "/right.service" {
		t.Errorf("cgroup %q, want /right.service", s.Cgroup)
	}
}

func TestOfflineLooksNowhere(t *testing.T) {
	h := newHost(t)
	h.run(7, "nginx", "/usr/sbin/nginx", "0::/web.service\n")
	id := h.mkdir("web.service")
	r := NewResolver(Options{ProcRoot: h.proc, CgroupRoot: h.cgroup, Offline: true})
	o := owner(7, id, "nginx")
	r.See(o)
	want := facts{Name: "nginx", Kind: "process", Comm: "nginx", PID: 7, Processes: 1}
	if got := factsOf(r.Service(o)); got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestOwnProcess(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := NewResolver(Options{}).See(owner(uint32(os.Getpid()), 1, strings.TrimSuffix(string(comm), "\n")))
	if s.Exe != exe || !strings.HasPrefix(s.Cgroup, "/") || s.Kind == KindUnknown {
		t.Errorf("got %+v, want exe %q", factsOf(s), exe)
	}
}

// TestRealCgroup asks the kernel for a cgroup by id, which needs root and cgroup v2.
func TestRealCgroup(t *testing.T) {
	c := cgroups{root: "/sys/fs/cgroup", now: time.Now}
	const name = "tcpstate-test.service"
	dir := filepath.Join(c.mount(), fmt.Sprintf("tcpstate-%d", os.Getpid()), name)
	var fs unix.Statfs_t
	if err := unix.Statfs(c.mount(), &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		skipOrFail(t, "no cgroup v2 at "+c.mount())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		skipOrFail(t, err.Error())
	}
	t.Cleanup(func() {
		os.Remove(dir)
		os.Remove(filepath.Dir(dir))
	})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := inode(info)
	path, certain := c.open(id)
	if !certain || path != below(c.mount(), dir) {
		t.Errorf("open(%d) = %q, %v; want %q", id, path, certain, below(c.mount(), dir))
	}
	if got := walk(c.mount(), maxCgroups)[id]; got != path {
		t.Errorf("walk says %q, open %q", got, path)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if path, certain := c.open(id); path != "" || !certain {
		t.Errorf("open of a removed cgroup = %q, %v; want certainly nothing", path, certain)
	}
	if root, err := os.Stat(c.mount()); err != nil {
		t.Error(err)
	} else if path, certain := c.open(inode(root)); path != "/" || !certain {
		t.Errorf("open of the root = %q, %v", path, certain)
	}
}

func skipOrFail(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TCPSTATE_MUST_TRACE") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func TestSeeAllocatesNothing(t *testing.T) {
	h := newHost(t)
	h.run(1, "nginx", "/usr/sbin/nginx", "0::/web.service\n")
	r := h.resolver()
	workers := [2]*event.Owner{owner(1, 20, "nginx"), owner(2, 20, "nginx")}
	r.See(workers[0])
	if n := testing.AllocsPerRun(1000, func() { r.See(workers[0]) }); n != 0 {
		t.Errorf("a known pid: %v allocations", n)
	}
	r.See(workers[1])
	i := 0
	if n := testing.AllocsPerRun(1000, func() { r.See(workers[i&1]); i++ }); n != 0 {
		t.Errorf("workers in turn: %v allocations", n)
	}
	o := *owner(0, 20, "nginx")
	for o.PID = 1; o.PID < 2*maxPids; o.PID++ {
		r.See(&o)
	}
	if n := testing.AllocsPerRun(1000, func() { o.PID++; r.See(&o) }); n != 0 {
		t.Errorf("new pids beyond the bound: %v allocations", n)
	}
}

func BenchmarkSee(b *testing.B) {
	const services = 1000
	r := NewResolver(Options{ProcRoot: b.TempDir(), CgroupRoot: b.TempDir()})
	var owners [services]event.Owner
	for i := range owners {
		owners[i] = *owner(uint32(i+1), uint64(i), "service")
		r.See(&owners[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r.See(&owners[i%services])
		i++
	}
}

// BenchmarkMeet is the cost of a new service: three files of /proc.
func BenchmarkMeet(b *testing.B) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		b.Fatal(err)
	}
	o := owner(uint32(os.Getpid()), 1, strings.TrimSuffix(string(comm), "\n"))
	for b.Loop() {
		if s := NewResolver(Options{}).See(o); s.Exe == "" {
			b.Fatal("nothing found")
		}
	}
}
