package filter

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// java closes a connection to PostgreSQL after 3.1 ms.
func java() (*event.Event, *service.Service) {
	e := &event.Event{
		Kind: event.TimeWait, Direction: event.Outbound, Netns: 4026531840, Owner: ownerOf(812, 500, "java"),
		Local: netip.MustParseAddrPort("10.0.0.7:40322"), Remote: netip.MustParseAddrPort("10.2.3.4:5432"),
		OldState: event.FinWait2, NewState: event.TimeWaitState, ClosedBy: event.ClosedLocal,
		Lifetime: 3100 * time.Microsecond, ConnectTime: 40 * time.Microsecond, Counted: true,
		SentBytes: 402, ReceivedBytes: 988, SentSegments: 5, ReceivedSegments: 4, Retransmits: 0,
	}
	return e, &service.Service{
		Name: "java", Kind: service.KindPod, Comm: "java", Exe: "/opt/java, 17/bin/java", Unit: "shop.service",
		ContainerID: strings.Repeat("ab12", 16), Pod: "2fc932ce-fdcc-454b-97bd-aadfdeb4c340", PID: 900,
	}
}

// refused is a connect that failed, whose owner nobody knows and whose counters were not read.
func refused() (*event.Event, *service.Service) {
	e := &event.Event{
		Kind: event.ConnectFailed, Direction: event.Outbound, Netns: 4026531840,
		Remote: netip.MustParseAddrPort("[2001:db8::5]:80"), OldState: event.SynSent, NewState: event.Closed,
		Error: event.Error(unix.ECONNREFUSED), Basis: event.Exact,
		Lifetime: event.Unknown, ConnectTime: 2 * time.Second,
	}
	return e, &service.Service{Name: "unknown", Kind: service.KindUnknown}
}

func ownerOf(pid uint32, cgroup uint64, comm string) event.Owner {
	o := event.Owner{PID: pid, CgroupID: cgroup, Basis: event.OwnerConnect}
	copy(o.Comm[:15], comm)
	return o
}

func mustParse(t testing.TB, expr string) *Filter {
	t.Helper()
	f, err := Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		expr          string
		java, refused bool
	}{
		{"", true, true},
		{"  ", true, true},
		{"dst.port==5432,comm==java", true, false},
		{" dst.port == 5432 ,\tcomm ~ ^ja ", true, false},
		{"dst.port==5432,comm==php", false, false},

		{"kind==time_wait", true, false},
		{"kind!=time_wait", false, true},
		{"kind~connect", false, true},
		{"direction==outbound", true, true},
		{"direction==inbound", false, false},
		{"netns==4026531840", true, true},
		{"netns>4026531840", false, false},

		{"service.name==java", true, false},
		{"service.name==unknown", false, true},
		{"service.kind==pod", true, false},
		{"service.kind!=pod", false, true},
		{"service.kind==process", false, false},
		{"service.pid==812", true, false},
		{"pid==900", false, false}, // the event's pid, not the service's newest
		{"pid>=812", true, false},
		{"pid>812", false, false},
		{"comm~.", true, false},
		{`comm==""`, false, true},
		{`exe=="/opt/java, 17/bin/java"`, true, false},
		{"exe~/bin/java$", true, false},
		{"unit!=shop.service", false, true},
		{"container_id~^ab12", true, false},
		{"pod==2fc932ce-fdcc-454b-97bd-aadfdeb4c340", true, false},

		{"src.addr==10.0.0.7", true, false},
		{"src.addr!=10.0.0.7", false, true},
		{"src.addr==null", false, true},
		{"src.addr!=null", true, false},
		{"src.port<50000", true, false},
		{"dst.addr==10.0.0.0/8", true, false},
		{"dst.addr!=10.0.0.0/8", false, true},
		{"dst.addr==10.2.3.99/24", true, false},
		{"dst.addr==::ffff:10.2.3.4", true, false},
		{"dst.addr==::ffff:10.0.0.0/104", true, false},
		{"dst.addr==2001:db8::/32", false, true},
		{"dst.addr==0.0.0.0/0", true, false},
		{"dst.addr==::/0", false, true},

		{"old_state==FIN_WAIT2", true, false},
		{"old_state==syn_sent", false, true},
		{"new_state~WAIT", true, false},
		{"new_state!=TIME_WAIT", false, true},
		{"error==ECONNREFUSED", false, true},
		{"error!=ECONNREFUSED", true, false}, // null is not ECONNREFUSED
		{"error!=ETIMEDOUT", true, true},
		{"error==null", true, false},
		{"error!=null", false, true},
		{"error~^(ECONN|ETIME)", false, true},
		{"error==CANCELED", false, false},
		{"error_basis==exact", false, true},
		{"closed_by==local", true, false},
		{"closed_by!=local", false, true},
		{"closed_by==null", false, true},

		{"lifetime_seconds==0.0031", true, false},
		{"lifetime_seconds<=3.1ms", true, false},
		{"lifetime_seconds<3.1ms", false, false},
		{"lifetime_seconds>0", true, false},
		{"lifetime_seconds!=1", true, true},
		{"lifetime_seconds==null", false, true},
		{"connect_seconds>=2", false, true},
		{"connect_seconds<2s", true, false},
		{"sent_bytes==402", true, false},
		{"sent_bytes!=402", false, true},
		{"sent_bytes>=402", true, false},
		{"sent_bytes<=402", true, false},
		{"sent_bytes>402", false, false},
		{"sent_bytes<402", false, false},
		{"received_bytes>900", true, false},
		{"sent_segments==5", true, false},
		{"received_segments==4", true, false},
		{"retransmits==0", true, false}, // refused was not counted: null, not 0
		{"count==1", false, false},
		{"count==null", true, true},
	} {
		t.Run(tc.expr, func(t *testing.T) {
			f := mustParse(t, tc.expr)
			if e, s := java(); f.Match(e, s) != tc.java {
				t.Errorf("java: got %v", !tc.java)
			}
			if e, s := refused(); f.Match(e, s) != tc.refused {
				t.Errorf("refused: got %v", !tc.refused)
			}
		})
	}
}

