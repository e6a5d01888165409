package main

import (
	"fmt"
	"io"
	"os"
)

// result is the file that a verb's result goes to.
type result struct {
	io.Writer
	terminal int      // its width when it is a terminal, else 0
	file     *os.File // nil: standard output, which stays open
}

// begin empties the file. Call it when nothing can keep the result from being written any more.
func (r *result) begin() error {
	if r.file == nil {
		return nil
	}
	if st, err := r.file.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil // a pipe or a device has nothing to be emptied
	}
	if err := r.file.Truncate(0); err != nil {
		return failure{fmt.Errorf("write result: %w", err)}
	}
	return nil
}

// Close closes what open opened.
func (r *result) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// to checks o, opens what it names, lets work write there, and closes it. The first error is returned.
func (o *output) to(e *env, work func(*result) error) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	out, err := o.open(e)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = asFailure(closeErr)
		}
	}()
	return work(out)
}
