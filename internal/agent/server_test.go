package agent

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a site with a tracing goroutine of its own, as the agent has it.
type served struct {
	*State
	url     string
	reports atomic.Int64 // that were made
	client  *http.Client
}

// serve serves a site over l until the test ends.
func serve(t *testing.T, l net.Listener) *served {
	t.Helper()
	s := &served{State: NewState(), client: &http.Client{Transport: &http.Transport{}}}
	ledger, events := busy(20)
	windows := NewWindows(100, time.Minute, churn.Window{Start: noon}, nil)
	for i := range events {
		windows.Observe(&events[i])
	}
	s.Publish(complete(ledger.Publish(time.Now().UnixNano(), true)))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			s.Beat(time.Now())
			s.Serve(func(charted int) *report.Document {
				s.reports.Add(1)
				return report.Build(report.Input{Table: windows.Table(noon + 60e9), Charted: charted})
			})
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	server := NewSite(s.State, NewGatherer(s.State), "1.2.3", log.New(io.Discard, "", 0)).Server()
	go func() { _ = server.Serve(Bound(l, 4)) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		_ = server.Close()
		close(stop)
		<-ended
	})
	s.url = "http://" + l.Addr().String()
	return s
}

func onLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *served) get(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer, string(body)
}

func TestPages(t *testing.T) {
	s := serve(t, onLoopback(t))
	for path, want := range map[string]struct {
		code       int
		kind, text string
	}{
		"/":                      {200, "text/plain; charset=utf-8", "/metrics"},
		"/metrics":               {200, "text/plain; version=0.0.4", "\ntcpstate_connects_total{destination=\"10.1.0.3:5432\",service=\"client\"} 20\n"},
		"/metrics?name[]=up":     {200, "", ""},
		"/healthz":               {200, "text/plain; charset=utf-8", "ok"},
		"/readyz":                {200, "application/json", `"ready":true`},
		"/report":                {200, "text/html; charset=utf-8", "<!DOCTYPE html>"},
		"/report?format=html":    {200, "text/html; charset=utf-8", "10.1.0.3:5432"},
		"/report?format=json":    {200, "application/json", `"schema":"tcpstate.report/v1"`},
		"/report?format=md":      {200, "text/markdown; charset=utf-8", "10.1.0.3:5432"},
		"/report?format=csv":     {200, "text/csv; charset=utf-8", "10.1.0.3"},
		"/report?format=columns": {200, "text/plain; charset=utf-8", "10.1.0.3:5432"},
		"/report?format=<x>":     {400, "text/plain; charset=utf-8", "one of html, json, md, csv and columns"},
		"/nothing":               {404, "text/plain; charset=utf-8", "see /"},
		"/metrics/":              {404, "text/plain; charset=utf-8", "see /"},
		"/../etc/passwd":         {404, "text/plain; charset=utf-8", "see /"},
	} {
		answer, body := s.get(t, "GET", path)
		kind := answer.Header.Get("Content-Type")
		if answer.StatusCode != want.code || !strings.HasPrefix(kind, want.kind) || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %s %.300q, want %+v", path, answer.StatusCode, kind, body, want)
		}
		for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Cache-Control", "Referrer-Policy"} {
			if answer.Header.Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
		head, body := s.get(t, "HEAD", path)
		if head.StatusCode != want.code || body != "" {
			t.Errorf("HEAD %s: %d %q", path, head.StatusCode, body)
		}
	}
}

// Nothing can be changed: no other method is taken, on no path.
func TestOnlyReading(t *testing.T) {
	s := serve(t, onLoopback(t))
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
		for _, path := range []string{"/", "/metrics", "/report", "/healthz", "/readyz", "/-/reload", "/-/quit"} {
			answer, _ := s.get(t, method, path)
			if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow: %q", method, path, answer.StatusCode, answer.Header.Get("Allow"))
			}
		}
	}
	if s.reports.Load() != 0 {
		t.Error("a report was made for who may not ask")
	}
}

// A page from elsewhere whose name comes to mean 127.0.0.1 is not answered.
func TestOnlyNamesOfThisHostAreAnsweredOnLoopback(t *testing.T) {
	s := serve(t, onLoopback(t))
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"127.0.0.1:9847": 200, "localhost:9847": 200, "LOCALHOST": 200, "[::1]:9847": 200, "[::1]": 200, "10.0.0.7": 200, here: 200,
		"grafana": 200, "agent.localhost": 200, "localhost.": 200,
		"evil.example": 421, "evil.example:9847": 421, "EVIL.example.": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421,
	} {
		for _, path := range []string{"/report?format=json", "/metrics", "/healthz"} {
			r, err := http.NewRequest("GET", s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if _ = answer.Body.Close(); err != nil || answer.StatusCode != want || want != 200 && strings.Contains(string(body), "client") {
				t.Errorf("%s of %s: %d, want %d: %.100q %v", path, host, answer.StatusCode, want, body, err)
			}
		}
	}
}

