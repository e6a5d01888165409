package report

import (
	"io"

	"github.com/tcpstate/tcpstate/internal/form"
)

// WriteJSON writes d as one JSON document and a newline, on one line or indented.
func WriteJSON(w io.Writer, d *Document, indent bool) error {
	return form.JSON(w, d, indent, "write report")
}
