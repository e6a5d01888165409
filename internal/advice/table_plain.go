package advice

import "slices"

// plainSections are for verdicts whose cause was not told apart further.
var plainSections = []section{
	{verdicts: of(Unpooled), kinds: of(""), rows: slices.Concat(reuseRows, generatorRows)},
	{verdicts: of(UndersizedPool), kinds: of(""), rows: slices.Concat(sizeRows, generatorRows)},
	{
		verdicts: of(ConnectFailing), kinds: of(""),
		rows: []row{
			{source: docBackoff,
				text: "repair the destination, or its address in this service's configuration, and let retries wait " +
					"longer each time."},
			{runtimes: of("nginx"), source: docNginxUpstream + "#server",
				text: "nginx: repair the server or its address in the upstream block; max_fails and fail_timeout keep " +
					"nginx from asking it again at once."},
			{runtimes: of("haproxy"), source: docHAProxy,
				text: "haproxy: repair the server or its address; \"check\" on its server line takes it out of use while " +
					"it does not answer."},
		},
	},
}

// reuseRows say how connections are kept and used again.
var reuseRows = slices.Concat([]row{
	{source: docTCP,
		text: "keep connections open and reuse them: a connection pool, or keep-alive, created once and shared by " +
			"all callers."},
}, reuseByRuntime, reuseInProxies, reuseInCommands, reuseByLibrary, reuseByProtocol)

