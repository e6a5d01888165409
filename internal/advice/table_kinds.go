package advice

import "slices"

// kindSections are for causes that were told apart, whatever the verdict.
var kindSections = []section{
	{kinds: of(Leak), rows: leakRows},
	{kinds: of(RetryStorm), rows: retryRows},
	{kinds: of(DualStack), side: bothSides, rows: []row{
		{source: "RFC 8305",
			text: "let the server listen on the name's other address, too, or use in the client's configuration a " +
				"name or address of the family that works."},
	}},
	{kinds: of(RecycledPool), rows: recycleRows},
	{kinds: of(ServerCloses), rows: serverClosesRows},
	{kinds: of(KeepAliveLimit), rows: keepAliveRows},
	{kinds: of(IdleTimeout), rows: idleRows},
	{kinds: of(Relay), side: bothSides, rows: relayRows},
	{
		kinds: of(LoadGenerator), side: bothSides,
		rows: slices.Concat([]row{
			{source: docHTTP,
				text: "a load generator measures what it was told to: this one connects for each request, while " +
					"production may pool. Use its keep-alive option to measure a pool."},
			{runtimes: of("java"), source: "https://jmeter.apache.org/usermanual/component_reference.html",
				text: "JMeter: check \"Use KeepAlive\" in the HTTP Request and \"Same user on each iteration\" in the " +
					"Thread Group, if production keeps connections."},
		}, generatorRows),
	},
	{
		kinds: of(HealthCheck), side: bothSides,
		rows: []row{
			{source: docTCP,
				text: "a health check connects anew each time by design, and is harmless at this rate: nothing to change."},
			{runtimes: of("haproxy"), source: docHAProxy,
				text: "haproxy: a health check connects anew each time by design, and is harmless at this rate; " +
					"\"inter\" on the server line sets how often."},
		},
	},
	{
		kinds: of(Restart), side: bothSides,
		rows: []row{
			{source: "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html",
				text: "the connects come from a restart: nothing to change, unless it restarts again and again (Restart= " +
					"and RestartSec= of its unit, and its log)."},
		},
	},
}

var leakRows = []row{
	{source: docCloseMan,
		text: "connections are opened, used and forgotten: close each one, or give it back to its pool, on every " +
			"path, also after errors."},
	{runtimes: of("go"), protocols: webOrUnknown, source: "https://pkg.go.dev/net/http#Client.Do",
		text: "Go: defer resp.Body.Close() after every request without an error, whatever its status, and set " +
			"http.Client.Timeout."},
	{runtimes: of("go"), protocols: sqlOrUnknown, source: "https://pkg.go.dev/database/sql#Rows.Close",
		text: "database/sql: defer rows.Close(), end every Tx with Commit or Rollback, and open one sql.DB instead " +
			"of one for each call."},
	{programs: of("HikariPool"), source: docHikari,
		text: "HikariCP: set leakDetectionThreshold (for example 10000 ms): it logs who took a connection and did " +
			"not close() it."},
	{runtimes: of("java"), protocols: sqlOrUnknown, source: docHikari,
		text: "JDBC: open Connection, Statement and ResultSet in try-with-resources; HikariCP's " +
			"leakDetectionThreshold logs who does not give a connection back."},
	{runtimes: of("java"), protocols: webOrUnknown,
		source: "https://lysine.dev/okhttp/5.x/okhttp/okhttp3/-response/",
		text: "Java: close every response (try-with-resources on OkHttp's Response, Apache's CloseableHttpResponse " +
			"or the body's InputStream)."},
	{runtimes: of("python"), protocols: webOrUnknown, source: docRequests + "#body-content-workflow",
		text: "Python: with stream=True, read the response or use \"with requests.get(...) as r:\"; close sessions " +
			"with \"with\", too."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: "https://www.psycopg.org/docs/usage.html#with-statement",
		text: "psycopg2: \"with conn:\" ends the transaction and not the connection: call conn.close(), or give it " +
			"back with putconn()."},
	{runtimes: of("node"), protocols: of("postgresql", ""),
		source: "https://node-postgres.com/apis/pool#releasing-clients",
		text:   "node-postgres: call client.release() in a finally block after each pool.connect(), or use pool.query()."},
	{runtimes: of("node"), protocols: of("mysql"), source: docMySQL2,
		text: "mysql2: call conn.release() in a finally block after each pool.getConnection(), or use pool.query()."},
	{runtimes: of("node"), protocols: webOrUnknown, source: docUndici + "#garbage-collection",
		text: "fetch and undici: read or cancel the body of every response; its connection is held until then."},
	{runtimes: of("dotnet"),
		source: "https://learn.microsoft.com/en-us/dotnet/standard/garbage-collection/using-objects",
		text: ".NET: dispose (\"using\") every connection, reader and HttpResponseMessage, also when an exception " +
			"is thrown."},
	{runtimes: of("ruby"), protocols: sqlOrUnknown,
		source: docRails,
		text: "ActiveRecord: in threads of your own use connection_pool.with_connection, which gives the " +
			"connection back."},
	{libraries: of("libcurl"), protocols: webOrUnknown, source: docLibcurl,
		text: "libcurl: call curl_easy_cleanup() for each easy handle, or better, use one handle for all requests."},
	{libraries: of("libpq"), protocols: of("postgresql", ""),
		source: "https://www.postgresql.org/docs/current/libpq-connect.html",
		text:   "libpq: call PQfinish() for each PGconn, also where PQstatus() says that connecting failed."},
}

