package testnet

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Peer is a TCP implementation that does only what it is told, at [PeerAddr]. A test on loopback between two kernel
// sockets never sees a FIN that is not answered, an ICMP error or a RST in an odd state; here it can.
//
// All methods belong inside [Namespace.Do] and fail the test by [Fail].
type Peer struct {
	fd int
	to unix.SockaddrLinklayer
}

// initialSequence is where every sequence number of the peer begins.
const initialSequence = 1_000_000

// NewPeer starts listening to the packets of lo. Close it when done.
func NewPeer() *Peer {
	proto := htons(unix.ETH_P_IP)
	p := &Peer{
		fd: Must1(unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))),
		to: unix.SockaddrLinklayer{Protocol: proto, Ifindex: loopback, Halen: 6},
	}
	Must(unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: loopback}))
	return p
}

// Close stops listening.
func (p *Peer) Close() { Must(unix.Close(p.fd)) }

// Flush forgets what has arrived so far.
func (p *Peer) Flush() {
	for p.receive() != nil {
	}
}

// receive returns the next segment for the peer, or nil if none has arrived.
func (p *Peer) receive() *Segment {
	for {
		packet := make([]byte, 1<<16)
		n, _, err := unix.Recvfrom(p.fd, packet, 0)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		Must(err)
		if s, ok := parseSegment(packet[:n]); ok && s.To.Addr() == PeerAddr {
			return s
		}
	}
}

// wait returns the next segment that fits, and drops the others: retransmissions mostly.
func (p *Peer) wait(what string, fits func(*Segment) bool) *Segment {
	for end := time.Now().Add(Patience); time.Now().Before(end); {
		if s := p.receive(); s == nil {
			// A signal ends the poll early, which the loop forgives.
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 100)
		} else if fits(s) {
			return s
		}
	}
	Fail("the peer got no %s within %s", what, Patience)
	return nil
}

// SYN waits for a SYN to port and returns it.
func (p *Peer) SYN(port uint16) *Segment {
	return p.wait("SYN", func(s *Segment) bool { return s.Flags == SYN && s.To.Port() == port })
}

// Meet waits for a SYN to port without answering it.
func (p *Peer) Meet(port uint16) *PeerConn {
	s := p.SYN(port)
	return &PeerConn{peer: p, peerEnd: s.To, kernelEnd: s.From, seq: initialSequence, ack: s.next(), last: s}
}

// Call opens a connection from port to a listening socket of the kernel, as far as sending a SYN.
func (p *Peer) Call(port uint16, to netip.AddrPort, sequence uint32) *PeerConn {
	c := &PeerConn{peer: p, peerEnd: netip.AddrPortFrom(PeerAddr, port), kernelEnd: to, seq: sequence}
	c.Send(SYN, "")
	return c
}

// CallWith is a fast open: it sends a SYN with payload.
func (p *Peer) CallWith(port uint16, to netip.AddrPort, payload string) *PeerConn {
	c := &PeerConn{peer: p, peerEnd: netip.AddrPortFrom(PeerAddr, port), kernelEnd: to, seq: initialSequence}
	c.Send(SYN, payload)
	return c
}

// ICMPError sends an ICMP error about segment s to the kernel, as a router would.
func (p *Peer) ICMPError(kind, code byte, s *Segment) {
	p.send(icmpPacket(router, s.From.Addr(), kind, code, s.packet))
}

func (p *Peer) send(packet []byte) { Must(unix.Sendto(p.fd, packet, 0, &p.to)) }

// PeerConn is the peer's end of one connection.
type PeerConn struct {
	peer               *Peer
	peerEnd, kernelEnd netip.AddrPort
	seq, ack           uint32 // the peer's next sequence number, and the one it expects
	last               *Segment
}

// Establish answers the kernel's SYN and waits for the ACK.
func (c *PeerConn) Establish() {
	c.Send(SYN|ACK, "")
	c.Await(ACK)
}

// Send sends a segment with these flags. SYN, FIN and payload use up sequence numbers.
func (c *PeerConn) Send(f Flags, payload string) {
	s := &Segment{From: c.peerEnd, To: c.kernelEnd, Seq: c.seq, Flags: f, Payload: []byte(payload)}
	if f&ACK != 0 {
		s.Ack = c.ack
	}
	c.peer.send(tcpPacket(s))
	c.seq = s.next()
}

// SendSYN answers a SYN with a SYN alone: a simultaneous open.
func (c *PeerConn) SendSYN() { c.Send(SYN, "") }

// Resend sends the last FIN again.
func (c *PeerConn) Resend(f Flags) {
	c.seq--
	c.Send(f, "")
}

// TakeSYNOnly forgets the payload of a fast open's SYN.
func (c *PeerConn) TakeSYNOnly() { c.ack = c.last.Seq + 1 }

// Refuse answers a SYN with a RST.
func (c *PeerConn) Refuse() {
	c.seq = 0
	c.Send(RST|ACK, "")
}

// Await waits for a segment of the connection with exactly these flags (PSH does not matter) and takes it: the next
// ACK will acknowledge it.
func (c *PeerConn) Await(f Flags) { c.Take(c.Peek(f)) }

// AwaitPayload waits for a segment with payload and takes it.
func (c *PeerConn) AwaitPayload() {
	for len(c.Peek(ACK).Payload) == 0 {
	}
	c.Take(c.last)
}

// Peek waits like Await but does not take the segment.
func (c *PeerConn) Peek(f Flags) *Segment {
	c.last = c.peer.wait("segment", func(s *Segment) bool {
		return s.From == c.kernelEnd && s.To == c.peerEnd && s.Flags&^PSH == f
	})
	return c.last
}

// Take counts s as received.
func (c *PeerConn) Take(s *Segment) { c.ack = s.next() }

// ICMPError sends an ICMP error about the last segment that the kernel sent.
func (c *PeerConn) ICMPError(kind, code byte) { c.peer.ICMPError(kind, code, c.last) }

// KernelEnd is the kernel's address and port.
func (c *PeerConn) KernelEnd() netip.AddrPort { return c.kernelEnd }

// NextSequence is the peer's next sequence number.
func (c *PeerConn) NextSequence() uint32 { return c.seq }

func htons(v uint16) uint16 { return v<<8 | v>>8 }