var reuseByRuntime = []row{
	// Java
	{runtimes: of("java"), protocols: webOrUnknown, source: docJavaClient,
		text: "java.net.http.HttpClient, OkHttpClient: build one and share it between all requests; every instance " +
			"has a connection pool of its own (OkHttp: ConnectionPool)."},
	{runtimes: of("java"), protocols: sqlOrUnknown, source: docHikari,
		text: "JDBC: take connections from one pool, such as HikariCP (maximumPoolSize), instead of " +
			"DriverManager.getConnection() for each request."},
	{runtimes: of("java"), protocols: webOrUnknown, source: docApacheHC,
		text: "Apache HttpClient: share one client with a PoolingHttpClientConnectionManager (setMaxPerRoute), and " +
			"read every response to its end (EntityUtils.consume)."},
	{runtimes: of("java"), protocols: web, source: docJavaKeep,
		text: "HttpURLConnection: read the response, or getErrorStream(), to its end and do not call disconnect(); " +
			"http.keepAlive must be true, http.maxConnections is 5."},
	{runtimes: of("java"), protocols: of("redis"), source: docJedis,
		text: "Jedis: share one RedisClient (JedisPooled before 7), or a JedisPool whose connections are given back " +
			"with close(); Lettuce: share one StatefulRedisConnection."},
	{programs: of("HikariPool"), source: docHikari,
		text: "HikariCP: leave minimumIdle unset, so that the pool has a fixed size: what is above minimumIdle is " +
			"closed after idleTimeout."},

	// Go
	{runtimes: of("go"), protocols: webOrUnknown, source: docGoTransport,
		text: "Go: share one http.Client (its http.Transport is the pool), and read every resp.Body to its end " +
			"before Close()."},
	{runtimes: of("go"), protocols: sqlOrUnknown, source: docGoSQL,
		text: "database/sql: call sql.Open once and share the sql.DB; SetMaxIdleConns (2 by default) should be as " +
			"high as the number of concurrent queries."},
	{runtimes: of("go"), protocols: web, source: docGoTransport,
		text: "Go: look for a new http.Transport for each request, DisableKeepAlives, and req.Close = true: each " +
			"of them ends reuse."},
	{runtimes: of("go"), protocols: of("redis"), source: docGoRedis,
		text: "go-redis: create one redis.Client and share it; PoolSize limits its pool."},

	// Python
	{runtimes: of("python"), protocols: webOrUnknown, source: docRequests + "#session-objects",
		text: "Python: use one requests.Session instead of requests.get(), one httpx.Client, or one " +
			"aiohttp.ClientSession, for all requests."},
	{runtimes: of("python"), protocols: web, source: docURLLib3,
		text: "urllib3: share one PoolManager; urllib.request never reuses a connection."},
	{runtimes: of("python"), protocols: of("postgresql"), source: docPsycopg,
		text: "psycopg: take connections from one psycopg_pool.ConnectionPool instead of psycopg.connect() for " +
			"each query."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docSQLAlchemy,
		text: "SQLAlchemy: call create_engine() once for each process (pool_size is 5); poolclass=NullPool " +
			"connects for each use."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docDjango,
		text: "Django: set CONN_MAX_AGE; it is 0 by default, which closes the connection after each request."},
	{runtimes: of("python"), protocols: of("redis"), source: docRedisPy,
		text: "redis-py: create one redis.Redis and share it; it keeps its connections in a redis.ConnectionPool."},
	{runtimes: of("python"), programs: of("celery", "celeryd"), protocols: of("amqp", "redis"),
		source: docCelery + "#broker-pool-limit",
		text: "Celery: broker_pool_limit (10 by default) keeps connections to the broker; 0 or None connects anew " +
			"for each use."},

	// Node
	{runtimes: of("node"), protocols: webOrUnknown, source: docNodeHTTP + "#class-httpagent",
		text: "Node: give all requests one http.Agent (https.Agent) with keepAlive: true; before Node 19 the " +
			"default agent closes after each response."},
	{runtimes: of("node"), protocols: web, source: docUndici + "#garbage-collection",
		text: "fetch and undici: share one undici Agent, and read or cancel every response body: until then its " +
			"connection is not used again."},
	{runtimes: of("node"), protocols: of("postgresql", ""), source: "https://node-postgres.com/features/pooling",
		text: "node-postgres: use one pg.Pool and its query() instead of a pg.Client for each query."},
	{runtimes: of("node"), protocols: of("mysql", ""), source: docMySQL2,
		text: "mysql2: use one createPool() instead of createConnection() for each query."},
	{runtimes: of("node"), protocols: of("redis"), source: docNodeRedis,
		text: "node-redis, ioredis: create one client when the program starts and share it, instead of one for " +
			"each command."},

	// PHP
	{runtimes: of("php"), protocols: of("mysql"), source: "https://www.php.net/manual/en/mysqli.persistconns.php",
		text: "PHP: connect with PDO::ATTR_PERSISTENT => true; mysqli: put \"p:\" before the host's name."},
	{runtimes: of("php"), protocols: of("postgresql"),
		source: "https://www.php.net/manual/en/function.pg-pconnect.php",
		text: "PHP: pg_pconnect() instead of pg_connect(), or PDO::ATTR_PERSISTENT => true; for many workers put " +
			"pgbouncer in between."},
	{runtimes: of("php"), protocols: of("redis"), source: "https://github.com/phpredis/phpredis",
		text: "phpredis: pconnect() instead of connect(); Predis: 'persistent' => true."},
	{runtimes: of("php"), protocols: of("memcached"), source: "https://www.php.net/manual/en/memcached.construct.php",
		text: "PHP: give new Memcached() a persistent_id, and add servers only where getServerList() is empty."},
	{runtimes: of("php"), protocols: webOrUnknown,
		source: "https://www.php.net/manual/en/function.curl-share-init-persistent.php",
		text: "PHP: reuse one curl handle for all requests of a page; from PHP 8.5 on curl_share_init_persistent() " +
			"keeps connections between pages."},
	{runtimes: of("php"), protocols: of("mssql", "oracle", ""), source: docPHPPersistent,
		text: "PHP: for databases use persistent connections: PDO::ATTR_PERSISTENT => true, or the extension's " +
			"pconnect()."},

	// .NET
	{runtimes: of("dotnet"), protocols: webOrUnknown, source: docDotnetHTTP,
		text: ".NET: share one HttpClient with PooledConnectionLifetime, or take it from IHttpClientFactory: each " +
			"new HttpClient has a pool of its own (SocketsHttpHandler)."},
	{runtimes: of("dotnet"), protocols: of("postgresql"), source: docNpgsql,
		text: "Npgsql: leave Pooling=true in the connection string, use the same string everywhere (each has a " +
			"pool of its own), and dispose every connection."},
	{runtimes: of("dotnet"), protocols: of("mssql", "mysql", "oracle", ""), source: docADO,
		text: "ADO.NET: leave Pooling=true, use the same connection string everywhere (each has a pool of its " +
			"own), and dispose every connection."},
	{runtimes: of("dotnet"), protocols: of("redis"),
		source: "https://stackexchange.github.io/StackExchange.Redis/Basics.html",
		text:   "StackExchange.Redis: create one ConnectionMultiplexer and share it."},

	// Ruby, Perl, Rust, Erlang
	{runtimes: of("ruby"), protocols: webOrUnknown, source: "https://docs.ruby-lang.org/en/master/Net/HTTP.html",
		text: "Ruby: make several requests within one Net::HTTP.start block, or use net-http-persistent; " +
			"Net::HTTP.get connects for each request."},
	{runtimes: of("ruby"), protocols: sqlOrUnknown, source: docRails,
		text: "ActiveRecord: let its pool (max_connections in database.yml, \"pool\" before Rails 8.1) hold the " +
			"connections, without establish_connection for each job."},
	{runtimes: of("ruby"), protocols: of("redis", "memcached"), source: docConnectionPool,
		text: "Ruby: keep one client for each thread, or share a ConnectionPool of the connection_pool gem."},
	{runtimes: of("perl"), protocols: webOrUnknown, source: "https://metacpan.org/pod/LWP::UserAgent",
		text: "Perl: use one LWP::UserAgent with keep_alive => 1, or one HTTP::Tiny, for all requests."},
	{runtimes: of("perl"), protocols: sqlOrUnknown, source: "https://metacpan.org/pod/DBI",
		text: "DBI: connect_cached() instead of connect(); under mod_perl, Apache::DBI."},
	{runtimes: of("rust"), protocols: webOrUnknown,
		source: "https://docs.rs/reqwest/latest/reqwest/struct.Client.html",
		text: "reqwest: build one Client and clone it: every Client::new() and reqwest::get() has a connection " +
			"pool of its own."},
	{runtimes: of("rust"), protocols: sqlOrUnknown, source: docSqlx,
		text: "sqlx: create one pool (PoolOptions::max_connections) and share it; diesel and tokio-postgres: r2d2 " +
			"or deadpool."},
	{runtimes: of("rust"), protocols: of("redis"), source: "https://docs.rs/redis/latest/redis/",
		text: "redis-rs: clone one MultiplexedConnection or ConnectionManager instead of get_connection() for each " +
			"command."},
	{runtimes: of("erlang"), protocols: webOrUnknown, source: "https://hexdocs.pm/finch/Finch.html",
		text: "Elixir, Erlang: start one Finch or hackney pool under the supervisor, and name it in every request."},
	{runtimes: of("erlang"), protocols: sqlOrUnknown, source: "https://hexdocs.pm/ecto/Ecto.Repo.html",
		text: "Ecto: start one Repo under the supervisor; it keeps pool_size connections."},
}