var retryRows = []row{
	{source: docBackoff,
		text: "retries come without a pause: wait longer after each failure (exponential backoff with jitter), and " +
			"give up after some."},
	{runtimes: of("python"), protocols: webOrUnknown,
		source: "https://urllib3.readthedocs.io/en/stable/reference/urllib3.util.html",
		text: "requests, urllib3: max_retries=Retry(total=5, backoff_factor=1, backoff_jitter=1) in an " +
			"HTTPAdapter: exponential backoff with jitter."},
	{runtimes: of("python"), protocols: of("redis"), source: "https://redis.readthedocs.io/en/stable/retry.html",
		text: "redis-py: pass retry=Retry(ExponentialWithJitterBackoff(base=1, cap=10), 3) to the client."},
	{runtimes: of("java"), source: "https://resilience4j.readme.io/docs/retry",
		text: "Resilience4j: set IntervalFunction.ofExponentialRandomBackoff in the RetryConfig, and maxAttempts."},
	{runtimes: of("go"), source: "https://pkg.go.dev/github.com/cenkalti/backoff/v4",
		text: "Go: wait between attempts, for example with cenkalti/backoff: NewExponentialBackOff has jitter " +
			"(RandomizationFactor) and limits."},
	{runtimes: of("node"), protocols: of("redis"),
		source: "https://github.com/redis/node-redis/blob/master/docs/client-configuration.md#reconnect-strategy",
		text:   "node-redis: let socket.reconnectStrategy return a delay that grows with retries, with some jitter."},
	{runtimes: of("node"), source: "https://github.com/sindresorhus/p-retry",
		text: "Node: wait between attempts, for example with p-retry (retries, minTimeout, factor, randomize: true)."},
	{runtimes: of("dotnet"), source: "https://www.pollydocs.org/strategies/retry.html",
		text: "Polly: BackoffType = DelayBackoffType.Exponential and UseJitter = true in RetryStrategyOptions."},
	{runtimes: of("ruby"), protocols: webOrUnknown, source: "https://github.com/lostisland/faraday-retry",
		text: "Faraday: set interval, backoff_factor and interval_randomness of the retry middleware."},
	{runtimes: of("curl"), source: docCurl,
		text: "curl: use --retry N (with --retry-connrefused) instead of a loop: it waits 1 s, then twice as long " +
			"each time."},
	{runtimes: of("shell"), source: docBackoff,
		text: "shell: sleep between attempts, twice as long after each failure, and give up after some."},
	{runtimes: of("nginx"), source: docNginxUpstream + "#server",
		text: "nginx: raise fail_timeout (10 s) of the server in the upstream block, and limit " +
			"proxy_next_upstream_tries."},
	{runtimes: of("haproxy"), source: docHAProxy,
		text: "haproxy: lower \"retries\" (3), and use \"check\" with fall and rise, so that a server that is down " +
			"is not asked."},
	{protocols: of("kafka"), source: docKafka,
		text: "if this is Kafka: raise reconnect.backoff.ms (50) and reconnect.backoff.max.ms (1000) of the client."},
}

