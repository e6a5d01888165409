package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// oneOfEach is an event of every kind, and the odd ones.
func oneOfEach() []event.Event {
	c := connecting(nil, "pgbench", 812, "127.0.0.2:5432")
	connect := c.event(event.Connect, 0)
	connect.OldState, connect.NewState, connect.ConnectTime = event.SynSent, event.Established, 40*time.Microsecond
	connect.AutoPort = true

	tw := c.event(event.TimeWait, 3100*time.Microsecond)
	tw.OldState, tw.NewState, tw.Substate, tw.ClosedBy = event.FinWait2, event.TimeWaitState, event.TimeWaitState, event.ClosedLocal
	tw.Lifetime, tw.ConnectTime, tw.Idle, tw.Counted = 3100*time.Microsecond, 40*time.Microsecond, 0, true
	tw.SentBytes, tw.ReceivedBytes, tw.SentSegments, tw.ReceivedSegments, tw.SentDataSegments, tw.ReceivedDataSegments = 402, 988, 5, 4, 2, 3

	failed := c.event(event.ConnectFailed, time.Second)
	failed.Local = netip.MustParseAddrPort("127.0.0.1:0")
	failed.OldState, failed.NewState, failed.ConnectTime = event.SynSent, event.Closed, 17*time.Microsecond
	failed.Error, failed.Basis, failed.Cause = event.EADDRNOTAVAIL, event.Inferred, event.PortsExhausted

	canceled := failed
	canceled.Error, canceled.Cause, canceled.Local = event.Canceled, 0, c.local

	six := connecting(nil, "HikariPool-1 co", 4194303, "[2001:db8:85a3:1234:5678:8a2e:370:7334]:65535").event(event.Close, 2*time.Second)
	six.OldState, six.NewState, six.ClosedBy, six.Preexisting = event.LastAck, event.Closed, event.ClosedRemote, true
	six.DirectionBasis = event.Inferred

	accept := c.event(event.Accept, 3*time.Second)
	accept.Direction, accept.Local, accept.Remote = event.Inbound, c.remote, c.local
	accept.OldState, accept.NewState, accept.ConnectTime = event.SynRecv, event.Established, 0

	overflow := tw
	overflow.Kind, overflow.Cause, overflow.NewState, overflow.Substate = event.Close, event.TimeWaitOverflow, event.Closed, 0

	lost := c.event(event.Lost, 4*time.Second)
	lost.Of, lost.Count, lost.Counted, lost.SentBytes, lost.ReceivedBytes = event.TimeWait, 123456, true, 5, 6

	open := tw
	open.Kind, open.Lifetime = event.Open, 26*time.Hour

	expired := c.event(event.TimeWaitEnd, 61*time.Second)
	expired.OldState, expired.NewState, expired.Cause, expired.Basis = event.TimeWaitState, event.Closed, event.Expired, event.Exact
	removed := expired
	removed.Cause, removed.Basis, removed.Preexisting, removed.Owner = 0, 0, true, event.Owner{PID: 9, Basis: event.OwnerHolder}

	bind := c.event(event.BindFailed, 62*time.Second)
	bind.Local, bind.Remote = netip.MustParseAddrPort("10.0.0.7:0"), netip.AddrPort{}
	bind.Error, bind.Basis, bind.Cause = event.EADDRINUSE, event.Exact, event.PortsExhausted
	foreign := bind
	foreign.Local, foreign.Error, foreign.Cause = netip.MustParseAddrPort("192.0.2.9:8080"), event.EADDRNOTAVAIL, event.NotLocal

	return []event.Event{
		connect, tw, failed, canceled, six, accept, overflow, lost, {Kind: event.Lost, Count: 7}, open, expired, removed, bind, foreign,
	}
}

