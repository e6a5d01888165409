package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// Flags are the filters of a command line, as typed.
type Flags struct {
	Filter []string // --filter EXPR
	Dst    []string // --dst CIDR[:PORT], the remote end; around IPv6 with a port, brackets: [2001:db8::/32]:443
	// Port is --port N: the service's port, that is the remote port of an outbound connection and the local port of an
	// inbound one.
	Port      []string
	PID       []string // --pid N
	Comm      []string // --comm NAME, all of it
	Unit      []string // --unit NAME; without a suffix it is NAME.service, as for systemctl
	Container []string // --container: the id or its first digits; for LXC the name
	Netns     []string // --netns: an inode number, or a file such as /run/netns/NAME or /proc/PID/ns/net

	IPv4, IPv6 bool // -4, -6; both together are neither
	// FailureOnly is --failure-only: connects that failed and connections that ended with an error.
	FailureOnly bool
}

// Set is all filters of a command line: of each flag that was given one value must fit.
type Set struct {
	flags [][]*Filter
}

// NewSet reads the flags. The error is one line that names the flag, the offending word and what would be right.
func NewSet(f Flags) (*Set, error) {
	s := &Set{}
	for _, flag := range []struct {
		name   string
		values []string
		parse  func(string) (*Filter, error)
	}{
		{"--filter", f.Filter, Parse},
		{"--dst", f.Dst, parseDst},
		{"--port", f.Port, parsePort},
		{"--pid", f.PID, parsePID},
		{"--comm", f.Comm, parseComm},
		{"--unit", f.Unit, parseUnit},
		{"--container", f.Container, parseContainer},
		{"--netns", f.Netns, parseNetns},
	} {
		if err := s.add(flag.name, flag.values, flag.parse); err != nil {
			return nil, err
		}
	}
	if f.IPv4 != f.IPv6 {
		s.flags = append(s.flags, []*Filter{one(familyField, equal, value(f.IPv4, 4, 6))})
	}
	if f.FailureOnly {
		s.flags = append(s.flags, []*Filter{one(failureField, equal, 1)})
	}
	return s, nil
}

func (s *Set) add(name string, values []string, parse func(string) (*Filter, error)) error {
	var either []*Filter
	for _, v := range values {
		f, err := parse(v)
		if err != nil && name != "--filter" { // which names itself
			return fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			return err
		}
		either = append(either, f)
	}
	if either != nil {
		s.flags = append(s.flags, either)
	}
	return nil
}

// Match reports whether e, owned by v, is chosen, as [Filter.Match] does. A nil or empty Set chooses everything.
func (s *Set) Match(e *event.Event, v *service.Service) bool {
	if s == nil {
		return true
	}
	for _, either := range s.flags {
		if !anyMatch(either, e, v) {
			return false
		}
	}
	return true
}

func anyMatch(either []*Filter, e *event.Event, v *service.Service) bool {
	for _, f := range either {
		if f.Match(e, v) {
			return true
		}
	}
	return false
}

// Fields that have a flag but no name.
var (
	portField = &field{name: "port", class: number, max: maxPort,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) { return nonzero(servicePort(e)) },
		known: func(e *event.Event) bool { return e.Direction != 0 && servicePort(e) != 0 }}
	familyField = &field{class: number,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) {
			a := familyOf(e)
			return value(a.Is4(), 4, 6), a.IsValid()
		},
		known: func(e *event.Event) bool { return familyOf(e).IsValid() }}
	failureField = &field{class: number,
		value: func(e *event.Event, _ *service.Service) (uint64, bool) {
			kind := e.Kind
			if kind == event.Lost {
				kind = e.Of
			}
			failed := kind == event.ConnectFailed || kind == event.BindFailed
			return value(failed || e.Error != event.NoError, 1, 0), true
		},
		known: errorKnown}
)

// familyOf is an address of the event: bind() fails before there is another end.
func familyOf(e *event.Event) netip.Addr {
	if e.Remote.Addr().IsValid() {
		return e.Remote.Addr()
	}
	return e.Local.Addr()
}

func servicePort(e *event.Event) uint16 {
	if e.Direction == event.Inbound {
		return e.Local.Port()
	}
	return e.Remote.Port()
}

func value(which bool, yes, no uint64) uint64 {
	if which {
		return yes
	}
	return no
}

// one is a Filter of one numeric comparison.
func one(f *field, op operator, n uint64) *Filter {
	return &Filter{terms: []term{{field: f, op: op, number: n}}}
}