var recycleRows = []row{
	{source: docTCP,
		text: "the pool replaces its connections too often: raise their longest lifetime, idle time or number of " +
			"uses to minutes, not seconds."},
	{runtimes: of("java"), protocols: sqlOrUnknown, source: docHikari,
		text: "HikariCP: raise maxLifetime (30 minutes by default) and idleTimeout (10 minutes)."},
	{programs: of("HikariPool"), source: docHikari,
		text: "HikariCP: raise maxLifetime (30 minutes by default) and idleTimeout (10 minutes)."},
	{runtimes: of("java"), protocols: web, source: docOkHTTP,
		text: "OkHttp: raise keepAliveDuration (5 minutes) of the ConnectionPool; Apache HttpClient: the manager's " +
			"time to live."},
	{runtimes: of("go"), protocols: sqlOrUnknown, source: "https://pkg.go.dev/database/sql#DB.SetConnMaxLifetime",
		text: "database/sql: raise SetConnMaxLifetime and SetConnMaxIdleTime (no limit by default) to minutes."},
	{runtimes: of("go"), protocols: web, source: docGoTransport,
		text: "Go: raise http.Transport.IdleConnTimeout (90 s in DefaultTransport; 0: no limit), and look for " +
			"CloseIdleConnections()."},
	{runtimes: of("go"), protocols: of("redis"), source: docGoRedis,
		text: "go-redis: raise ConnMaxIdleTime (30 minutes by default) and ConnMaxLifetime (no limit by default)."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docSQLAlchemy,
		text: "SQLAlchemy: raise pool_recycle (-1 by default: never)."},
	{runtimes: of("python"), protocols: of("postgresql"), source: docPsycopgAPI,
		text: "psycopg_pool: raise max_lifetime (3600 s by default) and max_idle (600 s)."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docDjango,
		text: "Django: raise CONN_MAX_AGE; None keeps connections as long as the worker lives."},
	{runtimes: of("python"), protocols: web, source: docHTTPX,
		text: "httpx: raise keepalive_expiry of httpx.Limits (5 s by default); aiohttp: keepalive_timeout of the " +
			"TCPConnector (15 s)."},
	{programs: of("gunicorn"), source: docGunicorn + "#max_requests",
		text: "gunicorn: --max-requests restarts a worker and with it all its connections: raise it, or set it to 0."},
	{programs: of("celery", "celeryd"), source: docCelery + "#worker-max-tasks-per-child",
		text: "Celery: worker_max_tasks_per_child replaces a process and with it all its connections: raise it."},
	{runtimes: of("node"), protocols: of("postgresql", ""), source: docNodePG,
		text: "node-postgres: raise idleTimeoutMillis (10 s by default), maxUses and maxLifetimeSeconds of the pg.Pool."},
	{runtimes: of("node"), protocols: of("mysql"), source: docMySQL2,
		text: "mysql2: raise idleTimeout (60 s by default) of createPool(), and maxIdle."},
	{runtimes: of("node"), protocols: webOrUnknown, source: docUndici,
		text: "undici: raise keepAliveTimeout (4 s by default) of the Agent; http.Agent: raise timeout."},
	{runtimes: of("php"), source: docFPM,
		text: "php-fpm: pm.max_requests ends a worker and its persistent connections: raise it; pm = ondemand ends " +
			"idle ones (pm.process_idle_timeout)."},
	{runtimes: of("dotnet"), protocols: webOrUnknown, source: docSocketsHTTP,
		text: ".NET: raise PooledConnectionLifetime (no limit by default) and PooledConnectionIdleTimeout (1 " +
			"minute; 2 before .NET 6) of the SocketsHttpHandler."},
	{runtimes: of("dotnet"), protocols: of("postgresql"), source: docNpgsql,
		text: "Npgsql: raise Connection Idle Lifetime (300 s by default) and Connection Lifetime (3600 s; no limit " +
			"before Npgsql 9)."},
	{runtimes: of("dotnet"), protocols: of("mssql", "mysql", "oracle"), source: docADO,
		text: "ADO.NET: raise Load Balance Timeout (Connection Lifetime; 0, no limit, by default), and set Min " +
			"Pool Size."},
	{runtimes: of("ruby"), protocols: sqlOrUnknown, source: docRails,
		text: "ActiveRecord: raise idle_timeout (300 s by default) in database.yml."},
	{runtimes: of("rust"), protocols: webOrUnknown, source: docReqwest,
		text: "reqwest: raise pool_idle_timeout (90 s by default) of the ClientBuilder."},
	{runtimes: of("rust"), protocols: sql, source: docSqlx,
		text: "sqlx: raise max_lifetime and idle_timeout of the PoolOptions."},
	{runtimes: of("nginx"), protocols: webOrUnknown, source: docNginxUpstream + "#keepalive_requests",
		text: "nginx: raise keepalive_requests (1000; 100 before 1.19.10), keepalive_time (1 h) and " +
			"keepalive_timeout (60 s) in the upstream block."},
	{runtimes: of("haproxy"), source: docHAProxy,
		text: "haproxy: raise pool-purge-delay (5 s by default: so often are half of the idle connections closed) " +
			"and pool-low-conn of the server."},
	{runtimes: of("envoy"), source: docEnvoyHTTP,
		text: "envoy: raise max_requests_per_connection, max_connection_duration and idle_timeout (1 h by default) " +
			"in the cluster's HttpProtocolOptions."},
	{runtimes: of("apache"), source: docModProxy,
		text: "mod_proxy: raise ttl in ProxyPass; MaxConnectionsPerChild above 0 ends a process and with it all " +
			"its connections."},
	{runtimes: of("pgbouncer"), source: docPgBouncer,
		text: "pgbouncer: raise server_lifetime (3600 s by default) and server_idle_timeout (600 s)."},
	{libraries: of("libcurl"), protocols: webOrUnknown, source: "https://curl.se/libcurl/c/CURLOPT_MAXAGE_CONN.html",
		text: "libcurl: raise CURLOPT_MAXAGE_CONN (118 s idle by default) and CURLOPT_MAXLIFETIME_CONN (24 h; no " +
			"limit before 8.17)."},
}

