package top

import (
	"math"
	"time"

	tea "charm.land/bubbletea/v2"
)

// key does what a key asks for.
func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	name := msg.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	if m.list.typing {
		m.typed(name, msg.Text)
		return nil
	}
	switch name {
	case "q", "Q":
		return tea.Quit
	case "?", "h", "f1":
		m.help()
	case "p", "space":
		m.pause()
	case "w":
		m.say("writing the last minutes to a capture …")
		m.controls.Write()
	default:
		if m.play(name) {
			return nil
		}
		if m.screen == listScreen {
			m.listKey(name)
		} else {
			m.pageKey(name)
		}
	}
	return nil
}

// typed edits the filter, which is applied at once.
func (m *model) typed(name, text string) {
	l := &m.list
	switch name {
	case "enter":
		l.typing = false
	case "esc":
		l.typing = false
		l.set("")
	case "backspace", "ctrl+h":
		if l.filter == "" {
			l.typing = false
			return
		}
		l.erase()
	case "ctrl+u", "ctrl+w":
		l.set("")
	case "up", "down", "pgup", "pgdown":
		m.listKey(name)
	default:
		l.write(text)
	}
}

func (m *model) listKey(name string) {
	l := &m.list
	switch name {
	case "up", "k":
		l.move(-1)
	case "down", "j":
		l.move(1)
	case "pgup", "ctrl+b":
		l.move(-m.step())
	case "pgdown", "ctrl+f":
		l.move(m.step())
	case "home", "g":
		l.move(-len(l.rows))
	case "end", "G":
		l.move(len(l.rows))
	case "s":
		l.next()
	case "S":
		l.reverse()
	case "/":
		l.typing = true
	case "esc":
		l.set("")
	case "enter":
		m.open()
	}
}

func (m *model) pageKey(name string) {
	switch name {
	case "up", "k":
		m.scroll--
	case "down", "j", "enter":
		m.scroll++
	case "pgup", "ctrl+b":
		m.scroll -= m.step()
	case "pgdown", "ctrl+f":
		m.scroll += m.step()
	case "home", "g":
		m.scroll = 0
	case "end", "G":
		m.scroll = m.most
	case "esc", "backspace":
		m.back()
	}
	m.scroll = min(max(m.scroll, 0), m.most)
}

// step is how far a page goes.
func (m *model) step() int { return max(m.height/2, 1) }

// open shows the chosen row.
func (m *model) open() {
	r := m.list.row()
	if r == nil {
		return
	}
	m.detail, m.gone = *r, false
	m.screen, m.scroll = detailScreen, 0
}

// back leaves a page.
func (m *model) back() {
	switch m.screen {
	case helpScreen:
		m.screen = m.behind
	case detailScreen:
		m.screen, m.gone = listScreen, false
	}
	m.behind, m.scroll = listScreen, 0
}

func (m *model) help() {
	if m.screen == helpScreen {
		m.back()
		return
	}
	m.behind, m.screen, m.scroll = m.screen, helpScreen, 0
}

// pause freezes the view; a capture stops where it is.
func (m *model) pause() {
	if p := m.playback(); p != nil {
		m.controls.Pause(!p.Paused)
		return
	}
	m.paused = !m.paused
	if !m.paused {
		m.show()
	}
}

// speeds are those that a capture is played with; the last is as fast as it can be read.
var speeds = []float64{0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 100, 300, 1000, math.Inf(1)}

// play handles the keys that are for captures only.
func (m *model) play(name string) bool {
	p := m.playback()
	if p == nil {
		return false
	}
	switch name {
	case "+", "=":
		m.controls.Speed(faster(p.Speed))
	case "-", "_":
		m.controls.Speed(slower(p.Speed))
	case "left":
		m.controls.Seek(-10 * time.Second)
	case "right":
		m.controls.Seek(10 * time.Second)
	case "shift+left":
		m.controls.Seek(-time.Minute)
	case "shift+right":
		m.controls.Seek(time.Minute)
	default:
		return false
	}
	return true
}

func faster(than float64) float64 {
	for _, s := range speeds {
		if s > than {
			return s
		}
	}
	return speeds[len(speeds)-1]
}

func slower(than float64) float64 {
	slow := speeds[0]
	for _, s := range speeds {
		if s < than {
			slow = s
		}
	}
	return slow
}
