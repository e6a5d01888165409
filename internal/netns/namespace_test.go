package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func init() {
	testnet.RunChild(testnet.Children{
		"wait": func([]string) {
			fmt.Println("here")
			testnet.AwaitRelease()
		},
		"unprivileged": unprivileged,
	})
}

// unprivileged says, as nobody, what becomes of entering the own namespace, and of entering another one by paths; the
// arguments are that one's inode and the paths.
func unprivileged(args []string) {
	testnet.Must(syscall.Setuid(65534)) // all threads
	home, ok := Find(threadNetns(), 0)
	fmt.Println("own:", ok, home.Do(func() error { return wantNetns(home.Inode) }))
	inode := testnet.Must1(strconv.ParseUint(args[0], 10, 32))
	for _, path := range args[1:] {
		err := Namespace{Inode: uint32(inode), path: path}.Do(func() error { return nil })
		fmt.Println("other:", errors.Is(err, fs.ErrPermission), err)
	}
	_, unseen, err := List(Options{})
	fmt.Println("unseen:", unseen, err)
}

func threadNetns() uint32 { return testnet.Must1(readLink(own)) }

func TestOwnNamespaceNeedsNoPrivilege(t *testing.T) {
	n, ok := Find(threadNetns(), uint32(os.Getpid()))
	if !ok {
		t.Fatal("own namespace not found")
	}
	wanted := errors.New("from f")
	ran := 0
	err := n.Do(func() error {
		ran++
		if got := threadNetns(); got != n.Inode {
			t.Errorf("f runs in %d, want %d", got, n.Inode)
		}
		return wanted
	})
	if err != wanted || ran != 1 {
		t.Errorf("f ran %d times, Do returned %v", ran, err)
	}
}

func TestDoRunsInsideAndStaysOutside(t *testing.T) {
	testnet.RequireTracing(t)
	there := testnet.New(t)
	n := find(t, there.Inode(), 0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, tid := threadNetns(), unix.Gettid()
	wanted := errors.New("from f")
	err := n.Do(func() error {
		if got := threadNetns(); got != n.Inode {
			t.Errorf("f runs in %d, want %d", got, n.Inode)
		}
		if unix.Gettid() == tid || unix.Gettid() == unix.Getpid() {
			t.Errorf("f runs on thread %d: the caller's, or the main one", unix.Gettid())
		}
		return wanted
	})
	if err != wanted {
		t.Errorf("Do returned %v", err)
	}
	if unix.Gettid() != tid || threadNetns() != home {
		t.Errorf("the caller is on thread %d in %d, was on %d in %d", unix.Gettid(), threadNetns(), tid, home)
	}
}

// A thread that is in another namespace has that one as its own, and the process's as another.
func TestDoFromAnotherNamespace(t *testing.T) {
	testnet.RequireTracing(t)
	home := find(t, threadNetns(), 0)
	here := testnet.New(t)
	there := find(t, here.Inode(), 0)
	here.Do(t, func() {
		tid := unix.Gettid()
		testnet.Must(there.Do(func() error {
			if unix.Gettid() != tid {
				t.Error("f left its thread to get where it was")
			}
			return nil
		}))
		testnet.Must(home.Do(func() error {
			if got := threadNetns(); got != home.Inode {
				t.Errorf("f runs in %d, want home, %d", got, home.Inode)
			}
			return nil
		}))
		if threadNetns() != here.Inode() {
			t.Errorf("the thread is in %d, was in %d", threadNetns(), here.Inode())
		}
	})
}

func TestDoSurvivesTheEndOfItsGoroutine(t *testing.T) {
	testnet.RequireTracing(t)
	there := testnet.New(t)
	n := find(t, there.Inode(), 0)
	err := n.Do(func() error {
		runtime.Goexit()
		return nil
	})
	if err == nil {
		t.Error("no error")
	}
	wantThreads(t, n.Inode, 1)
}

func TestDoLeavesNothingBehind(t *testing.T) {
	testnet.RequireTracing(t)
	there := testnet.New(t)
	n := find(t, there.Inode(), 0)
	for range 20 {
		if err := n.Do(func() error {
			if fds := openNamespaces(t, n.Inode); fds != 0 {
				return fmt.Errorf("%d descriptors hold the namespace", fds)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if err := n.Do(func() error {
					makeThreads()
					return wantNetns(n.Inode)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantThreads(t, n.Inode, 1) // the test's own
	if fds := openNamespaces(t, n.Inode); fds != 0 {
		t.Errorf("%d descriptors hold the namespace", fds)
	}
	if got := len(tasks(t)); got > 64 {
		t.Errorf("%d threads", got)
	}
	there.Close()
	wantThreads(t, n.Inode, 0)
	if isListed(t, n.Inode) {
		t.Error("the namespace outlives its end")
	}
	if err := n.Do(func() error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("Do returned %v, want %v", err, ErrGone)
	}
}

// makeThreads makes the runtime want more threads, which must not be clones of one in another namespace.
func makeThreads() {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { _ = unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil) })
	}
	all.Wait()
}

func TestSpareThreadsAreNeverTheMainOneAndEndUnlessSound(t *testing.T) {
	before := len(tasks(t))
	for _, sound := range []bool{false, true} {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 25 {
					tid := 0
					onSpareThread(func() bool {
						tid = unix.Gettid()
						return sound
					})
					if tid == unix.Getpid() {
						t.Error("on the main thread")
					}
					if !sound && !hasEnded(tid) {
						t.Errorf("thread %d lives on", tid)
						return
					}
				}
			})
		}
		all.Wait()
	}
	if got := len(tasks(t)); got > before+16 {
		t.Errorf("%d threads, %d before", got, before)
	}
}

// hasEnded waits until a thread is gone. Its number does not come back before many others.
func hasEnded(tid int) bool {
	path := fmt.Sprintf("/proc/self/task/%d", tid)
	for end := time.Now().Add(testnet.Patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err != nil {
			return true
		}
	}
	return false
}

func TestNamespaceThatOnlyAMountKeeps(t *testing.T) {
	testnet.RequireTracing(t)
	there := testnet.New(t)
	inode := there.Inode()
	path := filepath.Join(t.TempDir(), "blue net")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	there.Do(t, func() { testnet.Must(unix.Mount(own, path, "", unix.MS_BIND, "")) })
	unmount := func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) }) // of a test that failed
	there.Close()
	n := find(t, inode, 0)
	if n.path != path {
		t.Errorf("found by %s, want %s", n.path, path)
	}
	if err := n.Do(func() error { return wantNetns(inode) }); err != nil {
		t.Error(err)
	}
	_, unseen, err := List(Options{Dirs: []string{filepath.Dir(path)}})
	if err != nil || mentions(unseen, path) {
		t.Errorf("unseen: %v, %v", unseen, err)
	}
	unmount()
	if isListed(t, inode) {
		t.Error("the namespace outlives its mount")
	}
	if err := n.Do(func() error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("by what was a mount, Do returned %v, want %v", err, ErrGone)
	}
	if _, unseen, _ := List(Options{Dirs: []string{filepath.Dir(path)}}); !mentions(unseen, path) {
		t.Errorf("%s is no mount, but unseen are %v", path, unseen)
	}
}

