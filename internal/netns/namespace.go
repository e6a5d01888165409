// Package netns finds the network namespaces of this host, and runs functions inside them.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Namespace is a network namespace and a file by which it can be entered. It does not keep the namespace alive.
type Namespace struct {
	// Inode is the number by which events name the namespace (struct net, ns.inum). The kernel uses it again after the
	// namespace's end.
	Inode uint32
	path  string
}

// Path is the file by which the namespace is entered, printable: for nsenter --net=PATH.
func (n Namespace) Path() string { return event.Printable(n.path) }

// ErrGone is what [Namespace.Do] wraps when the file that led to the namespace is gone or leads to another one by now.
// The namespace itself may live on: ask [Find] for another way.
var ErrGone = errors.New("the network namespace is gone, or what led to it")

// own is a link to the network namespace of the thread that reads it.
const own = "/proc/thread-self/ns/net"

// Do runs f inside the namespace and returns its error. F must not start goroutines that count on the namespace.
//
// In the namespace of the calling thread or of this process that takes no privilege. Any other takes CAP_SYS_ADMIN in
// this process's user namespace and in the one that owns the namespace (netns_install in net/core/net_namespace.c);
// without, the error is an [fs.ErrPermission]. Unless the calling thread is there already, f runs on another OS thread.
// When Do returns, nothing that it opened or ran holds the namespace, and no thread is left in it.
func (n Namespace) Do(f func() error) error {
	if here, err := n.doHere(f); here {
		return err
	}
	err := errors.New("the function ended its goroutine") // runtime.Goexit, as t.FailNow does
	onSpareThread(func() (sound bool) {
		sound, err = n.visit(f)
		return sound
	})
	return err
}

// doHere runs f if the calling thread is in the namespace.
func (n Namespace) doHere(f func() error) (here bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	inode, err := readLink(own)
	if err != nil || inode != n.Inode {
		return false, nil
	}
	return true, f()
}

// visit enters the namespace, runs f, and says whether the thread is back where it was.
func (n Namespace) visit(f func() error) (back bool, err error) {
	if here, err := n.doHere(f); here { // this process's, and the caller elsewhere
		return true, err
	}
	home, err := os.Open(own)
	if err != nil {
		return true, fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	target, err := n.open()
	if err != nil {
		return true, err
	}
	err = enter(target)
	_ = target.Close() // it would hold the namespace
	if err != nil {
		return true, n.refusal(err)
	}
	defer func() { back = enter(home) == nil }()
	return false, f()
}

// open opens the way to the namespace and makes sure that it leads there: processes end, and others get their pids.
func (n Namespace) open() (*os.File, error) {
	f, err := os.Open(n.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, n.gone()
	}
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) { // its text has the path as it is
			err = fmt.Errorf("open %s: %w", event.Printable(n.path), failed.Err)
		}
		return nil, n.refusal(err)
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Ino == uint64(n.Inode) {
		return f, nil
	}
	_ = f.Close()
	return nil, n.gone()
}

func (n Namespace) gone() error {
	return fmt.Errorf("network namespace %d by %s: %w", n.Inode, event.Printable(n.path), ErrGone)
}

func (n Namespace) refusal(err error) error {
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = " (run as root, or with CAP_SYS_ADMIN and CAP_SYS_PTRACE)"
	}
	return fmt.Errorf("enter network namespace %d: %w%s", n.Inode, err, hint)
}

func enter(f *os.File) error {
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	return nil
}

// onSpareThread runs work on an OS thread of its own and waits for it. Unless work says that the thread is as sound as
// before, the thread ends with it: the runtime throws away the thread of a goroutine that ends while locked to it.
func onSpareThread(work func() (sound bool)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end: the runtime would keep it as it is, for ever. While it is held here, the next
			// goroutine runs on another.
			defer runtime.UnlockOSThread()
			onSpareThread(work)
			return
		}
		sound := false
		defer func() {
			if sound {
				runtime.UnlockOSThread()
			}
		}()
		sound = work()
	}()
	<-done
}

// readLink reads the number in a link to net:[4026531840].
func readLink(path string) (uint32, error) {
	link, err := os.Readlink(path)
	if err != nil {
		return 0, err
	}
	inode, err := linkedInode(link)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return inode, nil
}

func linkedInode(link string) (uint32, error) {
	if link == "" { // Linux 5.10.262 says nothing where others say EACCES
		return 0, fs.ErrPermission
	}
	inode, ok := parseInode(link)
	if !ok {
		return 0, fmt.Errorf("%.40q is no network namespace", link)
	}
	return inode, nil
}

// parseInode reads net:[4026531840].
func parseInode(s string) (inode uint32, ok bool) {
	digits, isNet := strings.CutPrefix(s, "net:[")
	digits, closed := strings.CutSuffix(digits, "]")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), isNet && closed && err == nil
}
