// Package top is the live view on a terminal: the document, drawn again and again. It looks at no kernel and no file:
// what it shows comes in updates, what keys ask for goes out through Controls.
package top

import (
	"time"

	"github.com/tcpstate/tcpstate/internal/report"
)

// Update is what is to be seen from now on. It is not changed after it was sent.
type Update struct {
	Document *report.Document
	// Own is what the tool itself costs; nil: not measured (a capture is played).
	Own *Own
	// Playback says where in a capture the document is; nil: live.
	Playback *Playback
	// Final: the stream has ended, nothing will change any more.
	Final bool
	// Note is said once in the line of messages; "": nothing.
	Note string
}

// Own is what tcpstate takes of this host.
type Own struct {
	CPURatio    float64 // of one CPU, since the update before
	MemoryBytes uint64  // resident
}

// Playback is where in a capture the view is.
type Playback struct {
	Start, End, Now time.Time
	Speed           float64 // 1: as it happened
	Paused          bool
}

// Controls is what keys ask of whoever sends the updates. Its methods return at once; what comes of them is in later
// updates. They are called from one goroutine.
type Controls interface {
	// Watch asks for the charts of the row with that ID in the documents to come; -1: of none.
	Watch(id int)
	// Write asks to put the last minutes aside as a capture; where they went is told by a Note.
	Write()
	// Pause, Speed (a factor) and Seek (relative) are for captures that are played.
	Pause(paused bool)
	Speed(factor float64)
	Seek(by time.Duration)
}
