package advice

// sizeRows say how a pool is made larger.
var sizeRows = []row{
	{source: docTCP,
		text: "there is a pool and it is too small: allow as many idle connections per destination as there are " +
			"concurrent callers."},

	{runtimes: of("go"), protocols: webOrUnknown, source: docGoTransport,
		text: "Go: set http.Transport.MaxIdleConnsPerHost (2 by default) to the number of concurrent requests; " +
			"MaxConnsPerHost makes callers wait instead."},
	{runtimes: of("go"), protocols: sqlOrUnknown, source: docGoSQL,
		text: "database/sql: set SetMaxIdleConns (2 by default) as high as SetMaxOpenConns."},
	{runtimes: of("go"), protocols: of("redis"), source: docGoRedis,
		text: "go-redis: raise PoolSize, and leave MaxIdleConns at 0 (no limit) or at PoolSize."},

	{runtimes: of("java"), protocols: webOrUnknown, source: docApacheHC,
		text: "Apache HttpClient: raise setMaxPerRoute, or setDefaultMaxPerRoute (5; 2 in 4.x), and setMaxTotal (25; " +
			"20 in 4.x) of the PoolingHttpClientConnectionManager."},
	{runtimes: of("java"), protocols: sqlOrUnknown, source: docHikari,
		text: "HikariCP: raise maximumPoolSize (10), and leave minimumIdle at the same value: idle connections " +
			"above it are closed."},
	{runtimes: of("java"), protocols: web, source: docOkHTTP,
		text: "OkHttp: give the client a ConnectionPool with more than 5 idle connections (maxIdleConnections)."},
	{runtimes: of("java"), protocols: web, source: docJavaKeep,
		text: "HttpURLConnection: raise -Dhttp.maxConnections: it keeps 5 idle connections for each destination."},
	{runtimes: of("java"), protocols: of("redis"), source: docJedis + "/blob/master/docs/faq.md",
		text: "Jedis: raise setMaxTotal and setMaxIdle (8 each) of the ConnectionPoolConfig, or JedisPoolConfig: " +
			"connections above MaxIdle are closed."},
	{programs: of("HikariPool"), source: docHikari,
		text: "HikariCP: raise maximumPoolSize (10), and leave minimumIdle at the same value: idle connections " +
			"above it are closed."},

	{runtimes: of("python"), protocols: webOrUnknown,
		source: "https://requests.readthedocs.io/en/latest/api/#requests.adapters.HTTPAdapter",
		text: "requests: mount an HTTPAdapter(pool_maxsize=N) for N callers (10 by default); pool_block=True makes " +
			"callers wait instead of connecting."},
	{runtimes: of("python"), protocols: sqlOrUnknown, source: docSQLAlchemy,
		text: "SQLAlchemy: raise pool_size (5); connections beyond it (max_overflow, 10) are closed after use."},
	{runtimes: of("python"), protocols: web, source: docURLLib3,
		text: "urllib3: PoolManager(maxsize=N, block=True) for N callers; maxsize is 1 by default."},
	{runtimes: of("python"), protocols: web, source: docHTTPX,
		text: "httpx: raise max_keepalive_connections of httpx.Limits (20 by default)."},
	{runtimes: of("python"), protocols: of("postgresql"), source: docPsycopgAPI,
		text: "psycopg_pool: raise min_size (4) to the usual number of callers; what is above it is closed after " +
			"max_idle."},

	{runtimes: of("node"), protocols: webOrUnknown, source: docNodeHTTP + "#class-httpagent",
		text: "Node: share one http.Agent, raise its maxFreeSockets (256), or let requests wait with maxSockets."},
	{runtimes: of("node"), protocols: of("postgresql", ""), source: docNodePG,
		text: "node-postgres: raise max (10) of the pg.Pool, and idleTimeoutMillis (10 s), and share one Pool."},
	{runtimes: of("node"), protocols: of("mysql", ""), source: docMySQL2,
		text: "mysql2: raise connectionLimit (10) and maxIdle of createPool()."},

	{runtimes: of("php"), source: docFPM,
		text: "PHP: each worker keeps its own persistent connections: let workers live (pm = static, " +
			"pm.max_requests = 0), or put a pooler in between."},

	{runtimes: of("dotnet"), protocols: webOrUnknown, source: docSocketsHTTP,
		text: ".NET: share one HttpClient; raise PooledConnectionIdleTimeout (1 minute; 2 before .NET 6), or let " +
			"requests wait with MaxConnectionsPerServer of the SocketsHttpHandler."},
	{runtimes: of("dotnet"), protocols: of("postgresql"), source: docNpgsql,
		text: "Npgsql: raise Minimum Pool Size (0) to the usual number of callers, and Maximum Pool Size (100)."},
	{runtimes: of("dotnet"), protocols: of("mssql", "mysql", "oracle", ""), source: docADO,
		text: "ADO.NET: raise Min Pool Size (0) to the usual number of callers, and Max Pool Size (100)."},

	{runtimes: of("ruby"), protocols: sqlOrUnknown, source: docRails,
		text: "ActiveRecord: raise max_connections (5) in database.yml, \"pool\" before Rails 8.1, to the number of " +
			"threads (RAILS_MAX_THREADS)."},
	{runtimes: of("ruby"), protocols: of("redis", "memcached"), source: docConnectionPool,
		text: "Ruby: raise size of the ConnectionPool to the number of threads."},

	{runtimes: of("rust"), protocols: webOrUnknown, source: docReqwest,
		text: "reqwest: share one Client; pool_max_idle_per_host of its builder must not be below the number of " +
			"concurrent requests."},
	{runtimes: of("rust"), protocols: sqlOrUnknown, source: docSqlx,
		text: "sqlx: raise max_connections (10) and min_connections of the PoolOptions."},

	{runtimes: of("nginx"), protocols: webOrUnknown, source: docNginxUpstream + "#keepalive",
		text: "nginx: raise N of \"keepalive N;\" in the upstream block: so many idle connections does each worker " +
			"keep for the whole block."},
	{runtimes: of("haproxy"), protocols: webOrUnknown, source: docHAProxy,
		text: "haproxy: raise pool-max-conn of the server, and tune.pool-high-fd-ratio; \"http-reuse aggressive\" " +
			"reuses more."},
	{runtimes: of("envoy"), protocols: webOrUnknown, source: docEnvoyPool,
		text: "envoy: each worker thread has a pool of its own: fewer threads (--concurrency) reuse more."},
	{runtimes: of("apache"), protocols: webOrUnknown, source: docModProxy,
		text: "mod_proxy: raise max, smax and ttl in ProxyPass: connections above smax are closed after ttl."},
	{runtimes: of("pgbouncer"), source: docPgBouncer,
		text: "pgbouncer: raise default_pool_size (20) and min_pool_size, so that server connections are kept " +
			"rather than made anew."},
	{runtimes: of("proxysql"), source: docProxySQL,
		text: "ProxySQL: raise mysql-free_connections_pct (10 % of the server's max_connections): idle connections " +
			"above it are closed."},

	{libraries: of("libcurl"), protocols: webOrUnknown, source: "https://curl.se/libcurl/c/CURLMOPT_MAXCONNECTS.html",
		text: "libcurl: raise CURLMOPT_MAXCONNECTS, or CURLOPT_MAXCONNECTS (5) of an easy handle."},
	{protocols: of("mongodb"), source: docMongo,
		text: "if this is MongoDB: raise minPoolSize (0) and maxPoolSize (100) of the one shared MongoClient."},
}
