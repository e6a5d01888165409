package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/report"
)

// keyFile is a file with that key.
func keyFile(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// private is a capture with addresses and names everywhere they can be, and what they are.
func private(t *testing.T) (path string, addrs []netip.Addr, names []string) {
	t.Helper()
	for _, a := range []string{"10.20.30.40", "192.0.2.77", "2001:db8:5::1234", "203.0.113.9"} {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	names = []string{
		"secrethost", "11111111-2222-3333-4444-555555555555", "secretprogram", "/opt/secretfile", "secretunit", "feedfacefeedface",
		"secretpod", "/secretgroup", "secretclient",
	}
	in := func(format string) string { return fmt.Sprintf(format, addrs[0], addrs[2]) }
	facts := report.Facts{
		Host: names[0], Kernel: "6.1.0", Source: in("live at %s and %s"), Hooks: []string{in("hook %s %s")}, Filter: in("--dst %s --dst %s"),
		HooksAbsent: []string{in("absent %s, %s")}, TimeWaitTier: in("%s %s"),
		Namespaces: []report.NamespaceInput{{Netns: 5, Why: in("%s:22 and [%s]:22")}},
		Damage:     report.Damage{Places: []string{in("at %s %s")}},
	}
	text, err := json.Marshal(opening{Facts: facts})
	if err != nil {
		t.Fatal(err)
	}
	h := capture.Header{
		Host: names[0], Kernel: "6.1.0", Version: in("v %s %s"), Hooks: facts.Hooks, BootID: names[1], Monotonic: 777_777_777, UnixNano: someTime,
		Filter: facts.Filter, WindowStart: someTime, Facts: text,
	}
	var events []event.Event
	for i, a := range addrs {
		e := simple(i)
		e.Local, e.Remote = netip.AddrPortFrom(a, 4000), netip.AddrPortFrom(addrs[(i+2)%4], 443)
		e.Owner.Comm = event.Comm{}
		copy(e.Owner.Comm[:], names[2])
		events = append(events, e)
	}
	other := simple(7)
	other.Local, other.Remote = events[0].Local, events[0].Remote
	copy(other.Owner.Comm[:], "10.20.30.40\x00\x00")
	path = stored(t, h, append(events, other), func(w *capture.Writer) {
		for _, id := range []event.Identity{events[0].Owner.Identity(), other.Owner.Identity()} {
			if err := w.Service(&capture.Service{
				Identity: id, Name: names[2], Kind: "unit", PID: 7, PIDs: []uint32{7}, Processes: 1, Comm: names[2],
				Exe: in(names[3] + "-%s-%s"), Unit: in(names[4] + "@1-%s:22-%s:7.service"), ContainerID: names[5], Pod: names[6],
				Cgroup: in(names[7] + "/%s/%s"), Runtime: "java", Library: "hikari",
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
	return path, addrs, names[:8]
}

// bare is everything in a file, decompressed where it is compressed.
func bare(t *testing.T, content []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, content...)
}

// keeps says what of the originals is in content: as text, or as bytes.
func keeps(content []byte, addrs []netip.Addr, names []string) (found []string) {
	for _, a := range addrs {
		for _, form := range []string{a.String(), strings.ReplaceAll(a.String(), ".", "-"), a.StringExpanded(), string(a.AsSlice())} {
			if bytes.Contains(content, []byte(form)) {
				found = append(found, a.String())
			}
		}
	}
	for _, n := range names {
		if bytes.Contains(content, []byte(n)) {
			found = append(found, n)
		}
	}
	return found
}

func TestNothingOriginalIsLeft(t *testing.T) {
	path, addrs, names := private(t)
	key := keyFile(t, "a key of this test, not of yours\n")
	sampled := map[netip.Addr]bool{}
	for _, e := range eventsOf(t, sampleCapture) {
		sampled[e.Local.Addr()], sampled[e.Remote.Addr()] = true, true
	}
	if len(sampled) < 5 {
		t.Fatalf("%d addresses in the sample", len(sampled))
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(keeps(bare(t, plain), addrs, names)); n < len(addrs)+len(names) {
		t.Fatalf("only %d of them are in the original", n)
	}
	for _, form := range []string{"json", "csv", "tcps"} {
		for _, file := range []struct {
			path  string
			addrs []netip.Addr
			names []string
		}{{path, addrs, names}, {sampleCapture, slices.Collect(maps.Keys(sampled)), []string{"shop1", "orders", "billing", "python3"}}} {
			out := filepath.Join(t.TempDir(), "out")
			exported(t, file.path, "--states", "-o", form, "--anonymize", "--anonymize-names", "--anonymize-key", key, "-w", out)
			content, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if form == "tcps" {
				content = bare(t, content)
			}
			if found := keeps(content, file.addrs, file.names); len(found) > 0 {
				t.Errorf("%s keeps %q", form, found)
			}
			exported(t, file.path, "--states", "-o", form, "--anonymize", "--anonymize-key", key, "-w", out, "--force")
			if content, err = os.ReadFile(out); err != nil {
				t.Fatal(err)
			}
			if form == "tcps" {
				content = bare(t, content)
			}
			if found := keeps(content, file.addrs, file.names[:1]); len(found) > 0 {
				t.Errorf("%s, with names, keeps %q", form, found)
			}
			if name := file.names[2]; !bytes.Contains(content, []byte(name)) {
				t.Errorf("%s does not keep the name %s", form, name)
			}
		}
	}
}

// The report of an anonymized capture is that of the original, but for what was replaced.
func TestTheReportOfAnAnonymizedCaptureIsTheSame(t *testing.T) {
	out := filepath.Join(t.TempDir(), "anonymized.tcps")
	exported(t, sampleCapture, "--anonymize", "--anonymize-names", "-w", out)
	figures := func(file string) (rows []string) {
		var d struct {
			Destinations []map[string]any
			Ports        []map[string]any
			Findings     []struct{ Code string }
		}
		if err := json.Unmarshal([]byte(sameReport(t, file)), &d); err != nil {
			t.Fatal(err)
		}
		for _, row := range append(d.Destinations, d.Ports...) {
			for _, name := range []string{"service", "local", "src", "dst", "services"} {
				delete(row, name)
			}
			if v, ok := row["verdict"].(map[string]any); ok {
				delete(v, "advice")
			}
			text, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, string(text))
		}
		slices.Sort(rows)
		return append(rows, fmt.Sprint(d.Findings))
	}
	if d := cmp.Diff(figures(sampleCapture), figures(out)); d != "" {
		t.Error(d)
	}
}

// One address becomes one address wherever it is, one name one name; the family, loopback and ports stay.
func TestReplacementsAgreeEverywhere(t *testing.T) {
	path, _, _ := private(t)
	key := keyFile(t, "a key of this test, not of yours")
	all := func(extra ...string) string {
		return exported(t, append([]string{path, "--anonymize", "--anonymize-key", key}, extra...)...)
	}
	var first struct {
		Src, Dst struct {
			Addr string
			Port int
		}
		Service struct{ Name, Comm, Exe, Unit, Cgroup, Kind string }
	}
	lines := strings.Split(all(), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	src, dst := first.Src.Addr, first.Dst.Addr // 10.20.30.40 and 2001:db8:5::1234
	if a, err := netip.ParseAddr(src); err != nil || !a.Is4() || first.Src.Port != 4000 || first.Dst.Port != 443 {
		t.Errorf("%s, %v", lines[0], err)
	}
	if a, err := netip.ParseAddr(dst); err != nil || !netip.MustParsePrefix("fd00::/8").Contains(a) {
		t.Errorf("%s: %v", dst, err)
	}
	s := first.Service
	for text, want := range map[string]string{
		s.Exe: "/opt/secretfile-" + src + "-" + dst, s.Unit: "secretunit@1-" + src + ":22-" + dst + ".service",
		s.Cgroup: "/secretgroup/" + src + "/" + dst, s.Comm: "secretprogram",
	} {
		if text != want && !strings.HasPrefix(text, "secretunit@1-"+src+":22-") {
			t.Errorf("%q, want %q", text, want)
		}
	}
	if strings.Count(all(), `"addr":"`+src+`"`) != 3 {
		t.Errorf("%s is not everywhere that 10.20.30.40 was", src)
	}
	if again := all(); again != strings.Join(lines, "\n") {
		t.Error("the same key gives something else")
	}
	t.Setenv(keyVariable, "a key of this test, not of yours")
	if again := exported(t, path, "--anonymize"); again != strings.Join(lines, "\n") {
		t.Error("the same key from the environment gives something else")
	}
	t.Setenv(keyVariable, "another key of this test, longer")
	if again := exported(t, path, "--anonymize"); strings.Contains(again, src) {
		t.Error("another key gives the same")
	}
	t.Setenv(keyVariable, "")
	if a, b := exported(t, path, "--anonymize"), exported(t, path, "--anonymize"); a == b {
		t.Error("without a key it is always the same")
	}
}

// A filter speaks of what was recorded, not of what replaces it.
func TestAFilterIsAboutTheOriginals(t *testing.T) {
	path, _, _ := private(t)
	for _, args := range [][]string{{"--dst", "2001:db8:5::1234"}, {"--comm", "secretprogram"}, {"--filter", "service.exe~secretfile"}} {
		plain := exported(t, append([]string{path}, args...)...)
		masked := exported(t, append([]string{path, "--anonymize", "--anonymize-names"}, args...)...)
		if n := strings.Count(masked, "\n"); n == 0 || n != strings.Count(plain, "\n") {
			t.Errorf("%q: %d lines, %d with the originals", args, n, strings.Count(plain, "\n"))
		}
	}
}

func TestWhoseCaptureItWasCannotBeTold(t *testing.T) {
	path, _, _ := private(t)
	out := filepath.Join(t.TempDir(), "out.tcps")
	exported(t, path, "--anonymize", "-w", out)
	c, err := capture.Open(out, capture.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h := c.Header()
	if !strings.HasPrefix(h.Host, "host-") || !strings.HasPrefix(h.BootID, "boot-") || h.Monotonic != 0 || h.Filter != "(anonymized)" || h.Kernel != "6.1.0" {
		t.Errorf("%+v", h)
	}
	var o opening
	if err := json.Unmarshal(h.Facts, &o); err != nil || o.Facts.Host != h.Host || o.Facts.Filter != h.Filter || len(o.Facts.Namespaces) != 1 {
		t.Errorf("%v %+v", err, o)
	}
}