// serverClosesRows are for clients whose server closes after the answer: often because the client asks for it.
var serverClosesRows = []row{
	{source: docTCP,
		text: "the other end closes first, so TIME_WAIT is there: change its keep-alive settings, or what this " +
			"side sends that makes it close."},
	{protocols: web, source: docHTTP,
		text: "if this is HTTP: look for \"Connection: close\" or HTTP/1.0 in requests and answers; on the server: " +
			"nginx keepalive_timeout and keepalive_requests, Apache KeepAlive On."},
	{runtimes: of("nginx"), protocols: webOrUnknown, source: docNginxUpstream + "#keepalive",
		text: "nginx before 1.29.7: unless \"proxy_http_version 1.1;\" and 'proxy_set_header Connection \"\";' are " +
			"set, it asks the server to close; then \"keepalive 32;\" in the upstream block."},
	{runtimes: of("nginx"), protocols: of("fastcgi", ""),
		source: "https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_keep_conn",
		text: "nginx: without \"fastcgi_keep_conn on;\" it asks the FastCGI server to close after each answer; " +
			"then \"keepalive 8;\" in the upstream block."},
	{runtimes: of("haproxy"), protocols: webOrUnknown, source: docHAProxy,
		text: "haproxy: remove \"option httpclose\" and \"option http-server-close\", and use \"http-reuse safe\"."},
	{runtimes: of("apache"), protocols: webOrUnknown, source: docModProxy,
		text: "mod_proxy: remove SetEnv proxy-nokeepalive and force-proxy-request-1.0, and disablereuse=on."},
	{runtimes: of("python"), protocols: webOrUnknown, source: "https://docs.python.org/3/library/urllib.request.html",
		text: "Python: urllib.request sends \"Connection: close\" with every request: use a requests.Session or a " +
			"urllib3.PoolManager."},
	{runtimes: of("php"), protocols: webOrUnknown,
		source: "https://github.com/php/php-src/blob/master/ext/standard/http_fopen_wrapper.c",
		text: "PHP: file_get_contents() and the http:// streams send \"Connection: close\": use one curl handle " +
			"for all requests."},
	{runtimes: of("node"), protocols: webOrUnknown, source: docNodeHTTP + "#class-httpagent",
		text: "Node: an http.Agent without keepAlive: true (the default before Node 19), or agent: false, sends " +
			"\"Connection: close\"."},
	{runtimes: of("go"), protocols: webOrUnknown, source: docGoTransport,
		text: "Go: DisableKeepAlives in http.Transport, or req.Close = true, sends \"Connection: close\": remove it."},
	{runtimes: of("java"), protocols: webOrUnknown, source: docJavaKeep,
		text: "HttpURLConnection: http.keepAlive=false, or a header Connection: close of its own, makes the server " +
			"close: remove it."},
	{runtimes: of("perl"), protocols: webOrUnknown, source: "https://metacpan.org/pod/LWP::UserAgent",
		text: "Perl: LWP::UserAgent without keep_alive asks the server to close: set keep_alive => 1."},
	{runtimes: of("ab"), source: "https://httpd.apache.org/docs/2.4/programs/ab.html",
		text: "ab: without -k it speaks HTTP/1.0 and the server closes after each answer; use -k if production " +
			"keeps connections."},
	{protocols: of("mysql"), source: docMySQL,
		text: "if this is MySQL: the server ends sessions after wait_timeout (28800 s), or because of an error: " +
			"see Aborted_clients."},
	{protocols: of("redis"), source: "https://redis.io/docs/latest/develop/reference/clients/",
		text: "if this is Redis: the server closes after QUIT, above maxclients, over its output buffer limits, or " +
			"after \"timeout\" idle seconds (0: never)."},
	{protocols: of("postgresql"), source: docPostgres,
		text: "if this is PostgreSQL: the server ends sessions after idle_session_timeout and " +
			"idle_in_transaction_session_timeout (0: never), or in a pooler its own limits."},
}

