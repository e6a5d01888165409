package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes d as one JSON document and a newline, on one line or indented.
func WriteJSON(w io.Writer, d *Document, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
