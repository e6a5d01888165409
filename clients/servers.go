package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one that listens on the usual port of 127.0.0.1, and counts.
type server struct {
	comm   string
	port   uint16
	counts counter // connections it has accepted over TCP, since it was started
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// expect says what must be found out about a client of a server.
func (s *stage) expect(comm string, to *server, verdict string) *pair {
	p := &pair{comm: comm, server: to.comm, dst: to.addr(), verdict: verdict, opened: to.counts}
	s.pairs = append(s.pairs, p)
	return p
}

// pgProgram is the path of a program of the newest PostgreSQL here. What is in /usr/bin is a wrapper in Perl.
func pgProgram(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	slices.SortFunc(found, func(a, b string) int { return pgVersion(a) - pgVersion(b) })
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func pgVersion(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// postgres starts PostgreSQL on a copy of an empty cluster. It logs each connection that it accepts.
func (s *stage) postgres() *server {
	srv := &server{comm: "postgres", port: 5432}
	if s.failed() {
		return srv
	}
	l, template := s.lab, filepath.Join(s.lab.dir, "cluster")
	l.cluster.Do(func() {
		l.clusterErr = l.asUser("postgres", template, pgProgram("initdb"), "-D", template, "-A", "trust", "-U", "postgres",
			"--no-sync", "--no-locale", "-E", "UTF8")
	})
	s.fail(l.clusterErr)
	data := filepath.Join(s.dir, "cluster")
	s.fail(l.command(s.ctx, "", "cp", "-a", template, data))
	argv := []string{pgProgram("postgres"), "-D", data, "-p", "5432", "-k", ""}
	for _, o := range []string{
		"listen_addresses=127.0.0.1", "log_connections=on", "fsync=off", "max_connections=200", "shared_buffers=16MB", "autovacuum=off",
	} {
		argv = append(argv, "-c", o)
	}
	p := s.serve("postgres", argv...)
	p.quit = syscall.SIGQUIT
	s.says(p, "ready to accept connections")
	srv.counts = counter{"PostgreSQL's log", lines(p, "connection received: host=127.0.0.1")}
	return srv
}

// asUser makes a folder that belongs to a user, and runs a program as that user.
func (l *lab) asUser(name, dir string, argv ...string) error {
	if err := l.command(l.ctx, "", "install", "-d", "-m", "700", "-o", name, dir); err != nil {
		return err
	}
	become, err := becoming(name)
	if err != nil {
		return err
	}
	return l.command(l.ctx, dir, append(become, argv...)...)
}

// becoming is the command line that runs what follows as a user, and ends it with this process.
func becoming(name string) ([]string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--init-groups", "--pdeathsig", "TERM"}, nil
}

// lines counts how often a server said something.
func lines(p *process, words string) func() (uint64, error) {
	return func() (uint64, error) { return uint64(strings.Count(p.output(), words)), nil }
}

// pgbouncer starts PgBouncer in front of a PostgreSQL, with a pool of so many connections.
func (s *stage) pgbouncer(to *server, size int) *server {
	users := s.file("users.txt", `"postgres" ""`+"\n")
	conf := s.file("pgbouncer.ini", fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 500
log_connections = 1
log_disconnections = 0
`, to.port, users, size))
	p := s.serve("postgres", "pgbouncer", conf)
	s.listening(p, 6432)
	return &server{comm: "pgbouncer", port: 6432, counts: counter{"PgBouncer's log", lines(p, "login attempt:")}}
}

// redis starts Redis. It counts all connections; those that ask it for the count come through a unix socket.
func (s *stage) redis() *server {
	socket := filepath.Join(s.dir, "redis.sock")
	p := s.serve("", "redis-server", "--bind", "127.0.0.1", "--port", "6379", "--unixsocket", socket, "--save", "",
		"--appendonly", "no", "--protected-mode", "no", "--daemonize", "no")
	s.listening(p, 6379)
	s.exists(p, socket)
	read := s.lessOwn(func() (uint64, error) {
		text, err := talk(socket, "INFO stats\r\nQUIT\r\n")
		return number(text, `total_connections_received:(\d+)`, err)
	})
	return &server{comm: "redis-server", port: 6379, counts: counter{"Redis, total_connections_received", read}}
}

// memcached starts memcached, which has no second socket to be asked on: it is asked before tracing begins and after.
func (s *stage) memcached() *server {
	p := s.serve("", "memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "11211", "-U", "0", "-m", "16", "-t", "1")
	s.listening(p, 11211)
	const ask = `exec 3<>/dev/tcp/127.0.0.1/11211; printf 'stats\r\nquit\r\n' >&3; cat <&3`
	read := s.lessOwn(func() (uint64, error) {
		text, err := s.ask("bash", "-c", ask)
		return number(text, `STAT total_connections (\d+)`, err)
	})
	return &server{comm: "memcached", port: 11211, counts: counter{"memcached, total_connections", read}}
}

// mariaDB starts MariaDB on a copy of an empty data folder.
func (s *stage) mariaDB() *server {
	srv := &server{comm: "mariadbd", port: 3306}
	if s.failed() {
		return srv
	}
	l, template := s.lab, filepath.Join(s.lab.dir, "mariadb")
	l.mariadb.Do(func() {
		l.mariadbErr = l.asUser("nobody", template, "mariadb-install-db", "--no-defaults", "--datadir="+template,
			"--auth-root-authentication-method=normal", "--skip-test-db")
	})
	s.fail(l.mariadbErr)
	dir := filepath.Join(s.dir, "mariadb")
	s.fail(l.command(s.ctx, "", "cp", "-a", template, dir))
	socket := filepath.Join(dir, "sock")
	p := s.serve("nobody", "mariadbd", "--no-defaults", "--datadir="+dir, "--bind-address=127.0.0.1", "--port=3306",
		"--socket="+socket, "--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--pid-file="+filepath.Join(dir, "pid"))
	s.says(p, "ready for connections")
	status := []string{"mariadb", "--no-defaults", "-uroot", "-S", socket, "-BNe"}
	s.allow(status)
	read := s.lessOwn(func() (uint64, error) {
		text, err := s.ask(append(status, "show global status like 'Connections'")...)
		return number(text, `Connections\s+(\d+)`, err)
	})
	srv.counts = counter{"MariaDB, Connections", read}
	return srv
}

// allow lets clients in that come over TCP.
func (s *stage) allow(mariadb []string) {
	if s.failed() {
		return
	}
	_, err := s.ask(append(mariadb, "create user app@'127.0.0.1' identified by 'secret'; grant all on *.* to app@'127.0.0.1'")...)
	s.fail(err)
}

// lessOwn takes the connections of those who ask off the count.
func (s *stage) lessOwn(read func() (uint64, error)) func() (uint64, error) {
	own := uint64(0)
	return func() (uint64, error) {
		own++
		n, err := read()
		return n - own, err
	}
}

// number finds a number in a server's answer.
func number(text, pattern string, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no %s in %q", pattern, tail(text))
	}
	return strconv.ParseUint(found[1], 10, 64)
}

// talk sends a request to a unix socket and returns all that comes back.
func talk(socket, request string) (string, error) {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), err
}

// phpFPM is the path of the newest FPM here; its name has PHP's version in it.
func phpFPM() string {
	found, _ := filepath.Glob("/usr/sbin/php-fpm[0-9]*")
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// php starts FPM with four workers on a unix socket.
func (s *stage) php() (socket, comm string) {
	socket = filepath.Join(s.dir, "php.sock")
	conf := s.file("php-fpm.conf", fmt.Sprintf(`[global]
daemonize = no
error_log = %s/php.log
[www]
user = www-data
group = www-data
listen = %s
listen.owner = www-data
pm = static
pm.max_children = 4
`, s.dir, socket))
	p := s.serve("", phpFPM(), "-F", "-y", conf)
	s.exists(p, socket)
	return socket, filepath.Base(phpFPM())
}

// data makes a file of so many bytes that nginx can serve.
func (s *stage) data(name string, size int) {
	s.fail(os.MkdirAll(filepath.Join(s.dir, "html"), 0o755))
	s.file(filepath.Join("html", name), strings.Repeat("x", size))
}