var keepAliveRows = []row{
	{source: docHTTP,
		text: "the server closes after a number of requests: raise its limit; a pool may as well live with it: one " +
			"connect for so many requests."},
	{protocols: web, source: docNginxCore + "#keepalive_requests",
		text: "if this is HTTP: raise the server's limit: nginx keepalive_requests (1000; 100 before 1.19.10), " +
			"Apache MaxKeepAliveRequests (100), Tomcat maxKeepAliveRequests (100)."},
}

var idleRows = []row{
	{source: docTCP,
		text: "the server closes what is idle: raise its idle timeout, or let this side's pool give connections up " +
			"a little sooner than that."},
	{protocols: web, source: docNginxCore + "#keepalive_timeout",
		text: "if this is HTTP: raise the server's limit (nginx keepalive_timeout 75 s, Apache KeepAliveTimeout 5 " +
			"s, Node keepAliveTimeout 5 s up to Node 26), and keep the client's idle time below it."},
	{protocols: of("mysql"), source: docMySQL,
		text: "if this is MySQL: wait_timeout (28800 s by default) ends idle sessions: raise it, or keep the " +
			"pool's idle time and lifetime below it."},
	{protocols: of("postgresql"), source: docPostgres,
		text: "if this is PostgreSQL: idle_session_timeout (0, never, by default) ends idle sessions; behind " +
			"pgbouncer client_idle_timeout does."},
	{protocols: of("redis"), source: "https://redis.io/docs/latest/develop/reference/clients/",
		text: "if this is Redis: \"timeout\" in redis.conf (0, never, by default) ends idle connections: raise it, " +
			"or keep the pool's idle time below it."},
	{protocols: of("memcached"), source: "https://github.com/memcached/memcached/blob/master/memcached.c",
		text: "if this is memcached: -o idle_timeout (0, never, by default) ends idle connections: raise it."},
	{runtimes: of("java"), protocols: sqlOrUnknown, source: docHikari,
		text: "HikariCP: set maxLifetime some seconds below the server's limit, and keepaliveTime below its idle " +
			"timeout."},
	{runtimes: of("go"), protocols: sqlOrUnknown, source: "https://pkg.go.dev/database/sql#DB.SetConnMaxIdleTime",
		text: "database/sql: set SetConnMaxIdleTime below the server's idle timeout."},
	{runtimes: of("go"), protocols: web, source: docGoTransport,
		text: "Go: set http.Transport.IdleConnTimeout (90 s in DefaultTransport) below the server's keep-alive timeout."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docSQLAlchemy,
		text: "SQLAlchemy: set pool_recycle below the server's idle timeout, and pool_pre_ping=True to replace " +
			"what it has closed."},
	{runtimes: of("node"), protocols: of("postgresql", ""), source: docNodePG,
		text: "node-postgres: set idleTimeoutMillis of the pg.Pool below the server's idle timeout."},
	{runtimes: of("dotnet"), protocols: webOrUnknown, source: docSocketsHTTP,
		text: ".NET: set PooledConnectionIdleTimeout (1 minute) of the SocketsHttpHandler below the server's " +
			"keep-alive timeout."},
	{runtimes: of("nginx"), protocols: webOrUnknown, source: docNginxUpstream + "#keepalive_timeout",
		text: "nginx: keepalive_timeout (60 s) in the upstream block must stay below the backend's own: gunicorn's " +
			"is 2 s, Node's 5 s up to Node 26."},
}