func TestKindsAndCausesOfPortsAndTimeWait(t *testing.T) {
	bind := &event.Event{
		Kind: event.BindFailed, Direction: event.Outbound, Local: netip.MustParseAddrPort("10.0.0.7:0"),
		Error: event.EADDRINUSE, Cause: event.PortsExhausted, Owner: ownerOf(812, 500, "java"),
	}
	end := &event.Event{Kind: event.TimeWaitEnd, Cause: event.Reused, Owner: event.Owner{Basis: event.OwnerHolder}}
	for _, tc := range []struct {
		expr      string
		bind, end bool
	}{
		{"kind==bind_failed", true, false},
		{"kind==time_wait_end", false, true},
		{"kind~time_wait", false, true},
		{"kind==existing", false, false},
		{"cause==ports-exhausted", true, false},
		{"cause==reused", false, true},
		{"cause~^(expired|killed)$", false, false},
		{"cause!=port-taken", true, true},
		{"cause!=null", true, true},
		{"cause==not-local", false, false},
		{"cause==no-route", false, false},
		{"owner_basis==holder", false, true},
		{"owner_basis==connect", true, false},
		{"owner_basis!=unknown", true, true},
		{"error==EADDRINUSE", true, false},
		{"dst.addr==null", true, true},
	} {
		f := mustParse(t, tc.expr)
		if got := f.Match(bind, nil); got != tc.bind {
			t.Errorf("%s on a failed bind(): got %v", tc.expr, got)
		}
		if got := f.Match(end, nil); got != tc.end {
			t.Errorf("%s on the end of a TIME_WAIT: got %v", tc.expr, got)
		}
	}
	if !mustParse(t, "owner_basis==unknown").Match(&event.Event{Kind: event.Close}, nil) {
		t.Error("owner_basis==unknown does not find a connection that nobody is known to own")
	}
}

func TestEveryFieldIsTested(t *testing.T) {
	// The words of cli.md's trace object, but for those that cannot be compared.
	for name := range strings.FieldsSeq(`kind direction netns service.name service.kind service.pid service.comm service.exe
		service.unit service.container_id service.pod src.addr src.port dst.addr dst.port old_state new_state error
		error_basis closed_by lifetime_seconds connect_seconds sent_bytes received_bytes sent_segments received_segments
		retransmits count cause owner_basis comm pid exe unit container_id pod`) {
		if lookUp(name) == nil {
			t.Errorf("field %s is missing", name)
		}
	}
}

