package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// need is something that a case cannot do without: a Debian package, a package of npm, or a client in Go.
type need struct {
	packages []string // Debian's
	found    func(*lab) bool
	npm      string // name@version
	golang   bool
}

// needs are all things that cases need, by the names they use.
var needs = map[string]need{
	"postgres":   {packages: []string{"postgresql"}, found: func(*lab) bool { return pgProgram("postgres") != "" && pgProgram("pgbench") != "" }},
	"pgbouncer":  debian("pgbouncer", "pgbouncer"),
	"redis":      {packages: []string{"redis-server", "redis-tools"}, found: commands("redis-server", "redis-cli", "redis-benchmark")},
	"memcached":  debian("memcached", "memcached"),
	"mariadb":    {packages: []string{"mariadb-server-core", "mariadb-client"}, found: commands("mariadbd", "mariadb-install-db", "mariadb", "mariadb-slap")},
	"nginx":      debian("nginx", "nginx-light"),
	"haproxy":    debian("haproxy", "haproxy"),
	"php-fpm":    {packages: []string{"php-fpm"}, found: func(*lab) bool { return phpFPM() != "" }},
	"php-pgsql":  {packages: []string{"php-pgsql"}, found: exists("/usr/lib/php/*/pdo_pgsql.so")},
	"php-redis":  {packages: []string{"php-redis"}, found: exists("/usr/lib/php/*/redis.so")},
	"ab":         debian("ab", "apache2-utils"),
	"wrk":        debian("wrk", "wrk"),
	"curl":       debian("curl", "curl"),
	"wget":       debian("wget", "wget"),
	"openssl":    debian("openssl", "openssl"),
	"python":     {packages: []string{"python3"}, found: exists(python)},
	"psycopg2":   {packages: []string{"python3-psycopg2"}, found: exists("/usr/lib/python3/dist-packages/psycopg2")},
	"requests":   {packages: []string{"python3-requests"}, found: exists("/usr/lib/python3/dist-packages/requests")},
	"pymemcache": {packages: []string{"python3-pymemcache"}, found: exists("/usr/lib/python3/dist-packages/pymemcache")},
	"perl":       debian("perl", "perl"),
	"ruby":       debian("ruby", "ruby"),
	"java":       debian("javac", "default-jdk-headless"),
	"hikari": {
		packages: []string{"libhikaricp-java", "libpostgresql-jdbc-java", "libslf4j-java"},
		found:    exists("/usr/share/java/HikariCP.jar", "/usr/share/java/postgresql.jar", "/usr/share/java/slf4j-api.jar"),
	},
	"node":     {packages: []string{"nodejs", "npm"}, found: commands("node", "npm")},
	"pg":       {npm: "pg@8.23.1"},
	"ioredis":  {npm: "ioredis@5.9.2"},
	"mysql2":   {npm: "mysql2@3.24.6"},
	"axios":    {npm: "axios@1.21.1"},
	"undici":   {npm: "undici@6.29.1"},
	"gohttp":   {golang: true},
	"gosql":    {golang: true},
	"goredis":  {golang: true},
	"iproute2": debian("ip", "iproute2"),
}

const python = "/usr/bin/python3" // the one that Debian's modules are for

func debian(command, name string) need {
	return need{packages: []string{name}, found: commands(command)}
}

func commands(names ...string) func(*lab) bool {
	return func(*lab) bool {
		return !slices.ContainsFunc(names, func(n string) bool {
			_, err := exec.LookPath(n)
			return err != nil
		})
	}
}

func exists(patterns ...string) func(*lab) bool {
	return func(*lab) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool {
			found, err := filepath.Glob(p)
			return err != nil || len(found) == 0
		})
	}
}

// missing says why a case that needs all these cannot be run, "" when it can; excused, that something cannot be installed.
func (l *lab) missing(names []string) (why string, excused bool) {
	for _, name := range names {
		if l.has(name) {
			continue
		}
		if reason := l.reasons[name]; reason != "" {
			return fmt.Sprintf("%s cannot be installed: %s", name, reason), true
		}
		return name + " is not here", false
	}
	return "", false
}

func (l *lab) has(name string) bool {
	n := needs[name]
	switch {
	case n.npm != "":
		_, err := os.Stat(filepath.Join(l.modules(), npmName(n.npm), "package.json"))
		return err == nil && l.reasons[name] == ""
	case n.golang:
		_, err := os.Stat(filepath.Join(l.cache, "bin", name))
		return err == nil && l.reasons[name] == ""
	case n.found != nil:
		return n.found(l)
	}
	return false
}

func npmName(spec string) string { return spec[:strings.LastIndexByte(spec, '@')] }

// modules is where Node.js finds its packages.
func (l *lab) modules() string { return filepath.Join(l.cache, "npm", "node_modules") }

