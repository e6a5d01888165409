package main

import (
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const shown = "\x1b[1mtcpstate\x1b[0m  5 ports\x1b[K\n" +
	"\x1b[31mCRITICAL\x1b[39m <a&b> \x1b[2m→\x1b[22m x  y\n" +
	"\x1b[7m sel \x1b[27m \x1b[38;5;208mo\x1b[38;2;1;2;3mr\x1b[0m ▁▁▄█│──▌\n" +
	"   \n\n"

func picture(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	if err := draw(strings.NewReader(text), &b, `top -r "x" <&>`, 40); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is one of a picture, with its attributes and its text.
type element struct {
	name, text string
	is         map[string]string
}

func (e element) number(name string) float64 {
	v, err := strconv.ParseFloat(e.is[name], 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func elements(t *testing.T, picture string) []element {
	t.Helper()
	var all []element
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, is: map[string]string{}}
			for _, a := range token.Attr {
				e.is[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 && strings.TrimSpace(string(token)) != "" {
				all[len(all)-1].text += string(token)
			}
		}
	}
}

// Each character stands in its cell, whatever the font.
func TestTextStandsInItsCells(t *testing.T) {
	rows := [3][]rune{}
	for i := range rows {
		rows[i] = []rune(strings.Repeat(" ", 40))
	}
	for _, e := range elements(t, picture(t, shown)) {
		if e.name != "text" || e.is["class"] == "bar" {
			continue
		}
		x, y := (e.number("x")-margin)/cellWidth, (e.number("y")-bar-margin-baseline)/cellHeight
		n := len([]rune(e.text))
		off := math.Abs(x-math.Round(x)) + math.Abs(y-math.Round(y)) + math.Abs(e.number("textLength")/cellWidth-float64(n))
		if math.IsNaN(off) || off > .01 {
			t.Errorf("%q is at %v,%v and %s long", e.text, x, y, e.is["textLength"])
		}
		copy(rows[int(math.Round(y))][int(math.Round(x)):], []rune(e.text))
	}
	for i, want := range []string{"tcpstate  5 ports", "CRITICAL <a&b> → x  y", " sel  or"} {
		if got := strings.TrimRight(string(rows[i]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}

func TestLooks(t *testing.T) {
	all := elements(t, picture(t, shown))
	find := func(text string) element {
		for _, e := range all {
			if e.name == "text" && e.text == text && e.is["class"] != "bar" {
				return e
			}
		}
		t.Errorf("no %q", text)
		return element{}
	}
	for text, want := range map[string]string{"tcpstate": "b", "CRITICAL": "c1", "→": "f", "x": "", "5 ports": ""} {
		if got := find(text).is["class"]; got != want {
			t.Errorf("%q has class %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"sel": "fill:" + background, "o": "fill:#ff8700", "r": "fill:#010203"} {
		if got := find(text).is["style"]; got != want {
			t.Errorf("%q has style %q, want %q", text, got, want)
		}
	}
	grounds := 0
	for _, e := range all {
		if e.name == "rect" && e.is["fill"] == foreground && math.Abs(e.number("width")-5*cellWidth) < .01 {
			grounds++
		}
	}
	if grounds != 1 {
		t.Errorf("%d backgrounds of the chosen row, want 1", grounds)
	}
}

// Bars are drawn: a font could leave gaps in them.
func TestBarsAreDrawn(t *testing.T) {
	var got []string
	for _, e := range elements(t, picture(t, shown)) {
		if e.name == "rect" && e.number("y") > bar+margin+2*cellHeight-1 && e.is["fill"] == "" {
			got = append(got, number(e.number("width")/cellWidth)+"×"+number(e.number("height")/cellHeight))
		}
	}
	if want := "2×0.13 1×0.5 1×1 0.13×1 2×0.06 0.5×1"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
}

func TestTheTitleIsTold(t *testing.T) {
	var titles []string
	for _, e := range elements(t, picture(t, shown)) {
		if e.text == `top -r "x" <&>` {
			titles = append(titles, e.name)
		}
	}
	if strings.Join(titles, " ") != "title text" {
		t.Errorf("told by %q, want title and text", titles)
	}
}

func TestAnEmptyScreenIsAnError(t *testing.T) {
	if err := draw(strings.NewReader(" \n\n"), io.Discard, "", 80); err == nil {
		t.Error("no error: a picture of nothing would be compared with itself for ever")
	}
}

func TestStrangeSequencesAreLeftOut(t *testing.T) {
	for text, want := range map[string]string{
		"a\x1b[2Jb": "ab", "a\x1b[": "a", "a\x1bb": "ab", "\x1b[38;5m\x1b[38m\x1b[;mx": "x", "\xffx": "\ufffdx",
	} {
		if s := read(text); s.line(0) != want {
			t.Errorf("%q is %q, want %q", text, s.line(0), want)
		}
	}
}

func TestBlankPicturesAreFound(t *testing.T) {
	make := func(name string, text, size int) string {
		picture := image.NewRGBA(image.Rect(0, 0, size, size))
		for y := range text {
			for x := range size {
				picture.Set(x, y, color.RGBA{uint8(x), uint8(y), 0, 255})
			}
		}
		path := filepath.Join(t.TempDir(), name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, picture); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{make("good.png", 40, 40), ""}, {make("empty.png", 0, 40), "is blank"}, {make("half.png", 20, 40), "is blank"},
		{make("small.png", 20, 20), "is 20x20, not 40x40"}, {"nosuch.png", "no such file"}, {"main.go", "unknown format"},
	} {
		err := notBlank(c.path, "40x40")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", filepath.Base(c.path), err, c.want)
		}
	}
}
