package capture

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/host"
)

// fact is a setting or a service, at its place in a block.
type fact struct {
	event uint32 // it stands before the event of this number
	kind  factKind
	json  []byte
}

type factKind uint8

// The kinds of fact. Newer ones are skipped.
const (
	settingsFact factKind = iota + 1
	serviceFact
)

func (f *fact) append(b []byte) []byte {
	b = appendVarint(b, uint64(f.event))
	b = appendVarint(b, uint64(f.kind))
	b = appendVarint(b, uint64(len(f.json)))
	return append(b, f.json...)
}

var errFact = errors.New("its settings and services are not as the head says")

// readFacts appends the facts of a block. They keep parts of the column.
func readFacts(to []fact, column []byte, count uint32) ([]fact, error) {
	c := cursor{b: column}
	for range count {
		at, kind, length := c.varint(), c.varint(), c.varint()
		text := c.bytes(length)
		if uint64(len(text)) != length || at > MaxBlockEvents || kind > 255 {
			return to, errFact
		}
		to = append(to, fact{event: uint32(at), kind: factKind(kind), json: text})
	}
	if !c.ended() {
		return to, errFact
	}
	return to, nil
}

// settingsJSON is host.Settings as it is in a file.
type settingsJSON struct {
	Netns              uint32        `json:"netns"`
	RangeLow           uint16        `json:"range_low"`
	RangeHigh          uint16        `json:"range_high"`
	Reserved           *string       `json:"reserved"`
	Blocked            *string       `json:"blocked"`
	TimeWaitReuse      int           `json:"tw_reuse"`
	TimeWaitReuseDelay time.Duration `json:"tw_reuse_delay_ns"`
	Timestamps         bool          `json:"timestamps"`
	MaxTimeWait        int           `json:"max_tw_buckets"`
	FinTimeout         time.Duration `json:"fin_timeout_ns"`
	PortStep           int           `json:"port_step"`
}

func encodeSettings(s *host.Settings) ([]byte, error) {
	return json.Marshal(settingsJSON{
		Netns: s.Netns, RangeLow: s.RangeLow, RangeHigh: s.RangeHigh,
		Reserved: portList(s.Reserved), Blocked: portList(s.Blocked),
		TimeWaitReuse: s.TimeWaitReuse, TimeWaitReuseDelay: s.TimeWaitReuseDelay, Timestamps: s.Timestamps,
		MaxTimeWait: s.MaxTimeWait, FinTimeout: s.FinTimeout, PortStep: s.PortStep,
	})
}

func decodeSettings(text []byte) (*host.Settings, error) {
	var j settingsJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	reserved, err := parsePorts(j.Reserved)
	if err != nil {
		return nil, err
	}
	blocked, err := parsePorts(j.Blocked)
	if err != nil {
		return nil, err
	}
	return &host.Settings{
		Netns: j.Netns, RangeLow: j.RangeLow, RangeHigh: j.RangeHigh, Reserved: reserved, Blocked: blocked,
		TimeWaitReuse: j.TimeWaitReuse, TimeWaitReuseDelay: j.TimeWaitReuseDelay, Timestamps: j.Timestamps,
		MaxTimeWait: j.MaxTimeWait, FinTimeout: j.FinTimeout, PortStep: j.PortStep,
	}, nil
}

// portList is a set as the kernel writes it, "8080,9148-9150"; nil stays nil: not known.
func portList(p *host.PortSet) *string {
	if p == nil {
		return nil
	}
	s := p.String()
	return &s
}

// parsePorts is the reverse of portList.
func parsePorts(list *string) (*host.PortSet, error) {
	if list == nil {
		return nil, nil
	}
	return host.ParsePorts(*list)
}

// serviceJSON is Service as it is in a file.
type serviceJSON struct {
	CgroupID      uint64   `json:"cgroup_id"`
	RawComm       []byte   `json:"raw_comm"` // base64, for these bytes can be anything
	Name          string   `json:"name"`
	Kind          string   `json:"kind"`
	PID           uint32   `json:"pid,omitempty"`
	PIDs          []uint32 `json:"pids,omitempty"`
	Processes     int      `json:"processes,omitempty"`
	ProcessesMore bool     `json:"processes_more,omitempty"`
	Comm          string   `json:"comm,omitempty"`
	Exe           string   `json:"exe,omitempty"`
	Runtime       string   `json:"runtime,omitempty"`
	Library       string   `json:"library,omitempty"`
	Unit          string   `json:"unit,omitempty"`
	ContainerID   string   `json:"container_id,omitempty"`
	Pod           string   `json:"pod,omitempty"`
	Cgroup        string   `json:"cgroup,omitempty"`
}

func encodeService(s *Service) ([]byte, error) {
	return json.Marshal(serviceJSON{
		CgroupID: s.Identity.CgroupID, RawComm: s.Identity.Comm[:],
		Name: s.Name, Kind: s.Kind, PID: s.PID, PIDs: s.PIDs, Processes: s.Processes, ProcessesMore: s.ProcessesMore,
		Comm: s.Comm, Exe: s.Exe, Runtime: s.Runtime, Library: s.Library,
		Unit: s.Unit, ContainerID: s.ContainerID, Pod: s.Pod, Cgroup: s.Cgroup,
	})
}

func decodeService(text []byte) (*Service, error) {
	var j serviceJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	s := &Service{
		Identity: event.Identity{CgroupID: j.CgroupID},
		Name:     j.Name, Kind: j.Kind, PID: j.PID, PIDs: j.PIDs, Processes: j.Processes, ProcessesMore: j.ProcessesMore,
		Comm: j.Comm, Exe: j.Exe, Runtime: j.Runtime, Library: j.Library,
		Unit: j.Unit, ContainerID: j.ContainerID, Pod: j.Pod, Cgroup: j.Cgroup,
	}
	copy(s.Identity.Comm[:], j.RawComm)
	for _, text := range []*string{
		&s.Name, &s.Kind, &s.Comm, &s.Exe, &s.Runtime, &s.Library, &s.Unit, &s.ContainerID, &s.Pod, &s.Cgroup,
	} {
		*text = event.Printable(*text)
	}
	return s, nil
}

func decodeHeader(text []byte) (*Header, error) {
	h := new(Header)
	if err := json.Unmarshal(text, h); err != nil {
		return nil, err
	}
	for _, text := range []*string{&h.Host, &h.Kernel, &h.Version, &h.BootID, &h.Filter} {
		*text = event.Printable(*text)
	}
	for i := range h.Hooks {
		h.Hooks[i] = event.Printable(h.Hooks[i])
	}
	return h, nil
}