var reuseInProxies = []row{
	{runtimes: of("nginx"), protocols: webOrUnknown, source: docNginxUpstream + "#keepalive",
		text: "nginx: put \"keepalive 32;\" into the upstream block, and \"proxy_http_version 1.1;\" and " +
			"'proxy_set_header Connection \"\";' beside proxy_pass (both are the default since 1.29.7)."},
	{runtimes: of("nginx"), protocols: of("fastcgi", ""),
		source: "https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_keep_conn",
		text: "nginx: for FastCGI put \"keepalive 8;\" into the upstream block, and \"fastcgi_keep_conn on;\" " +
			"beside fastcgi_pass."},
	{runtimes: of("nginx"), protocols: of("memcached"), source: docNginxUpstream + "#keepalive",
		text: "nginx: put \"keepalive 32;\" into the upstream block that memcached_pass names."},
	{runtimes: of("nginx"), protocols: of("redis", "mysql", "postgresql"),
		source: "https://github.com/openresty/lua-nginx-module#tcpsocksetkeepalive",
		text:   "OpenResty: end each use of a resty client with set_keepalive() instead of close()."},
	{runtimes: of("haproxy"), protocols: webOrUnknown, source: docHAProxy,
		text: "haproxy: mode http with \"http-reuse safe\" (or aggressive, always), without \"option httpclose\" " +
			"and \"option http-server-close\"; pool-max-conn must not be 0."},
	{runtimes: of("envoy"), protocols: webOrUnknown, source: docEnvoyPool,
		text: "envoy: max_requests_per_connection must not be 1, nor idle_timeout short, in the cluster's " +
			"HttpProtocolOptions; tcp_proxy cannot pool."},
	{runtimes: of("apache"), protocols: webOrUnknown, source: docModProxy,
		text: "mod_proxy: name the backend in ProxyPass with enablereuse=on (never disablereuse=on); what " +
			"RewriteRule [P] sends there is pooled only if a <Proxy> block names it."},
	{runtimes: of("squid"), protocols: webOrUnknown,
		source: "https://www.squid-cache.org/Doc/config/server_persistent_connections/",
		text:   "squid: leave server_persistent_connections on."},
	{runtimes: of("varnish"), protocols: webOrUnknown,
		source: "https://varnish-cache.org/docs/trunk/reference/varnishd.html",
		text: "Varnish: raise backend_idle_timeout (60 s), do not set bereq.http.Connection to close, and avoid " +
			"return (pipe)."},
	{runtimes: of("pgbouncer"), source: docPgBouncer,
		text: "pgbouncer: set min_pool_size, and raise server_idle_timeout (600 s) and server_lifetime (3600 s), " +
			"so that server connections outlast quiet times."},
	{runtimes: of("pgpool"),
		source: "https://www.pgpool.net/docs/latest/en/html/runtime-config-connection-pooling.html",
		text: "Pgpool-II: leave connection_cache on, and raise connection_life_time and max_pool (one for each " +
			"user and database)."},
	{runtimes: of("proxysql"), source: docProxySQL,
		text: "ProxySQL: raise mysql-free_connections_pct (10 % of the server's max_connections): idle connections " +
			"above it are closed."},
}