func TestErrorsThatAreNoErrno(t *testing.T) {
	for _, tc := range []struct {
		expr string
		err  event.Error
		want bool
	}{
		{"error==CANCELED", event.Canceled, true},
		{"error==UNKNOWN", event.UnknownError, true},
		{"error==UNKNOWN", event.Canceled, false},
		{"error!=CANCELED", event.Canceled, false},
		{"error!=ECONNREFUSED", event.Canceled, true},
		{"error!=ECONNREFUSED", 5000, true}, // no errno that has a name
		{"error==ECONNREFUSED", 5000, false},
		{"error==UNKNOWN", 5000, false},
		{"error!=null", 5000, true},
	} {
		e := &event.Event{Kind: event.ConnectFailed, Error: tc.err}
		if got := mustParse(t, tc.expr).Match(e, nil); got != tc.want {
			t.Errorf("%s on %s: got %v", tc.expr, tc.err, got)
		}
	}
}

func TestMatchWithoutService(t *testing.T) {
	e, _ := java()
	for expr, want := range map[string]bool{
		"comm==java": true, "service.name==java": true, "comm==php": false, "unit==shop.service": false, `unit==""`: true,
		"service.kind==unknown": true,
	} {
		if got := mustParse(t, expr).Match(e, nil); got != want {
			t.Errorf("%s: got %v", expr, got)
		}
	}
	if !(*Filter)(nil).Match(e, nil) || !(*Set)(nil).Match(e, nil) {
		t.Error("a nil filter does not match everything")
	}
}

func TestMatchLost(t *testing.T) {
	closes := &event.Event{
		Kind: event.Lost, Of: event.Close, Count: 7, Direction: event.Outbound, Netns: 5, Owner: ownerOf(0, 500, "java"),
		Remote: netip.MustParseAddrPort("10.2.3.4:5432"), ClosedBy: event.ClosedLocal, Counted: true, SentBytes: 1000,
		Lifetime: event.Unknown,
	}
	resets := *closes
	resets.ClosedBy = event.ClosedReset
	fails := *closes
	fails.Of, fails.ClosedBy, fails.Error, fails.Cause = event.ConnectFailed, 0, event.EADDRNOTAVAIL, event.PortsExhausted
	inbound := &event.Event{
		Kind: event.Lost, Of: event.Accept, Count: 2, Direction: event.Inbound, Netns: 5,
		Local: netip.MustParseAddrPort("10.0.0.7:80"), Remote: netip.AddrPortFrom(netip.MustParseAddr("10.9.9.9"), 0),
	}
	unassigned := &event.Event{Kind: event.Lost, Count: 9}
	all := map[string]*event.Event{
		"closes": closes, "resets": &resets, "fails": &fails, "inbound": inbound, "unassigned": unassigned,
	}
	javas := &service.Service{Name: "java", Comm: "java", Kind: service.KindUnit, Unit: "shop.service"}
	for _, tc := range []struct{ name, expr, want string }{
		{"what was lost is what counts", "kind==close", "closes resets unassigned"},
		{"what was lost is refused", "kind!=close", "fails inbound unassigned"},
		{"losses themselves can be asked for", "kind==lost", "closes resets fails inbound unassigned"},
		{"losses themselves can be refused", "kind!=lost", ""},
		{"addresses are known", "dst.addr==10.2.0.0/16", "closes resets fails unassigned"},
		{"the port of an inbound remote end is not known", "dst.port==5432", "closes resets fails inbound unassigned"},
		{"another destination is ruled out", "dst.port==80", "inbound unassigned"},
		{"an outbound local end is not known", "src.port==1234", "closes resets fails unassigned"},
		{"direction is known", "direction==inbound", "inbound unassigned"},
		{"netns is known", "netns==6", "unassigned"},
		{"the service is known outbound", "comm==php", "inbound unassigned"},
		{"the unit is known outbound", "unit==shop.service", "closes resets fails inbound unassigned"},
		{"details are not known", "lifetime_seconds>10,retransmits>3,sent_bytes<10", "closes resets fails inbound unassigned"},
		{"the errno is known of failed connects", "error==EADDRNOTAVAIL", "resets fails unassigned"},
		{"a reset may have had any error", "error==ECONNRESET", "resets unassigned"},
		{"no connect that failed has no error", "error==null", "closes resets inbound unassigned"},
		{"losses are counted by cause", "cause==ports-exhausted", "fails unassigned"},
		{"most kinds have no cause", "cause==null", "closes resets inbound unassigned"},
		{"closed_by is known", "closed_by==local", "closes unassigned"},
		{"the beginning of a connection has no closer", "closed_by==null", "fails inbound unassigned"},
		{"count is known", "count>=7", "closes resets fails unassigned"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := mustParse(t, tc.expr)
			for name, e := range all {
				s := javas
				if e.Direction != event.Outbound {
					s = &service.Service{Name: "unknown", Kind: service.KindUnknown}
				}
				want := strings.Contains(" "+tc.want+" ", " "+name+" ")
				if got := f.Match(e, s); got != want {
					t.Errorf("%s on %s: got %v", tc.expr, name, got)
				}
			}
		})
	}
}

