// Package anonymize replaces what tells whose hosts a capture is from: addresses and, where asked for, names. The same
// key gives the same replacement every time, so that two captures can be compared; without the key there is no way back.
//
// What replaces an address is an address of the same family, so that whatever reads captures reads these. IPv4 addresses
// are permuted: two never become one. IPv6 addresses are hashed into fd00::/8 (RFC 4193), 120 bits of HMAC-SHA256, where
// that does not happen either. Which network an address was in cannot be told from what replaces it. Kept are addresses
// that every host has: loopback, unspecified, broadcast, multicast.
package anonymize

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"

	"github.com/tcpstate/tcpstate/internal/event"
)

// MinKey is how long a key must be, in bytes: less can be guessed.
const MinKey = 16

// Mapper replaces addresses and names. It is not safe for concurrent use.
type Mapper struct {
	names bool
	mac   hash.Hash
	sum   [sha256.Size]byte
	input [32]byte
	half  [3]byte                   // number and input of a round
	addrs map[netip.Addr]netip.Addr // those of late
	comms map[event.Comm]event.Comm
	texts map[text]string
}

// text is a name of a certain sort.
type text struct{ sort, text string }

// maxCached is how many replacements are remembered, so as not to be made again; then all are forgotten.
const maxCached = 1 << 16

// New returns a Mapper for key. With names it replaces names, too.
func New(key []byte, names bool) (*Mapper, error) {
	if len(key) < MinKey {
		return nil, fmt.Errorf("a key of %d bytes can be guessed: take %d or more", len(key), MinKey)
	}
	return &Mapper{
		names: names, mac: hmac.New(sha256.New, key),
		addrs: make(map[netip.Addr]netip.Addr), comms: make(map[event.Comm]event.Comm), texts: make(map[text]string),
	}, nil
}

// RandomKey returns a key that nobody knows.
func RandomKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

// Names says whether names are replaced, too.
func (m *Mapper) Names() bool { return m.names }

// Event replaces the addresses of e, and the name of its owner.
func (m *Mapper) Event(e *event.Event) {
	e.Local = netip.AddrPortFrom(m.Addr(e.Local.Addr()), e.Local.Port())
	e.Remote = netip.AddrPortFrom(m.Addr(e.Remote.Addr()), e.Remote.Port())
	e.Owner.Comm = m.Comm(e.Owner.Comm)
}

// Addr replaces a. What is no address stays none.
func (m *Mapper) Addr(a netip.Addr) netip.Addr {
	if !a.IsValid() || kept(a.Unmap()) {
		return a
	}
	if known, ok := m.addrs[a]; ok {
		return known
	}
	var to netip.Addr
	switch {
	case a.Is4():
		to = m.permuted(a)
	case a.Is4In6():
		to = netip.AddrFrom16(m.permuted(a.Unmap()).As16())
	default:
		to = m.hashed(a)
	}
	if len(m.addrs) >= maxCached {
		clear(m.addrs)
	}
	m.addrs[a] = to
	return to
}

// kept says whether a means the same on every host.
func kept(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first == 0 || first == 127 || first >= 224 // "this network", loopback, multicast and reserved
	}
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast()
}

// hashed is where in fd00::/8 the IPv6 address a goes. The zone is this host's name of an interface, and goes.
func (m *Mapper) hashed(a netip.Addr) netip.Addr {
	from := a.As16()
	to := [16]byte{0xfd}
	copy(to[1:], m.hash("ipv6", from[:]))
	return netip.AddrFrom16(to)
}

// permuted is what the IPv4 address a becomes: a Feistel network, which is a permutation whatever its rounds compute. What
// would become an address that is kept goes through it again, which ends, for a itself is not one.
func (m *Mapper) permuted(a netip.Addr) netip.Addr {
	b := a.As4()
	n := binary.BigEndian.Uint32(b[:])
	for {
		n = m.feistel(n)
		binary.BigEndian.PutUint32(b[:], n)
		if to := netip.AddrFrom4(b); !kept(to) {
			return to
		}
	}
}

// rounds is how many FF1 takes (NIST SP 800-38G), which is such a network, too.
const rounds = 10

func (m *Mapper) feistel(n uint32) uint32 {
	left, right := uint16(n>>16), uint16(n)
	for round := range rounds {
		m.half = [3]byte{byte(round), byte(right >> 8), byte(right)}
		sum := m.hash("ipv4", m.half[:])
		left, right = right, left^binary.BigEndian.Uint16(sum)
	}
	return uint32(left)<<16 | uint32(right)
}

// hash is the keyed hash of value, which is of some sort. It is valid until the next call.
func (m *Mapper) hash(sort string, value []byte) []byte {
	m.mac.Reset()
	b := append(m.input[:0], sort...)
	_, _ = m.mac.Write(append(b, 0)) // a hash's Write gives no error
	_, _ = m.mac.Write(value)
	return m.mac.Sum(m.sum[:0])
}

// digits is how many hexadecimal digits of the hash a name gets. 40 bits: of 4096 names, which is all that are kept
// apart, two become one in 1 of 130,000 captures. With "svc-" it fits a comm.
const digits = 10

// Hashed returns what the name becomes, like svc-1a2b3c4d5e, "" for none. It is asked for whether or not names are
// replaced.
func (m *Mapper) Hashed(sort, name string) string {
	if name == "" {
		return ""
	}
	key := text{sort, name}
	if known, ok := m.texts[key]; ok {
		return known
	}
	to := sort + "-" + hex.EncodeToString(m.hash(sort, []byte(name)))[:digits]
	if len(m.texts) >= maxCached {
		clear(m.texts)
	}
	m.texts[key] = to
	return to
}

// Name returns what a name becomes: where names are replaced a hash, elsewhere what [Mapper.Text] makes of it.
func (m *Mapper) Name(sort, name string) string {
	if m.names {
		return m.Hashed(sort, name)
	}
	return m.Text(name)
}

// CommSort is the sort of the names of programs.
const CommSort = "svc"

// Comm is [Mapper.Name] for a comm. One that contains an address becomes a hash in any case, for there is no room for
// another address.
func (m *Mapper) Comm(c event.Comm) event.Comm {
	if known, ok := m.comms[c]; ok {
		return known
	}
	to := c
	if name := c.String(); m.names || m.Text(name) != name {
		to = event.Comm{}
		copy(to[:], m.Hashed(CommSort, name))
	}
	if len(m.comms) >= maxCached {
		clear(m.comms)
	}
	m.comms[c] = to
	return to
}
