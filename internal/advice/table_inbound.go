package advice

// inboundSections are for servers: their clients decide whether connections are reused, within the limits they set.
var inboundSections = []section{
	{
		side: inbound, closedByServer: true, verdicts: of(Unpooled, UndersizedPool), kinds: of(""),
		rows: limitRows,
	},
	{
		side: inbound, kinds: of(ServerCloses, KeepAliveLimit, IdleTimeout),
		rows: limitRows,
	},
	{
		side: inbound, verdicts: of(Unpooled, UndersizedPool, ConnectFailing), kinds: of(""),
		rows: []row{
			{source: docTCP,
				text: "the remote client opens these connections and should reuse them: there is nothing to pool on this " +
					"side."},
			{protocols: web, source: docHTTP,
				text: "the remote client should reuse its connections (HTTP keep-alive, one client object with a pool): " +
					"there is nothing to pool on this side."},
		},
	},
	{
		side: inbound, kinds: of(RetryStorm),
		rows: []row{
			{source: docBackoff,
				text: "the remote client comes again without a pause: it should wait longer after each failure " +
					"(exponential backoff with jitter)."},
		},
	},
	{
		side: inbound, kinds: of(RecycledPool),
		rows: []row{
			{source: docTCP,
				text: "the remote client's pool replaces its connections too often: its longest lifetime or idle time " +
					"should be minutes, not seconds."},
		},
	},
	{
		side: inbound, kinds: of(Leak),
		rows: []row{
			{source: docCloseMan,
				text: "connections are accepted and never closed: where CLOSE_WAIT grows, this program forgets to " +
					"close() after its client has; else the client forgets."},
		},
	},
}

// limitRows are the settings of servers that close first.
var limitRows = []row{
	{source: docTCP,
		text: "this side closes first, so TIME_WAIT is here: raise its keep-alive timeout and number of requests, " +
			"for clients that could reuse connections."},
	{runtimes: of("nginx"), source: docNginxCore + "#keepalive_timeout",
		text: "nginx: keepalive_timeout (75 s; 0 turns keep-alive off) and keepalive_requests (1000; 100 before " +
			"1.19.10) decide how long clients may reuse a connection."},
	{runtimes: of("apache"), source: docApacheCore + "#keepalive",
		text: "Apache: KeepAlive On, MaxKeepAliveRequests (100) and KeepAliveTimeout (5 s) decide how long clients " +
			"may reuse a connection."},
	{programs: of("gunicorn"), source: docGunicorn + "#keepalive",
		text: "gunicorn: its default worker, sync, closes after each answer; with -k gthread, --keep-alive (2 s) " +
			"decides."},
	{programs: of("uvicorn"), source: "https://uvicorn.dev/settings/",
		text: "uvicorn: --timeout-keep-alive (5 s) decides how long clients may reuse an idle connection."},
	{programs: of("uwsgi", "uwsgi-core"), source: "https://uwsgi-docs.readthedocs.io/en/latest/HTTP.html",
		text: "uwsgi: its http router closes after each answer without --http-keepalive; the uwsgi protocol has no " +
			"keep-alive."},
	{runtimes: of("node"), source: docNodeHTTP + "#serverkeepalivetimeout",
		text: "Node: server.keepAliveTimeout (5 s up to Node 26) and server.maxRequestsPerSocket (0: no limit) decide " +
			"how long clients may reuse a connection."},
	{runtimes: of("go"), source: "https://pkg.go.dev/net/http#Server",
		text: "Go: http.Server.IdleTimeout (ReadTimeout where it is 0) decides how long clients may reuse an idle " +
			"connection; look for SetKeepAlivesEnabled(false)."},
	{runtimes: of("java"), source: "https://tomcat.apache.org/tomcat-10.1-doc/config/http.html",
		text: "Tomcat: maxKeepAliveRequests (100) and keepAliveTimeout of the Connector decide how long clients " +
			"may reuse a connection."},
	{runtimes: of("dotnet"),
		source: "https://learn.microsoft.com/en-us/dotnet/api/" +
			"microsoft.aspnetcore.server.kestrel.core.kestrelserverlimits.keepalivetimeout",
		text: "Kestrel: Limits.KeepAliveTimeout (130 s) decides how long clients may reuse an idle connection."},
	{runtimes: of("ruby"), source: "https://puma.io/puma/Puma/DSL.html",
		text: "Puma: persistent_timeout (65 s; 20 s before Puma 7) decides how long clients may reuse an idle connection."},
	{runtimes: of("haproxy"), source: docHAProxy,
		text: "haproxy: remove \"option httpclose\"; \"timeout http-keep-alive\" decides how long clients may " +
			"reuse an idle connection."},
	{runtimes: of("envoy"), source: docEnvoyHTTP,
		text: "envoy: idle_timeout, max_connection_duration and max_requests_per_connection of the " +
			"http_connection_manager's common_http_protocol_options decide."},
	{programs: of("mysqld", "mariadbd"), source: docMySQL,
		text: "MySQL: wait_timeout (28800 s by default) ends idle sessions."},
	{programs: of("postgres"), source: docPostgres,
		text: "PostgreSQL: idle_session_timeout and idle_in_transaction_session_timeout (0, never, by default) end " +
			"idle sessions."},
	{programs: of("redis-server", "valkey-server"), source: "https://redis.io/docs/latest/develop/reference/clients/",
		text: "Redis: \"timeout\" in redis.conf (0, never, by default) ends idle connections."},
	{programs: of("pgbouncer"), source: docPgBouncer,
		text: "pgbouncer: client_idle_timeout (0, never, by default) ends idle clients."},
}
