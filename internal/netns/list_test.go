package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// procfs is a made-up /proc, beside a directory for mounts.
type procfs struct {
	t            *testing.T
	proc, mounts string
}

func newProcfs(t *testing.T) *procfs {
	t.Helper()
	p := &procfs{t: t, proc: filepath.Join(t.TempDir(), "proc"), mounts: t.TempDir()}
	p.link("1", 1)
	p.link("1/task/1", 1)
	p.must(os.Symlink("1/task/1", filepath.Join(p.proc, "thread-self")))
	p.write(filepath.Join(p.proc, "self/mountinfo"), "21 1 0:19 / / rw - ext4 /dev/vda rw\n")
	return p
}

func (p *procfs) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *procfs) write(path, content string) {
	p.t.Helper()
	p.must(os.MkdirAll(filepath.Dir(path), 0o755))
	p.must(os.WriteFile(path, []byte(content), 0o644))
}

// link makes a process or thread ("7", "7/task/8") in a namespace.
func (p *procfs) link(task string, inode int) {
	p.t.Helper()
	p.must(os.MkdirAll(filepath.Join(p.proc, task, "ns"), 0o755))
	p.must(os.Symlink(fmt.Sprintf("net:[%d]", inode), filepath.Join(p.proc, task, "ns/net")))
}

func (p *procfs) options() Options {
	return Options{ProcRoot: p.proc, Dirs: []string{filepath.Join(p.mounts, "none")}}
}

func (p *procfs) list(o Options) (inodes []uint32, unseen []Unseen) {
	p.t.Helper()
	found, unseen, err := List(o)
	p.must(err)
	for _, n := range found {
		inodes = append(inodes, n.Inode)
	}
	return inodes, unseen
}

func (p *procfs) wantUnseen(got, want []Unseen) {
	p.t.Helper()
	if !slices.Equal(got, want) {
		p.t.Errorf("unseen:\n%v\nwant:\n%v", got, want)
	}
}

func TestEveryNamespaceIsListedOnce(t *testing.T) {
	p := newProcfs(t)
	p.link("7", 70)
	p.link("8", 70)
	p.link("9", 90)
	p.link("9/task/9", 90)
	p.link("9/task/10", 100)                                   // a thread that went elsewhere
	p.must(os.MkdirAll(filepath.Join(p.proc, "11/ns"), 0o755)) // a zombie: no link
	p.link("11/task/12", 120)                                  // whose threads live on
	p.must(os.MkdirAll(filepath.Join(p.proc, "11/task/11/ns"), 0o755))
	p.link("13", 1)
	p.link("13/task/13", 1)
	p.link("irq", 999) // no process
	found, unseen := p.list(p.options())
	if found[0] != 1 {
		t.Errorf("the first is %d, not the own", found[0])
	}
	slices.Sort(found)
	if want := []uint32{1, 70, 90, 100, 120}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	p.wantUnseen(unseen, nil)
}

func TestMountedNamespacesAreListedByTheirMounts(t *testing.T) {
	p := newProcfs(t)
	mounted := filepath.Join(p.mounts, "a namespace")
	p.write(mounted, "")
	var st unix.Stat_t
	p.must(unix.Stat(mounted, &st))
	escaped := strings.ReplaceAll(mounted, " ", `\040`)
	p.link("7", 70)
	p.link("8", int(st.Ino))
	p.write(filepath.Join(p.proc, "self/mountinfo"), "21 1 0:19 / / rw - ext4 /dev/vda rw\n"+
		fmt.Sprintf("22 21 0:4 net:[%d] %s rw shared:5 - nsfs nsfs rw\n", st.Ino, escaped)+
		"23 21 0:4 mnt:[4026532999] /run/mnt rw - nsfs nsfs rw\n"+
		"24 21 0:4 net:[71] "+escaped+" rw - nsfs nsfs rw\n"+ // below the mount of line 22
		"25 21 0:4 net:[72] /nonexistent/\u202Enet rw - nsfs nsfs rw\n"+
		"26 21 0:4 net:[70] /nonexistent rw - nsfs nsfs rw\n"+ // but process 7 lives there
		"27 21\n")
	found, unseen, err := List(p.options())
	p.must(err)
	if len(found) != 3 || found[1] != (Namespace{Inode: uint32(st.Ino), path: mounted}) || found[2].Inode != 70 {
		t.Errorf("found %v, want 1, then %d by its mount, then 70", found, st.Ino)
	}
	p.wantUnseen(unseen, []Unseen{
		{71, "mounted at " + mounted + ", below another mount"},
		{72, `mounted at /nonexistent/\u202enet: no such file or directory`},
	})
}