var reuseInCommands = []row{
	{runtimes: of("curl"), source: docCurl,
		text: "curl: each process connects anew; name many URLs in one command (-K FILE, URL globbing, " +
			"--parallel), or use a client library in a program that stays."},
	{runtimes: of("wget"), source: "https://www.gnu.org/software/wget/manual/wget.html",
		text: "wget: each process connects anew; name all URLs in one command (-i FILE)."},
	{runtimes: of("psql"), source: "https://www.postgresql.org/docs/current/app-psql.html",
		text: "psql: each process connects anew; run many statements in one (-f FILE, or several -c), or put " +
			"pgbouncer in between."},
	{runtimes: of("mysql"), source: "https://dev.mysql.com/doc/refman/8.4/en/mysql-batch-commands.html",
		text: "mysql: each process connects anew; run many statements in one (mysql < FILE)."},
	{runtimes: of("redis-cli"), source: "https://redis.io/docs/latest/develop/tools/cli/",
		text: "redis-cli: each process connects anew; send many commands to one (redis-cli < FILE, --pipe)."},
	{runtimes: of("shell"), source: "https://www.gnu.org/software/bash/manual/html_node/Redirections.html",
		text: "shell: open /dev/tcp/HOST/PORT once (exec 3<>...) and use it for all requests, or let one curl or " +
			"one client process do the whole loop's work."},
}

var reuseByLibrary = []row{
	{libraries: of("libpq"), protocols: of("postgresql", ""), source: "https://www.pgbouncer.org/features.html",
		text: "libpq has no pool: keep the PGconn open for further queries, or put pgbouncer in between (pool_mode " +
			"= transaction)."},
	{libraries: of("libmariadb", "libmysqlclient"), protocols: of("mysql", ""),
		source: "https://dev.mysql.com/doc/c-api/8.4/en/mysql-ping.html",
		text: "the MySQL client library has no pool: keep the MYSQL handle open (mysql_ping() tests it), or put " +
			"ProxySQL in between."},
	{libraries: of("libhiredis"), protocols: of("redis", ""), source: "https://github.com/redis/hiredis",
		text: "hiredis: keep the redisContext for further commands; redisReconnect() repairs it after an error."},
	{libraries: of("libmemcached"), protocols: of("memcached", ""),
		source: "https://github.com/awesomized/libmemcached",
		text:   "libmemcached: keep the memcached_st for further requests; threads take theirs from a memcached_pool()."},
	{libraries: of("libmongoc"), protocols: of("mongodb", ""),
		source: "https://mongoc.org/libmongoc/current/mongoc_client_pool_t.html",
		text:   "libmongoc: create one mongoc_client_pool_t, and pop and push clients instead of mongoc_client_new()."},
	{libraries: of("libodbc"), protocols: sqlOrUnknown, source: "https://www.unixodbc.org/doc/conn_pool.html",
		text: "unixODBC: set \"Pooling = Yes\" under [ODBC] and CPTimeout for the driver in odbcinst.ini, or keep " +
			"the connection open."},
	{libraries: of("libcurl"), protocols: webOrUnknown, source: docLibcurl,
		text: "libcurl: use the same easy handle for many requests (curl_easy_cleanup() closes its connections), " +
			"without CURLOPT_FORBID_REUSE."},
}

