package advice

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/service"
)

func verdicts() []string {
	return []string{Unpooled, UndersizedPool, Pooled, ConnectFailing, TooFewToTell}
}

func kinds() []string {
	return []string{"", Leak, RetryStorm, DualStack, RecycledPool, ServerCloses, KeepAliveLimit, IdleTimeout, HealthCheck,
		LoadGenerator, Restart, Relay}
}

var rfc = regexp.MustCompile(`^RFC [1-9][0-9]{2,3}$`)

func TestEveryRowReadsWell(t *testing.T) {
	for i, s := range table {
		for _, r := range s.rows {
			if len(r.text) > 240 || len(r.text) < 30 {
				t.Errorf("%d characters: %s", len(r.text), r.text)
			}
			if !strings.HasSuffix(r.text, ".") || strings.HasSuffix(r.text, "..") || strings.Contains(r.text, "  ") {
				t.Errorf("does not end with one period, or has two blanks: %s", r.text)
			}
			if strings.IndexFunc(r.text, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
				t.Errorf("not printable ASCII: %q", r.text)
			}
			if strings.Count(r.text, `"`)%2 != 0 || strings.Count(r.text, "(") != strings.Count(r.text, ")") {
				t.Errorf("quotes or brackets do not pair: %s", r.text)
			}
			u, err := url.Parse(r.source)
			if !rfc.MatchString(r.source) && (err != nil || u.Scheme != "https" || !strings.Contains(u.Host, ".")) {
				t.Errorf("source %q is neither an https URL nor an RFC: %s", r.source, r.text)
			}
			onlyProtocol := r.protocols != nil && r.programs == nil && r.runtimes == nil && r.libraries == nil
			if onlyProtocol && s.side == outbound && !strings.Contains(r.text, "if this is ") {
				t.Errorf("a protocol is a guess, and must be worded as one: %s", r.text)
			}
		}
		if !slices.ContainsFunc(s.rows, func(r row) bool { return r.rank(&Case{}) == 0 }) {
			t.Errorf("section %d (verdicts %v, kinds %v) has no row for everybody", i, s.verdicts, s.kinds)
		}
	}
}

// caseFor is the case that a row is made for: the first of each list.
func caseFor(s *section, r *row) Case {
	first := func(values []string) string {
		if len(values) == 0 {
			return ""
		}
		return values[len(values)-1] // the first is often ""
	}
	c := Case{
		Program: first(r.programs), Runtime: first(r.runtimes), Library: first(r.libraries), Protocol: first(r.protocols),
		Verdict: first(s.verdicts), Kind: first(s.kinds), Inbound: s.side == inbound,
		PortsExhausted: s.portsExhausted, TupleInUse: s.tupleInUse, ClosedByServer: s.closedByServer,
	}
	if s.verdicts == nil {
		c.Verdict = Unpooled
	}
	return c
}

func TestEveryRowCanBeReached(t *testing.T) {
	rows := 0
	for i := range table {
		s := &table[i]
		for j := range s.rows {
			r := &s.rows[j]
			rows++
			c := caseFor(s, r)
			got := For(c)
			at := slices.IndexFunc(got, func(a Advice) bool { return a.Text == r.text })
			if at < 0 {
				t.Errorf("%+v gives %q, and never %q", c, texts(got), r.text)
				continue
			}
			// What stands before it must be of its own rank, or about missing ports.
			for _, before := range got[:at] {
				if slices.ContainsFunc(s.rows, func(o row) bool { return o.text == before.Text && o.rank(&c) < r.rank(&c) }) {
					t.Errorf("%+v: the less specific %q stands before %q", c, before.Text, r.text)
				}
			}
		}
	}
	if rows < 200 {
		t.Errorf("the table has %d rows", rows)
	}
}

func texts(all []Advice) []string {
	var s []string
	for _, a := range all {
		s = append(s, a.Text)
	}
	return s
}

func TestNoRowIsThereTwice(t *testing.T) {
	for i := range table {
		seen := make(map[string]bool)
		for _, r := range table[i].rows {
			key := fmt.Sprint(r.programs, r.runtimes, r.libraries, r.protocols, r.text)
			if seen[key] {
				t.Errorf("twice in one section: %s", r.text)
			}
			seen[key] = true
		}
	}
}

func TestFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Case
		want []string // what each piece says, in order; "" for nothing in particular
	}{
		{"nothing known", Case{Verdict: Unpooled}, []string{"keep connections open and reuse them"}},
		{"an unknown program and a known protocol", Case{Verdict: Unpooled, Program: "batch", Protocol: "amqp"},
			[]string{"open channels on it"}},
		{"an unknown kind counts as none", Case{Verdict: Unpooled, Kind: "new"},
			[]string{"keep connections open and reuse them"}},
		{"a pool", Case{Verdict: Pooled, Runtime: "java", Protocol: "postgresql"}, nil},
		{"a pool whose server closes first", Case{Verdict: Pooled, ClosedByServer: true}, nil},
		{"too few to tell", Case{Verdict: TooFewToTell, Runtime: "curl"}, nil},
		{"a pool of clients", Case{Verdict: Pooled, Inbound: true}, nil},
		{"no verdict", Case{}, nil},

		{"Java and HTTP", Case{Verdict: Unpooled, Program: "java", Runtime: "java", Protocol: "https"},
			[]string{"java.net.http.HttpClient", "setMaxPerRoute", "HttpURLConnection"}},
		{"Java and a database", Case{Verdict: Unpooled, Runtime: "java", Protocol: "postgresql"},
			[]string{"HikariCP (maximumPoolSize)"}},
		{"Java and an unknown port", Case{Verdict: Unpooled, Runtime: "java"},
			[]string{"HttpClient", "HikariCP", "PoolingHttpClientConnectionManager"}},
		{"Java and Redis", Case{Verdict: Unpooled, Runtime: "java", Protocol: "redis"}, []string{"JedisPool"}},
		{"Go and HTTP", Case{Verdict: Unpooled, Runtime: "go", Protocol: "http"},
			[]string{"resp.Body to its end before Close()", "DisableKeepAlives"}},
		{"Go and HTTP, a small pool", Case{Verdict: UndersizedPool, Runtime: "go", Protocol: "http"},
			[]string{"MaxIdleConnsPerHost (2 by default)"}},
		{"Go and a database, a small pool", Case{Verdict: UndersizedPool, Runtime: "go", Protocol: "mysql"},
			[]string{"SetMaxIdleConns (2 by default)"}},
		{"Go and a database, recycled", Case{Verdict: Pooled, Kind: RecycledPool, Runtime: "go", Protocol: "postgresql"},
			[]string{"SetConnMaxLifetime"}},
		{"Go, a leak", Case{Verdict: Unpooled, Kind: Leak, Runtime: "go", Protocol: "https"},
			[]string{"resp.Body.Close()"}},
		{"Python and HTTP", Case{Verdict: Unpooled, Program: "python3", Runtime: "python", Protocol: "https"},
			[]string{"requests.Session", "PoolManager"}},
		{"Python, a small pool", Case{Verdict: UndersizedPool, Runtime: "python", Protocol: "http"},
			[]string{"pool_maxsize", "block=True", "max_keepalive_connections"}},
		{"Python and PostgreSQL, through libpq",
			Case{Verdict: Unpooled, Runtime: "python", Library: "libpq", Protocol: "postgresql"},
			[]string{"psycopg_pool.ConnectionPool", "pool_size", "CONN_MAX_AGE"}},
		{"Python, retries", Case{Verdict: ConnectFailing, Kind: RetryStorm, Runtime: "python", Protocol: "http"},
			[]string{"backoff_factor"}},
		{"Celery", Case{Verdict: Unpooled, Program: "celeryd: celery", Runtime: "python", Protocol: "redis"},
			[]string{"broker_pool_limit"}},
		{"Node and HTTP", Case{Verdict: Unpooled, Runtime: "node", Protocol: "http"},
			[]string{"keepAlive: true", "undici"}},
		{"Node and PostgreSQL", Case{Verdict: Unpooled, Runtime: "node", Protocol: "postgresql"}, []string{"pg.Pool"}},
		{"Node, a leak", Case{Verdict: Unpooled, Kind: Leak, Runtime: "node", Protocol: "postgresql"},
			[]string{"client.release()"}},
		{"PHP and MySQL",
			Case{Verdict: Unpooled, Program: "php-fpm8.2", Runtime: "php", Library: "libpq", Protocol: "mysql"},
			[]string{"PDO::ATTR_PERSISTENT"}},
		{"PHP and HTTP", Case{Verdict: Unpooled, Runtime: "php", Library: "libpq", Protocol: "https"},
			[]string{"curl_share_init_persistent()"}},
		{"PHP, recycled", Case{Verdict: Pooled, Kind: RecycledPool, Runtime: "php", Protocol: "mysql"},
			[]string{"pm.max_requests"}},
		{"nginx", Case{Verdict: Unpooled, Program: "nginx", Runtime: "nginx", Protocol: "http"},
			[]string{`"proxy_http_version 1.1;"`}},
		{"nginx and port 9000", Case{Verdict: Unpooled, Runtime: "nginx", Protocol: Protocol(9000)},
			[]string{`'proxy_set_header Connection "";'`, "fastcgi_keep_conn on"}},
		{"haproxy", Case{Verdict: Unpooled, Runtime: "haproxy", Protocol: "http"}, []string{"http-reuse safe"}},
		{"haproxy as a relay", Case{Verdict: Unpooled, Kind: Relay, Runtime: "haproxy"}, []string{"mode http"}},
		{"Apache", Case{Verdict: Unpooled, Program: "apache2", Runtime: "apache", Protocol: "http"},
			[]string{"enablereuse=on"}},
		{".NET", Case{Verdict: Unpooled, Runtime: "dotnet", Protocol: "https"}, []string{"IHttpClientFactory"}},
		{".NET and PostgreSQL", Case{Verdict: Unpooled, Runtime: "dotnet", Protocol: "postgresql"},
			[]string{"Pooling=true"}},
		{"Ruby", Case{Verdict: Unpooled, Program: "puma: cluster w", Runtime: "ruby", Protocol: "https"},
			[]string{"Net::HTTP.start"}},
		{"Rust", Case{Verdict: Unpooled, Runtime: "rust", Protocol: "https"}, []string{"reqwest"}},
		{"a C program with libpq", Case{Verdict: Unpooled, Program: "batch", Library: "libpq"},
			[]string{"pool_mode = transaction"}},
		{"pgbouncer", Case{Verdict: UndersizedPool, Program: "pgbouncer", Runtime: "pgbouncer", Protocol: "postgresql"},
			[]string{"default_pool_size"}},
		{"curl in a loop", Case{Verdict: Unpooled, Program: "curl", Runtime: "curl", Protocol: "http"},
			[]string{"--parallel"}},
		{"ab", Case{Verdict: Unpooled, Program: "ab", Runtime: "ab", Protocol: "http"}, []string{"-k (keep-alive)"}},
		{"pgbench -C",
			Case{Verdict: Unpooled, Kind: LoadGenerator, Program: "pgbench", Runtime: "pgbench", Protocol: "postgresql"},
			[]string{"-C (--connect)"}},
		{"redis-benchmark",
			Case{Verdict: Unpooled, Program: "redis-benchmark", Runtime: "redis-benchmark", Protocol: "redis"},
			[]string{"-k 1"}},
		{"a load generator unknown by name", Case{Verdict: Unpooled, Kind: LoadGenerator, Program: "blast"},
			[]string{"measures what it was told to"}},
		{"a health check", Case{Verdict: TooFewToTell, Kind: HealthCheck, Program: "check"}, []string{"harmless"}},
		{"a restart", Case{Verdict: Pooled, Kind: Restart}, []string{"restart"}},
		{"a keep-alive limit", Case{Verdict: Unpooled, Kind: KeepAliveLimit, Runtime: "java", Protocol: "http"},
			[]string{"MaxKeepAliveRequests"}},
		{"MySQL ends idle sessions", Case{Verdict: Pooled, Kind: IdleTimeout, Protocol: "mysql"}, []string{"wait_timeout"}},
		{"the server closes", Case{Verdict: Unpooled, Kind: ServerCloses, Runtime: "nginx", Protocol: "http"},
			[]string{"proxy_http_version 1.1"}},
		{"gunicorn replaces its workers",
			Case{Verdict: Pooled, Kind: RecycledPool, Program: "gunicorn: worke", Runtime: "python", Protocol: "postgresql"},
			[]string{"--max-requests"}},
		{"one address of a name", Case{Verdict: ConnectFailing, Kind: DualStack, Runtime: "java"}, []string{"other address"}},
		{"a failing destination", Case{Verdict: ConnectFailing, Runtime: "go", Protocol: "http"},
			[]string{"repair the destination"}},

		{"no ports", Case{Verdict: Unpooled, PortsExhausted: true},
			[]string{"reuse connections first", "keep connections open", "tcp_tw_reuse = 1"}},
		{"no ports, with three pieces of advice",
			Case{Verdict: Unpooled, PortsExhausted: true, Runtime: "java", Protocol: "http"},
			[]string{"reuse connections first", "java.net.http.HttpClient", "never tcp_tw_recycle"}},
		{"no ports for a pool", Case{Verdict: Pooled, PortsExhausted: true}, []string{"who else", "ip_local_port_range"}},
		{"no ports, and ports in use", Case{Verdict: Unpooled, TupleInUse: true, PortsExhausted: true},
			[]string{"IP_BIND_ADDRESS_NO_PORT", "keep connections open", "tcp_tw_reuse = 1"}},
		{"ports in use after bind()", Case{Verdict: Unpooled, TupleInUse: true},
			[]string{"IP_BIND_ADDRESS_NO_PORT", "keep connections open"}},
		{"ports in use after nginx's bind()", Case{Verdict: Unpooled, TupleInUse: true, Runtime: "nginx", Protocol: "http"},
			[]string{"proxy_bind", "keepalive 32"}},

		{"a client that churns", Case{Verdict: Unpooled, Inbound: true, Runtime: "java", Protocol: "postgresql"},
			[]string{"the remote client"}},
		{"a client that churns, and this side closes",
			Case{Verdict: Unpooled, Inbound: true, ClosedByServer: true, Runtime: "nginx", Protocol: "http"},
			[]string{"keepalive_timeout", "the remote client"}},
		{"gunicorn closes",
			Case{Verdict: Unpooled, Kind: ServerCloses, Inbound: true, Program: "gunicorn", Runtime: "python"},
			[]string{"--keep-alive"}},
		{"accepted and never closed", Case{Verdict: Unpooled, Kind: Leak, Inbound: true}, []string{"CLOSE_WAIT"}},
		{"a server is not told to use a client's pool", Case{Verdict: Unpooled, Inbound: true, PortsExhausted: true},
			[]string{"the remote client"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := For(tc.c)
			if len(got) != len(tc.want) || (got == nil) != (tc.want == nil) {
				t.Fatalf("%d pieces, want %d: %q", len(got), len(tc.want), texts(got))
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i].Text, want) {
					t.Errorf("piece %d: %q does not say %q", i, got[i].Text, want)
				}
			}
		})
	}
}