func TestLostPIDIsOneOfTheService(t *testing.T) {
	r := service.NewResolver(service.Options{Offline: true})
	o := ownerOf(812, 500, "java")
	r.See(&o)
	o.PID = 813
	s := r.See(&o)
	e := &event.Event{Kind: event.Lost, Of: event.Connect, Owner: ownerOf(0, 500, "java")}
	for expr, want := range map[string]bool{
		"pid==812": true, "pid==813": true, "pid==900": false, "pid!=812": true, "pid>5000": true,
	} {
		if got := mustParse(t, expr).Match(e, s); got != want {
			t.Errorf("%s: got %v", expr, got)
		}
	}
	if !mustParse(t, "pid==900").Match(e, &service.Service{}) {
		t.Error("a service of which no pid was seen can have any")
	}
}

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ name, expr, want string }{
		{"a slip", "dst.prot==5432", `unknown field "dst.prot" at 1; did you mean "dst.port"?`},
		{"a slip in the second term", "comm==java, dst.prt==5432", `unknown field "dst.prt" at 13; did you mean "dst.port"?`},
		{"characters are counted, not bytes", "comm==é,xyz==1", `unknown field "xyz" at 9; fields are named as in the JSON of trace, like dst.port or comm`},
		{"the end of a name", "port==5432", `unknown field "port" at 1; did you mean "dst.port"?`},
		{"another case", "Comm==java", `unknown field "Comm" at 1; did you mean "comm"?`},
		{"hostile words are escaped", "\x1b[31m\x00==1",
			`unknown field "\x1b[31m\x00" at 1; fields are named as in the JSON of trace, like dst.port or comm`},
		{"a word that is no text", "\xff\u202e==1", `unknown field "\xff\u202e" at 1; fields are named as in the JSON of trace, like dst.port or comm`},
		{"time has flags", "time>5", `"time" cannot be compared at 1; events are shown as they happen; --for ends a trace`},
		{"names are not known yet", "dst.name==db", `"dst.name" cannot be compared at 1; no names are looked up; use dst.addr`},
		{"a whole object", "dst==10.0.0.1", `"dst" cannot be compared at 1; use dst.addr or dst.port`},

		{"no field", "==5432", `a field is missing at 1; write it like dst.port==5432`},
		{"a comma too many", "comm==java,", `a field is missing at 12; write it like dst.port==5432`},
		{"a comma alone", ",", `a field is missing at 1; write it like dst.port==5432`},
		{"no operator", "comm", `no operator after "comm" at 5; use one of == != >= <= > < ~`},
		{"no operator before a value", "comm java", `no operator after "comm" at 6; use one of == != >= <= > < ~`},
		{"one =", "comm=java", `unknown operator "=" at 5; use ==`},
		{"=~", "comm=~java", `unknown operator "=~" at 5; use ~`},
		{"!~", "comm !~ java", `unknown operator "!~" at 6; use != or a regular expression that finds the rest`},
		{"<>", "pid<>4", `unknown operator "<>" at 4; use !=`},
		{"no value", "comm==", `a value is missing at 7; write "" for the empty text`},
		{"no value before a comma", "comm== ,pid==1", `a value is missing at 8; write "" for the empty text`},
		{"&&", "comm==java&&pid==4", `unexpected "&&" at 11; a comma means "and"; put a value that holds it in double quotes`},
		{"||", "pid==4||pid==5", `unexpected "||" at 7; a comma means "and"; put a value that holds it in double quotes`},
		{"a forgotten comma", "comm==java pid==4", `unexpected "==" at 15; a comma means "and"; put a value that holds it in double quotes`},
		{"an open quote", `comm=="java`, `the quote is not closed at 7; end the value with "`},
		{"an escaped quote does not close", `comm=="java\"`, `the quote is not closed at 7; end the value with "`},
		{"words after a quote", `comm=="a" b`, `unexpected "b" after a quoted value at 11; a comma goes between comparisons`},

		{"a port that is no number", "dst.port==http", `"http" is not a whole number at 11; write it like dst.port==1`},
		{"a fraction", "sent_bytes>1.5", `"1.5" is not a whole number at 12; write it like sent_bytes==1`},
		{"a negative number", "pid==-1", `"-1" is not a whole number at 6; write it like service.pid==1`},
		{"a port too great", "dst.port==70000", `"70000" is out of range at 11; dst.port is at most 65535`},
		{"a number too great for all", "sent_bytes>99999999999999999999", `"99999999999999999999" is out of range at 12; sent_bytes is at most 18446744073709551615`},
		{"~ on a number", "pid~4", `"~" is for text and service.pid is a number at 4; use == != >= <= > or <`},
		{"~ on a duration", "lifetime_seconds~4", `"~" is for text and lifetime_seconds is a number at 17; use == != >= <= > or <`},
		{"a duration that is none", "lifetime_seconds>fast", `"fast" is not a duration at 18; write seconds (0.01) or a unit (10ms)`},
		{"a negative duration", "lifetime_seconds>-1s", `"-1s" is not a duration at 18; write seconds (0.01) or a unit (10ms)`},
		{"not a number", "lifetime_seconds>NaN", `"NaN" is not a duration at 18; write seconds (0.01) or a unit (10ms)`},
		{"an endless duration", "lifetime_seconds>Inf", `"Inf" is not a duration at 18; write seconds (0.01) or a unit (10ms)`},
		{"a host name", "dst.addr==db.example.com", `"db.example.com" is not an address or CIDR at 11; write it like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32`},
		{"a prefix too long", "dst.addr==10.0.0.0/33", `"10.0.0.0/33" is not an address or CIDR at 11; write it like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32`},
		{"an address with a zone", "dst.addr==fe80::1%eth0", `"fe80::1%eth0" is not an address or CIDR at 11; write it like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32`},
		{"an address has no order", "dst.addr>10.0.0.1", `dst.addr is an address, which has no order and no letters at 9; use == or != with an address or CIDR`},
		{"a text has no order", "comm>a", `service.comm is text, which has no order at 5; use == != or ~`},
		{"a state has no order", "old_state<CLOSE", `old_state is text, which has no order at 10; use == != or ~`},
		{"null has no order", "lifetime_seconds>null", `null has no order at 18; use == or !=`},
		{"a kind that does not exist", "kind==conect", `"conect" is no kind at 7; did you mean "connect"?`},
		{"a kind like none", "kind==zebra", `"zebra" is no kind at 7; use one of connect, accept, connect_failed, close, time_wait, lost, open, existing, time_wait_end, bind_failed`},
		{"a state spelled otherwise", "old_state==FIN_WAIT_2", `"FIN_WAIT_2" is no old_state at 12; did you mean "FIN_WAIT2"?`},
		{"an errno that does not exist", "error==ECONREFUSED", `"ECONREFUSED" is no error at 8; did you mean "ECONNREFUSED"?`},
		{"an errno like none", "error==refused", `"refused" is no error at 8; write it like ECONNREFUSED`},
		{"a kind of service", "service.kind==pods", `"pods" is no service.kind at 15; did you mean "pod"?`},
		{"a closer", "closed_by==me", `"me" is no closed_by at 12; use one of local, remote, both, reset`},
		{"a regular expression that finds no name", "kind~^x", `"^x" is no kind at 6; use one of connect, accept, connect_failed, close, time_wait, lost, open, existing, time_wait_end, bind_failed`},
		{"a broken regular expression for a name", "kind~[", `"[" is not a regular expression (missing closing ]: "[") at 6; write it in RE2 syntax`},
		{"a broken regular expression", "comm~(", `"(" is not a regular expression (missing closing ): "(") at 6; write it in RE2 syntax`},
		{"a regular expression with look-ahead", "comm~(?=x)", `"(?=x)" is not a regular expression (invalid or unsupported Perl syntax: "(?=") at 6; write it in RE2 syntax`},
		{"a name that the kernel would cut", "comm==prometheus-server",
			`"prometheus-server" is longer than the 15 bytes the kernel keeps of a name at 7; did you mean "prometheus-serv"?`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.expr)
			if err == nil {
				t.Fatalf("Parse(%q) found nothing wrong", tc.expr)
			}
			where, what, _ := strings.Cut(err.Error(), `": `)
			if what != tc.want || !strings.HasPrefix(where, `filter "`) {
				t.Errorf("Parse(%q)\n got %s\nwant …%s", tc.expr, err, tc.want)
			}
		})
	}
}