// provide installs, fetches and builds what the cases need and is not there.
func (l *lab) provide(ctx context.Context, cases []*scenario) error {
	names := []string{"iproute2"}
	for _, c := range cases {
		for _, n := range c.needs {
			if _, ok := needs[n]; !ok {
				return fmt.Errorf("case %s needs %q, which needs.go does not know", c.name, n)
			}
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	if l.install {
		if err := l.fromDebian(ctx, names); err != nil {
			return err
		}
		l.fromNPM(ctx, names)
	}
	if err := l.buildGo(ctx, names); err != nil {
		return err
	}
	return l.buildJava(ctx, names)
}

// fromDebian installs missing packages, all together or, when that fails, each alone, to learn which one it is.
func (l *lab) fromDebian(ctx context.Context, names []string) error {
	var absent []string
	for _, n := range names {
		if len(needs[n].packages) > 0 && !l.has(n) {
			absent = append(absent, n)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	quiet, err := noServices()
	if err != nil {
		return err
	}
	defer quiet()
	var all []string
	for _, n := range absent {
		all = append(all, needs[n].packages...)
	}
	fmt.Fprintf(os.Stderr, "clients: installing %s\n", strings.Join(all, " "))
	_ = l.command(ctx, "", "apt-get", "-qq", "update")
	if l.apt(ctx, all) == nil {
		return nil
	}
	for _, n := range absent {
		if err := l.apt(ctx, needs[n].packages); err != nil {
			l.reasons[n] = err.Error()
		}
	}
	return nil
}

func (l *lab) apt(ctx context.Context, packages []string) error {
	argv := []string{"apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-upgrade", "--no-install-recommends"}
	return l.command(ctx, "", append(argv, packages...)...)
}

const policy = "/usr/sbin/policy-rc.d"

// noServices keeps Debian from starting the services it installs: cases start servers of their own. See invoke-rc.d(8).
func noServices() (undo func(), err error) {
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policy) }, err
}

// fromNPM fetches packages at the versions above. No lock file is written: those hold addresses of registries.
func (l *lab) fromNPM(ctx context.Context, names []string) {
	var specs, all []string // npm removes what it is not asked for, so it is always asked for all
	for n, need := range needs {
		if need.npm != "" {
			all, specs = append(all, n), append(specs, need.npm)
		}
	}
	if !slices.ContainsFunc(all, func(n string) bool { return slices.Contains(names, n) }) {
		return
	}
	dir := filepath.Join(l.cache, "npm")
	done, _ := os.ReadFile(filepath.Join(dir, "installed"))
	missing := func(spec string) bool { return !slices.Contains(strings.Fields(string(done)), spec) }
	if !slices.ContainsFunc(specs, missing) || !l.has("node") {
		return
	}
	fmt.Fprintf(os.Stderr, "clients: fetching %s\n", strings.Join(specs, " "))
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = l.command(ctx, dir, append([]string{"npm", "install", "--prefix", dir, "--no-save", "--no-package-lock",
			"--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"}, specs...)...)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "installed"), []byte(strings.Join(specs, "\n")), 0o644)
	}
	if err != nil {
		for _, n := range all {
			l.reasons[n] = err.Error()
		}
	}
}

// buildGo fetches modules, which may be impossible, and builds, which may not fail.
func (l *lab) buildGo(ctx context.Context, names []string) error {
	dir := filepath.Join(l.programs, "go")
	var wanted []string
	for _, n := range names {
		if needs[n].golang {
			wanted = append(wanted, n)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := l.command(ctx, dir, "go", "mod", "download"); err != nil {
		for _, n := range wanted {
			l.reasons[n] = err.Error()
		}
		return nil
	}
	argv := []string{"env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(l.cache, "bin") + "/"}
	for _, n := range wanted {
		argv = append(argv, "./"+n)
	}
	return l.command(ctx, dir, argv...)
}

func (l *lab) buildJava(ctx context.Context, names []string) error {
	if !slices.Contains(names, "java") || !l.has("java") {
		return nil
	}
	argv := []string{"javac", "-d", filepath.Join(l.cache, "java"), "-cp", hikariPath}
	sources, err := filepath.Glob(filepath.Join(l.programs, "java", "*.java"))
	if err != nil {
		return err
	}
	if !l.has("hikari") {
		sources = slices.DeleteFunc(sources, func(s string) bool { return filepath.Base(s) == "SqlClient.java" })
	}
	return l.command(ctx, "", append(argv, sources...)...)
}

// command runs a program that installs or builds, and returns the last line it printed when it fails.
func (l *lab) command(ctx context.Context, dir string, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.Join(strings.Fields(tail(string(out))), " "))
	}
	return nil
}