// TestGenericSentences keeps the words that other tests and the README show.
func TestGenericSentences(t *testing.T) {
	for _, tc := range []struct {
		c    Case
		want string
	}{
		{Case{Verdict: Unpooled},
			"keep connections open and reuse them: a connection pool, or keep-alive, created once and shared by all callers."},
		{Case{Verdict: UndersizedPool},
			"there is a pool and it is too small: allow as many idle connections per destination as there are concurrent callers."},
		{Case{Verdict: ConnectFailing},
			"repair the destination, or its address in this service's configuration, and let retries wait longer each time."},
		{Case{Verdict: Unpooled, PortsExhausted: true},
			"reuse connections first: a wider port range only delays the next exhaustion."},
		{Case{Verdict: Unpooled, TupleInUse: true},
			"let the kernel choose the source port: bind() before connect() with IP_BIND_ADDRESS_NO_PORT, or no bind() at all."},
	} {
		if got := For(tc.c); len(got) == 0 || got[0].Text != tc.want {
			t.Errorf("%+v: %q, want %q", tc.c, texts(got), tc.want)
		}
	}
}

// TestEveryTroubleHasAdvice goes through all circumstances.
func TestEveryTroubleHasAdvice(t *testing.T) {
	for _, verdict := range verdicts() {
		for _, kind := range kinds() {
			for flags := range 16 {
				c := Case{Verdict: verdict, Kind: kind, PortsExhausted: flags&1 != 0, TupleInUse: flags&2 != 0,
					ClosedByServer: flags&4 != 0, Inbound: flags&8 != 0}
				nothingToDo := kind == "" && (verdict == Pooled || verdict == TooFewToTell) &&
					(c.Inbound || !c.PortsExhausted && !c.TupleInUse)
				if got := For(c); (got == nil) != nothingToDo {
					t.Errorf("%+v: %q", c, texts(got))
				}
			}
		}
	}
}