func TestParseRefusesEndlessExpressions(t *testing.T) {
	_, err := Parse(strings.Repeat("pid==1,", 1000))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("got %v", err)
	}
	if _, err := Parse("comm~" + strings.Repeat("(", 500) + "a{1000}" + strings.Repeat("){1000}", 500)); err == nil {
		t.Error("a regular expression of a million states was compiled")
	}
}

func TestQuotedValues(t *testing.T) {
	for expr, want := range map[string]string{
		`unit=="a,b"`:                  "a,b",
		`unit=="a\"b"`:                 `a"b`,
		`unit=="a\\x2db.service"`:      `a\\x2db.service`,
		`unit==a\x2db.service`:         `a\x2db.service`,
		`unit==" a "  , pid==1`:        " a ",
		`unit=="&& == null"`:           "&& == null",
		`unit=="null"`:                 "null",
		`unit==null`:                   "null",
		`unit==a"b`:                    `a"b`,
		`unit=="été"`:                  "été",
		`comm=="\\x1b\\x1b\\x1b\\x1b"`: `\\x1b\\x1b\\x1b\\x1b`,
	} {
		if got := mustParse(t, expr).terms[0].text; got != want {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	e, s := java()
	for _, expr := range []string{
		"dst.port==5432,comm==java", "dst.addr==10.0.0.0/8", "kind!=close,error==null,closed_by==local",
		"lifetime_seconds<1,sent_bytes>1", "comm~^ja", "service.kind==pod",
	} {
		f := mustParse(t, expr)
		if n := testing.AllocsPerRun(100, func() {
			if !f.Match(e, s) {
				t.Fatalf("%s does not match", expr)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", expr, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	e, s := java()
	f := mustParse(b, "dst.port==5432,dst.addr==10.0.0.0/8,comm==java")
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(e, s) {
			b.Fatal("no match")
		}
	}
}

// FuzzParse: whatever is typed gives a filter that can be used, or one printable line.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{
		"dst.port==5432,comm==java", `unit=="a,\"b" , error!=null`, "dst.addr==10.0.0.0/8,lifetime_seconds<10ms",
		"kind~wait,old_state==FIN_WAIT2", "comm~^(a|b)+$", "dst.prot=5", "\x00\x1b[2J==\xff",
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		got, err := Parse(expr)
		if err != nil {
			if line := err.Error(); line != event.Printable(line) {
				t.Errorf("Parse(%q): the error is not one printable line: %q", expr, line)
			}
			return
		}
		for _, of := range []func() (*event.Event, *service.Service){java, refused} {
			e, s := of()
			got.Match(e, s)
			got.Match(e, nil)
			e.Kind, e.Of = event.Lost, e.Kind
			got.Match(e, s)
		}
		if unassigned := (&event.Event{Kind: event.Lost, Count: 1}); len(got.terms) == 1 &&
			got.terms[0].field != kindField && got.terms[0].field.name != "count" && !got.Match(unassigned, nil) {
			t.Errorf("Parse(%q) rules out a loss of which nothing is known", expr)
		}
	})
}
