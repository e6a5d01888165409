package top

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// screen is what the keys act on.
type screen uint8

const (
	listScreen screen = iota
	detailScreen
	helpScreen
)

// model is all that the view knows. It belongs to one goroutine.
type model struct {
	options  Options
	controls Controls
	painter  *painter

	width, height int

	shown  *Update // what is drawn; nil: nothing has come yet
	latest *Update // what came last: another one than shown while paused
	totals totals  // of shown
	paused bool    // live only: whoever plays a capture pauses himself

	screen screen
	behind screen // of help
	scroll int    // of detail and help
	most   int    // how far that can go, found when it was drawn

	list   list
	detail report.Destination // the row that the detail is of, as it was when it was last seen
	gone   bool               // it is not in the document any more

	note     string
	noteLeft int // updates for which it stays

	frame     string // drawn last
	cursor    *tea.Cursor
	previewed bool // the chosen row is, below the table
	watched   int  // the row whose charts were asked for; -1: none
}

func newModel(o Options, c Controls) (*model, error) {
	if o.Sort != "" {
		if err := report.CheckSort(o.Sort); err != nil {
			return nil, err
		}
	}
	return &model{options: o, controls: c, painter: newPainter(o.Color), list: newList(o), watched: -1}, nil
}

// Init begins with nothing to do.
func (m *model) Init() tea.Cmd { return nil }

// Update takes what happened: a key, another size, an update. It draws, for nothing else changes the frame.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case Update:
		m.take(&msg)
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	case tea.PasteMsg:
		if m.list.typing {
			m.list.write(msg.Content)
		}
	default:
		return m, nil
	}
	m.frame = m.draw()
	m.watch()
	return m, cmd
}

// watch asks for the charts of the row that is shown at length.
func (m *model) watch() {
	id := -1
	switch {
	case m.screen == detailScreen || m.screen == helpScreen && m.behind == detailScreen:
		id = m.detail.ID
	case m.screen == listScreen && m.previewed:
		id = m.list.chosen
	}
	if id != m.watched {
		m.watched = id
		m.controls.Watch(id)
	}
}

// View is what was drawn last.
func (m *model) View() tea.View {
	v := tea.NewView(m.frame)
	v.AltScreen, v.Cursor = true, m.cursor
	return v
}

// noteStays is for how many updates a note is shown.
const noteStays = 10

func (m *model) say(note string) {
	m.note, m.noteLeft = plainText(event.Printable(note)), noteStays
}

// take keeps an update, and shows it unless the view is paused.
func (m *model) take(u *Update) {
	switch {
	case u.Note != "":
		m.say(u.Note)
	case m.noteLeft > 0:
		m.noteLeft--
	}
	if u.Document == nil && m.latest != nil { // only something else is new
		u.Document = m.latest.Document
	}
	m.latest = u
	if !m.paused {
		m.show()
	}
}

// show makes the latest update the one that is drawn.
func (m *model) show() {
	if m.latest == nil || m.latest == m.shown {
		return
	}
	m.shown = m.latest
	if d := m.shown.Document; d != nil {
		m.totals = totalsOf(d)
		m.list.use(d)
		m.follow(d)
	}
}

// follow finds the row of the detail in a document that has come.
func (m *model) follow(d *report.Document) {
	if m.screen != detailScreen && m.behind != detailScreen {
		return
	}
	m.gone = true
	for i := range d.Destinations {
		if d.Destinations[i].ID == m.detail.ID {
			m.detail, m.gone = d.Destinations[i], false
			return
		}
	}
}

// document is nil while there is none.
func (m *model) document() *report.Document {
	if m.shown == nil {
		return nil
	}
	return m.shown.Document
}

// playback is nil unless a capture is played.
func (m *model) playback() *Playback {
	if m.latest == nil {
		return nil
	}
	return m.latest.Playback
}

// draw makes the frame, which is never wider nor higher than the terminal.
func (m *model) draw() string {
	m.cursor, m.previewed = nil, false
	if m.width < 1 || m.height < 1 {
		return ""
	}
	var lines []string
	switch m.screen {
	case helpScreen:
		lines = m.page("help", m.helpLines())
	case detailScreen:
		lines = m.page("detail", m.detailLines())
	default:
		lines = m.listLines()
	}
	return strings.Join(lines[:min(len(lines), m.height)], "\n")
}