func traceOf(t *testing.T, make func(io.Writer) *TraceWriter) []byte {
	t.Helper()
	var b bytes.Buffer
	w := make(&b)
	for _, e := range oneOfEach() {
		var s *service.Service
		if e.Owner.PID == 812 {
			s = known77(&e.Owner)
		}
		if err := w.Write(&e, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTraceForms(t *testing.T) {
	golden(t, "trace.json", traceOf(t, NewTraceJSON))
	for name, o := range map[string]Options{"trace.columns": {}, "trace.wide": {Wide: true}} {
		o.Location = time.UTC
		text := traceOf(t, func(w io.Writer) *TraceWriter { return NewTraceColumns(w, o) })
		golden(t, name, text)
		for line := range strings.Lines(string(text)) {
			if n := cells(strings.TrimSuffix(line, "\n")); n > 100 && !o.Wide {
				t.Errorf("a line is %d cells wide, want 100 at most:\n%s", n, line)
			}
		}
	}
}

func TestTraceJSONHasTheNamesOfTheContract(t *testing.T) {
	line, _, _ := bytes.Cut(traceOf(t, NewTraceJSON)[len(bytes.SplitAfter(traceOf(t, NewTraceJSON), []byte("\n"))[0]):], []byte("\n"))
	var got, want map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	contract := `{"time":"2023-11-14T22:13:20.126556Z","kind":"time_wait","direction":"outbound","netns":4026531840,
	  "src":{"addr":"10.0.0.7","port":40000},"dst":{"addr":"127.0.0.2","port":5432,"name":""},
	  "old_state":"FIN_WAIT2","new_state":"TIME_WAIT","error":null,"error_basis":null,
	  "closed_by":"local","lifetime_seconds":0.0031,"connect_seconds":0.00004,"sent_bytes":402,"received_bytes":988,
	  "sent_segments":5,"received_segments":4,"retransmits":0,"exchanges":2}`
	if err := json.Unmarshal([]byte(contract), &want); err != nil {
		t.Fatal(err)
	}
	for key, v := range want {
		if diff := cmp.Diff(v, got[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	for _, key := range []string{"name", "kind", "pid", "comm", "exe", "unit", "container_id", "pod"} {
		if _, ok := got["service"].(map[string]any)[key]; !ok {
			t.Errorf("service has no %q", key)
		}
	}
}

func TestTraceSecondsAreRoundedToMicroseconds(t *testing.T) {
	for _, c := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0.0"}, {499, "0.0"}, {500, "0.000001"}, {40 * time.Microsecond, "0.00004"}, {time.Second, "1.0"},
		{1500 * time.Millisecond, "1.5"}, {999_999_999, "1.0"}, {100 * time.Hour, "360000.0"}, {event.Unknown, "null"},
		{time.Duration(1<<63 - 1), "9223372036.854776"},
	} {
		if got := string(appendSeconds(nil, "", c.in, true)); got != c.want {
			t.Errorf("%d ns is written %s, want %s", c.in, got, c.want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for _, c := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0µs"}, {999_999, "999µs"}, {time.Millisecond, "1.0ms"}, {99_949 * time.Microsecond, "99.9ms"}, {99_951 * time.Microsecond, "100ms"},
		{999_499 * time.Microsecond, "999ms"}, {999_600 * time.Microsecond, "1.0s"}, {99_999 * time.Millisecond, "100s"}, {100 * time.Second, "1m40s"},
		{59*time.Minute + 59*time.Second, "59m59s"}, {23*time.Hour + 59*time.Minute, "23h59m"}, {26 * time.Hour, "1d02h"}, {event.Unknown, "-"},
		{2400 * time.Hour, "100d"}, {100_000 * 24 * time.Hour, "100000d"},
	} {
		if got := duration(c.in); got != c.want || cells(got) > 7 {
			t.Errorf("%d ns is written %q, want %q", c.in, got, c.want)
		}
	}
}

func TestStringsAreShortenedInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"short", 5, "short"}, {"HikariPool-1", 7, "Hik…l-1"}, {"ab", 1, "…"}, {"日本語の名前", 7, "日本…前"}, {"日本語の名前", 6, "日…前"}, {"", 4, ""},
	} {
		if got := shorten(c.in, c.width); got != c.want || cells(got) > c.width {
			t.Errorf("%q in %d cells is %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

func TestCountsTakeSixCharactersAtMost(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999_999: "999999", 1_000_000: "1.00M", 28_232_111: "28.2M", 999_900_000: "1.00G", 1<<64 - 1: "18.4E"} {
		if got := short(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrorsAreReturned(t *testing.T) {
	d := Build(busyHost())
	if err := WriteJSON(broken{}, d, false); !errors.Is(err, errBroken) {
		t.Errorf("json: %v", err)
	}
	if err := WriteColumns(broken{}, d, Options{}); !errors.Is(err, errBroken) {
		t.Errorf("columns: %v", err)
	}
	for _, w := range []*TraceWriter{NewTraceJSON(broken{}), NewTraceColumns(broken{}, Options{})} {
		e := oneOfEach()[0]
		err := w.Write(&e, nil)
		if err == nil {
			err = w.Flush()
		}
		if !errors.Is(err, errBroken) {
			t.Errorf("trace: %v", err)
		}
	}
}

func TestTraceJSONAllocatesNothing(t *testing.T) {
	w := NewTraceJSON(io.Discard)
	e := oneOfEach()[1]
	s := known77(&e.Owner)
	if n := testing.AllocsPerRun(100, func() { _ = w.Write(&e, s) }); n != 0 {
		t.Errorf("%v allocations a line, want 0", n)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		text := appendString(nil, s)
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%q is written %s: %v", s, text, err)
		}
		if want := event.Printable(s); back != want {
			t.Errorf("%q is read back as %q, want %q", s, back, want)
		}
	})
}

func BenchmarkTraceJSON(b *testing.B) {
	w := NewTraceJSON(io.Discard)
	e := oneOfEach()[1]
	s := known77(&e.Owner)
	b.ReportAllocs()
	for b.Loop() {
		e.UnixNano += 10_000
		if err := w.Write(&e, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTraceColumns(b *testing.B) {
	w := NewTraceColumns(io.Discard, Options{})
	e := oneOfEach()[1]
	s := known77(&e.Owner)
	b.ReportAllocs()
	for b.Loop() {
		e.UnixNano += 10_000
		if err := w.Write(&e, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	in := busyHost()
	for b.Loop() {
		Build(in)
	}
}
