package top

import (
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/report"
)

// quits tells whether a key ends the program.
func (v *view) quits(name string) bool {
	_, cmd := v.Update(press(name))
	if cmd == nil {
		return false
	}
	_, ok := cmd().(tea.QuitMsg)
	return ok
}

func TestKeysThatQuit(t *testing.T) {
	d := report.Build(incident().input())
	for _, c := range []struct {
		name   string
		before []string
		key    string
		want   bool
	}{
		{"q in the list", nil, "q", true},
		{"ctrl+c in the list", nil, "ctrl+c", true},
		{"esc in the list", nil, "esc", false},
		{"q in the detail", []string{"enter"}, "q", true},
		{"q in the help", []string{"?"}, "q", true},
		{"q while typing is a letter", []string{"/"}, "q", false},
		{"ctrl+c while typing", []string{"/"}, "ctrl+c", true},
	} {
		if got := opened(t, 80, 24, Options{}, live(d)).keys(c.before...).quits(c.key); got != c.want {
			t.Errorf("%s: quits %v, want %v", c.name, got, c.want)
		}
	}
}

func (v *view) chosenName() string {
	if r := v.list.row(); r != nil {
		return r.Service.Name
	}
	return ""
}

func TestKeysChooseRows(t *testing.T) {
	d := report.Build(incident().input())
	for _, c := range []struct {
		keys string
		want string
	}{
		{"", "pgbench"}, {"j", "php-fpm8.2"}, {"down down", "gateway"}, {"j k", "pgbench"}, {"k", "pgbench"},
		{"G", "curl"}, {"end j", "curl"},
		{"G g", "pgbench"}, {"end home", "pgbench"}, {"pgdown", "curl"}, {"pgdown pgup", "pgbench"},
		{"/ j a v a", "java"}, {"/ J A V A enter", "java"}, {"/ j a v a esc", "pgbench"},
		{"/ j a v a enter esc", "pgbench"},
		{"/ p h p 8 . 2 -", "php-fpm8.2"},
		{"/ E A D D R N", "pgbench"}, {"/ u n d e r s", "gateway"}, {"/ 9 0 9 2", "java"},
		{"/ x x backspace backspace j a v", "java"},
		{"s s", "java"}, {"s s s", "pgbench"}, {"s s s s S", "php-fpm8.2"}, {"s s s s s s", "curl"},
		{"S", "curl"}, {"s s s s s s s", "pgbench"},
	} {
		v := opened(t, 80, 24, Options{}, live(d)).keys(strings.Fields(c.keys)...)
		if got := v.chosenName(); got != c.want {
			t.Errorf("after %q the chosen row is %s, want %s", c.keys, got, c.want)
		}
	}
}

func TestTheChosenRowIsFollowed(t *testing.T) {
	d := report.Build(incident().input())
	turned := *d
	turned.Destinations = slices.Clone(d.Destinations)
	slices.Reverse(turned.Destinations)
	v := opened(t, 80, 24, Options{}, live(d)).keys("j", "j")
	v.send(live(&turned))
	if got := v.chosenName(); got != "gateway" {
		t.Errorf("the row was gateway, and is %s when others have changed places", got)
	}
	if v = opened(t, 80, 24, Options{}, live(d)); v.chosenName() != "pgbench" {
		t.Fatalf("%s is chosen at first", v.chosenName())
	}
	v.send(live(&turned))
	if got := v.chosenName(); got != "curl" {
		t.Errorf("nobody has chosen a row, and the first is curl now, but %s is chosen", got)
	}
	fewer := turned
	fewer.Destinations = turned.Destinations[:2]
	v.keys("G")
	v.send(live(&fewer))
	if got := v.chosenName(); got != fewer.Destinations[1].Service.Name {
		t.Errorf("the chosen row is gone, and %q is chosen, want what stands at the end", got)
	}
}

func TestPausedShowsWhatWas(t *testing.T) {
	d := report.Build(incident().input())
	v := opened(t, 80, 24, Options{}, live(d)).keys("p")
	before := v.text()
	v.send(live(empty()))
	if after := v.text(); after != before {
		t.Errorf("the view changed while it was paused:\n%s", after)
	}
	if !strings.Contains(before, "PAUSED") {
		t.Errorf("it does not say that it is paused:\n%s", before)
	}
	if after := v.keys("space").text(); !strings.Contains(after, "nothing has connected yet") {
		t.Errorf("going on does not show what came last:\n%s", after)
	}
}