// reuseByProtocol is for programs of which nothing is known but where they connect to.
var reuseByProtocol = []row{
	{protocols: web, source: docHTTP,
		text: "if this is HTTP: keep connections alive: one client object with a pool for all requests, no " +
			"\"Connection: close\", and every response read to its end."},
	{protocols: of("postgresql"), source: "https://www.pgbouncer.org/features.html",
		text: "if this is PostgreSQL: keep connections in a pool in the program, or put pgbouncer in between " +
			"(pool_mode = transaction)."},
	{protocols: of("mysql"), source: "https://proxysql.com/documentation/",
		text: "if this is MySQL or MariaDB: keep connections in a pool in the program, or put ProxySQL in between."},
	{protocols: of("mssql"), source: docADO,
		text: "if this is SQL Server: use the driver's pool (Pooling=true), with the same connection string everywhere."},
	{protocols: of("oracle"), source: "https://docs.oracle.com/en/database/oracle/oracle-database/19/jjucp/",
		text: "if this is Oracle: keep connections in a pool (UCP, an OCI session pool), or use DRCP in the server."},
	{protocols: of("redis"), source: "https://redis.io/docs/latest/develop/clients/pools-and-muxing/",
		text: "if this is Redis: keep one connection, or one pool, as long as the program runs."},
	{protocols: of("memcached"), source: "https://docs.memcached.org/",
		text: "if this is memcached: use persistent connections, one client object as long as the program runs."},
	{protocols: of("mongodb"), source: docMongo,
		text: "if this is MongoDB: create one MongoClient and share it: it is the pool (maxPoolSize)."},
	{protocols: of("amqp"), source: "https://www.rabbitmq.com/docs/connections",
		text: "if this is RabbitMQ: keep one connection as long as the program runs, and open channels on it."},
	{protocols: of("kafka"), source: docKafka,
		text: "if this is Kafka: create one producer or consumer and share it (a KafkaProducer is thread-safe); " +
			"see connections.max.idle.ms."},
	{protocols: of("cassandra"), source: "https://github.com/apache/cassandra-java-driver",
		text: "if this is Cassandra: create one session (CqlSession) and share it: it is the pool."},
	{protocols: of("etcd"), source: "https://pkg.go.dev/go.etcd.io/etcd/client/v3",
		text: "if this is etcd: create one client (clientv3.Client) and share it: one connection carries all requests."},
	{protocols: of("zookeeper"), source: "https://zookeeper.apache.org/doc/current/zookeeperProgrammers.html",
		text: "if this is ZooKeeper: keep one session as long as the program runs; its handle reconnects by itself."},
	{protocols: of("nats"), source: "https://docs.nats.io/using-nats/developer/connecting",
		text: "if this is NATS: keep one connection as long as the program runs; it carries all subjects."},
	{protocols: of("ldap"), source: "RFC 4511",
		text: "if this is LDAP: keep the bound connection for further searches; one connection carries many operations."},
	{protocols: of("smtp"), source: "RFC 5321",
		text: "if this is SMTP: send several messages in one session (MAIL again after the end of DATA) before QUIT."},
	{protocols: of("dns"), source: "RFC 7766",
		text: "if this is DNS over TCP: send further queries on the same connection, without waiting for the answers."},
}
