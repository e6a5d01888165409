package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
)

// sampleCapture is one of real traffic, which analysis/sample made.
var sampleCapture = func() string {
	path, err := filepath.Abs("../../analysis/testdata/shop.tcps")
	if err != nil {
		panic(err)
	}
	return path
}()

// ran is what a run of tcpstate printed.
type ran struct {
	stdout, stderr string
	code           int
}

func runInside(args ...string) ran {
	var stdout, stderr bytes.Buffer
	code := run(args, &stdout, &stderr)
	return ran{stdout.String(), stderr.String(), code}
}

// exported is what export prints, and it must have nothing to say about it.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	r := runInside(append([]string{"export"}, args...)...)
	if r.code != exitDone || r.stderr != "" {
		t.Fatalf("export %q: exit code %d, %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// stored writes a capture of events, with whatever else a test needs, and returns its name.
func stored(t *testing.T, h capture.Header, events []event.Event, facts func(*capture.Writer)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tcps")
	file, err := capture.Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := capture.NewWriter(file, h, capture.Options{Queue: 1 << 17})
	if err != nil {
		t.Fatal(err)
	}
	if facts != nil {
		facts(w)
	}
	for i := range events {
		w.Event(&events[i])
	}
	if err := errors.Join(w.Close(capture.End{}), file.Close()); err != nil {
		t.Fatal(err)
	}
	if s := w.Stats(); s.Events != uint64(len(events)) {
		t.Fatalf("%d of %d events stored", s.Events, len(events))
	}
	return path
}

// eventsOf is everything in a capture that is an event.
func eventsOf(t *testing.T, path string) (all []event.Event) {
	t.Helper()
	c, err := capture.Open(path, capture.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		item, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if item.Kind == capture.KindEvent {
			all = append(all, *item.Event)
		}
	}
}

const someTime = 1_795_325_000_000_000_000 // 2026-11-22T05:23:20Z

// simple is the n-th of many connects.
func simple(n int) event.Event {
	e := event.Event{
		UnixNano: someTime + int64(n)*int64(time.Millisecond), Kind: event.Connect, Direction: event.Outbound, DirectionBasis: event.Exact,
		Netns: 4026531840, Owner: event.Owner{PID: 7, CgroupID: 8, Basis: event.OwnerConnect},
		Local:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), uint16(20000+n%40000)),
		Remote:   netip.MustParseAddrPort("10.2.3.4:5432"),
		OldState: event.SynSent, NewState: event.Established, AutoPort: true,
		Lifetime: event.Unknown, ConnectTime: 40 * time.Microsecond, Idle: event.Unknown, Remaining: event.Unknown,
	}
	copy(e.Owner.Comm[:], "java")
	return e
}

func simples(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = simple(i)
	}
	return all
}

// hostile are events of processes whose names are made to break a table.
func hostile() (all []event.Event) {
	for i, name := range []string{
		`=1+2`, `+x`, `-x`, `@x`, `a,b`, `"`, `\`, `a\"b`, " x", "a\nb", "\x1b[31m", "\xff\xfe", `{"a":`, `},`, "é", "",
	} {
		e := simple(i)
		e.Owner.Comm = event.Comm{}
		copy(e.Owner.Comm[:], name)
		all = append(all, e)
	}
	lost := event.Event{
		UnixNano: someTime, Kind: event.Lost, Of: event.Connect, Count: 77,
		Lifetime: event.Unknown, ConnectTime: event.Unknown, Idle: event.Unknown, Remaining: event.Unknown,
	}
	return append(all, lost)
}

func TestExportGivesTheLinesOfTrace(t *testing.T) {
	for _, filter := range [][]string{nil, {"--comm", "orders", "--failure-only"}} {
		lines := exported(t, append([]string{sampleCapture}, filter...)...)
		shown := runInside(append([]string{"trace", "-r", sampleCapture, "-o", "json"}, filter...)...)
		if lines != shown.stdout || lines == "" {
			t.Errorf("%q: export and trace differ: %d and %d bytes", filter, len(lines), len(shown.stdout))
		}
	}
}

func TestStatesAreThereWhenAskedFor(t *testing.T) {
	kinds := func(lines string) map[string]int {
		n := map[string]int{}
		for line := range strings.Lines(lines) {
			var l struct{ Kind string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			n[l.Kind]++
		}
		return n
	}
	all := map[string]int{}
	for _, e := range eventsOf(t, sampleCapture) {
		all[e.Kind.String()]++
	}
	same(t, "with --states", kinds(exported(t, sampleCapture, "--states")), all)
	if all["open"] == 0 {
		t.Fatal("the sample has no states")
	}
	delete(all, "open")
	same(t, "without", kinds(exported(t, sampleCapture)), all)
}

// flat is a line of JSON by the names that columns have, as CSV says it.
func flat(t *testing.T, line string) map[string]string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	all := map[string]string{}
	var walk func(prefix string, v map[string]any)
	walk = func(prefix string, v map[string]any) {
		for name, value := range v {
			switch value := value.(type) {
			case map[string]any:
				walk(prefix+name+".", value)
			case nil:
				all[prefix+name] = ""
			default:
				all[prefix+name] = fmt.Sprint(value)
			}
		}
	}
	walk("", v)
	return all
}

func TestCSVSaysWhatJSONSays(t *testing.T) {
	named := map[string]bool{}
	for _, file := range []string{sampleCapture, stored(t, capture.Header{}, hostile(), nil)} {
		lines := strings.Split(strings.TrimSuffix(exported(t, file, "--states"), "\n"), "\n")
		table, err := csv.NewReader(strings.NewReader(exported(t, file, "--states", "-o", "csv"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(table) != len(lines)+1 || !slices.Equal(table[0], csvColumns) {
			t.Fatalf("%d lines for %d events, titles %q", len(table), len(lines), table[0])
		}
		for i, line := range lines {
			want, got := flat(t, line), map[string]string{}
			for column, name := range table[0] {
				if _, ok := want[name]; ok {
					got[name] = table[i+1][column]
					named[name] = true
				} else if table[i+1][column] != "" {
					t.Fatalf("%s is %q, which is not in %s", name, table[i+1][column], line)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s: %s", line, d)
			}
		}
	}
	for _, name := range csvColumns {
		if !named[name] {
			t.Errorf("no line of JSON has %s", name)
		}
	}
}

// A text that a spreadsheet would take for a formula comes quoted, null comes empty, and "" comes as two quotes.
func TestCSVQuotes(t *testing.T) {
	table := exported(t, stored(t, capture.Header{}, hostile(), nil), "-o", "csv")
	for _, want := range []string{`,"=1+2",`, `,"+x",`, `,"-x",`, `,"@x",`, `,"a,b",`, `,"""",`, `,"\",`, `,"a\""b",`, `," x",`, `,"{""a"":",`, `,"",`} {
		if !strings.Contains(table, want) {
			t.Errorf("no %s in it", want)
		}
	}
	if n := strings.Count(table, "\n"); n != len(hostile())+1 {
		t.Errorf("%d lines", n)
	}
	if why := acting(strings.ReplaceAll(table, "\n", "")); why != "" {
		t.Error(why)
	}
}

// The lines come in pieces of any size.
func TestCSVOfPieces(t *testing.T) {
	lines := exported(t, stored(t, capture.Header{}, hostile(), nil))
	var want string
	for _, size := range []int{len(lines), 1, 7, 100} {
		var out bytes.Buffer
		c := newCSVWriter(&out)
		for piece := range slices.Chunk([]byte(lines), size) {
			if _, err := c.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = out.String()
		}
		if out.String() != want {
			t.Errorf("in pieces of %d bytes it is another table", size)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(`{"time":"x","src":{"addr":"a\"","port":1}}` + "\n"))
	f.Add([]byte("{\n"))
	f.Fuzz(func(_ *testing.T, line []byte) {
		c := newCSVWriter(io.Discard)
		_, _ = c.Write(line) // an error, but no panic
		_ = c.Close()
	})
}

func TestZstd(t *testing.T) {
	want := map[string]string{"json": exported(t, sampleCapture), "csv": exported(t, sampleCapture, "-o", "csv")}
	dir := t.TempDir()
	for _, form := range []string{"json", "csv"} {
		path := filepath.Join(dir, "x."+form+".zst")
		exported(t, sampleCapture, "-w", path)
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, packed := range [][]byte{packed, []byte(exported(t, sampleCapture, "-o", form, "--zstd"))} {
			z, err := zstd.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(z)
			z.Close()
			if err != nil || string(got) != want[form] {
				t.Errorf("%s, %d: %d bytes, want %d: %v", form, i, len(got), len(want[form]), err)
			}
			if len(packed) > len(want[form])/5 {
				t.Errorf("%s, %d: %d bytes became %d", form, i, len(want[form]), len(packed))
			}
		}
	}
}

// sameReport is the report of a capture, without where it is from.
func sameReport(t *testing.T, file string, args ...string) string {
	t.Helper()
	r := runInside(append([]string{"report", "-r", file, "-o", "jsonpretty"}, args...)...)
	if r.code != exitDone {
		t.Fatalf("report: exit code %d: %s", r.code, r.stderr)
	}
	return strings.ReplaceAll(r.stdout, fmt.Sprintf("%q", file), `"…"`)
}

func TestAnExportedCaptureGivesTheSameReport(t *testing.T) {
	for _, filter := range [][]string{nil, {"--comm", "orders"}, {"--failure-only"}} {
		copied := filepath.Join(t.TempDir(), "copy.tcps")
		exported(t, append([]string{sampleCapture, "-w", copied}, filter...)...)
		if d := cmp.Diff(sameReport(t, sampleCapture, filter...), sameReport(t, copied)); d != "" {
			t.Errorf("%q: %s", filter, d)
		}
		if st, err := os.Stat(copied); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
		if r := runInside("info", "--verify", copied); r.code != exitDone {
			t.Errorf("%q: the copy is damaged: %s", filter, r.stdout)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy.tcps")
	exported(t, sampleCapture, "-w", copied)
	if d := cmp.Diff(eventsOf(t, sampleCapture), eventsOf(t, copied), cmp.Comparer(func(a, b event.Event) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestExportOfAPeriod(t *testing.T) {
	all := eventsOf(t, sampleCapture)
	middle := time.Unix(0, all[len(all)/2].UnixNano).UTC()
	first := exported(t, sampleCapture, "--states", "--until", middle.Format(time.RFC3339Nano))
	last := exported(t, sampleCapture, "--states", "--since", middle.Format(time.RFC3339Nano))
	if n := strings.Count(first, "\n"); n == 0 || n+strings.Count(last, "\n") != len(all) {
		t.Errorf("%d and %d events of %d", n, strings.Count(last, "\n"), len(all))
	}
	part := filepath.Join(t.TempDir(), "part.tcps")
	exported(t, sampleCapture, "-w", part, "--since", "-20s")
	want, end := 0, int64(0)
	for _, e := range all {
		end = max(end, e.UnixNano)
	}
	for _, e := range all {
		if e.UnixNano >= end-20e9 {
			want++
		}
	}
	if got := len(eventsOf(t, part)); got != want {
		t.Errorf("the last 20 s: %d events, want %d", got, want)
	}
	var doc struct{ Window struct{ Seconds float64 } }
	if err := json.Unmarshal([]byte(sameReport(t, part)), &doc); err != nil || doc.Window.Seconds > 20.5 || doc.Window.Seconds < 19.5 {
		t.Errorf("the report is of %v s, %v", doc.Window.Seconds, err)
	}
}

// flipped is a copy of the sample with a byte changed, in the middle of a block of events.
func flipped(t *testing.T) (path string, missing uint64) {
	t.Helper()
	content, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0x40
	path = filepath.Join(t.TempDir(), "flipped.tcps")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := capture.Verify(bytes.NewReader(content))
	if err != nil || s.EventsMissing == 0 {
		t.Fatalf("the byte did not matter: %v %+v", err, s)
	}
	return path, s.EventsMissing
}

// What is damaged is told, in every form, and all else is there.
func TestExportOfADamagedCapture(t *testing.T) {
	path, missing := flipped(t)
	r := runInside("export", path, "--states")
	if why := strange(r.stderr); why != "" || !strings.Contains(r.stderr, "damaged: its checksum differs") || r.code != exitDone {
		t.Errorf("exit code %d, standard error %q: %s", r.code, r.stderr, why)
	}
	all := len(eventsOf(t, sampleCapture))
	if n := strings.Count(r.stdout, "\n"); n != all-int(missing)+1 {
		t.Errorf("%d lines of %d, %d missing", n, all, missing)
	}
	if want := fmt.Sprintf(`"kind":"lost","count":%d,"of":null`, missing); strings.Count(r.stdout, want) != 1 {
		t.Errorf("no %s", want)
	}
	copied := filepath.Join(t.TempDir(), "copy.tcps")
	if r := runInside("export", path, "-w", copied); r.code != exitDone || strange(r.stderr) != "" {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	s, err := os.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if sum, err := capture.Verify(s); err != nil || sum.Lost != missing || len(sum.Damages) > 0 {
		t.Errorf("the copy: %v %+v", err, sum)
	}
}

func TestExportOfWhatWasCutOff(t *testing.T) {
	content, err := os.ReadFile(sampleCapture)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.tcps")
	if err := os.WriteFile(path, content[:len(content)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"json", "csv", "tcps"} {
		r := runInside("export", path, "-o", form)
		if r.code != exitDone || !strings.Contains(r.stderr, "the end is missing") || strange(r.stderr) != "" || len(r.stdout) < 10_000 {
			t.Errorf("%s: exit code %d, %d bytes, %s", form, r.code, len(r.stdout), r.stderr)
		}
	}
}

// A closed pipe ends the export at once, and quietly.
func TestAClosedPipeEndsAnExportQuietly(t *testing.T) {
	big := stored(t, capture.Header{}, simples(100_000), nil)
	for _, args := range [][]string{{}, {"-o", "csv"}, {"--zstd"}, {"-o", "tcps"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		done := make(chan int)
		go func() {
			code := run(append([]string{"export", big}, args...), w, &stderr)
			_ = w.Close()
			done <- code
		}()
		if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if code := <-done; code != exitDone || stderr.Len() > 0 {
			t.Errorf("%q: exit code %d: %s", args, code, &stderr)
		}
	}
}

func TestAFullDiskFailsAnExport(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "csv"}, {"--zstd"}} {
		r := runInside(append([]string{"export", sampleCapture, "-w", "/dev/full"}, args...)...)
		if r.code != exitFailed || strange(r.stderr) != "" || !strings.Contains(r.stderr, "no space left") {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
	}
}

// slow is a disk.
type slow struct{ bytes.Buffer }

func (s *slow) Write(b []byte) (int, error) {
	if s.Len()%64 == 0 {
		time.Sleep(time.Millisecond)
	}
	return s.Buffer.Write(b)
}

// A recorder drops what the disk is too slow for. An export waits, even when every event is a block of its own.
func TestAnExportWaitsForASlowDisk(t *testing.T) {
	events := simples(2 * exportQueue)
	for i := range events {
		events[i].UnixNano = someTime + int64(i)*int64(time.Second)
	}
	file := stored(t, capture.Header{}, events, nil)
	var out slow
	var stderr bytes.Buffer
	if code := run([]string{"export", file, "-o", "tcps"}, &out, &stderr); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	s, err := capture.Verify(bytes.NewReader(out.Bytes()))
	if err != nil || s.Events != uint64(len(events)) || len(s.Damages) > 0 {
		t.Errorf("%v %+v", err, s)
	}
}

// What an export takes of memory does not depend on how much it reads.
func TestExportTakesConstantMemory(t *testing.T) {
	small, large := stored(t, capture.Header{}, simples(20_000), nil), stored(t, capture.Header{}, simples(220_000), nil)
	for _, args := range [][]string{{}, {"-o", "csv"}, {"--zstd"}, {"--anonymize"}, {"-o", "tcps"}} {
		bytesOf := func(file string) (allocated uint64) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if code := run(append([]string{"export", file}, args...), io.Discard, io.Discard); code != exitDone {
				t.Fatalf("exit code %d", code)
			}
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		a, b := bytesOf(small), bytesOf(large)
		// A replacement is kept for 65,536 addresses at most; the small capture has 20,000 of them. Blocks of a capture that
		// wait are made as they are needed.
		if each := (float64(b) - float64(a)) / 200_000; each > 100 {
			t.Errorf("%q: %.0f bytes for each event", args, each)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	const n = 200_000
	path := filepath.Join(b.TempDir(), "x.tcps")
	file, err := capture.Create(path, false)
	if err != nil {
		b.Fatal(err)
	}
	w, err := capture.NewWriter(file, capture.Header{}, capture.Options{Queue: 1 << 10})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		e := simple(i)
		w.Event(&e)
	}
	if err := errors.Join(w.Close(capture.End{}), file.Close()); err != nil {
		b.Fatal(err)
	}
	for _, form := range []string{"-o=json", "-o=csv", "--zstd", "-o=tcps", "--anonymize"} {
		b.Run(form, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if code := run([]string{"export", path, form}, io.Discard, os.Stderr); code != exitDone {
					b.Fatal(code)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}
