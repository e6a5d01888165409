package tracer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

func init() {
	testnet.RunChild(testnet.Children{
		"connect": childConnect,
		"oneshot": func(args []string) { dial(args[0]) },
		"named": func(args []string) {
			testnet.SetComm(args[0])
			dial(args[1])
		},
		"accept":  func([]string) { acceptOne(testnet.Inherited(3)) },
		"serve":   childServe,
		"receive": childReceive,
		"iouring": childIOUring,
		"cgroup": func(args []string) {
			testnet.Must(os.WriteFile(args[0]+"/cgroup.procs", []byte("0"), 0))
			childConnect(args[1:])
		},
		"fail":   childFail,
		"hold":   childHold,
		"churn":  childChurn,
		"settle": childSettle,
		"calls":  childCalls,
	})
}

func dial(to string) *testnet.Socket { return testnet.Dial(netip.MustParseAddrPort(to)) }

// childConnect connects to each argument in turn and holds the connections until released.
func childConnect(args []string) {
	for _, to := range args {
		fmt.Println(dial(to).Local)
	}
	testnet.AwaitRelease()
}

// childFail connects to each argument in turn and says what connect or, if it succeeded, the next read returned.
func childFail(args []string) {
	for _, to := range args {
		at := netip.MustParseAddrPort(to)
		s := testnet.NewSocket(at.Addr())
		s.Set(unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1)
		err := s.Connect(at)
		if err == nil {
			err = s.ReadError()
		}
		s.Close()
		var errno unix.Errno
		errors.As(err, &errno)
		fmt.Println(unix.ErrnoName(errno))
	}
	testnet.AwaitRelease()
}

func childServe(args []string) {
	at := netip.MustParseAddrPort(args[0])
	l := testnet.Listen(at.Addr(), at.Port())
	fmt.Println("listening")
	acceptOne(l)
}

// acceptOne accepts a connection and holds it until released.
func acceptOne(l *testnet.Socket) {
	d := l.Accept()
	fmt.Println("accepted")
	d.ReadEnd()
	testnet.AwaitRelease()
	d.Close()
}

// childReceive takes a socket from descriptor 3 and holds it until released.
func childReceive([]string) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(3, make([]byte, 1), rights, 0)
	testnet.Must(err)
	messages := testnet.Must1(unix.ParseSocketControlMessage(rights[:n]))
	testnet.Must1(unix.ParseUnixRights(&messages[0]))
	fmt.Println("received")
	testnet.AwaitRelease()
}

func pointer(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }
