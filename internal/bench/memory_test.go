package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// BenchmarkMemory is all memory that tracing takes with 65,536 live sockets and 1,000 destinations (outbound and as many
// inbound): the process at its highest, the building of the report included, and what the kernel keeps for its maps and
// programs. The ring is mapped into the process, twice in a row; in the sum it is counted once.
func BenchmarkMemory(b *testing.B) {
	testnet.RequireTracing(b)
	tcpstate := build(b)
	l := load{threads: 8, connections: 1 << 12, destinations: 125, hold: true}
	var process, kernel, mapped float64
	var lost uint64
	for b.Loop() {
		ns := testnet.New(b)
		r := startReport(b, tcpstate)
		c := l.start(b, ns)
		ns.Do(b, func() { testnet.Must(json.Unmarshal([]byte(c.Line()), new(generated))) })
		r.rest()
		kernel, mapped = max(kernel, kernelMemory(b, r.pid())), mappedMemory(b, r.pid())
		d := r.stop(b)
		process = max(process, float64(r.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024)
		ns.Do(b, c.Release)
		d.check(b, ns.Inode(), l.threads*l.connections, 0)
		lost += d.lost()
		ns.Close() // lest what is left of it is in the next report
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(process-mapped, "process-MiB")
	b.ReportMetric(kernel, "kernel-MiB")
	b.ReportMetric(process-mapped+kernel, "MiB")
	b.ReportMetric(64, "MiB-max")
	b.ReportMetric(float64(lost), "lost")
}

// kernelMemory is the memory of the BPF maps and programs that a process holds, in MiB, as fdinfo shows it. Since 6.4
// that of a map is what it takes now, before what it could take.
func kernelMemory(b *testing.B, pid int) float64 {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		b.Fatal(err)
	}
	bytes := 0
	seen := map[string]bool{}
	for _, file := range files {
		fields := fdinfo(b, file)
		id := "map " + fields["map_id"] + " prog " + fields["prog_id"]
		if seen[id] || fields["memlock"] == "" {
			continue
		}
		seen[id] = true
		n, err := strconv.Atoi(fields["memlock"])
		if err != nil {
			b.Fatalf("read %s: %v", file, err)
		}
		bytes += n
	}
	return float64(bytes) / (1 << 20)
}

// mappedMemory is how much of its maps a process has mapped, in MiB.
func mappedMemory(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		b.Fatal(err)
	}
	bytes := uint64(0)
	for line := range strings.Lines(string(text)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && strings.Contains(line, "anon_inode:bpf-map") {
			bytes += to - from
		}
	}
	return float64(bytes) / (1 << 20)
}

func fdinfo(b *testing.B, file string) map[string]string {
	b.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}