func TestOptionsOfTheServerAreRefused(t *testing.T) {
	s := serve(t, onLoopback(t))
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 405 ") {
		t.Errorf("%.100q %v", answer, err)
	}
}

func TestAnswersAreCompressedForThoseWhoReadThat(t *testing.T) {
	s := serve(t, onLoopback(t))
	for coding, compressed := range map[string]bool{"gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "br": false, "": false} {
		r, _ := http.NewRequest("GET", s.url+"/metrics", nil)
		r.Header.Set("Accept-Encoding", coding)
		answer, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = answer.Body
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("Accept-Encoding %q: compressed is %v", coding, got)
		} else if got {
			if body, err = gzip.NewReader(answer.Body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil || !bytes.Contains(text, []byte("tcpstate_time_wait{")) {
			t.Errorf("Accept-Encoding %q: %v, %.100q", coding, err, text)
		}
		answer.Body.Close()
	}
}

// A report is made for the first who asks; those who come within two seconds get the same.
func TestReportsAreShared(t *testing.T) {
	s := serve(t, onLoopback(t))
	_, first := s.get(t, "GET", "/report?format=columns")
	for range 20 {
		if _, again := s.get(t, "GET", "/report?format=columns"); again != first {
			t.Fatal("another report within two seconds")
		}
	}
	if n := s.reports.Load(); n != 1 {
		t.Errorf("%d reports were made", n)
	}
}

// The tracing goroutine hangs: whoever asks is told, and nobody waits for long.
func TestWhenTheTracingGoroutineHangs(t *testing.T) {
	state := NewState()
	site := NewSite(state, NewGatherer(state), "1.2.3", log.New(io.Discard, "", 0))
	l := onLoopback(t)
	server := site.Server()
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	s := &served{State: state, url: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(s.client.CloseIdleConnections)

	answer, body := s.get(t, "GET", "/readyz")
	if answer.StatusCode != 503 || !strings.Contains(body, "not attached yet") {
		t.Errorf("before the first snapshot: %d %s", answer.StatusCode, body)
	}
	ledger, _ := busy(1)
	old := complete(ledger.Publish(time.Now().Add(-6*time.Second).UnixNano(), true))
	state.Publish(old)
	state.Beat(time.Now().Add(-11 * time.Second))
	answer, body = s.get(t, "GET", "/readyz")
	if answer.StatusCode != 503 || !strings.Contains(body, "too old") {
		t.Errorf("an old snapshot: %d %s", answer.StatusCode, body)
	}
	answer, body = s.get(t, "GET", "/healthz")
	if answer.StatusCode != 503 || !strings.Contains(body, "silent for 11s") {
		t.Errorf("no heartbeat: %d %s", answer.StatusCode, body)
	}
	if answer, _ = s.get(t, "GET", "/metrics"); answer.StatusCode != 200 {
		t.Errorf("metrics: %d", answer.StatusCode)
	}
	began := time.Now()
	answer, _ = s.get(t, "GET", "/report")
	if took := time.Since(began); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || took > reportWithin+2*time.Second {
		t.Errorf("a report: %d after %s", answer.StatusCode, took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := state.Report(ctx, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("a report for who has gone: %v", err)
	}
}

// Clients that connect and say nothing, or ask and never read, keep nobody out: the newest is served.
func TestClientsThatNeverReadKeepNobodyOut(t *testing.T) {
	s := serve(t, onLoopback(t)) // 4 at once
	for i := range 40 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			for range 100 { // pipelined: more than the buffers hold
				_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
			}
		}
	}
	for range 10 {
		began := time.Now()
		answer, _ := s.get(t, "GET", "/metrics")
		if took := time.Since(began); answer.StatusCode != 200 || took > 2*time.Second {
			t.Errorf("%d after %s", answer.StatusCode, took)
		}
		s.client.CloseIdleConnections()
	}
}

func TestAHeaderThatIsTooLongIsRefused(t *testing.T) {
	s := serve(t, onLoopback(t))
	r, _ := http.NewRequest("GET", s.url+"/metrics", nil)
	r.Header.Set("X-Long", strings.Repeat("x", 4*maxHeader))
	answer, err := s.client.Do(r)
	if err != nil {
		return // refused before all of it was sent
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", answer.StatusCode)
	}
}

func TestAddressesThatAreWrong(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9847": "", "[::1]:9847": "", ":9847": "", "localhost:0": "", "unix:/run/x.sock": "",
		"9847":                              "is no address",
		"127.0.0.1":                         "is no address",
		"127.0.0.1:":                        "is no port",
		"127.0.0.1:http":                    "is no port",
		"127.0.0.1:-1":                      "is no port",
		"127.0.0.1:65536":                   "is no port",
		"256.0.0.1:80":                      "is no IP address",
		"example.com:80":                    "is no IP address",
		"unix:x.sock":                       "needs its whole path",
		"unix:/" + strings.Repeat("x", 110): "107 bytes at most",
		"":                                  "is no address",
	} {
		err := CheckAddress(address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	l := onLoopback(t)
	defer l.Close()
	_, err := Listen(l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "it is in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

func TestWhoCanReachAnAddress(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, "0.0.0.0:0": true, ":0": true} {
		l, err := Listen(address)
		if err != nil {
			if strings.Contains(address, "::1") {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		if got := Exposed(l.Addr()); got != want {
			t.Errorf("%s: exposed is %v", address, got)
		}
		_ = l.Close()
	}
}

func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	address := "unix:" + path
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	s := serve(t, l)
	s.url = "http://agent"
	s.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	if answer, body := s.get(t, "GET", "/healthz"); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if Exposed(l.Addr()) {
		t.Error("a Unix socket is not exposed")
	}
	if _, err := Listen(address); err == nil || !strings.Contains(err.Error(), "it is in use") {
		t.Errorf("a second agent: %v", err)
	}
	s.client.CloseIdleConnections()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// An agent that was killed leaves its socket. What is no socket is not touched.
func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("it took the place of a file")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file: %q, %v", text, err)
	}
}

func TestReadinessIsJSON(t *testing.T) {
	s := serve(t, onLoopback(t))
	_, body := s.get(t, "GET", "/readyz")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ready", "why", "time_wait_tier", "snapshot_age_seconds", "totals_exact", "events", "recording"} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s in %s", name, body)
		}
	}
	if got["events"] != float64(20*41) {
		t.Errorf("events: %v", got["events"])
	}
}

// Many scrapes and reports leave no goroutine and no descriptor behind.
func TestNothingIsLeftBehind(t *testing.T) {
	s := serve(t, onLoopback(t))
	round := func() {
		for _, path := range []string{"/metrics", "/report?format=json", "/report", "/healthz", "/nothing"} {
			s.get(t, "GET", path)
		}
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			fmt.Fprint(c, "GET /report HTTP/1.1\r\n\r\n")
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
		}
		s.client.CloseIdleConnections()
	}
	round()
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for range 100 {
		round()
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		g, f := runtime.NumGoroutine(), descriptors(t)
		if g <= goroutines && f <= files {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines and %d descriptors, before %d and %d", g, f, goroutines, files)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The windows overlap: a report looks back half a window at least, and two at most, and no event that is in it is missing.
func TestReportsLookBackHalfAWindowAtLeast(t *testing.T) {
	const length = 10 * time.Second
	w := NewWindows(100, length, churn.Window{Start: noon}, nil)
	both := 0
	for second := range int64(100) {
		at := time.Duration(second) * time.Second
		c := out(event.Connect, remote(1), at)
		w.Observe(&c)
		now := noon + int64(at) + 1
		w.Turn(now)
		if w.newer != nil {
			both++
		}
		table := w.Table(now)
		covered := time.Duration(now - table.Window().Start)
		if at >= length && covered < length/2 || covered > 2*length+time.Second {
			t.Fatalf("after %s it looks back %s", at, covered)
		}
		d := report.Build(report.Input{Table: table})
		if got, want := d.Destinations[0].Opened, uint64(covered/time.Second)+1; got != want && got != want-1 {
			t.Errorf("after %s: %d connects in %s", at, got, covered)
		}
		if got := d.Destinations[0].Open.Now; got != uint64(second)+1 {
			t.Errorf("after %s: %d are open, want all of them: %d", at, got, second+1)
		}
	}
	if both > 40 {
		t.Errorf("two tables are kept for %d of 100 s", both)
	}
}
