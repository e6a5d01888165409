package tracer_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// The few parts of linux/io_uring.h that one connect needs. x/sys has only the numbers of the system calls.
const (
	ringSetupSQPoll   = 1 << 1
	ringEnterGet      = 1 << 0
	ringEnterWake     = 1 << 1
	ringRegisterFiles = 2
	ringOpConnect     = 16
	ringFixedFile     = 1 << 0
	ringAsync         = 1 << 4
	ringOffSQ         = 0
	ringOffCQ         = 0x8000000
	ringOffSQEs       = 0x10000000
)

// ringParams is struct io_uring_params.
type ringParams struct {
	SQEntries, CQEntries, Flags, SQThreadCPU, SQThreadIdle, Features, WQ uint32
	_                                                                    [3]uint32
	SQ                                                                   struct {
		Head, Tail, Mask, Entries, Flags, Dropped, Array, _ uint32
		_                                                   uint64
	}
	CQ struct {
		Head, Tail, Mask, Entries, Overflow, CQEs, Flags, _ uint32
		_                                                   uint64
	}
}

// ringEntry is struct io_uring_sqe with the names that IORING_OP_CONNECT gives its fields.
type ringEntry struct {
	Op, Flags uint8
	_         uint16
	FD        int32
	AddrLen   uint64
	Addr      uint64
	_         [5]uint64
}

// ringAddr is where the kernel reads the address to connect to. A variable of the package does not move.
var ringAddr unix.RawSockaddrInet4

func ringSetup(mode string) (int, *ringParams, error) {
	p := &ringParams{SQThreadIdle: 1000}
	if mode == "sqpoll" {
		p.Flags = ringSetupSQPoll
	}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, nil, errno
	}
	return int(fd), p, nil
}

// ioUringWorks says why not, as io_uring_setup does: ENOSYS, or EPERM where it is disabled.
func ioUringWorks(mode string) error {
	fd, _, err := ringSetup(mode)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// childIOUring connects by io_uring in the given mode: inline in the system call, async in a worker thread, or sqpoll
// in a kernel thread. It holds the connection until released.
func childIOUring(args []string) {
	mode, to := args[0], netip.MustParseAddrPort(args[1])
	ring, p, err := ringSetup(mode)
	testnet.Must(err)
	const shared = unix.MAP_SHARED | unix.MAP_POPULATE
	sq := testnet.Must1(unix.Mmap(ring, ringOffSQ, int(p.SQ.Array+4*p.SQEntries), unix.PROT_READ|unix.PROT_WRITE, shared))
	cq := testnet.Must1(unix.Mmap(ring, ringOffCQ, int(p.CQ.CQEs+16*p.CQEntries), unix.PROT_READ|unix.PROT_WRITE, shared))
	entries := testnet.Must1(unix.Mmap(ring, ringOffSQEs, int(p.SQEntries)*64, unix.PROT_READ|unix.PROT_WRITE, shared))

	fd := int32(testnet.NewSocket(to.Addr()).FD())
	ringAddr = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: to.Port()<<8 | to.Port()>>8, Addr: to.Addr().As4()}
	e := (*ringEntry)(unsafe.Pointer(&entries[0]))
	*e = ringEntry{Op: ringOpConnect, FD: fd, Addr: uint64(uintptr(unsafe.Pointer(&ringAddr))), AddrLen: unix.SizeofSockaddrInet4}
	enter := uintptr(ringEnterGet)
	switch mode {
	case "async":
		e.Flags = ringAsync
	case "sqpoll":
		// Before 5.11 the kernel thread takes registered files only.
		testnet.Must(ringRegister(ring, &fd))
		e.Flags, e.FD = ringFixedFile, 0
		enter |= ringEnterWake
	}
	binary.NativeEndian.PutUint32(sq[p.SQ.Array:], 0)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&sq[p.SQ.Tail])), 1)
	for done := (*uint32)(unsafe.Pointer(&cq[p.CQ.Tail])); atomic.LoadUint32(done) == 0; {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(ring), 1, 1, enter, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			testnet.Fail("io_uring_enter: %v", errno)
		}
	}
	if result := int32(binary.NativeEndian.Uint32(cq[p.CQ.CQEs+8:])); result != 0 {
		testnet.Fail("connect: %v", unix.Errno(-result))
	}
	fmt.Println("connected")
	testnet.AwaitRelease()
}

func ringRegister(ring int, fd *int32) error {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(ring), ringRegisterFiles, uintptr(unsafe.Pointer(fd)), 1, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
