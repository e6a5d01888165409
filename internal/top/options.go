package top

import (
	"os"
	"time"
)

// Options say how and where the view is shown.
type Options struct {
	// In is where keys come from; nil, or no terminal: the terminal that controls the process. Out is the terminal that
	// is drawn on.
	In, Out *os.File
	// Color uses the terminal's own sixteen colours. Nothing is told by colour alone.
	Color bool
	// Numeric shows addresses instead of their names.
	Numeric bool
	// Sort is the field to order rows by at first, descending after a "-", as [report.Document.SortBy] takes it; "": by
	// harm, the order of the document.
	Sort string
	// Limit is how many rows are shown at most; below 1: all of them, but 20 in [Lines].
	Limit int
	// Location is the time zone of clock times; nil: the local one.
	Location *time.Location
}

func (o *Options) location() *time.Location {
	if o.Location == nil {
		return time.Local
	}
	return o.Location
}
