package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// sockDiagByFamily is SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const sockDiagByFamily = 20

// Where in struct inet_diag_msg of linux/inet_diag.h a number is found, and how long the struct is.
const (
	diagBacklog = 60 // idiag_wqueue: for a listening socket sk_max_ack_backlog
	diagInode   = 68
	diagLength  = 72
)

// backlogs asks the kernel for the backlog of each listening socket, which no file of /proc shows: min(the number given
// to listen(), somaxconn). It takes no privilege.
func (r Root) backlogs() Fact[map[uint64]int] {
	f := Fact[map[uint64]int]{Path: "sock_diag(7)", Value: make(map[uint64]int)}
	if r.Proc != "" && r.Proc != "/proc" {
		f.Err = errors.New("the running kernel is not asked about another /proc")
		return f
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := diagListeners(family, f.Value); err != nil {
			return Fact[map[uint64]int]{Path: f.Path, Err: fmt.Errorf("sock_diag: %w", err)}
		}
	}
	return f
}

// diagListeners adds the backlogs of one family's listening sockets in the calling thread's namespace.
func diagListeners(family uint8, to map[uint64]int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	patience := unix.NsecToTimeval((2 * time.Second).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Sendto(fd, diagRequest(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send", err)
	}
	b := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			return os.NewSyscallError("receive", err)
		}
		if done, err := addBacklogs(b[:n], to); done || err != nil {
			return err
		}
	}
}

// diagRequest is struct nlmsghdr and struct inet_diag_req_v2: a dump of all sockets in state LISTEN.
func diagRequest(family uint8) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+56)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := b[unix.NLMSG_HDRLEN:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<event.Listen)
	return b
}

// addBacklogs reads the messages of one answer, and says whether it was the last.
func addBacklogs(b []byte, to map[uint64]int) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		length, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return false, errors.New("an answer that is cut off")
		}
		body := b[unix.NLMSG_HDRLEN:length]
		switch {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return true, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case kind == sockDiagByFamily && len(body) >= diagLength && len(to) < maxListening:
			inode, backlog := binary.NativeEndian.Uint32(body[diagInode:]), binary.NativeEndian.Uint32(body[diagBacklog:])
			to[uint64(inode)] = int(backlog)
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return false, nil
}
