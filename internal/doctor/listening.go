package doctor

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/host"
)

// Above nearly a limit is a warning, above most of it critical.
const (
	nearly = 80
	most   = 95
)

// level is how bad it is to have used so much of a limit.
func level(used, limit int) Status {
	switch {
	case limit == host.Unlimited:
		return OK
	case 100*float64(used) >= most*float64(limit):
		return Critical
	case 100*float64(used) >= nearly*float64(limit):
		return Warning
	}
	return OK
}

// unseenProcesses says which processes could not be looked at, "" if all could.
func (e *examiner) unseenProcesses() string {
	p := &e.in.Processes
	switch {
	case e.in.ProcessesErr != nil:
		return "the processes are not known: " + reason(e.in.ProcessesErr)
	case p.Denied > 0:
		return fmt.Sprintf("%s of %s may not be looked at without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
			form.Grouped(p.Denied), form.Count(p.All, "process"))
	case p.Hidden:
		return "/proc hides the processes of other users"
	case p.MoreProcesses > 0:
		return fmt.Sprintf("%s beyond the bound were not looked at", form.Count(p.MoreProcesses, "process"))
	}
	return ""
}

// holders are the processes that listen in this namespace.
func (e *examiner) holders() (holders []*host.Process, ownerless int) {
	here := make(map[uint64]bool)
	for _, l := range e.Sockets.Value.Listeners {
		here[l.Inode] = true
	}
	for i := range e.in.Processes.Listening {
		p := &e.in.Processes.Listening[i]
		mine := false
		for _, inode := range p.Sockets {
			if _, listed := here[inode]; listed {
				here[inode], mine = false, true
			}
		}
		if mine {
			holders = append(holders, p)
		}
	}
	for _, unclaimed := range here {
		if unclaimed {
			ownerless++
		}
	}
	return holders, ownerless
}

// use is how much of a limit a process has used.
type use struct {
	who         string
	used, limit int
}

func (u use) String() string {
	if u.limit == host.Unlimited {
		return fmt.Sprintf("%s: %s, no limit", u.who, form.Grouped(u.used))
	}
	return fmt.Sprintf("%s: %s of %s (%s)", u.who, form.Grouped(u.used), form.Grouped(u.limit), percent(u.used, u.limit))
}

// part orders uses, fullest last.
func (u use) part() float64 {
	switch u.limit {
	case host.Unlimited:
		return -1
	case 0:
		return 2
	}
	return float64(u.used) / float64(u.limit)
}

func (e *examiner) fileDescriptors() Check {
	return e.perProcess("file-descriptors", "/proc/PID/fd and /proc/PID/limits (ulimit -n); alloc_fd in fs/file.c",
		"LimitNOFILE",
		"without a descriptor accept() fails with EMFILE, and connections wait until they time out",
		func(p *host.Process) (use, error) {
			err := cmp.Or(errorOf(p.OpenFiles), errorOf(p.MaxFiles))
			return use{used: p.OpenFiles.Value, limit: p.MaxFiles.Value}, err
		})
}

// userProcesses is about RLIMIT_NPROC, which counts the threads of a user and does not bind root.
func (e *examiner) userProcesses() Check {
	return e.perProcess("user-processes",
		"/proc/PID/status and /proc/PID/limits (ulimit -u); copy_process in kernel/fork.c", "LimitNPROC",
		"at the limit fork() and new threads fail with EAGAIN",
		func(p *host.Process) (use, error) {
			limit := p.MaxTasks.Value
			if p.UID == 0 {
				limit = host.Unlimited
			}
			return use{used: e.in.Processes.Tasks[p.UID], limit: limit}, errorOf(p.MaxTasks)
		})
}

// perProcess judges what each listening process has used of a limit.
func (e *examiner) perProcess(code, source, setting, harm string, of func(*host.Process) (use, error)) Check {
	if err := errorOf(e.Sockets); err != nil {
		return unknown(code, source, err)
	}
	holders, ownerless := e.holders()
	var uses []use
	var unread []error
	for _, p := range holders {
		u, err := of(p)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		u.who = fmt.Sprintf("%s (pid %d)", p.Comm, p.PID)
		uses = append(uses, u)
	}
	slices.SortStableFunc(uses, func(a, b use) int { return cmp.Compare(b.part(), a.part()) })
	c := Check{Code: code, Status: OK, Source: source}
	c.judgeUses(uses, setting, harm)
	if len(unread) > 0 {
		c.raise(Unknown, "Of %s it is not known: %s.", form.Count(len(unread), "listening process"), reason(unread[0]))
	}
	e.judgeUnseen(&c, ownerless)
	return c
}

func (c *Check) judgeUses(uses []use, setting, harm string) {
	if len(uses) == 0 {
		return
	}
	var all []string
	for _, u := range uses {
		all = append(all, u.String())
	}
	set := list(all, 3)
	c.Set = &set
	switch s := level(uses[0].used, uses[0].limit); s {
	case OK:
		c.say("%s, none near its limit.", form.Count(len(uses), "listening process"))
	default:
		c.raise(s, "%s is near its limit: %s. Write the line into the [Service] section of its unit, or close what "+
			"leaks.",
			uses[0].who, harm)
		c.systemd(setting, max(2*uses[0].used, 2*uses[0].limit, 65536))
	}
}

