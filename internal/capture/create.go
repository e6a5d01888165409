package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// mode: who was connected to whom is nobody else's business.
const mode = 0o600

// Create makes the file of a capture, which only its owner can read. It never writes through a link and never over an
// existing file, unless force is set: then a new file takes the old one's name.
func Create(path string, force bool) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | syscall.O_NOFOLLOW
	f, err := os.OpenFile(path, flags, mode)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	old, statErr := os.Lstat(path)
	switch {
	case statErr != nil:
		return nil, err // it was there a moment ago
	case !old.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file: captures are written to new files only, and through no link", path)
	case !force:
		return nil, fmt.Errorf("%s exists: give another name, or --force to replace it", path)
	}
	return replace(path)
}

// replace makes a new file beside path and gives it that name, so that whoever reads the old one can go on.
func replace(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tcpstate-*.tcps") // O_EXCL, 0600
	if err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}