func TestFitsProgram(t *testing.T) {
	for _, tc := range []struct {
		name, program string
		want          bool
	}{
		{"wrk", "wrk", true}, {"wrk2", "wrk", true}, {"puma: cluster w", "puma", true}, {"puma 6.4.2", "puma", true},
		{"HikariPool-1 co", "HikariPool", true}, {"php-fpm8.2", "php-fpm", true}, {"php-fpm8.2", "php", false},
		{"abc", "ab", false}, {"ab-test", "ab", false}, {"heythere", "hey", false}, {"", "ab", false}, {"a", "ab", false},
		{"ab-", "ab", false}, {"\xffab", "ab", false},
	} {
		if got := fitsProgram(of("nothing", tc.program), tc.name); got != tc.want {
			t.Errorf("%q as %q: %v", tc.name, tc.program, got)
		}
	}
}

func TestProtocol(t *testing.T) {
	for port, want := range map[uint16]string{
		5432: "postgresql", 6432: "postgresql", 3306: "mysql", 33060: "mysql", 6379: "redis", 11211: "memcached",
		27017: "mongodb", 5672: "amqp", 9092: "kafka", 80: "http", 8080: "http", 443: "https", 8443: "https",
		9200: "elasticsearch", 9042: "cassandra", 8123: "clickhouse", 1433: "mssql", 1521: "oracle", 389: "ldap", 25: "smtp",
		53: "dns", 2379: "etcd", 8500: "consul", 2181: "zookeeper", 4222: "nats", 9000: "", 22: "", 0: "", 65535: "",
	} {
		if got := Protocol(port); got != want {
			t.Errorf("port %d: %q, want %q", port, got, want)
		}
	}
	for port, protocol := range protocols {
		got := For(Case{Verdict: Unpooled, Protocol: protocol})
		if len(got) != 1 || got[0] == For(Case{Verdict: Unpooled})[0] {
			t.Errorf("port %d: no advice for %s", port, protocol)
		}
	}
}