func TestKeysAskForThings(t *testing.T) {
	d := report.Build(incident().input())
	id := func(name string) string {
		i := slices.IndexFunc(d.Destinations, func(r report.Destination) bool { return r.Service.Name == name })
		return "watch " + report.Number(uint64(d.Destinations[i].ID+1))
	}
	for _, c := range []struct {
		name   string
		update Update
		keys   string
		want   []string
	}{
		{"the charts of the row, and of none", live(d), "j enter j j esc", []string{id("php-fpm8.2"), "watch 0"}},
		{"help over a detail keeps watching", live(d), "enter ? esc backspace", []string{id("pgbench"), "watch 0"}},
		{"a capture", live(d), "w", []string{"write"}},
		{"pausing is the view's own when live", live(d), "p p", nil},
		{"nothing to seek in when live", live(d), "left right + - shift+left", nil},
		{"a capture stops", played(d, false), "p", []string{"pause"}},
		{"a capture goes on", played(d, true), "space", []string{"go on"}},
		{"faster and slower than 5", played(d, false), "+ -", []string{"speed 10.0", "speed 2.00"}},
		{"seeking", played(d, false), "left right", []string{"seek -10s", "seek 10s"}},
		{"seeking farther", played(d, false), "shift+left shift+right", []string{"seek -1m0s", "seek 1m0s"}},
		{"letters typed into the filter ask for nothing", played(d, false), "/ w p space +", nil},
	} {
		v := opened(t, 80, 24, Options{}, c.update).keys(strings.Fields(c.keys)...)
		if diff := cmp.Diff(c.want, v.asked.words); diff != "" {
			t.Errorf("%s: %q asks (-want +got):\n%s", c.name, c.keys, diff)
		}
	}
}

func TestDetailFollowsItsRow(t *testing.T) {
	d := report.Build(incident().input())
	v := opened(t, 100, 90, Options{}, live(d)).keys("j", "j", "enter")
	later := *d
	later.Destinations = slices.Clone(d.Destinations)
	for i := range later.Destinations {
		if later.Destinations[i].Service.Name == "gateway" {
			later.Destinations[i].Opened = 777_777
		}
	}
	slices.Reverse(later.Destinations)
	v.send(live(&later))
	if text := v.text(); !strings.Contains(text, "777,777") {
		t.Errorf("the detail shows another row, or an older one:\n%s", text)
	}
	later.Destinations = later.Destinations[:1]
	v.send(live(&later))
	text := v.keys("home").text()
	if !strings.Contains(text, "gateway") || !strings.Contains(text, "not in the newest document") {
		t.Errorf("the row is gone, and the detail does not say so:\n%s", text)
	}
	if text := v.keys("esc").text(); !strings.Contains(text, "VERDICT") {
		t.Errorf("no way back:\n%s", text)
	}
}

func TestDetailScrollsToItsEnds(t *testing.T) {
	v := opened(t, 80, 12, Options{}, live(report.Build(incident().input()))).keys("enter", "end")
	last := v.text()
	if !strings.Contains(last, "detail 100%") {
		t.Errorf("the end is not the end:\n%s", last)
	}
	if got := v.keys("j", "pgdown").text(); got != last {
		t.Errorf("one can scroll beyond the end:\n%s", got)
	}
	if got := v.keys("g", "k").text(); !strings.Contains(got, "pgbench → 10.2.3.4:5432") {
		t.Errorf("the beginning is not the beginning:\n%s", got)
	}
}

func TestNotesGoAway(t *testing.T) {
	d := report.Build(incident().input())
	u := live(d)
	u.Note = "wrote 12 MB to /tmp/x\x1b[2J.tcps"
	v := opened(t, 80, 24, Options{}, u)
	if text := v.text(); !strings.Contains(text, `wrote 12 MB to /tmp/x\x1b[2J.tcps`) {
		t.Errorf("the note is not told, or not escaped:\n%s", text)
	}
	for range noteStays {
		v.send(live(d))
	}
	if text := v.text(); strings.Contains(text, "wrote 12 MB") || !strings.Contains(text, "? help") {
		t.Errorf("the note stays for ever:\n%s", text)
	}
}

func TestSortFieldOfTheCommandLine(t *testing.T) {
	d := report.Build(incident().input())
	for sort, want := range map[string]string{
		"-opened": "pgbench", "service": "curl", "-service": "php-fpm8.2", "": "pgbench",
	} {
		v := opened(t, 80, 24, Options{Sort: sort}, live(d))
		if got := v.chosenName(); got != want {
			t.Errorf("--sort %q begins with %s, want %s", sort, got, want)
		}
	}
	if _, err := newModel(Options{Sort: "-nonsense"}, nil); err == nil {
		t.Error("an unknown field is taken")
	}
	if v := opened(t, 80, 24, Options{Limit: 2}, live(d)); len(v.list.rows) != 2 {
		t.Errorf("%d rows, want 2", len(v.list.rows))
	}
}

func TestTheRowBelowTheTableIsWatched(t *testing.T) {
	v := opened(t, 80, 24, Options{}, live(report.Build(incident().input())))
	if len(v.asked.words) > 0 {
		t.Errorf("nothing is shown at length, and %q is asked for", v.asked.words)
	}
	v.send(tea.WindowSizeMsg{Width: 200, Height: 50})
	v.keys("j", "k")
	v.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	if diff := cmp.Diff([]string{"watch 1", "watch 2", "watch 1", "watch 0"}, v.asked.words); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

func TestNothingIsDrawnWhenNothingChanged(t *testing.T) {
	v := opened(t, 80, 24, Options{}, live(report.Build(incident().input())))
	v.frame = "kept"
	v.send(tea.ColorProfileMsg{})
	if v.View().Content != "kept" {
		t.Error("drawn again for a message that changes nothing")
	}
	v.send(press("j"))
	if v.View().Content == "kept" {
		t.Error("not drawn again after a key")
	}
}