var relayRows = []row{
	{source: docTCP,
		text: "a relay connects once for each client it accepts, so pooling belongs into its clients; or let it " +
			"speak the protocol (HTTP) itself."},
	{runtimes: of("haproxy"), source: docHAProxy,
		text: "haproxy: mode tcp connects once for each client; use \"mode http\" with \"http-reuse safe\", or " +
			"pool in its clients."},
	{runtimes: of("nginx"), source: "https://nginx.org/en/docs/stream/ngx_stream_proxy_module.html",
		text: "nginx: stream connects once for each client; use http with \"keepalive 32;\" in the upstream block, " +
			"or pool in its clients."},
	{runtimes: of("envoy"),
		source: "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/listeners/tcp_proxy",
		text: "envoy: tcp_proxy connects once for each client; use the http_connection_manager, which pools, or " +
			"pool in its clients."},
	{protocols: of("postgresql"), source: "https://www.pgbouncer.org/features.html",
		text: "a relay connects once for each client it accepts: if this is PostgreSQL, put pgbouncer (pool_mode = " +
			"transaction) in its place."},
	{protocols: of("mysql"), source: "https://proxysql.com/documentation/",
		text: "a relay connects once for each client it accepts: if this is MySQL, put ProxySQL in its place, " +
			"which pools."},
}

// generatorRows are for programs that do nothing but load a server. What they do says nothing of production.
var generatorRows = []row{
	{programs: of("ab"), source: "https://httpd.apache.org/docs/2.4/programs/ab.html",
		text: "ab: add -k (keep-alive) to measure a client that pools; without it every request connects, which " +
			"production may not do."},
	{programs: of("wrk"), source: "https://github.com/wg/wrk",
		text: "wrk: it keeps its -c connections unless told or made to close: look for -H \"Connection: close\" " +
			"and a server that closes."},
	{programs: of("hey"), source: "https://github.com/rakyll/hey",
		text: "hey: remove -disable-keepalive to measure a client that pools; if it is not set, the server closes."},
	{programs: of("oha"), source: "https://github.com/hatoo/oha",
		text: "oha: remove --disable-keepalive to measure a client that pools."},
	{programs: of("pgbench"), source: "https://www.postgresql.org/docs/current/pgbench.html",
		text: "pgbench: remove -C (--connect), which connects for each transaction, to measure a client that pools."},
	{programs: of("redis-benchmark", "valkey-benchmark", "valkey-benchmar"),
		source: "https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/benchmarks/",
		text:   "redis-benchmark: use -k 1 (the default) to measure a client that pools; -k 0 connects for each request."},
	{programs: of("memtier_benchmark", "memtier_benchma"), source: "https://github.com/redis/memtier_benchmark",
		text: "memtier_benchmark: remove --reconnect-interval to measure a client that pools."},
	{programs: of("siege"), source: "https://www.joedog.org/siege-manual/",
		text: "siege: set \"connection = keep-alive\" in siege.conf to measure a client that pools; the default is " +
			"close."},
	{programs: of("h2load"), source: "https://nghttp2.org/documentation/h2load.1.html",
		text: "h2load: it uses its -c connections for all -n requests: if there are more, the server closes them."},
	{programs: of("k6"), source: "https://grafana.com/docs/k6/latest/using-k6/k6-options/reference/",
		text: "k6: leave noConnectionReuse and noVUConnectionReuse false to measure a client that pools."},
	{programs: of("vegeta"), source: "https://github.com/tsenart/vegeta",
		text: "vegeta: leave -keepalive true, and raise -connections (idle ones for each host), to measure a " +
			"client that pools."},
	{programs: of("sysbench"), source: "https://github.com/akopytov/sysbench",
		text: "sysbench: leave --reconnect at 0 to measure a client that pools."},
	{programs: of("mysqlslap"), source: "https://dev.mysql.com/doc/refman/8.4/en/mysqlslap.html",
		text: "mysqlslap: remove --detach, which reconnects after so many statements, to measure a client that pools."},
	{programs: of("locust"), source: "https://docs.locust.io/en/stable/writing-a-locustfile.html",
		text: "Locust: each user keeps its own session: use self.client in the tasks, and no requests.get()."},
}
