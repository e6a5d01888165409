package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// unixPrefix is how a Unix socket is named among addresses.
const unixPrefix = "unix:"

// socketMode lets the socket's user and group connect.
const socketMode = 0o660

// CheckAddress says what is wrong with an address to listen on.
func CheckAddress(address string) error {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		switch {
		case !strings.HasPrefix(path, "/"):
			return fmt.Errorf("%q: a Unix socket needs its whole path: write for example unix:/run/tcpstate/agent.sock", address)
		case len(path) > maxSocketPath:
			return fmt.Errorf("%q: the path of a Unix socket has %d bytes at most", address, maxSocketPath)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address: write for example 127.0.0.1:9847, [::1]:9847 or unix:/run/tcpstate/agent.sock", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: %q is no port: write one from 0 to 65535", address, port)
	} else if n == 0 && port != "0" {
		return fmt.Errorf("%q: %q is no port: write one from 0 to 65535", address, port)
	}
	if host == "" || host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Errorf("%q: %q is no IP address; leave it out to listen on all", address, host)
	}
	return nil
}

// maxSocketPath is what struct sockaddr_un has room for (unix(7)).
const maxSocketPath = 107

// Exposed reports whether others than this host can reach an address.
func Exposed(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && !t.IP.IsLoopback()
}

// Listen listens on an address that CheckAddress finds right. A Unix socket that nobody listens on any more is replaced,
// and goes when it is closed.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		l, err := net.Listen("tcp", address)
		return l, inUse(err, address)
	}
	if err := removeStale(path); err != nil {
		return nil, inUse(err, address)
	}
	before := syscall.Umask(0o777 &^ socketMode) // nobody else may connect between bind() and chmod()
	l, err := net.Listen("unix", path)
	syscall.Umask(before)
	return l, inUse(err, address)
}

func inUse(err error, address string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: it is in use; is another agent running? --listen takes another address: %w", address, err)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}

// removeStale removes the socket that an agent has left that was killed.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there, and no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return &os.SyscallError{Syscall: "bind", Err: syscall.EADDRINUSE}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there: %w", path, err)
	}
	return os.Remove(path)
}

// bounded accepts so many connections at once. One more takes the place of the oldest: whoever holds connections without
// reading keeps nobody out.
type bounded struct {
	net.Listener
	most int

	mu   sync.Mutex
	open []*conn // the oldest first
}

// Bound returns l with a bound on its connections.
func Bound(l net.Listener, most int) net.Listener { return &bounded{Listener: l, most: most} }

// Accept waits for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	mine := &conn{Conn: c, of: b}
	b.mu.Lock()
	b.open = append(b.open, mine)
	var oldest *conn
	if len(b.open) > b.most {
		oldest = b.open[0]
	}
	b.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return mine, nil
}

// conn leaves its listener's list when it is closed.
type conn struct {
	net.Conn
	of *bounded
}

// Close closes it; what is still to be sent is dropped.
func (c *conn) Close() error {
	c.of.mu.Lock()
	for i, x := range c.of.open {
		if x == c {
			c.of.open = append(c.of.open[:i], c.of.open[i+1:]...)
			break
		}
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}
