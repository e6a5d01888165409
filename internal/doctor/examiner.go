package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// timeWaitSeconds is TCP_TIMEWAIT_LEN in include/net/tcp.h. No setting changes it.
const timeWaitSeconds = 60

// The default of ip_local_port_range (inet_init_net in net/ipv4/af_inet.c).
const (
	defaultLow  = 32768
	defaultHigh = 60999
	defaultSize = defaultHigh - defaultLow + 1
)

// examiner looks at one namespace.
type examiner struct {
	*host.Audit
	in    *Input
	space *Space
	// wanted is the range that port-range tells to write, else the one that is set.
	wanted host.PortRange
	// merged are the reserved ports with those that ought to be. claimed says that it is known which these are.
	merged  *host.PortSet
	claimed bool
	ports   []PortUse
}

func newExaminer(in *Input, s *Space) *examiner {
	return &examiner{Audit: s.Audit, in: in, space: s}
}

// checks are in the order in which they are shown. What ought to be reserved depends on the range that ought to be set,
// and what is left of a range on what is reserved in it.
func (e *examiner) checks() []Check {
	e.wanted = e.wantedRange()
	var unreserved []claim
	unreserved, e.claimed = e.unreserved()
	e.merge(unreserved)
	return []Check{
		e.portRange(), e.reservedPorts(unreserved), e.portUse(),
		e.twReuse(), e.timestamps(), e.twRecycle(), e.finTimeout(), e.maxTimeWaits(),
		e.fileDescriptors(), e.userProcesses(), e.somaxconn(), e.listenOverflows(),
	}
}

// check begins one that is ok.
func check(code, set, source string) Check {
	return Check{Code: code, Status: OK, Set: &set, Source: source}
}

// unknown is a check that nothing can be said about.
func unknown(code, source string, errs ...error) Check {
	var why []string
	for _, err := range errs {
		if err != nil {
			why = append(why, reason(err))
		}
	}
	return Check{Code: code, Status: Unknown, Meaning: "Not known: " + strings.Join(why, "; ") + ".", Source: source}
}

// reason says why something could not be read.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + " (" + denial(err) + "): it may be readable as root"
	case errors.Is(err, fs.ErrNotExist):
		return err.Error() + " (ENOENT): this kernel has it not, or /proc is not all there, " +
			"as in some containers"
	}
	return err.Error()
}

// denial is the errno behind fs.ErrPermission.
func denial(err error) string {
	if errors.Is(err, syscall.EPERM) {
		return "EPERM"
	}
	return "EACCES"
}

// raise makes a check at least this bad, and adds a sentence.
func (c *Check) raise(s Status, format string, args ...any) {
	if s.rank() > c.Status.rank() {
		c.Status = s
	}
	c.say(format, args...)
}

// say adds a sentence.
func (c *Check) say(format string, args ...any) {
	if c.Meaning != "" {
		c.Meaning += " "
	}
	c.Meaning += fmt.Sprintf(format, args...)
}

// sysctl tells which line to write.
func (c *Check) sysctl(name string, value any) {
	line, to := fmt.Sprintf("%s = %v", name, value), toSysctl
	c.Write, c.WriteTo = &line, &to
}

// systemd tells which line to write into a unit.
func (c *Check) systemd(name string, value int) {
	line, to := name+"="+strconv.Itoa(value), toSystemd
	c.Write, c.WriteTo = &line, &to
}

// errorOf is why a fact is not known, nil if it is.
func errorOf[T any](f host.Fact[T]) error {
	if f.Err == nil && f.Path == "" {
		return errors.New("it was not read")
	}
	return f.Err
}

// percent writes a part of a whole.
func percent(part, whole int) string {
	if whole <= 0 {
		return "more than there are"
	}
	return strconv.Itoa(int(100*float64(part)/float64(whole))) + " %"
}

// list joins the first few, and counts the others.
func list(items []string, show int) string {
	if len(items) <= show {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %s more", strings.Join(items[:show], ", "), form.Grouped(len(items)-show))
}
