package main

import "io"

// result is the file that a verb's result goes to.
type result struct {
	io.Writer
	terminal int // its width when it is a terminal, else 0
	close    func() error
}

// Close closes what open opened; standard output stays open.
func (r *result) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}