func TestWhatIsNoMountIsUnseen(t *testing.T) {
	p := newProcfs(t)
	one, two := filepath.Join(p.mounts, "one"), filepath.Join(p.mounts, "two")
	p.write(filepath.Join(one, "blue"), "")
	p.write(filepath.Join(two, "red"), "")
	p.write(filepath.Join(two, "green"), "")
	file := filepath.Join(p.mounts, "file")
	p.write(file, "")
	o := p.options()
	o.Dirs = []string{one, two, filepath.Join(p.mounts, "none"), file}
	_, unseen := p.list(o)
	if len(unseen) != 3 {
		t.Fatalf("unseen: %v", unseen)
	}
	for i, want := range []string{
		one + "/blue is not mounted here, or no network namespace",
		"and 1 more are not mounted here",
		file + ": not a directory",
	} {
		if unseen[i].Inode != 0 || !strings.Contains(unseen[i].Why, want) {
			t.Errorf("%v does not say %q", unseen[i], want)
		}
	}
}

func TestListsThatAreMissing(t *testing.T) {
	t.Run("no processes", func(t *testing.T) {
		if _, _, err := List(Options{ProcRoot: filepath.Join(t.TempDir(), "none")}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("no mounts", func(t *testing.T) {
		p := newProcfs(t)
		p.must(os.Remove(filepath.Join(p.proc, "self/mountinfo")))
		found, unseen := p.list(p.options())
		if len(found) != 1 || len(unseen) != 1 || !strings.Contains(unseen[0].Why, "mountinfo: no such file") {
			t.Errorf("found %v, unseen %v", found, unseen)
		}
	})
	t.Run("other users' processes hidden", func(t *testing.T) {
		p := newProcfs(t)
		p.must(os.RemoveAll(filepath.Join(p.proc, "1")))
		_, unseen := p.list(p.options())
		p.wantUnseen(unseen, []Unseen{{0, "the processes of other users: /proc is mounted with hidepid"}})
	})
}

func TestWhatABoundCutsOffIsUnseen(t *testing.T) {
	many := func(t *testing.T) *procfs {
		p := newProcfs(t)
		for pid := 10; pid < 20; pid++ {
			p.link(fmt.Sprint(pid), pid*10)
			p.link(fmt.Sprintf("%d/task/%d", pid, pid), pid*10)
			p.link(fmt.Sprintf("%d/task/%d", pid, pid+100), pid*10+1)
		}
		return p
	}
	for _, c := range []struct {
		name   string
		limits limits
		found  int
		unseen []Unseen
	}{
		{"exactly enough", limits{21, 11, 10}, 21, nil},
		{"namespaces", limits{5, 0, 0}, 5, []Unseen{{0, "network namespaces beyond the first 5: 16"}}},
		{"threads", limits{0, 0, 4}, 15, []Unseen{{0, "threads beyond the first 4"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := many(t)
			o := p.options()
			o.limits = c.limits
			found, unseen := p.list(o)
			if len(found) != c.found || found[0] != 1 {
				t.Errorf("%d found, %v, want %d", len(found), found, c.found)
			}
			p.wantUnseen(unseen, c.unseen)
		})
	}
	t.Run("processes", func(t *testing.T) { // which ones depends on the directory's order
		p := many(t)
		o := p.options()
		o.limits = limits{processes: 4}
		found, unseen := p.list(o)
		if len(found) < 1+2*3 || len(found) > 1+2*4 {
			t.Errorf("%d found: %v", len(found), found)
		}
		p.wantUnseen(unseen, []Unseen{{0, "processes beyond the first 4: 7"}})
	})
	t.Run("mounts that lead nowhere", func(t *testing.T) {
		p := newProcfs(t)
		p.write(filepath.Join(p.proc, "self/mountinfo"), "22 21 0:4 net:[72] /nonexistent/a rw - nsfs nsfs rw\n"+
			"23 21 0:4 net:[73] /nonexistent/b rw - nsfs nsfs rw\n24 21 0:4 net:[74] /nonexistent/c rw - nsfs nsfs rw\n")
		o := p.options()
		o.limits = limits{namespaces: 1}
		_, unseen := p.list(o)
		p.wantUnseen(unseen, []Unseen{
			{72, "mounted at /nonexistent/a: no such file or directory"},
			{0, "more mounted namespaces that cannot be reached: 2"},
		})
	})
}

func TestFind(t *testing.T) {
	p := newProcfs(t)
	p.link("7", 70)
	p.link("7/task/8", 80)
	p.link("9", 70)
	p.link("9/task/9", 90)
	p.link("9/task/10", 100)
	p.link("7/task/7", 70)
	for _, c := range []struct {
		inode, pid uint32
		path       string // "" for not found
	}{
		{1, 7, "1/task/1"},
		{70, 9, "9"},           // both live there: by the process asked for
		{80, 7, "7/task/8"},    // by its thread
		{100, 7, "9/task/10"},  // not by the process: by List
		{100, 0, "9/task/10"},  // no process
		{100, 55, "9/task/10"}, // a process that is gone
		{555, 7, ""},
	} {
		n, ok := p.options().find(c.inode, c.pid)
		want := filepath.Join(p.proc, c.path, "ns/net")
		if ok != (c.path != "") || ok && (n.Inode != c.inode || n.path != want) {
			t.Errorf("namespace %d of %d: %v %v, want %s", c.inode, c.pid, n, ok, want)
		}
	}
}

func TestLinks(t *testing.T) {
	if inode, err := linkedInode("net:[4026531840]"); inode != 4026531840 || err != nil {
		t.Errorf("%d, %v", inode, err)
	}
	if _, err := linkedInode(""); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an empty link: %v, want permission denied", err)
	}
	for _, link := range []string{"mnt:[7]", "net:[7", "net:7]", "net:[-7]", "net:[99999999999]", "/etc/passwd"} {
		if _, err := linkedInode(link); err == nil || errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", link, err)
		}
	}
}

func TestMountLines(t *testing.T) {
	for line, want := range map[string]string{
		`99 25 0:4 net:[4026532000] /run/netns/blue rw shared:5 - nsfs nsfs rw`: "4026532000 /run/netns/blue true",
		`99 25 0:4 net:[7] /run/a\040b\134c\011\012d rw - nsfs nsfs rw`:         "7 /run/a b\\c\t\nd true",
		`99 25 0:4 net:[7] /run/a\9\04 rw - nsfs nsfs rw`:                       `7 /run/a\9\04 true`,
		`99 25 0:4 uts:[7] /run/a rw - nsfs nsfs rw`:                            "0 /run/a false",
		`99 25 0:4 net:[7 /run/a rw - nsfs nsfs rw`:                             "0 /run/a false",
		`99 25 0:4 net:[99999999999] /run/a rw`:                                 "0 /run/a false",
		`99 25 0:4 net:[7]`:                                                     "0  false",
		``:                                                                      "0  false",
	} {
		inode, path, ok := parseMount(line)
		if !ok {
			inode = 0
		}
		if got := fmt.Sprint(inode, " ", path, " ", ok); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
