// Command screens reads what a terminal shows, as `tmux capture-pane -e -p` prints it, and writes it as a picture
// (SVG): the same bytes for the same text, whatever fonts its viewer has. With -size it looks at pictures that a
// browser made.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	title := flag.String("title", "", "what is shown, for the title bar and for those who cannot see it")
	width := flag.Int("columns", 100, "how wide the terminal is")
	size := flag.String("size", "", "say whether each FILE is a picture of that size, like 1280x800, with something on it")
	flag.Parse()
	var errs []error
	if *size == "" {
		errs = append(errs, draw(os.Stdin, os.Stdout, *title, *width))
	}
	for _, path := range flag.Args() {
		errs = append(errs, notBlank(path, *size))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

func draw(in io.Reader, out io.Writer, title string, width int) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read screen: %w", err)
	}
	s := read(string(text))
	if len(s) == 0 {
		return errors.New("the screen is empty")
	}
	b := bufio.NewWriter(out)
	if err := s.svg(b, title, width); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	return nil
}