// TestRowsNameKnownProtocols finds misspelt ones. FastCGI has no port of its own.
func TestRowsNameKnownProtocols(t *testing.T) {
	known := map[string]bool{"": true, "fastcgi": true}
	for _, p := range protocols {
		known[p] = true
	}
	for _, s := range table {
		for _, r := range s.rows {
			for _, p := range r.protocols {
				if !known[p] {
					t.Errorf("protocol %q: %s", p, r.text)
				}
			}
		}
	}
}

// TestRowsNameKnownRuntimes finds names that no service ever has.
func TestRowsNameKnownRuntimes(t *testing.T) {
	for _, s := range table {
		for _, r := range s.rows {
			for _, name := range r.runtimes {
				if !slices.Contains(service.Runtimes(), name) {
					t.Errorf("runtime %q: %s", name, r.text)
				}
			}
			for _, name := range r.libraries {
				if !slices.Contains(service.Libraries(), name) {
					t.Errorf("library %q: %s", name, r.text)
				}
			}
		}
	}
}

func FuzzFor(f *testing.F) {
	f.Add(Unpooled, "", "java", "java", "libpq", "http", uint8(0))
	f.Add(Pooled, RecycledPool, "php-fpm8.2", "php", "", "mysql", uint8(1))
	f.Add("x", "y", "\xff", "-", "1", "\x00", uint8(255))
	f.Fuzz(func(t *testing.T, verdict, kind, program, runtime, library, protocol string, flags uint8) {
		c := Case{Verdict: verdict, Kind: kind, Program: program, Runtime: runtime, Library: library, Protocol: protocol,
			PortsExhausted: flags&1 != 0, TupleInUse: flags&2 != 0, ClosedByServer: flags&4 != 0, Inbound: flags&8 != 0}
		got := For(c)
		if len(got) > Max {
			t.Fatalf("%d pieces", len(got))
		}
		if !slices.Equal(got, For(c)) {
			t.Fatal("a second call says something else")
		}
		if slices.Contains([]string{Unpooled, UndersizedPool, ConnectFailing}, verdict) && len(got) == 0 {
			t.Fatal("nothing for a verdict that needs it")
		}
		for i, a := range got {
			if a.Text == "" || a.Source == "" || slices.Contains(got[:i], a) {
				t.Fatalf("empty or twice: %q", texts(got))
			}
		}
	})
}

func BenchmarkFor(b *testing.B) {
	c := Case{Verdict: Unpooled, Program: "java", Runtime: "java", Protocol: "http"}
	for b.Loop() {
		For(c)
	}
}
