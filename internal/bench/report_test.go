package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// build builds tcpstate: the real pipeline, in a process of its own.
func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "tcpstate")
	out, err := exec.Command("go", "build", "-o", path, "github.com/tcpstate/tcpstate/cmd/tcpstate").CombinedOutput()
	if err != nil {
		b.Fatalf("build tcpstate: %v\n%s", err, out)
	}
	return path
}

// reporter is a running "tcpstate report".
type reporter struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr *bufio.Reader
}

// document is the part of a report that is looked at here.
type document struct {
	Filter struct {
		Events uint64 `json:"events_matched"`
	}
	Loss struct {
		Events      uint64 `json:"events_lost"`
		Recursion   uint64 `json:"recursion_lost"`
		Sockets     uint64 `json:"sockets_evicted"`
		TotalsExact bool   `json:"totals_exact"`
	}
	Destinations []struct {
		Direction string
		Netns     uint32
		Opened    int
		Closed    int
		TimeWait  struct{ Entered, Overflowed int } `json:"time_wait"`
	}
}

// startReport starts tracing and returns when all is attached.
func startReport(b *testing.B, tcpstate string) *reporter {
	b.Helper()
	r := &reporter{cmd: exec.Command(tcpstate, "report", "--for", "1m", "-o", "json")}
	r.cmd.Stdout = &r.stdout
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.cmd.Process.Kill() }) // only where stop was not reached
	r.stderr = bufio.NewReader(stderr)
	if line, err := r.stderr.ReadString('\n'); err != nil || !bytes.Contains([]byte(line), []byte("tracing")) {
		b.Fatalf("start report: %q, %v", line, err)
	}
	return r
}

// settle waits until nothing happens in ns any more and the reader has had time to read it all.
func (r *reporter) settle(b *testing.B, ns *testnet.Namespace) {
	ns.Do(b, func() {
		testnet.Until("connections end", func() bool { return testnet.ReadSockstat().InUse == 0 })
	})
	r.rest()
}

// rest lets the reader read.
func (r *reporter) rest() { time.Sleep(500 * time.Millisecond) }

func (r *reporter) pid() int { return r.cmd.Process.Pid }

// stop ends tracing and returns the report.
func (r *reporter) stop(b *testing.B) (d document) {
	b.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	said, _ := io.ReadAll(r.stderr) // only to be shown
	if err := r.cmd.Wait(); err != nil {
		b.Fatalf("report: %v: %s", err, said)
	}
	if err := json.Unmarshal(r.stdout.Bytes(), &d); err != nil {
		b.Fatalf("read report: %v", err)
	}
	return d
}

// lost is how much came without details, or not at all.
func (d *document) lost() uint64 { return d.Loss.Events + d.Loss.Recursion + d.Loss.Sockets }

// check compares the totals of a namespace with what was done there. Totals are exact even if details were lost.
func (d *document) check(b *testing.B, netns uint32, opened, closed int) {
	b.Helper()
	sums := map[string][2]int{}
	timeWait := 0
	for _, row := range d.Destinations {
		if row.Netns == netns {
			sum := sums[row.Direction]
			sums[row.Direction] = [2]int{sum[0] + row.Opened, sum[1] + row.Closed}
			timeWait += row.TimeWait.Entered + row.TimeWait.Overflowed
		}
	}
	for direction, got := range sums {
		if d.Loss.TotalsExact && got != [2]int{opened, closed} {
			b.Errorf("%s: %d opened and %d closed, want %d and %d", direction, got[0], got[1], opened, closed)
		}
	}
	if len(sums) != 2 || d.Loss.TotalsExact && timeWait != closed {
		b.Errorf("%d directions, %d times TIME_WAIT, want 2 and %d", len(sums), timeWait, closed)
	}
}
