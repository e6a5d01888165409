package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"
)

// readSize is how much is read at once: about a block.
const readSize = 64 << 10

// pollInterval is how often a file that is being written is looked at.
const pollInterval = 100 * time.Millisecond

// source is a window on the bytes of a file or a pipe.
type source struct {
	r      io.Reader
	at     io.ReaderAt     // r, where it can be read anywhere
	follow context.Context // wait for more at the end; nil: don't
	idle   func()          // called while waiting; nil: nothing is

	buf    []byte // what was read and not used
	start  int    // of that in buf
	offset int64  // of buf[start] in the file
	err    error  // what reading ended with, io.EOF included
}

// sized is a part of memory.
type sized interface {
	io.ReaderAt
	Size() int64
}

func newSource(r io.Reader, o *ReadOptions) *source {
	s := &source{r: r, follow: o.Follow, idle: o.Waiting}
	switch f := r.(type) {
	case *os.File:
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			s.at = f
		}
	case sized:
		s.at = f
	}
	return s
}

// size is how long the file is; ok is false where that cannot be known.
func (s *source) size() (n int64, ok bool) {
	switch f := s.at.(type) {
	case *os.File:
		info, err := f.Stat()
		if err != nil {
			return 0, false
		}
		return info.Size(), true
	case sized:
		return f.Size(), true
	}
	return 0, false
}

// window returns the next n bytes without using them, or fewer at the end. They are valid until the next call.
func (s *source) window(n int) []byte {
	for len(s.buf)-s.start < n && s.err == nil {
		s.read(n)
	}
	return s.buf[s.start:min(s.start+n, len(s.buf))]
}

// read reads once, so that n bytes may become a window.
func (s *source) read(n int) {
	if s.start > 0 && cap(s.buf)-s.start < max(n, readSize) {
		s.buf = s.buf[:copy(s.buf, s.buf[s.start:])]
		s.start = 0
	}
	if cap(s.buf)-s.start < n || cap(s.buf) == len(s.buf) {
		grown := make([]byte, len(s.buf)-s.start, max(n, readSize)+readSize)
		copy(grown, s.buf[s.start:])
		s.buf, s.start = grown, 0
	}
	to := s.buf[len(s.buf):min(cap(s.buf), s.start+max(n, len(s.buf)-s.start+readSize))]
	var got int
	var err error
	if s.at != nil {
		got, err = s.at.ReadAt(to, s.offset+int64(len(s.buf)-s.start))
	} else {
		got, err = s.r.Read(to)
	}
	s.buf = s.buf[:len(s.buf)+got]
	if got > 0 && errors.Is(err, io.EOF) {
		err = nil // it comes again
	}
	if errors.Is(err, io.EOF) && s.follow != nil {
		err = s.wait()
	}
	s.err = err
}

// wait waits for a writer.
func (s *source) wait() error {
	if s.idle != nil {
		s.idle()
	}
	select {
	case <-s.follow.Done():
		return s.follow.Err()
	case <-time.After(pollInterval):
		return nil
	}
}

// use goes on by n bytes of the window.
func (s *source) use(n int) {
	s.start += n
	s.offset += int64(n)
}

// seek goes on at offset. Only for where s.at is.
func (s *source) seek(offset int64) {
	if ahead := offset - s.offset; ahead >= 0 && ahead <= int64(len(s.buf)-s.start) {
		s.use(int(ahead))
		return
	}
	s.buf, s.start, s.offset, s.err = s.buf[:0], 0, offset, nil
}

// skip goes on by n bytes, as far as there are so many, and says whether there were. It does not read them where it
// need not.
func (s *source) skip(n int) bool {
	if size, ok := s.size(); ok && s.follow == nil {
		n = int(min(int64(n), size-s.offset))
		s.seek(s.offset + int64(n))
		return s.offset < size || n == 0
	}
	got := len(s.window(n))
	s.use(got)
	return got == n
}

// head returns the head that the next bytes are, in one piece and intact; nil: they are none.
func (s *source) head() []byte {
	b := s.window(atMajor + 4)
	if len(b) < atMajor+4 {
		return nil
	}
	n := headLength(b)
	if n == 0 {
		return nil
	}
	if b = s.window(n); len(b) < n || !intact(b) {
		return nil
	}
	return b
}

var headMark = binary.LittleEndian.AppendUint32(nil, headMagic)

// find goes on to the next intact head, or to the end.
func (s *source) find() (found bool) {
	for {
		if len(s.window(minHead)) == 0 {
			return false
		}
		b := s.buf[s.start:] // no more, for a file that is followed may grow slowly
		i := bytes.Index(b, headMark)
		switch {
		case i > 0:
			s.use(i)
		case i < 0:
			s.use(max(len(b)-len(headMark)+1, 1))
			continue
		}
		if s.head() != nil {
			return true
		}
		s.use(1)
	}
}