// parseDst reads ADDRESS, CIDR, ADDRESS:PORT, CIDR:PORT and the forms with brackets.
func parseDst(v string) (*Filter, error) {
	network, port := splitPort(v)
	p, err := parseNetwork(network)
	if err != nil {
		return nil, fmt.Errorf("%w; with a port 10.0.0.0/8:5432 or [2001:db8::/32]:5432; names are not looked up", err)
	}
	f := &Filter{terms: []term{{field: dstAddrField, op: equal, net: p}}}
	if port != "" {
		n, err := portNumber(port)
		if err != nil {
			return nil, err
		}
		f.terms = append(f.terms, term{field: dstPortField, op: equal, number: n})
	}
	return f, nil
}

// splitPort cuts :PORT off. Without brackets, what is an address as it stands has none, and a colon after a slash
// begins one.
func splitPort(v string) (network, port string) {
	if inner, ok := strings.CutPrefix(v, "["); ok {
		if network, after, ok := strings.Cut(inner, "]"); ok && (after == "" || (after[0] == ':' && len(after) > 1)) {
			return network, strings.TrimPrefix(after, ":")
		}
		return v, ""
	}
	if _, err := netip.ParseAddr(v); err == nil {
		return v, ""
	}
	i := strings.LastIndexByte(v, ':')
	if i < 0 || i == len(v)-1 || i < strings.IndexByte(v, '/') {
		return v, ""
	}
	return v[:i], v[i+1:]
}

func portNumber(v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return 0, mistakef(`give a number from 1 to 65535`, "%q is not a port", v)
	}
	return n, nil
}

func parsePort(v string) (*Filter, error) {
	n, err := portNumber(v)
	return one(portField, equal, n), err
}

func parsePID(v string) (*Filter, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n == 0 || n > maxPID {
		return nil, mistakef("give a number from 1 to "+strconv.Itoa(maxPID), "%q is not a pid", v)
	}
	return one(pidField, equal, n), nil
}

// parseText is a Filter of one comparison of a text.
func parseText(f *field, op operator, v, hint string) (*Filter, error) {
	if v == "" {
		return nil, mistakef(hint, "the name is empty")
	}
	t := term{field: f, op: op}
	if err := t.setText(v); err != nil {
		return nil, err
	}
	return &Filter{terms: []term{t}}, nil
}

func parseComm(v string) (*Filter, error) {
	return parseText(commField, equal, v, "give a program's name as in /proc/PID/comm")
}

// parseUnit refuses units that hold no processes of their own: they would never match.
func parseUnit(v string) (*Filter, error) {
	for _, suffix := range [...]string{".slice", ".socket", ".timer", ".target", ".mount", ".path"} {
		if strings.HasSuffix(v, suffix) {
			return nil, mistakef("give a .service or .scope", "%q is a unit without processes", v)
		}
	}
	if v != "" && !strings.HasSuffix(v, ".service") && !strings.HasSuffix(v, ".scope") {
		v += ".service"
	}
	return parseText(unitField, equal, v, "give a unit like nginx.service")
}

// parseContainer: hex digits are the beginning of an id, anything else is a name.
func parseContainer(v string) (*Filter, error) {
	op := equal
	if strings.Trim(v, "0123456789abcdef") == "" {
		op = prefix
	}
	return parseText(containerField, op, v, "give a container's id, or its first digits")
}

func parseNetns(v string) (*Filter, error) {
	field := lookUp("netns")
	if n, err := strconv.ParseUint(v, 10, 32); err == nil && n != 0 {
		return one(field, equal, n), nil
	}
	n, err := netnsInode(v)
	if err != nil {
		const hint = "give an inode number, /run/netns/NAME or /proc/PID/ns/net"
		return nil, mistakef(hint, "%q is not a network namespace (%v)", v, err)
	}
	return one(field, equal, n), nil
}

// netnsInode returns the inode number of a namespace file, which must be of a network namespace.
func netnsInode(path string) (uint64, error) {
	if !strings.Contains(path, "/") {
		return 0, errors.New("neither a number nor a path")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, err
	}
	if fs.Type != unix.NSFS_MAGIC { // do not open a pipe or a device
		return 0, errors.New("another kind of file")
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		return 0, errors.New("another kind of namespace")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Ino, nil
}

// Partial reports whether the set chooses among the events of one connection (by kind, error, lifetime …), and not only
// among connections. What is left then says nothing about how connections are used.
func (s *Set) Partial() bool {
	if s == nil {
		return false
	}
	for _, either := range s.flags {
		for _, f := range either {
			if slices.ContainsFunc(f.terms, func(t term) bool { return !t.field.ofConnection() }) {
				return true
			}
		}
	}
	return false
}
