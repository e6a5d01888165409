package report

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// hostile are names that a process or a path can really have.
var hostile = []string{
	"\x1b[2J\x1b]0;own\x07", "a\nb\r\tc", "\u202egnp.exe", "\xff\xfe\x80", "\"},{\"x\":\"", "\x9b31m", "\u2028\u2029\ufeff", `back\slash`,
	"<script>", "\x00\x01\x7f", "日本語の名前", "e\u0301\u0301\u0301",
	// In Markdown, in a chat, in a spreadsheet.
	"@everyone", "@org/team #1 !2", "`rm` ``x", "`", "|a|b|", `a\|b\`, "[x](http://e)", "![i](//e)", "*b* _i_ ~s~", "# h", "1. one", "- x",
	"www.evil.test", "http://e.test", "a@evil.test", "&lt;b&gt; &amp;", "<!--", "$x$ :+1:", "=1+1", "+cmd|' /C'!A0", "-2+3", "@SUM(1)", "'=1",
	" =1 ", "a,b;c", "GH-12", "  ", "</td></table>",
}

// hostileHost has every hostile name in every place that takes one.
func hostileHost() Input {
	var t happenings
	for i, name := range hostile {
		c := connecting(&t, name, uint32(i+1), "10.0.0.1:80")
		for j := range 200 {
			c.connect(time.Duration(j)*20*time.Millisecond, time.Millisecond, 1)
			c.fail(time.Duration(j)*20*time.Millisecond, event.EADDRNOTAVAIL, event.PortsExhausted)
		}
		accepted(&t, name, "10.0.0.7:443", "10.9.9.9:1", i+1)
		bind := c.event(event.BindFailed, 0)
		bind.Local, bind.Remote, bind.Cause = netip.MustParseAddrPort("10.0.0.7:0"), netip.AddrPort{}, event.PortsExhausted
		t.add(bind)
		bind.Cause = event.NotLocal
		t.add(bind)
	}
	table := t.table(churn.Options{})
	table.SetHost(settings())
	evil := hostile[0] + hostile[1] + hostile[2] + hostile[3] + hostile[4]
	return Input{
		Table: table, Service: hostileService, Name: func(netip.Addr) string { return evil },
		Facts: Facts{
			Host: evil, Kernel: evil, Source: evil, TimeWaitTier: evil, Hooks: []string{evil}, Filter: evil, Excluded: 1,
			TimeWait: &TimeWaitInput{Tier: 3, How: evil}, Namespaces: []NamespaceInput{{Why: evil}}, HooksAbsent: []string{evil},
		}}
}

func hostileService(o *event.Owner) *service.Service {
	n := o.Comm.Raw()
	return &service.Service{Name: n, Kind: service.KindPod, Comm: n, Exe: "/" + n, Unit: n, ContainerID: n, Pod: n, Cgroup: "/" + n, CgroupID: 1}
}

// assertTame fails when text holds anything but printable characters and line ends.
func assertTame(t *testing.T, form string, text []byte) {
	t.Helper()
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 || r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%s: %q reaches the output in %q", form, text[i:i+n], text[max(i-20, 0):min(i+20, len(text))])
		}
		i += n
	}
}

func TestNothingHostileReachesAnOutput(t *testing.T) {
	in := hostileHost()
	d := Build(in)
	if len(d.Ports) == 0 || len(d.Ports[0].Services) != maxServices || len(d.BindFailures) != len(hostile) {
		t.Fatalf("%d budgets and %d failures of bind(): what is hostile is not there", len(d.Ports), len(d.BindFailures))
	}
	for _, wide := range []bool{false, true} {
		assertTame(t, "columns", []byte(columnsOf(t, d, Options{Wide: wide, Verbose: true})))
		assertTame(t, "markdown", []byte(markdownOf(t, d)))
		assertTame(t, "csv", []byte(csvOf(t, d)))
		text := jsonOf(t, d, wide)
		assertTame(t, "json", text)
		var names struct {
			Destinations []struct{ Service struct{ Comm string } }
		}
		if err := json.Unmarshal(text, &names); err != nil {
			t.Fatal(err)
		}
		for _, r := range names.Destinations { // what a reader makes of it, such as jq -r, must be tame as well
			assertTame(t, "decoded json", []byte(r.Service.Comm))
		}
	}
}

func TestNothingHostileReachesATrace(t *testing.T) {
	for _, resolve := range []func(*event.Owner) *service.Service{hostileService, func(*event.Owner) *service.Service { return nil }} {
		var columns, wide, lines bytes.Buffer
		writers := []*TraceWriter{NewTraceColumns(&columns, Options{}), NewTraceColumns(&wide, Options{Wide: true}), NewTraceJSON(&lines)}
		for _, name := range hostile {
			e := connecting(nil, name, 1, "10.0.0.1:80").event(event.Connect, 0)
			for _, w := range writers {
				if err := w.Write(&e, resolve(&e.Owner)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, w := range writers {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		for form, text := range map[string][]byte{"columns": columns.Bytes(), "wide": wide.Bytes(), "json": lines.Bytes()} {
			assertTame(t, form, text)
			want := len(hostile) + 1
			if form == "json" {
				want--
			}
			if got := bytes.Count(text, []byte("\n")); got != want {
				t.Errorf("%s: %d lines, want %d", form, got, want)
			}
		}
		for line := range bytes.Lines(lines.Bytes()) {
			if !json.Valid(line) {
				t.Errorf("no JSON: %s", line)
			}
		}
	}
}
