package verdict

import (
	"path"
	"slices"
)

// Program is what is known of the service that connects.
type Program struct {
	Comm    string // task_struct.comm
	Exe     string // path
	Runtime string // what runs it, as internal/service names it
	Library string // the client library seen in it, if any
}

// loadGenerators are programs that make load for a living, by name.
var loadGenerators = []string{
	"ab", "autocannon", "bombardier", "drill", "echoping", "fortio", "ghz", "h2load", "hammerdb", "hey", "httperf", "http_load",
	"iperf", "iperf3", "k6", "locust", "memcslap", "memtier_benchmar", "memtier_benchmark", "mc-crusher", "mysqlslap", "mysqlslap.real", "mariadb-slap",
	"netperf", "nghttp", "oha", "pgbench", "redis-benchmark", "rewrk", "siege", "slowhttptest", "sysbench", "tsung", "vegeta", "valkey-benchmark",
	"webbench", "weighttp", "wrk", "wrk2", "ycsb",
}

// maxComm is how much of a name the kernel keeps.
const maxComm = 15

func (p *Program) loadGenerator() string {
	for _, name := range []string{p.Comm, path.Base(p.Exe)} {
		if slices.ContainsFunc(loadGenerators, func(g string) bool { return name == g || len(g) > maxComm && name == g[:maxComm] }) {
			return name + " makes load, and connects as its options say"
		}
	}
	return ""
}
