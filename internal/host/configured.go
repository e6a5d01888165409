package host

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ConfiguredPort is one that a service is configured to listen on, whether or not it runs.
type ConfiguredPort struct {
	Port uint16
	File string // not printable
}

// Configured are the ports that configuration files of this host name.
type Configured struct {
	Ports []ConfiguredPort
	// Unread are the files and directories that could not be read; More are those beyond the bound.
	Unread []error
	More   int

	files int
}

// maxConfigured bounds the files, and the ports.
const maxConfigured = 4096

// unitDirs is where systemd looks for units, first come first served (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system", "/lib/systemd/system"}

// serverFile says which lines of a service's configuration name the port that it listens on.
type serverFile struct {
	glob string
	// port finds the number in a line without its leading blanks; a section is the last line that began with [ or <,
	// and must be this one unless it is "".
	port    *regexp.Regexp
	section string
}

var serverFiles = []serverFile{
	// https://docs.fluentd.org/input/forward: port, in <source>. In <match> it is another host's.
	{"/etc/fluent/*.conf", regexp.MustCompile(`^port\s+(\d+)`), "<source>"},
	{"/etc/td-agent/*.conf", regexp.MustCompile(`^port\s+(\d+)`), "<source>"},
	// https://dev.mysql.com/doc/refman/8.4/en/x-plugin-options-system-variables.html
	{"/etc/mysql/mysql.conf.d/*.cnf", regexp.MustCompile(`^(?:mysqlx[-_])?port\s*=\s*(\d+)`), "[mysqld]"},
	{"/etc/mysql/my.cnf", regexp.MustCompile(`^(?:mysqlx[-_])?port\s*=\s*(\d+)`), "[mysqld]"},
	{"/etc/my.cnf", regexp.MustCompile(`^(?:mysqlx[-_])?port\s*=\s*(\d+)`), "[mysqld]"},
	{"/etc/postgresql/*/*/postgresql.conf", regexp.MustCompile(`^port\s*=?\s*(\d+)`), ""},
	{"/etc/redis/*.conf", regexp.MustCompile(`^port\s+(\d+)`), ""},
	{"/etc/nginx/sites-enabled/*", regexp.MustCompile(`^listen\s+(?:\S*:)?(\d+)[\s;]`), ""},
	{"/etc/nginx/conf.d/*.conf", regexp.MustCompile(`^listen\s+(?:\S*:)?(\d+)[\s;]`), ""},
	{"/etc/haproxy/haproxy.cfg", regexp.MustCompile(`^bind\s+\S*:(\d+)(?:\s|$)`), ""},
	{"/etc/ssh/sshd_config", regexp.MustCompile(`^Port\s+(\d+)`), ""},
}

// Configured reads systemd's socket units and the configuration of some servers. /etc/services is no configuration: it
// only gives names to numbers.
func (r Root) Configured() Configured {
	var c Configured
	c.readUnits(r.Files)
	for _, s := range serverFiles {
		paths, err := filepath.Glob(filepath.Join(r.Files, s.glob))
		if err != nil {
			continue // a pattern of ours
		}
		for _, path := range paths {
			c.read(path, func(line, section string) {
				if m := s.port.FindStringSubmatch(line); m != nil && (s.section == "" || s.section == section) {
					c.add(m[1], path)
				}
			})
		}
	}
	slices.SortStableFunc(c.Ports, func(a, b ConfiguredPort) int { return int(a.Port) - int(b.Port) })
	c.Ports = slices.CompactFunc(c.Ports, func(a, b ConfiguredPort) bool { return a.Port == b.Port })
	return c
}

// readUnits reads the socket units and their drop-ins. A unit of an earlier directory hides those of its name.
func (c *Configured) readUnits(root string) {
	seen := map[string]bool{}
	for _, dir := range unitDirs {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			c.unread(err)
			continue
		}
		for _, e := range entries {
			name := e.Name()
			if !strings.HasSuffix(name, ".socket") || seen[name] {
				continue
			}
			seen[name] = true
			c.readUnit(root, filepath.Join(root, dir, name), name)
		}
	}
}

// readUnit reads one unit; an empty assignment forgets those before it (systemd.socket(5)).
func (c *Configured) readUnit(root, path, name string) {
	if target, err := os.Readlink(path); err == nil && target == os.DevNull {
		return // masked
	}
	files := []string{path}
	for _, dir := range unitDirs {
		more, err := filepath.Glob(filepath.Join(root, dir, name+".d", "*.conf"))
		if err == nil {
			files = append(files, more...)
		}
	}
	var streams []ConfiguredPort
	for _, file := range files {
		c.read(file, func(line, section string) {
			value, ok := assigned(line, "ListenStream")
			switch {
			case !ok || section != "[Socket]":
			case value == "":
				streams = nil
			default:
				if port := streamPort(value); port != 0 {
					streams = append(streams, ConfiguredPort{port, file})
				}
			}
		})
	}
	for _, s := range streams {
		c.add(strconv.Itoa(int(s.Port)), s.File)
	}
}

// assigned reads "Name = value".
func assigned(line, name string) (value string, ok bool) {
	left, right, ok := strings.Cut(line, "=")
	return strings.TrimSpace(right), ok && strings.TrimSpace(left) == name
}

// streamPort reads 8080, 127.0.0.1:8080 or [::]:8080; paths, vsock and the like give 0.
func streamPort(value string) uint16 {
	if n, err := strconv.ParseUint(value, 10, 16); err == nil {
		return uint16(n)
	}
	if a, err := netip.ParseAddrPort(value); err == nil {
		return a.Port()
	}
	return 0
}

func (c *Configured) add(digits, file string) {
	port, err := strconv.ParseUint(digits, 10, 16)
	if err == nil && port != 0 && len(c.Ports) < maxConfigured {
		c.Ports = append(c.Ports, ConfiguredPort{uint16(port), file})
	}
}

// read hands on each line of a file with the section that it is in, but no comments.
func (c *Configured) read(path string, f func(line, section string)) {
	if c.files++; c.files > maxConfigured {
		c.More++
		return
	}
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		return // a pipe would wait for its writer
	}
	if err != nil {
		c.unread(err)
		return
	}
	text, err := readBounded(path)
	if err != nil {
		c.unread(err)
		return
	}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' || line[0] == '<':
			section = line
		default:
			f(line, section)
		}
	}
}

func (c *Configured) unread(err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case len(c.Unread) < maxConfigured:
		c.Unread = append(c.Unread, err)
	default:
		c.More++
	}
}
