package host

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/event"
)

// Sockets are the TCP sockets of a network namespace. Which side called connect() the kernel does not keep: a
// connection on the port of a listening socket is inbound, any other outbound.
type Sockets struct {
	Listeners []ListeningSocket
	// Toward is what holds ports of the range, by source address and destination.
	Toward map[Pair]*Holds
	// Outbound, Inbound and TimeWaits count all sockets but the listening ones; Elsewhere are those of Outbound whose
	// port is outside the range: bind() chose it, or their listening socket is gone.
	Outbound, Inbound, Elsewhere, TimeWaits int
	// MoreListeners, MoreRows and MorePairs are listening sockets, others, and others whose pair is, beyond the bound.
	MoreListeners, MoreRows, MorePairs int
}

// ListeningSocket is one that accepts connections.
type ListeningSocket struct {
	Local netip.AddrPort
	Inode uint64
	Queue int // connections that wait for accept()
}

// Pair is a source address and a destination: each has a port budget of its own.
type Pair struct {
	Source netip.Addr
	Dest   netip.AddrPort
}

// Holds counts the ports that a pair holds, by state. Timewait sockets in FIN_WAIT2 are in FIN_WAIT2's.
type Holds struct {
	ByState [event.NewSynRecv + 1]int
}

// Ports is how many it holds.
func (h *Holds) Ports() (n int) {
	for _, held := range h.ByState {
		n += held
	}
	return n
}

const (
	maxListening = 8192
	maxRows      = 1 << 20
	maxPairs     = 1 << 16
)

// socketRow is a line of /proc/net/tcp or tcp6.
type socketRow struct {
	local, remote netip.AddrPort
	state         event.State
	timewait      bool
	queue         int
	inode         uint64
}

// sockets reads tcp and tcp6: first who listens, then all others.
func (r Root) sockets(portRange Fact[PortRange], reserved Fact[*PortSet]) Fact[*Sockets] {
	s := &Sockets{Toward: make(map[Pair]*Holds)}
	f := Fact[*Sockets]{Value: s, Path: r.proc("thread-self/net/tcp")}
	listening := map[uint16][]netip.Addr{}
	first := func(row *socketRow) bool {
		if row.state != event.Listen { // these come first (tcp_seek_last_pos in net/ipv4/tcp_ipv4.c)
			return false
		}
		s.addListener(row)
		listening[row.local.Port()] = append(listening[row.local.Port()], row.local.Addr())
		return true
	}
	rows := 0
	rest := func(row *socketRow) bool {
		if rows++; rows > maxRows {
			s.MoreRows++
			return true
		}
		s.add(row, isAccepted(listening, row.local), func(port uint16) bool {
			return !portRange.Known() || portRange.Value.Low <= port && port <= portRange.Value.High &&
				!reserved.Value.Has(port)
		})
		return true
	}
	for _, pass := range []func(*socketRow) bool{first, rest} {
		if err := r.eachSocket(pass); err != nil {
			return Fact[*Sockets]{Path: f.Path, Err: err}
		}
	}
	return f
}

// eachSocket calls f for each row of both files until it says that it is enough of a file. Without IPv6 in the kernel
// there is one file.
func (r Root) eachSocket(f func(*socketRow) bool) error {
	for _, name := range []string{"tcp", "tcp6"} {
		path := r.proc("thread-self/net", name)
		title, bad := true, error(nil)
		err := eachLine(path, func(line string) bool {
			if title {
				title = false
				return true
			}
			row, err := parseSocket(line)
			if err != nil {
				bad = fmt.Errorf("%s: %w", path, err)
				return false
			}
			return f(&row)
		})
		switch {
		case bad != nil:
			return bad
		case err != nil && (name == "tcp" || !errors.Is(err, fs.ErrNotExist)):
			return err
		}
	}
	return nil
}

func (s *Sockets) addListener(row *socketRow) {
	if len(s.Listeners) < maxListening {
		s.Listeners = append(s.Listeners, ListeningSocket{Local: row.local, Inode: row.inode, Queue: row.queue})
		return
	}
	s.MoreListeners++
}

// isAccepted says whether a socket listens where local is.
func isAccepted(listening map[uint16][]netip.Addr, local netip.AddrPort) bool {
	for _, a := range listening[local.Port()] {
		if a == local.Addr() || a.IsUnspecified() {
			return true
		}
	}
	return false
}

func (s *Sockets) add(row *socketRow, accepted bool, chosen func(uint16) bool) {
	switch {
	case row.state == event.Listen:
		return
	case row.timewait:
		s.TimeWaits++
	}
	if accepted {
		s.Inbound++
		return
	}
	s.Outbound++
	if !chosen(row.local.Port()) {
		s.Elsewhere++
		return
	}
	pair := Pair{row.local.Addr(), row.remote}
	h := s.Toward[pair]
	if h == nil {
		if len(s.Toward) >= maxPairs {
			s.MorePairs++
			return
		}
		h = new(Holds)
		s.Toward[pair] = h
	}
	h.ByState[row.state]++
}

// parseSocket reads a line as get_tcp4_sock in net/ipv4/tcp_ipv4.c prints it: sl local rem st tx:rx tr:when retr uid
// timeout inode. For a listening socket rx is the length of its queue; timer 3 is a timewait socket's.
func parseSocket(line string) (row socketRow, err error) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return row, fmt.Errorf("%.60q is no socket", line)
	}
	row.local, err = parseEnd(f[1])
	if err == nil {
		row.remote, err = parseEnd(f[2])
	}
	state, stateErr := strconv.ParseUint(f[3], 16, 8)
	_, rx, _ := strings.Cut(f[4], ":")
	queue, queueErr := strconv.ParseUint(rx, 16, 32)
	inode, inodeErr := strconv.ParseUint(f[9], 10, 64)
	if err = errors.Join(err, stateErr, queueErr, inodeErr); err != nil || state > uint64(event.NewSynRecv) {
		return row, fmt.Errorf("%.60q is no socket", line)
	}
	row.state, row.queue, row.inode = event.State(state), int(queue), inode
	row.timewait = strings.HasPrefix(f[5], "03:")
	return row, nil
}

// parseEnd reads an address as the kernel prints it, 32-bit words in host order, and a port.
func parseEnd(s string) (netip.AddrPort, error) {
	digits, number, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(digits)
	port, portErr := strconv.ParseUint(number, 16, 16)
	if !ok || err != nil || portErr != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
}
