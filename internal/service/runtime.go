package service

import (
	"path"
	"strings"
)

// The values of [Service.Runtime]: what runs the code that connects, as far as that decides which advice fits. A
// program that is a client and nothing else is named itself.
const (
	runtimeGo     = "go"
	runtimeJava   = "java"
	runtimePython = "python"
	runtimeNode   = "node"
	runtimePHP    = "php"
	runtimeRuby   = "ruby"
	runtimePerl   = "perl"
	runtimeDotnet = "dotnet"
	runtimeRust   = "rust"
	runtimeApache = "apache"
)

// Runtimes returns every value [Service.Runtime] can have, apart from "".
func Runtimes() []string {
	return []string{
		runtimeGo, runtimeJava, runtimePython, runtimeNode, runtimePHP, runtimeRuby, runtimePerl, runtimeDotnet, runtimeRust,
		"erlang", "lua", "deno", "bun", "shell",
		"nginx", "haproxy", "envoy", runtimeApache, "varnish", "squid", "pgbouncer", "pgpool", "proxysql", "twemproxy",
		"curl", "wget", "psql", "pgbench", "mysql", "redis-cli", "redis-benchmark", "ab", "wrk", "siege", "h2load",
	}
}

// programs are the names that tell a runtime: of executables and, where a program names itself, of processes. Versions
// are cut off before: see [runtimeNamed].
var programs = map[string]string{
	"java": runtimeJava, "jsvc": runtimeJava, "HikariPool": runtimeJava, "http-nio": runtimeJava,
	"python": runtimePython, "pypy": runtimePython, "gunicorn": runtimePython, "uvicorn": runtimePython,
	"hypercorn": runtimePython, "daphne": runtimePython, "celery": runtimePython, "celeryd": runtimePython,
	"locust": runtimePython, "uwsgi": runtimePython, "uwsgi-core": runtimePython,
	"node": runtimeNode, "nodejs": runtimeNode, "node-MainThread": runtimeNode, "npm": runtimeNode,
	"next-server": runtimeNode,
	"PM":          runtimeNode, // PM2
	"php":         runtimePHP, "php-fpm": runtimePHP, "php-cgi": runtimePHP, "frankenphp": runtimePHP,
	"ruby": runtimeRuby, "puma": runtimeRuby, "sidekiq": runtimeRuby, "unicorn": runtimeRuby, "unicorn_rails": runtimeRuby,
	"rails": runtimeRuby, "rake": runtimeRuby, "resque": runtimeRuby,
	"perl": runtimePerl, "starman": runtimePerl,
	"dotnet": runtimeDotnet, "mono": runtimeDotnet, "mono-sgen": runtimeDotnet,
	"beam.smp": "erlang", "beam": "erlang", "lua": "lua", "luajit": "lua", "deno": "deno", "bun": "bun",
	"sh": "shell", "bash": "shell", "dash": "shell", "ash": "shell", "zsh": "shell", "ksh": "shell",
	"nginx": "nginx", "openresty": "nginx", "angie": "nginx", "haproxy": "haproxy", "envoy": "envoy",
	"apache": runtimeApache, "httpd": runtimeApache, "httpd-prefork": runtimeApache,
	"varnishd": "varnish", "cache-main": "varnish", "squid": "squid",
	"pgbouncer": "pgbouncer", "pgpool": "pgpool", "proxysql": "proxysql", "nutcracker": "twemproxy",
	"curl": "curl", "wget": "wget", "psql": "psql", "pgbench": "pgbench", "mysql": "mysql", "mariadb": "mysql",
	"redis-cli": "redis-cli", "redis-benchmark": "redis-benchmark", "ab": "ab", "wrk": "wrk", "siege": "siege",
	"h2load": "h2load",
}

// scripts are the runtimes of programs that are named for their file: the kernel names a process after the script, not
// after its interpreter (begin_new_exec in fs/exec.c).
var scripts = map[string]string{
	".py": runtimePython, ".rb": runtimeRuby, ".pl": runtimePerl, ".php": runtimePHP, ".js": runtimeNode,
	".mjs": runtimeNode, ".cjs": runtimeNode, ".sh": "shell", ".lua": "lua",
}

// runtimeNamed tells the runtime from the name of an executable or a process: "python3.11", "php-fpm8.2", "curl",
// "gunicorn: maste", "puma 6.4.2 (tcp", "hit.pl". "" means that the name tells nothing.
func runtimeNamed(name string) string {
	if r := programs[name]; r != "" {
		return r
	}
	if i := strings.IndexAny(name, " :[("); i > 0 {
		name = name[:i]
	}
	if r := programs[name]; r != "" {
		return r
	}
	if r := scripts[path.Ext(name)]; r != "" {
		return r
	}
	version := strings.IndexAny(name, "0123456789")
	if version <= 0 {
		return ""
	}
	return programs[strings.TrimRight(name[:version], "-.")]
}

// hosts are the executables that run other languages inside: mod_php, mod_wsgi, uwsgi's plugins. What they have mapped
// tells more than their name.
var hosts = map[string]bool{
	"apache2": true, "httpd": true, "httpd-prefork": true, "uwsgi": true, "uwsgi-core": true, "unitd": true,
}

// selfContained are the runtimes whose clients use no shared library worth naming, so that their maps need no reading.
// Those of a Java program are the longest.
func selfContained(runtime string) bool {
	switch runtime {
	case "", runtimePython, runtimePHP, runtimeRuby, runtimePerl, runtimeRust, runtimeApache, "lua", "erlang":
		return false
	}
	return true
}
