package testnet

import (
	"encoding/binary"
	"net/netip"
)

// Flags are the flags of a TCP segment, as in its header.
type Flags uint8

// The flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// Segment is a TCP segment that the kernel sent to the peer.
type Segment struct {
	From, To netip.AddrPort
	Seq, Ack uint32
	Flags    Flags
	Payload  []byte
	packet   []byte // the whole IP packet, for an ICMP error to quote
}

// next is the sequence number after the segment. SYN and FIN count one each.
func (s *Segment) next() uint32 {
	n := s.Seq + uint32(len(s.Payload))
	if s.Flags&(SYN|FIN) != 0 {
		n++
	}
	return n
}

const (
	ipHeader    = 20
	tcpHeader   = 20
	protoICMP   = 1
	protoTCP    = 6
	ipVersion4  = 4
	ttl         = 64
	peersWindow = 65000
)

// parseSegment reads an IPv4 packet. It says false if there is no TCP segment in it.
func parseSegment(packet []byte) (*Segment, bool) {
	if len(packet) < ipHeader || packet[0]>>4 != ipVersion4 || packet[9] != protoTCP {
		return nil, false
	}
	start := int(packet[0]&15) * 4
	if len(packet) < start+tcpHeader {
		return nil, false
	}
	t := packet[start:]
	data := int(t[12]>>4) * 4
	if len(t) < data {
		return nil, false
	}
	be := binary.BigEndian
	return &Segment{
		From: netip.AddrPortFrom(netip.AddrFrom4([4]byte(packet[12:16])), be.Uint16(t)),
		To:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(packet[16:20])), be.Uint16(t[2:])),
		Seq:  be.Uint32(t[4:]), Ack: be.Uint32(t[8:]), Flags: Flags(t[13]),
		Payload: t[data:], packet: packet,
	}, true
}

// tcpPacket builds an IPv4 packet with one TCP segment without options.
func tcpPacket(s *Segment) []byte {
	t := make([]byte, tcpHeader, tcpHeader+len(s.Payload))
	be := binary.BigEndian
	be.PutUint16(t, s.From.Port())
	be.PutUint16(t[2:], s.To.Port())
	be.PutUint32(t[4:], s.Seq)
	be.PutUint32(t[8:], s.Ack)
	t[12] = tcpHeader / 4 << 4
	t[13] = byte(s.Flags)
	be.PutUint16(t[14:], peersWindow)
	t = append(t, s.Payload...)
	pseudo := append(append(s.From.Addr().AsSlice(), s.To.Addr().AsSlice()...), 0, protoTCP)
	pseudo = be.AppendUint16(pseudo, uint16(len(t)))
	be.PutUint16(t[16:], checksum(append(pseudo, t...)))
	return ipPacket(protoTCP, s.From.Addr(), s.To.Addr(), t)
}

// icmpPacket builds an ICMP error about packet.
func icmpPacket(from, to netip.Addr, kind, code byte, packet []byte) []byte {
	m := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, packet[:ipHeader+8]...)
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	return ipPacket(protoICMP, from, to, m)
}

func ipPacket(proto byte, from, to netip.Addr, payload []byte) []byte {
	h := make([]byte, ipHeader, ipHeader+len(payload))
	h[0] = ipVersion4<<4 | ipHeader/4
	binary.BigEndian.PutUint16(h[2:], uint16(ipHeader+len(payload)))
	h[8], h[9] = ttl, proto
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		sum += uint32(c) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
