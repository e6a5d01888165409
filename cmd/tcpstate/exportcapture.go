package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// exportQueue is how many blocks of a capture that is being written wait for the disk. A block has an event at least, so
// that none is dropped while fewer events wait; mostly it has thousands.
const exportQueue = 1 << 14

// captureSink writes a capture. Unlike a recorder, it waits for the disk.
type captureSink struct {
	to     io.Writer
	writer *capture.Writer
	handed uint64 // events
}

func (c *captureSink) begin(r *replay, m *mask) (err error) {
	h := *r.segments[0].reader.Header()
	began := r.segments[0].began
	w := r.window()
	if w.Start != h.WindowStart {
		began.Recording, began.Segment = "", 0 // it begins elsewhere
	}
	h.WindowStart, began.Partial = w.Start, w.Partial
	h.Filter = narrowed(h.Filter, r.added)
	began.Facts.Filter = narrowed(began.Facts.Filter, r.added)
	m.header(&h, &began)
	if h.Facts, err = m.facts(began); err != nil {
		return err
	}
	c.writer, err = capture.NewWriter(c.to, h, capture.Options{Queue: exportQueue})
	return err
}

// narrowed is the filter of a recording of which a filter left a part.
func narrowed(recorded, added string) string {
	if added == "" {
		return recorded
	}
	return joined(recorded, added)
}

func (c *captureSink) event(e *event.Event, _ *service.Service) error {
	c.writer.Event(e)
	c.handed++
	const look = 1024 // events, for looking costs something
	if c.handed%look != 0 {
		return nil
	}
	for c.writer.Err() == nil && c.handed-c.writer.Stats().Events > exportQueue-2*look {
		time.Sleep(200 * time.Microsecond)
	}
	return c.writer.Err()
}

func (c *captureSink) fact(item *capture.Item) error {
	if item.Kind == capture.KindService {
		return c.writer.Service(item.Service)
	}
	return c.writer.Settings(item.Settings)
}

func (c *captureSink) end(r *replay, m *mask) error {
	last, err := r.end()
	if err != nil {
		return err
	}
	m.ending(last, r)
	text, err := m.facts(last)
	if err != nil {
		return err
	}
	if err := c.writer.Close(capture.End{Facts: text}); err != nil {
		return err
	}
	if st := c.writer.Stats(); st.Dropped+st.FactsDropped > 0 {
		return fmt.Errorf("write capture: %d events and %d facts were dropped", st.Dropped, st.FactsDropped)
	}
	return nil
}

// header replaces what tells whose host it was. The time since it was started would, too.
func (m *mask) header(h *capture.Header, began *opening) {
	if m == nil {
		return
	}
	h.Host, h.BootID, h.Monotonic = m.mapper.Hashed("host", h.Host), m.mapper.Hashed("boot", h.BootID), 0
	h.Filter, h.Kernel, h.Version = hidden(h.Filter), m.mapper.Text(h.Kernel), m.mapper.Text(h.Version)
	h.Hooks = slices.Clone(h.Hooks)
	for i, hook := range h.Hooks {
		h.Hooks[i] = m.mapper.Text(hook)
	}
	began.Recording = m.mapper.Hashed("recording", began.Recording)
	began.Facts.Host, began.Facts.Filter = m.mapper.Hashed("host", began.Facts.Host), hidden(began.Facts.Filter)
}

func (m *mask) ending(last *ending, r *replay) {
	if m == nil {
		return
	}
	f := &last.Facts
	f.Host, f.Filter, f.Source = m.mapper.Hashed("host", f.Host), hidden(f.Filter), "capture"
	for i, place := range f.Damage.Places {
		f.Damage.Places[i] = strings.ReplaceAll(place, r.segments[0].name, "capture")
	}
}

// hidden says that there is a filter, and not which: it names what is replaced.
func hidden(filter string) string {
	if filter == "" {
		return ""
	}
	return "(anonymized)"
}

// facts is v as JSON, with the addresses in its texts replaced.
func (m *mask) facts(v any) (json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil || m == nil {
		return text, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var any any
	if err := d.Decode(&any); err != nil {
		return nil, err
	}
	return json.Marshal(m.texts(any))
}

func (m *mask) texts(v any) any {
	switch v := v.(type) {
	case string:
		return m.mapper.Text(v)
	case []any:
		for i := range v {
			v[i] = m.texts(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = m.texts(v[key])
		}
	}
	return v
}
