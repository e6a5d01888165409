package service

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
)

// Bounds on what an executable may make us read: it is another user's file, and may be made to cost time and memory.
const (
	maxSections     = 256      // linkers write some 40
	maxSectionNames = 16 << 10 // some 500 bytes
	maxComment      = 4 << 10  // a line for each compiler
)

// goBuildInfo begins the section .go.buildinfo, which strip(1) and -ldflags=-s leave alone (debug/buildinfo).
var goBuildInfo = []byte("\xff Go buildinf:")

// section is the part of an ELF section header that is needed (Elf64_Shdr in elf(5)).
type section struct {
	name         uint32
	offset, size uint64
}

// elfRuntime tells from an executable's sections which language it was compiled from: Go by its build information, Rust
// by what rustc leaves in .comment. Anything that is not a sound ELF file tells nothing.
//
// debug/elf would do, but it is not made for hostile files (https://pkg.go.dev/debug/elf).
func elfRuntime(r io.ReaderAt) string {
	sections, names := readSections(r)
	for _, s := range sections {
		switch sectionName(names, s.name) {
		case ".go.buildinfo":
			if bytes.HasPrefix(readAt(r, s.offset, min(s.size, uint64(len(goBuildInfo)))), goBuildInfo) {
				return runtimeGo
			}
		case ".comment":
			if bytes.Contains(readAt(r, s.offset, min(s.size, maxComment)), []byte("rustc version ")) {
				return runtimeRust
			}
		}
	}
	return ""
}

// elfLayout is where the fields are, in the two classes of ELF files.
type elfLayout struct {
	headerSize                    uint64
	sectionsAt, entrySizeAt       int // e_shoff; e_shentsize, which e_shnum and e_shstrndx follow
	entrySize, offsetAt, wordSize int // of a section header: its size, sh_offset; sh_size follows
}

var (
	elf32 = elfLayout{headerSize: 52, sectionsAt: 32, entrySizeAt: 46, entrySize: 40, offsetAt: 16, wordSize: 4}
	elf64 = elfLayout{headerSize: 64, sectionsAt: 40, entrySizeAt: 58, entrySize: 64, offsetAt: 24, wordSize: 8}
)

// readSections returns the section headers and the bytes that their names are in, or nothing.
func readSections(r io.ReaderAt) (sections []section, names []byte) {
	ident := readAt(r, 0, 16)
	if !bytes.HasPrefix(ident, []byte("\x7fELF")) {
		return nil, nil
	}
	layout, order := elf64, binary.ByteOrder(binary.LittleEndian)
	if ident[4] == 1 { // ELFCLASS32
		layout = elf32
	}
	if ident[5] == 2 { // ELFDATA2MSB
		order = binary.BigEndian
	}
	header := readAt(r, 0, layout.headerSize)
	if header == nil {
		return nil, nil
	}
	counts := header[layout.entrySizeAt:]
	entrySize, count, namesIn := order.Uint16(counts), int(order.Uint16(counts[2:])), int(order.Uint16(counts[4:]))
	if int(entrySize) != layout.entrySize || count > maxSections || namesIn >= count {
		return nil, nil
	}
	table := readAt(r, layout.word(header[layout.sectionsAt:], order), uint64(count*layout.entrySize))
	for ; len(table) > 0; table = table[layout.entrySize:] {
		sections = append(sections, section{
			name:   order.Uint32(table),
			offset: layout.word(table[layout.offsetAt:], order),
			size:   layout.word(table[layout.offsetAt+layout.wordSize:], order),
		})
	}
	if len(sections) == 0 || sections[namesIn].size > maxSectionNames {
		return nil, nil
	}
	return sections, readAt(r, sections[namesIn].offset, sections[namesIn].size)
}

func (l elfLayout) word(b []byte, order binary.ByteOrder) uint64 {
	if l.wordSize == 4 {
		return uint64(order.Uint32(b))
	}
	return order.Uint64(b)
}

// sectionName returns the NUL-terminated name at an offset, "" where there is none.
func sectionName(names []byte, at uint32) string {
	if uint64(at) >= uint64(len(names)) {
		return ""
	}
	name, _, ended := bytes.Cut(names[at:], []byte{0})
	if !ended {
		return ""
	}
	return string(name)
}

// readAt returns n bytes at an offset, or nil when they are not all there. n is bounded by the caller.
func readAt(r io.ReaderAt, offset, n uint64) []byte {
	if offset > math.MaxInt64-n {
		return nil
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, int64(offset)); got != len(b) && err != nil {
		return nil
	}
	return b
}