// judgeUnseen is about listening sockets whose process is not known. Where all processes are seen they are the
// kernel's.
func (e *examiner) judgeUnseen(c *Check, ownerless int) {
	listeners := len(e.Sockets.Value.Listeners)
	why := e.unseenProcesses()
	switch {
	case listeners == 0:
		c.say("Nobody listens here.")
	case why != "" && ownerless > 0:
		c.partial = c.Status.rank() < Unknown.rank()
		c.raise(Unknown, "Of %s, %s no process that is seen: %s.", form.Count(listeners, "listening socket"),
			belongs(ownerless), why)
	case why != "":
		c.say("Others that share a socket with them would not be seen: %s.", why)
	case ownerless > 0 && e.in.Processes.Everywhere:
		c.say("%s: %s no process, but the kernel.", form.Count(listeners, "listening socket"), belongs(ownerless))
	case ownerless > 0:
		c.raise(Unknown, "Of %s, %s no process of this pid namespace: what holds them is not known.",
			form.Count(listeners, "listening socket"), belongs(ownerless))
	}
}

func belongs(n int) string {
	if n == 1 {
		return "1 belongs to"
	}
	return form.Grouped(n) + " belong to"
}

// defaultSomaxconn is SOMAXCONN in include/linux/socket.h since Linux 5.4.
const defaultSomaxconn = 4096

// somaxconn is about how many connections may wait for accept().
func (e *examiner) somaxconn() Check {
	c, value, known := e.number("somaxconn", "somaxconn", e.Backlogs.Path+"; "+e.Sockets.Path+
		" (rx_queue of a listening socket); __sys_listen in net/socket.c, sk_acceptq_is_full in include/net/sock.h")
	if !known {
		return c
	}
	if err := cmp.Or(errorOf(e.Sockets), errorOf(e.Backlogs)); err != nil {
		c.raise(Unknown, "How many connections wait for accept(), and how many may, is not known: %s.", reason(err))
		return c
	}
	var full, filling []string
	capped := 0
	for _, l := range e.Sockets.Value.Listeners {
		backlog, ok := e.Backlogs.Value[l.Inode]
		switch queue := fmt.Sprintf("%s %s of %s", l.Local, form.Grouped(l.Queue), form.Grouped(backlog)); {
		case !ok: // it came after
		case l.Queue > backlog:
			full = append(full, queue)
		case l.Queue >= 10 && 5*l.Queue >= 4*backlog:
			filling = append(filling, queue)
		}
		if ok && backlog >= value {
			capped++
		}
	}
	c.say("At most so many connections wait for accept() on one socket, whatever listen() asks for; %s here, %s at "+
		"that bound.",
		form.Count(len(e.Sockets.Value.Listeners), "listening socket"), form.Grouped(capped))
	e.judgeQueues(&c, full, filling)
	e.judgeSomaxconn(&c, value, capped)
	return c
}

func (e *examiner) judgeQueues(c *Check, full, filling []string) {
	if len(full) > 0 {
		c.raise(Critical, "Full now: %s; the kernel drops what arrives. The server accepts too slowly, or asks "+
			"listen() for too little.",
			list(full, maxNamed))
	}
	if len(filling) > 0 {
		c.raise(Warning, "Nearly full now: %s. The server accepts too slowly, or asks listen() for too little.",
			list(filling, maxNamed))
	}
}

func (e *examiner) judgeSomaxconn(c *Check, value, capped int) {
	if value >= defaultSomaxconn {
		return
	}
	overflows, err := e.counter("TcpExtListenOverflows")
	switch {
	case value < 128 || capped > 0 && err == nil && overflows > 0:
		c.raise(Warning, "It is below the default, %s, and holds servers back.", form.Grouped(defaultSomaxconn))
		c.sysctl("net.core.somaxconn", defaultSomaxconn)
	default:
		c.raise(Info, "It is below the default, %s.", form.Grouped(defaultSomaxconn))
	}
}

// manyOverflows is how many of all accepted connections may have found a full queue, and how few are not worth a word.
const (
	manyOverflows = 0.01
	fewOverflows  = 100
)

// listenOverflows is what the kernel has counted.
func (e *examiner) listenOverflows() Check {
	const code = "listen-overflows"
	source := e.Counters.Path + " (ListenOverflows, ListenDrops), snmp (PassiveOpens); tcp_v4_syn_recv_sock in " +
		"net/ipv4/tcp_ipv4.c"
	overflows, err := e.counter("TcpExtListenOverflows")
	drops, dropsErr := e.counter("TcpExtListenDrops")
	opens, opensErr := e.counter("TcpPassiveOpens")
	if err := cmp.Or(err, dropsErr, opensErr); err != nil {
		return unknown(code, source, err)
	}
	c := check(code, fmt.Sprintf("%s, %s", form.Count(overflows, "overflow"), form.Count(drops, "drop")), source)
	c.say("Counted since %s, beside %s: when, the kernel does not say.", e.since(), form.Count(opens, "accepted connection"))
	switch {
	case overflows == 0:
		c.say("No connection has found a full queue.")
	case overflows >= fewOverflows && float64(overflows) >= manyOverflows*float64(opens):
		c.raise(Warning, "So many found the queue of a listening socket full and were dropped: a server accepts too "+
			"slowly, or asks listen() for too little. No setting of the host cures it unless somaxconn is low (see "+
			"there).")
	default:
		c.raise(Info, "So many found the queue of a listening socket full and were dropped.")
	}
	return c
}
