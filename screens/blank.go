package main

import (
	"errors"
	"fmt"
	"image"
	_ "image/png" // what a browser makes
	"os"
)

// leastColours is how many a picture with text has at the least, for its edges are smooth.
const leastColours = 30

// notBlank says what is wrong with a picture of a browser: its size, or that there is nothing on it.
func notBlank(path, size string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("look at picture: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	picture, _, err := image.Decode(f)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	b := picture.Bounds()
	if got := fmt.Sprintf("%dx%d", b.Dx(), b.Dy()); got != size {
		return fmt.Errorf("%s is %s, not %s", path, got, size)
	}
	// Both halves: a page that is cut off is as wrong as one that is empty.
	middle := b.Min.Y + b.Dy()/2
	for _, half := range []image.Rectangle{
		image.Rect(b.Min.X, b.Min.Y, b.Max.X, middle), image.Rect(b.Min.X, middle, b.Max.X, b.Max.Y),
	} {
		if n := colours(picture, half); n < leastColours {
			return fmt.Errorf("%s is blank: %d colours between lines %d and %d", path, n, half.Min.Y, half.Max.Y)
		}
	}
	return nil
}

func colours(picture image.Image, in image.Rectangle) int {
	seen := make(map[[3]uint32]bool)
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}
