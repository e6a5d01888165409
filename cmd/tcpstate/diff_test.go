package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// oneRow is a report of one service, of so many seconds.
func oneRow(seconds float64, opened, exchanges int, verdict string) string {
	return fmt.Sprintf(`{"schema":"tcpstate.report/v1","window":{"seconds":%g},"loss":{"totals_exact":true},`+
		`"destinations":[{"service":{"name":"app"},"direction":"outbound","dst":{"addr":"10.2.3.4","port":5432},`+
		`"opened":%d,"exchanges":{"total":%d},"verdict":{"name":"%s"}}]}`, seconds, opened, exchanges, verdict)
}

func TestDiffExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("unpooled", oneRow(10, 4660, 13980, "unpooled"))
	write("again", oneRow(10, 4100, 12300, "unpooled"))
	write("pooled", oneRow(10, 4, 14100, "pooled"))
	write("short", oneRow(4, 4, 14100, "pooled"))
	write("few", oneRow(10, 4, 12, "too-few-to-tell"))
	write("none", `{"schema":"tcpstate.report/v1","window":{"seconds":10},"loss":{"totals_exact":true},"destinations":[]}`)
	for _, tt := range []struct {
		before, after string
		code          int
		begins        string
	}{
		{"unpooled", "pooled", 0, "better: "},
		{"unpooled", "again", 0, "no change: "},
		{"pooled", "unpooled", 1, "worse: "},
		{"unpooled", "short", 3, "cannot tell: "},
		{"unpooled", "few", 3, "cannot tell: "},
		{"few", "few", 3, "cannot tell: "},
		{"unpooled", "none", 3, "cannot tell: "},
		{"none", "none", 3, "cannot tell: "},
		{"unpooled", "nosuch", 1, ""},
	} {
		for _, form := range []string{"columns", "json", "md"} {
			var stdout, stderr bytes.Buffer
			args := []string{"diff", "-o", form, filepath.Join(dir, tt.before), filepath.Join(dir, tt.after)}
			if code := run(args, &stdout, &stderr); code != tt.code {
				t.Errorf("%s to %s, %s: exit code %d, want %d: %s%s", tt.before, tt.after, form, code, tt.code, &stdout, &stderr)
			}
			if form == "columns" && !strings.HasPrefix(stdout.String(), tt.begins) || (tt.begins == "") != (stdout.Len() == 0) {
				t.Errorf("%s to %s, %s: %s", tt.before, tt.after, form, &stdout)
			}
		}
	}
}

// comparison is what an ended diff printed.
func (p *process) comparison(tb testing.TB) (d object) {
	tb.Helper()
	if err := json.Unmarshal([]byte(p.stdout.String()), &d); err != nil || d["schema"] != "tcpstate.diff/v1" {
		tb.Fatalf("no comparison: %v: %s%s", err, p.stdout.String(), p.stderr.String())
	}
	return d
}

// A capture is the same whether it has a name, comes through a pipe, or is called something else.
func TestDiffReadsCapturesFromAnywhere(t *testing.T) {
	const sample = "../../internal/capture/testdata/v1.tcps"
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	misnamed := filepath.Join(t.TempDir(), "capture.json")
	if err := os.WriteFile(misnamed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	diffed := func(before, after string) object {
		p := command("diff", "--all", "-o", "json", before, after)
		p.cmd.Stdin = bytes.NewReader(text) // a pipe
		<-p.start(t).ended
		d := p.comparison(t)
		if get(d, "exit_code") != fmt.Sprint(p.code) {
			t.Fatalf("%s %s: exit code %d: %v", before, after, p.code, d)
		}
		return d
	}
	want := diffed(sample, sample)
	if len(want["rows"].(array)) == 0 {
		t.Fatal("nothing was compared")
	}
	for _, names := range [][2]string{{sample, "-"}, {"-", sample}, {misnamed, sample}, {"-", misnamed}} {
		got := diffed(names[0], names[1])
		for _, what := range []string{"summary", "rows", "counts", "result"} {
			if g, w := fmt.Sprint(got[what]), fmt.Sprint(want[what]); g != w {
				t.Errorf("%v: %s: %s, want %s", names, what, g, w)
			}
		}
	}
}

// traffic is what one network namespace's client does: a question and its answer each time it is asked to.
type traffic struct {
	ns     *testnet.Namespace
	listen net.Listener
	pool   net.Conn // nil: a new connection for each question
}

func newTraffic(t *testing.T) *traffic {
	t.Helper()
	f := &traffic{ns: testnet.New(t)}
	f.ns.Do(t, func() { f.listen = testnet.Must1(net.Listen("tcp4", one.String())) })
	t.Cleanup(func() { _ = f.listen.Close() })
	go func() {
		for {
			c, err := f.listen.Accept()
			if err != nil {
				return
			}
			go answers(c)
		}
	}()
	return f
}

// answers gives back what it is sent, until the other end closes.
func answers(c net.Conn) {
	b := make([]byte, 16)
	for {
		n, err := c.Read(b)
		if err != nil {
			_ = c.Close()
			return
		}
		_, _ = c.Write(b[:n])
	}
}

func (f *traffic) dial(t *testing.T) (c net.Conn) {
	t.Helper()
	f.ns.Do(t, func() { c = testnet.Must1(net.Dial("tcp4", one.String())) })
	return c
}

func (f *traffic) ask(t *testing.T) {
	t.Helper()
	c := f.pool
	if c == nil {
		c = f.dial(t)
		defer c.Close()
	}
	b := make([]byte, 16)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(b); err != nil {
		t.Fatal(err)
	}
}

// The same program in three network namespaces: without a pool, without one and busier, with one. Their captures and
// their JSON say which change helped, which did nothing and which did harm.
func TestDiffOfRealTraffic(t *testing.T) {
	testnet.RequireTracing(t)
	dir := t.TempDir()
	unpooled, busier, pooled := newTraffic(t), newTraffic(t), newTraffic(t)
	var lines [][]string
	for name, f := range map[string]*traffic{"unpooled": unpooled, "busier": busier, "pooled": pooled} {
		lines = append(lines, []string{
			"report", "-o", "json", "--for", "7s", "--netns", of(f.ns), "-w", filepath.Join(dir, name+".tcps"),
		})
	}
	ps := traceAll(t, lines...)
	pooled.pool = pooled.dial(t)
	defer pooled.pool.Close()
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, f := range []*traffic{unpooled, busier, busier, pooled} {
			f.ask(t)
		}
	}
	for i, p := range ps {
		p.wait(t, exitDone)
		name := strings.TrimSuffix(lines[i][len(lines[i])-1], ".tcps")
		if err := os.WriteFile(name+".json", []byte(p.stdout.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		before, after string
		code          int
		result        string
	}{
		{"unpooled.tcps", "pooled.tcps", 0, "better"},
		{"unpooled.json", "pooled.json", 0, "better"},
		{"unpooled.tcps", "busier.tcps", 0, "same"},
		{"unpooled.json", "unpooled.tcps", 0, "same"},
		{"pooled.tcps", "busier.json", 1, "worse"},
	} {
		p := command("diff", "-o", "json", filepath.Join(dir, tt.before), filepath.Join(dir, tt.after)).start(t).wait(t, tt.code)
		if d := p.comparison(t); d["result"] != tt.result {
			t.Errorf("%s to %s: %v, want %s: %v", tt.before, tt.after, d["result"], tt.result, d)
		}
	}
}
