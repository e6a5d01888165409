package testnet

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Constants of linux/sock_diag.h that x/sys does not have.
const (
	sockDestroy = 21
	noCookie    = 0xffffffff
)

// inetDiagRequest is struct inet_diag_req_v2 of linux/inet_diag.h. Addresses and ports are in network order.
type inetDiagRequest struct {
	Family, Protocol, Ext, _ uint8
	States                   uint32
	SourcePort, DestPort     [2]byte
	Source, Dest             [16]byte
	Interface                uint32
	Cookie                   [2]uint32
}

// Destroy ends the socket with these ends as ss -K does. It needs a kernel with CONFIG_INET_DIAG_DESTROY and its
// modules: the error says if not. Call it inside [Namespace.Do].
func Destroy(local, remote netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	r := inetDiagRequest{
		Family: family(local.Addr()), Protocol: unix.IPPROTO_TCP, States: ^uint32(0),
		Cookie: [2]uint32{noCookie, noCookie},
	}
	binary.BigEndian.PutUint16(r.SourcePort[:], local.Port())
	binary.BigEndian.PutUint16(r.DestPort[:], remote.Port())
	copy(r.Source[:], local.Addr().AsSlice())
	copy(r.Dest[:], remote.Addr().AsSlice())
	var body bytes.Buffer
	_ = binary.Write(&body, binary.NativeEndian, r)
	return exchange(fd, sockDestroy, 0, body.Bytes())
}
