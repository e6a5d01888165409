package testnet

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Socket is a blocking TCP socket without the runtime's poller, so that each system call happens exactly where the
// test says. Its methods fail the test ([Must]) unless they return an error. Blocking calls end after [Patience].
type Socket struct {
	fd     int
	closed bool
	// Local and Remote are the ends at the time the socket was connected, accepted or asked by Ends.
	Local, Remote netip.AddrPort
}

// NewSocket makes a TCP socket of a's family.
func NewSocket(a netip.Addr) *Socket { return NewSocketProto(a, unix.IPPROTO_TCP) }

// NewSocketProto makes a stream socket of another protocol, such as IPPROTO_MPTCP.
func NewSocketProto(a netip.Addr, proto int) *Socket {
	return wrap(Must1(unix.Socket(int(family(a)), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, proto)))
}

func wrap(fd int) *Socket {
	patience := unix.NsecToTimeval(Patience.Nanoseconds())
	Must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	Must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience))
	return &Socket{fd: fd}
}

// Inherited wraps a descriptor that came from another process.
func Inherited(fd int) *Socket { return wrap(fd) }

// Listen makes a listening socket on port, or on a port of the kernel's choice for 0.
func Listen(a netip.Addr, port uint16) *Socket {
	s := NewSocket(a)
	s.Reuse()
	s.Bind(netip.AddrPortFrom(a, port))
	s.Listen()
	return s
}

// Dial makes a socket and connects it.
func Dial(to netip.AddrPort) *Socket {
	s := NewSocket(to.Addr())
	Must(s.Connect(to))
	return s
}

// FD is the descriptor.
func (s *Socket) FD() int { return s.fd }

// File returns the descriptor, duplicated, for a child process.
func (s *Socket) File() *os.File {
	return os.NewFile(uintptr(Must1(unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0))), "socket "+strconv.Itoa(s.fd))
}

// Bind binds.
func (s *Socket) Bind(a netip.AddrPort) { Must(s.TryBind(a)) }

// TryBind binds, and may fail.
func (s *Socket) TryBind(a netip.AddrPort) error { return unix.Bind(s.fd, sockaddr(a)) }

// Listen listens, with the largest backlog that the kernel permits.
func (s *Socket) Listen() {
	Must(unix.Listen(s.fd, 1<<16-1))
	s.Ends()
}

// TryListen listens, and may fail.
func (s *Socket) TryListen() error { return unix.Listen(s.fd, 1) }

// Connect connects and returns what connect() returned.
func (s *Socket) Connect(to netip.AddrPort) error {
	err := unix.Connect(s.fd, sockaddr(to))
	if errors.Is(err, unix.EINTR) { // the connect goes on
		err = s.ConnectResult()
	}
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		s.Ends()
		s.Remote = unmap(to)
	}
	return err
}

// StartConnect connects without waiting.
func (s *Socket) StartConnect(to netip.AddrPort) {
	Must(unix.SetNonblock(s.fd, true))
	if err := s.Connect(to); !errors.Is(err, unix.EINPROGRESS) {
		Fail("connect without waiting returned %v", err)
	}
	Must(unix.SetNonblock(s.fd, false))
}

// Disconnect is connect() to AF_UNSPEC.
func (s *Socket) Disconnect() {
	var unspecified [16]byte
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(s.fd), uintptr(unsafe.Pointer(&unspecified[0])), 16)
	if errno != 0 {
		Fail("disconnect: %v", errno)
	}
}

// Accept accepts.
func (s *Socket) Accept() *Socket {
	var from unix.Sockaddr
	fd := uninterrupted(func() (fd int, err error) {
		fd, from, err = unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
		return fd, err
	})
	c := wrap(fd)
	c.Ends()
	c.Remote = addrPort(from)
	return c
}

// Ends reads Local from the kernel.
func (s *Socket) Ends() { s.Local = addrPort(Must1(unix.Getsockname(s.fd))) }

// Write writes all of data.
func (s *Socket) Write(data string) {
	Must(s.TryWrite(data))
}

// TryWrite writes all of data, or returns why not.
func (s *Socket) TryWrite(data string) error {
	n, err := unix.Write(s.fd, []byte(data))
	if err == nil && n != len(data) {
		err = errors.New("short write")
	}
	return err
}

// StartWrite writes without waiting, which a fast open's first write otherwise does until connected.
func (s *Socket) StartWrite(data string) {
	Must(unix.SetNonblock(s.fd, true))
	if err := s.TryWrite(data); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		Fail("write without waiting: %v", err)
	}
	Must(unix.SetNonblock(s.fd, false))
}

// Read reads exactly n bytes.
func (s *Socket) Read(n int) {
	buf := make([]byte, n)
	for got := 0; got < n; {
		k := uninterrupted(func() (int, error) { return unix.Read(s.fd, buf[got:]) })
		if k == 0 {
			Fail("end of stream after %d of %d bytes", got, n)
		}
		got += k
	}
}

// ReadEnd waits for the peer's FIN.
func (s *Socket) ReadEnd() {
	if n := uninterrupted(func() (int, error) { return unix.Read(s.fd, make([]byte, 1)) }); n != 0 {
		Fail("data where the end of the stream was expected")
	}
}

// ReadError waits for a read to fail and returns its errno.
func (s *Socket) ReadError() error {
	var errno error
	uninterrupted(func() (int, error) {
		n, err := unix.Read(s.fd, make([]byte, 1))
		if err == nil {
			Fail("a read got %d bytes where an error was expected", n)
		}
		if !errors.Is(err, unix.EINTR) {
			errno, err = err, nil
		}
		return n, err
	})
	return errno
}

// uninterrupted repeats a system call that a signal interrupted: the runtime sends some, and with a time limit on the
// socket the kernel does not resume the call by itself.
func uninterrupted(call func() (int, error)) int {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				fail(3, err.Error())
			}
			return n
		}
	}
}

// UntilReadable waits for data, FIN or error without taking it.
func (s *Socket) UntilReadable() { s.poll(unix.POLLIN) }

// ConnectResult waits for the connect under way and returns SO_ERROR.
func (s *Socket) ConnectResult() error {
	s.poll(unix.POLLOUT)
	return s.Error()
}

// Error takes SO_ERROR.
func (s *Socket) Error() error {
	if n := Must1(unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)); n != 0 {
		return unix.Errno(n)
	}
	return nil
}

func (s *Socket) poll(events int16) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, int(Patience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		Must(err)
		if n == 0 {
			Fail("socket %d: nothing happened for %s", s.fd, Patience)
		}
		return
	}
}

// UntilState waits until the kernel says (TCP_INFO) that the socket is in state.
func (s *Socket) UntilState(state event.State) {
	Until("state "+state.String(), func() bool {
		return event.State(Must1(unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO)).State) == state
	})
}

// Shutdown is shutdown(how).
func (s *Socket) Shutdown(how int) { Must(unix.Shutdown(s.fd, how)) }

// Set sets an int socket option.
func (s *Socket) Set(level, option, value int) { Must(unix.SetsockoptInt(s.fd, level, option, value)) }

// Reuse sets SO_REUSEADDR.
func (s *Socket) Reuse() { s.Set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }

// Close closes; a second Close does nothing.
func (s *Socket) Close() {
	if !s.closed {
		s.closed = true
		Must(unix.Close(s.fd))
	}
}

// Abort closes with a RST (SO_LINGER 0).
func (s *Socket) Abort() {
	Must(unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	s.Close()
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return unmap(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)))
	}
	Fail("socket address of type %T", sa)
	return netip.AddrPort{}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
