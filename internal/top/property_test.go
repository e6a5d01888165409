package top

import (
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/tcpstate/tcpstate/internal/report"
)

// fits tells a frame that is wider or higher than its terminal, however a terminal counts cells.
func (v *view) fits() {
	v.t.Helper()
	frame := v.View().Content
	lines := strings.Split(frame, "\n")
	if len(lines) > max(v.height, 1) {
		v.t.Fatalf("%d lines on a terminal of %dx%d:\n%s", len(lines), v.width, v.height, ansi.Strip(frame))
	}
	for _, l := range lines {
		byGrapheme, byRune, byReport := ansi.StringWidth(l), ansi.StringWidthWc(l), report.Cells(ansi.Strip(l))
		if max(byGrapheme, byRune, byReport) > max(v.width, 0) {
			v.t.Fatalf("%d, %d or %d cells on a terminal of %dx%d: %q", byGrapheme, byRune, byReport, v.width, v.height, l)
		}
	}
	if c := v.View().Cursor; c != nil && (c.X < 0 || c.Y < 0 || c.X >= v.width || c.Y >= v.height) {
		v.t.Fatalf("cursor at %d,%d on a terminal of %dx%d", c.X, c.Y, v.width, v.height)
	}
}

func TestFramesFitEverySize(t *testing.T) {
	busy, names, lossy := report.Build(incident().input()), report.Build(hostile().input()), inexact()
	for name, v := range map[string]*view{
		"list":     opened(t, 0, 0, Options{Color: true}, live(busy)),
		"hostile":  opened(t, 0, 0, Options{}, live(names)),
		"inexact":  opened(t, 0, 0, Options{}, live(lossy)),
		"detail":   opened(t, 80, 24, Options{}, live(busy)).keys("enter"),
		"detail2":  opened(t, 80, 24, Options{}, live(names)).keys("G", "enter", "G"),
		"help":     opened(t, 80, 24, Options{}, live(busy)).keys("?"),
		"filter":   opened(t, 80, 24, Options{}, live(names)).keys("/", "日", "本", "a", "b", "c"),
		"playback": opened(t, 0, 0, Options{}, played(busy, true)),
		"empty":    opened(t, 0, 0, Options{}, live(empty())),
		"waiting":  opened(t, 0, 0, Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v.t = t
			for width := range 221 {
				for height := range 61 {
					if width%40 == 0 || width <= 100 && height <= 3 || slices.Contains([]int{5, 10, 24}, height) {
						v.send(tea.WindowSizeMsg{Width: width, Height: height})
						v.fits()
					}
				}
			}
		})
	}
}

// names are the keys that FuzzKeys presses.
var names = []string{
	"up", "down", "j", "k", "pgup", "pgdown", "home", "end", "g", "G", "enter", "esc", "backspace", "/", "s", "S", "p",
	"space", "w", "?", "left", "right", "shift+left", "shift+right", "+", "-", "a", "ü", "日", "1", ".", "ctrl+u", "n", "f1",
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x0a\x0b\x0d\x1a\x0a\x10\x11\x13"))
	f.Add([]byte{200, 10, 11, 210, 220, 13, 26, 30, 10, 10, 240, 19, 10})
	f.Add([]byte{230, 16, 22, 24, 200, 16, 9, 10, 201, 202, 13, 12, 12, 12})
	busy, names2, few := report.Build(incident().input()), report.Build(hostile().input()), empty()
	updates := []Update{
		live(busy), live(names2), live(few), played(busy, false), final(played(names2, true)), {}, {Note: "a\x1b[2Jnote"},
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		v := opened(t, 80, 24, Options{Color: len(input)%2 == 0, Limit: len(input) % 4})
		for _, b := range input[:min(len(input), 200)] {
			switch {
			case int(b) < len(names):
				v.send(press(names[b]))
			case b < 100:
				v.send(tea.WindowSizeMsg{Width: int(b) * 3 % 130, Height: int(b) * 7 % 40})
			case b < 110:
				v.send(tea.PasteMsg{Content: "q\x1b[Aü" + string(rune(b))})
			default:
				v.send(updates[int(b)%len(updates)])
			}
			v.fits()
		}
	})
}
