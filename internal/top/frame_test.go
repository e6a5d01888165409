package top

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// asked are what keys asked for, one word each.
type asked struct{ words []string }

func (a *asked) say(word string)       { a.words = append(a.words, word) }
func (a *asked) Watch(id int)          { a.say("watch " + report.Number(uint64(id+1))) }
func (a *asked) Write()                { a.say("write") }
func (a *asked) Pause(paused bool)     { a.say(map[bool]string{true: "pause", false: "go on"}[paused]) }
func (a *asked) Speed(factor float64)  { a.say("speed " + report.Significant(factor)) }
func (a *asked) Seek(by time.Duration) { a.say("seek " + by.String()) }

// view is a model under test.
type view struct {
	*model
	t     testing.TB
	asked *asked
}

func opened(t testing.TB, width, height int, o Options, updates ...Update) *view {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	a := new(asked)
	m, err := newModel(o, a)
	if err != nil {
		t.Fatal(err)
	}
	v := &view{m, t, a}
	v.send(tea.WindowSizeMsg{Width: width, Height: height})
	for _, u := range updates {
		v.send(u)
	}
	return v
}

func (v *view) send(msgs ...tea.Msg) {
	for _, msg := range msgs {
		v.Update(msg)
		v.View()
	}
}

// keys are names as [tea.KeyPressMsg] writes them, or text that is typed.
func (v *view) keys(names ...string) *view {
	for _, n := range names {
		v.send(press(n))
	}
	return v
}

var special = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "backspace": {Code: tea.KeyBackspace},
	"up":   {Code: tea.KeyUp},
	"down": {Code: tea.KeyDown}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "pgup": {Code: tea.KeyPgUp},
	"pgdown": {Code: tea.KeyPgDown}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
	"space":      {Code: tea.KeySpace, Text: " "},
	"shift+left": {Code: tea.KeyLeft, Mod: tea.ModShift}, "shift+right": {Code: tea.KeyRight, Mod: tea.ModShift},
	"ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl}, "f1": {Code: tea.KeyF1},
}

func press(name string) tea.KeyPressMsg {
	if k, ok := special[name]; ok {
		return k
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// text is the frame without its looks.
func (v *view) text() string { return ansi.Strip(v.View().Content) }

func played(d *report.Document, paused bool) Update {
	start := time.Unix(0, epoch)
	p := &Playback{Start: start, End: start.Add(3 * span), Now: start.Add(span), Speed: 5, Paused: paused}
	return Update{Document: d, Playback: p}
}

var sizes = []struct {
	name          string
	width, height int
}{{"80x24", 80, 24}, {"200x50", 200, 50}, {"40x10", 40, 10}, {"120x30", 120, 30}}

func TestFrames(t *testing.T) {
	d := report.Build(incident().input())
	for _, size := range sizes {
		at := func(o Options, updates ...Update) *view { return opened(t, size.width, size.height, o, updates...) }
		for name, v := range map[string]*view{
			"list":     at(Options{}, live(d)),
			"chosen":   at(Options{}, live(d)).keys("j", "j", "s", "s"),
			"detail":   at(Options{}, live(d)).keys("enter"),
			"inbound":  at(Options{}, live(d)).keys("/", "n", "g", "i", "enter", "enter"),
			"help":     at(Options{}, live(d)).keys("?"),
			"filter":   at(Options{}, live(d)).keys("/", "1", "0", ".", "2"),
			"filtered": at(Options{}, live(d)).keys("/", "p", "o", "o", "l", "enter", "S"),
			"none":     at(Options{}, live(d)).keys("/", "x", "y", "z"),
			"paused":   at(Options{}, live(d)).keys("p"),
			"playback": at(Options{}, played(d, false)),
			"stopped":  at(Options{}, played(d, true)),
			"final":    at(Options{}, final(played(d, false))),
			"ended":    at(Options{}, final(live(d))),
			"noted":    at(Options{}, live(d)).keys("w"),
			"empty":    at(Options{}, live(empty())),
			"waiting":  at(Options{}),
			"hostile":  at(Options{}, live(report.Build(hostile().input()))),
			"inexact":  at(Options{}, live(inexact())),
		} {
			if size.name == "80x24" || slices.Contains([]string{"list", "detail", "help", "playback"}, name) {
				golden(t, name+"."+size.name, v.text()+"\n")
			}
		}
	}
	deep := opened(t, 80, 120, Options{}, live(d)).keys("enter")
	golden(t, "detail.80x120", deep.text()+"\n")
	golden(t, "list.80x24.color", opened(t, 80, 24, Options{Color: true}, live(d)).View().Content+"\n")
	golden(t, "list.80x24.plain", opened(t, 80, 24, Options{}, live(d)).View().Content+"\n")
}

func final(u Update) Update {
	u.Final = true
	return u
}

// hostile are names that would move the cursor, turn the text around, or take more cells or fewer than they seem to.
func hostile() *happenings {
	h := new(happenings)
	for i, name := range []string{
		"\x1b[2J\x1b[H", "日本語サービス", "e\u0301e\u0301e\u0301", "\u202etxt.exe",
		"👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "a\nb\tc", "❤️", "\xff\xfe", "ｗｉｄｅ", "\u1100\u1161\u11a8",
	} {
		c := connecting(h, name, uint32(i+1), fmt.Sprintf("10.0.1.%d:80", i+1))
		for k := range 30 {
			c.connect(time.Duration(k)*time.Second, time.Millisecond, 1)
		}
		c.fail(time.Second, 111, 0)
	}
	return h
}

func inexact() *report.Document {
	in := incident().input()
	in.Table.Observe(&event.Event{Kind: event.Lost, Count: 3})
	in.Losses = report.Losses{SocketsEvicted: 12, ServicesRefused: 2}
	return report.Build(in)
}

// A filter changes what all figures are of: it is said before what only describes the host.
func TestAFilterIsSaidOnNarrowTerminals(t *testing.T) {
	d := *report.Build(incident().input())
	d.Filter.Expression = "--netns /run/netns/shop-1 --comm java"
	for width, want := range map[int]string{60: "only --netns", 80: "only --netns", 120: "only --netns /run/", 200: "only " + d.Filter.Expression} {
		if text := opened(t, width, 24, Options{}, live(&d)).text(); !strings.Contains(text, want) {
			t.Errorf("%d columns do not say %q:\n%s", width, want, text)
		}
	}
}

// Between the ends of two steps more can have been open than at either.
func TestTheMostThatWereOpenIsOneFigure(t *testing.T) {
	d := report.Build(incident().input())
	r := d.Destinations[2]
	if most := slices.Max(r.Charts.Open); most >= r.Open.Peak {
		t.Fatalf("%s: at most %d were open as steps ended, and %d in all: nothing to tell apart", r.Service.Name, most, r.Open.Peak)
	}
	text := opened(t, 80, 120, Options{}, live(d)).keys("j", "j", "enter").text()
	if n := strings.Count(text, fmt.Sprintf("at most %d", r.Open.Peak)); n != 2 {
		t.Errorf("the peak of %d is said %d times, want twice:\n%s", r.Open.Peak, n, text)
	}
}
