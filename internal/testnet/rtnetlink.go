package testnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// loopback is the index of lo in every new network namespace.
const loopback = 1

// attribute is one rtattr of an rtnetlink request.
type attribute struct {
	kind  uint16
	value []byte
}

// request sends one rtnetlink request and waits for its acknowledgement. See rtnetlink(7).
func request(kind uint16, flags uint16, header any, attrs ...attribute) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var body bytes.Buffer
	_ = binary.Write(&body, binary.NativeEndian, header)
	for _, a := range attrs {
		_ = binary.Write(&body, binary.NativeEndian, unix.RtAttr{Len: uint16(unix.SizeofRtAttr + len(a.value)), Type: a.kind})
		body.Write(a.value)
		body.Write(make([]byte, -len(a.value)&3))
	}
	return exchange(fd, kind, flags, body.Bytes())
}

// exchange sends one netlink message and returns the errno of its acknowledgement.
func exchange(fd int, kind, flags uint16, body []byte) error {
	var msg bytes.Buffer
	_ = binary.Write(&msg, binary.NativeEndian, unix.NlMsghdr{
		Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: kind, Seq: 1,
		Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | flags,
	})
	msg.Write(body)
	if err := unix.Sendto(fd, msg.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send netlink message: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return fmt.Errorf("receive netlink answer: %w", err)
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("receive netlink answer: not an acknowledgement")
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}

func linkUp() error {
	return request(unix.RTM_NEWLINK, 0, unix.IfInfomsg{Index: loopback, Flags: unix.IFF_UP, Change: unix.IFF_UP})
}

func addAddress(p netip.Prefix) error {
	addr := p.Addr().AsSlice()
	return request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, unix.IfAddrmsg{
		Family: family(p.Addr()), Prefixlen: uint8(p.Bits()), Flags: unix.IFA_F_NODAD, Index: loopback,
	}, attribute{unix.IFA_LOCAL, addr}, attribute{unix.IFA_ADDRESS, addr})
}

// addRoute makes a route of type unix.RTN_…: RTN_UNICAST goes to lo, the others refuse.
func addRoute(p netip.Prefix, kind uint8) error {
	attrs := []attribute{{unix.RTA_DST, p.Addr().AsSlice()}}
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if kind == unix.RTN_UNICAST {
		scope = unix.RT_SCOPE_LINK
		attrs = append(attrs, attribute{unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, loopback)},
			attribute{unix.RTA_PREFSRC, Client.AsSlice()})
	}
	return request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, unix.RtMsg{
		Family: family(p.Addr()), Dst_len: uint8(p.Bits()), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT,
		Scope: scope, Type: kind,
	}, attrs...)
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
