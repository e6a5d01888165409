// Package capture keeps events in a file and gives them back: the format .tcps, described in docs/capture-format.md.
//
// A capture is a tap on the stream of events. What is read back are the same events in the same order, with the settings
// of namespaces and the facts about services at the places in the stream where they became known. A file that was cut
// off, or damaged, is read before and after the damage, and the reader says what is missing.
package capture

import (
	"encoding/json"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// The version of the format that is written here. Another minor version is read all the same: what it adds is skipped.
// A newer major one is not.
const (
	Major = 1
	Minor = 0
)

// Bounds of the format.
const (
	// MaxBlockEvents is how many events a block has at most.
	MaxBlockEvents = 4096
	// maxBlockFacts is how many settings and services a block has at most.
	maxBlockFacts = 4096
	// maxPayload is how large a block's content can be before compression; a fact is smaller.
	maxPayload = 4 << 20
	// maxFrame is how large it can be after: zstd makes a block of 128 KiB longer by 3 bytes at the most, a frame by 18.
	maxFrame = maxPayload + maxPayload/1024 + 64
)

// blockTime is the age at which a block is written, full or not. With a tick every 200 ms a killed recording loses less
// than a second.
const blockTime = 700 * time.Millisecond

// Header is what is known when a recording begins.
type Header struct {
	Host    string `json:"host"`
	Kernel  string `json:"kernel"` // its release, uname -r
	Version string `json:"tcpstate"`
	// Hooks are the tracer's, as it names them; Tier is how well it sees the ends of TIME_WAIT, 1 is best.
	Hooks []string `json:"hooks"`
	Tier  int      `json:"tier"`
	// BootID is /proc/sys/kernel/random/boot_id. Monotonic and UnixNano are CLOCK_MONOTONIC and CLOCK_REALTIME at one
	// moment: the one offset by which the times of all events came from the kernel's clock.
	BootID    string `json:"boot_id"`
	Monotonic int64  `json:"monotonic_ns"`
	UnixNano  int64  `json:"unix_ns"`
	// Filter is the expression that events had to pass; "": all of them.
	Filter string `json:"filter"`
	// WindowStart is when the traced window began, Unix nanoseconds.
	WindowStart int64 `json:"window_start_ns"`
	// Facts is what else a report needs, as its writer puts it. It is not made printable here.
	Facts json.RawMessage `json:"facts,omitempty"`
}

// End is what is known when a recording ends.
type End struct {
	// Facts is what a report needs at the end, as its writer puts it. It is not made printable here.
	Facts json.RawMessage `json:"facts,omitempty"`
	// Totals are the writer's; what a caller puts there is overwritten.
	Totals Totals `json:"totals"`
}

// Totals are what a recording contains.
type Totals struct {
	Events uint64            `json:"events"`
	Kinds  map[string]uint64 `json:"events_by_kind"`
	// Lost is how many events the Lost events stand for; Dropped is how many of those the writer had no room for.
	Lost    uint64 `json:"events_lost"`
	Dropped uint64 `json:"events_dropped"`
	// Facts is how many settings and services there are.
	Facts uint64 `json:"facts"`
	// First and Last are the times of the first and last event, in Unix nanoseconds; 0 where there is none.
	First int64 `json:"first_ns"`
	Last  int64 `json:"last_ns"`
}

// Service is what was found out about the owner of connections, whatever finds such things out. Texts are printable, and
// "" where not known.
type Service struct {
	Identity event.Identity

	Name, Kind string
	// PID is the newest pid; PIDs are those that were seen, as far as they are remembered. Processes is their number, at
	// least so many when ProcessesMore is set.
	PID           uint32
	PIDs          []uint32
	Processes     int
	ProcessesMore bool

	Comm, Exe, Runtime, Library    string
	Unit, ContainerID, Pod, Cgroup string
}

// Kind says which field of an [Item] is set.
type Kind uint8

// The kinds of item.
const (
	KindEvent Kind = iota + 1
	KindSettings
	KindService
	KindEnd
	KindDamage
)

// Item is one thing in the stream of a capture.
type Item struct {
	Kind Kind
	// Event is used again for the next event.
	Event    *event.Event
	Settings *host.Settings
	Service  *Service
	End      *End
	Damage   *Damage
}

// Damage is a place where something is missing, or is not as it should be.
type Damage struct {
	// Offset is where in the file, in bytes.
	Offset int64
	// What is a sentence for the user, without the offset and the counts.
	What string
	// EventsMissing is how many events are missing here, at most. FactsMissing is how many settings and services.
	EventsMissing, FactsMissing uint64
	// Unknown: there may be more missing, and nothing tells how many: the file ends without an end.
	Unknown bool
}
