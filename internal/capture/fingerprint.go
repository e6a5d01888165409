package capture

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sizes of a fingerprint in a head, in bytes: powers of two.
const (
	minPrint = 8
	maxPrint = 512
)

// fingerprint is a Bloom filter of the destinations in a block. It is filled at its largest size, and folded to the
// smallest that is at most a quarter full, in which one key in 64 is found that was never put in. A key has its place in
// a half where it has it in the whole, less one bit.
type fingerprint [maxPrint / 8]uint64

// Each key sets so many bits.
const printHashes = 3

// The kinds of key. An address has a key for some of the networks that it is in, too.
const (
	addressKey uint64 = iota + 1
	portKey
	endpointKey
)

// printKey mixes what a key is made of: splitmix64's finisher (Vigna), twice.
func printKey(kind uint64, p netip.Prefix, port uint16) uint64 {
	a := p.Addr().As16()
	le := binary.LittleEndian
	k := mix(le.Uint64(a[:]) ^ mix(le.Uint64(a[8:])))
	return mix(k ^ kind<<48 ^ uint64(uint8(p.Bits()))<<32 ^ uint64(port))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// network is the prefix of a, as fingerprints have it: without a zone, IPv4 in IPv6 as IPv4.
func network(a netip.Addr, length int) netip.Prefix {
	p, err := a.Unmap().WithZone("").Prefix(length)
	if err != nil {
		return netip.Prefix{} // of no address
	}
	return p
}

// networkLengths are the prefixes of an address that have keys, the longest first.
func networkLengths(a netip.Addr) [3]int {
	if a.Unmap().Is4() {
		return [3]int{32, 24, 16}
	}
	return [3]int{128, 64, 48}
}

// addAddress puts a remote address in. Each needs it once.
func (f *fingerprint) addAddress(a netip.Addr) {
	for _, n := range networkLengths(a) {
		f.set(printKey(addressKey, network(a, n), 0))
	}
}

// addService puts in the service's port, of its own and at the remote address.
func (f *fingerprint) addService(a netip.Addr, port uint16) {
	f.set(printKey(portKey, netip.Prefix{}, port))
	f.set(printKey(endpointKey, network(a, networkLengths(a)[0]), port))
}

func (f *fingerprint) set(key uint64) {
	for range printHashes {
		f[key/64%uint64(len(f))] |= 1 << (key % 64)
		key = bits.RotateLeft64(key, 21)
	}
}

// append appends the fingerprint, folded.
func (f *fingerprint) append(b []byte) []byte {
	words := f[:]
	folded := *f
	for n := len(words) / 2; n >= minPrint/8; n /= 2 {
		set := 0
		for i := range n {
			folded[i] |= folded[i+n]
			set += bits.OnesCount64(folded[i])
		}
		if set > n*64/4 {
			break
		}
		copy(words, folded[:n])
		words = words[:n]
	}
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// Destination is a remote end to look for.
type Destination struct {
	// Prefix is the remote address or its network; the zero Prefix: any.
	Prefix netip.Prefix
	// Port is the service's: the remote port of an outbound connection and the local one of an inbound connection. 0: any.
	Port uint16
}

// in says whether a block with fingerprint print can have an event of d. No fingerprint: it can.
func (d Destination) in(print []byte) bool {
	if len(print) == 0 {
		return true
	}
	if d.Port != 0 && !has(print, printKey(portKey, netip.Prefix{}, d.Port)) {
		return false
	}
	if !d.Prefix.IsValid() {
		return true
	}
	a := d.Prefix.Addr()
	lengths := networkLengths(a)
	length := d.Prefix.Bits()
	if a.Is4In6() {
		length = max(0, length-96)
	}
	if d.Port != 0 && length == lengths[0] && !has(print, printKey(endpointKey, network(a, length), d.Port)) {
		return false
	}
	for _, n := range lengths {
		if n <= length {
			return has(print, printKey(addressKey, network(a, n), 0))
		}
	}
	return true
}

// has says whether key may be in a folded fingerprint.
func has(print []byte, key uint64) bool {
	words := uint64(len(print) / 8)
	for range printHashes {
		word := binary.LittleEndian.Uint64(print[key/64%words*8:])
		if word>>(key%64)&1 == 0 {
			return false
		}
		key = bits.RotateLeft64(key, 21)
	}
	return true
}