func TestNamespaceOfAProcess(t *testing.T) {
	testnet.RequireTracing(t)
	there := testnet.New(t)
	var child *testnet.Child
	there.Do(t, func() {
		child = testnet.StartChild("wait", nil)
		child.Line()
	})
	n := find(t, there.Inode(), child.PID())
	if want := fmt.Sprintf("/proc/%d/ns/net", child.PID()); n.path != want {
		t.Errorf("found by %s, want %s", n.path, want)
	}
	if err := n.Do(func() error { return wantNetns(n.Inode) }); err != nil {
		t.Error(err)
	}
	if !isListed(t, n.Inode) {
		t.Error("not listed")
	}
	elsewhere := Namespace{Inode: n.Inode + 1, path: n.path} // as if the pid had passed to another process
	if err := elsewhere.Do(func() error { return errors.New("f ran") }); !errors.Is(err, ErrGone) {
		t.Errorf("by a path that leads elsewhere, Do returned %v, want %v", err, ErrGone)
	}
	there.Do(t, child.Kill)
	if err := n.Do(func() error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("by a process that is gone, Do returned %v, want %v", err, ErrGone)
	}
	own := fmt.Sprintf("/proc/%d/", os.Getpid()) // the test's own thread is still there
	if n := find(t, there.Inode(), child.PID()); !strings.HasPrefix(n.path, own) {
		t.Errorf("found by %s", n.path)
	}
}

func TestWhatNobodyMayDoIsSaid(t *testing.T) {
	testnet.RequireTracing(t)
	here, there := testnet.New(t), testnet.New(t)
	var holder *testnet.Child
	var file *os.File
	there.Do(t, func() {
		holder = testnet.StartChild("wait", nil)
		holder.Line()
		file = testnet.Must1(os.Open(own))
	})
	defer there.Do(t, holder.Kill)
	inode, path := fmt.Sprint(there.Inode()), fmt.Sprintf("/proc/%d/ns/net", holder.PID())
	here.Do(t, func() {
		child := testnet.StartChild("unprivileged", []string{inode, path, "/proc/self/fd/3"}, file)
		for _, want := range []string{
			"own: true <nil>",
			"other: true enter network namespace " + inode + ": open " + path + ": permission denied (run as root",
			"other: true enter network namespace " + inode + ": setns: operation not permitted (run as root",
			"processes that may not be looked at",
		} {
			if line := child.Line(); !strings.Contains(line, want) {
				t.Errorf("%q does not say %q", line, want)
			}
		}
		child.Release()
	})
}

func find(t *testing.T, inode, pid uint32) Namespace {
	t.Helper()
	n, ok := Find(inode, pid)
	if !ok || n.Inode != inode {
		t.Fatalf("namespace %d not found: %v", inode, n)
	}
	return n
}

func isListed(t *testing.T, inode uint32) bool {
	t.Helper()
	found, _, err := List(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range found {
		if n.Inode == inode {
			return true
		}
	}
	return false
}

func mentions(unseen []Unseen, path string) bool {
	for _, u := range unseen {
		if strings.Contains(u.Why, path) {
			return true
		}
	}
	return false
}

func wantNetns(inode uint32) error {
	if got := threadNetns(); got != inode {
		return fmt.Errorf("f runs in %d, want %d", got, inode)
	}
	return nil
}

// tasks returns the namespaces of this process's threads.
func tasks(t *testing.T) (inodes []uint32) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if inode, err := readLink(link); err == nil { // else the thread is gone
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

func wantThreads(t *testing.T, inode uint32, want int) {
	t.Helper()
	n := 0
	for _, i := range tasks(t) {
		if i == inode {
			n++
		}
	}
	if n != want {
		t.Errorf("%d threads in namespace %d, want %d", n, inode, want)
	}
}

// openNamespaces counts this process's descriptors of a namespace.
func openNamespaces(t *testing.T, inode uint32) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if i, err := readLink(link); err == nil && i == inode {
			n++
		}
	}
	return n
}
