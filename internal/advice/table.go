package advice

import "slices"

// table is all advice there is.
var table = slices.Concat(portSections, plainSections, kindSections, inboundSections)

// web are the protocols that HTTP carries. A port that tells nothing is most likely HTTP, too, hence webOrUnknown.
var (
	web          = []string{"http", "https", "elasticsearch", "clickhouse", "consul"}
	webOrUnknown = append([]string{""}, web...)
	sql          = []string{"postgresql", "mysql", "mssql", "oracle"}
	sqlOrUnknown = append([]string{""}, sql...)
)

// of makes the lists of the table readable.
func of(values ...string) []string { return values }

// Documents that several rows are taken from.
const (
	docTCP      = "RFC 9293"
	docHTTP     = "RFC 9112"
	docSysctl   = "https://docs.kernel.org/networking/ip-sysctl.html"
	docIP7      = "https://man7.org/linux/man-pages/man7/ip.7.html"
	docCloseMan = "https://man7.org/linux/man-pages/man2/close.2.html"
	docBackoff  = "https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/"

	docHikari     = "https://github.com/brettwooldridge/HikariCP"
	docApacheHC   = "https://hc.apache.org/httpcomponents-client-4.5.x/current/tutorial/html/connmgmt.html"
	docOkHTTP     = "https://lysine.dev/okhttp/5.x/okhttp/okhttp3/-connection-pool/"
	docJavaKeep   = "https://docs.oracle.com/javase/8/docs/technotes/guides/net/http-keepalive.html"
	docJavaClient = "https://docs.oracle.com/en/java/javase/23/docs/api/java.net.http/java/net/http/HttpClient.html"
	docJedis      = "https://github.com/redis/jedis"

	docGoTransport = "https://pkg.go.dev/net/http#Transport"
	docGoSQL       = "https://pkg.go.dev/database/sql#DB"
	docGoRedis     = "https://pkg.go.dev/github.com/redis/go-redis/v9#Options"

	docRequests   = "https://requests.readthedocs.io/en/latest/user/advanced/"
	docURLLib3    = "https://urllib3.readthedocs.io/en/stable/advanced-usage.html"
	docHTTPX      = "https://www.python-httpx.org/advanced/resource-limits/"
	docPsycopg    = "https://www.psycopg.org/psycopg3/docs/advanced/pool.html"
	docPsycopgAPI = "https://www.psycopg.org/psycopg3/docs/api/pool.html"
	docSQLAlchemy = "https://docs.sqlalchemy.org/en/20/core/pooling.html"
	docDjango     = "https://docs.djangoproject.com/en/stable/ref/databases/#persistent-connections"
	docRedisPy    = "https://redis.readthedocs.io/en/stable/connections.html"
	docCelery     = "https://docs.celeryq.dev/en/stable/userguide/configuration.html"
	docGunicorn   = "https://gunicorn.org/reference/settings/"

	docNodeHTTP  = "https://nodejs.org/api/http.html"
	docUndici    = "https://github.com/nodejs/undici"
	docNodePG    = "https://node-postgres.com/apis/pool"
	docMySQL2    = "https://sidorares.github.io/node-mysql2/docs"
	docNodeRedis = "https://github.com/redis/node-redis"

	docPHPPersistent = "https://www.php.net/manual/en/features.persistent-connections.php"
	docFPM           = "https://www.php.net/manual/en/install.fpm.configuration.php"

	docNginxUpstream = "https://nginx.org/en/docs/http/ngx_http_upstream_module.html"
	docNginxCore     = "https://nginx.org/en/docs/http/ngx_http_core_module.html"
	docHAProxy       = "https://docs.haproxy.org/3.0/configuration.html"
	docEnvoyPool     = "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/connection_pooling"
	docEnvoyHTTP     = "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/protocol.proto"
	docModProxy      = "https://httpd.apache.org/docs/2.4/mod/mod_proxy.html"
	docApacheCore    = "https://httpd.apache.org/docs/2.4/mod/core.html"
	docPgBouncer     = "https://www.pgbouncer.org/config.html"
	docProxySQL      = "https://proxysql.com/documentation/global-variables/mysql-variables/"

	docDotnetHTTP  = "https://learn.microsoft.com/en-us/dotnet/fundamentals/networking/http/httpclient-guidelines"
	docSocketsHTTP = "https://learn.microsoft.com/en-us/dotnet/api/system.net.http.socketshttphandler"
	docNpgsql      = "https://www.npgsql.org/doc/connection-string-parameters.html"
	docADO         = "https://learn.microsoft.com/en-us/sql/connect/ado-net/sql-server-connection-pooling"

	docRails          = "https://api.rubyonrails.org/classes/ActiveRecord/ConnectionAdapters/ConnectionPool.html"
	docConnectionPool = "https://github.com/mperham/connection_pool"
	docReqwest        = "https://docs.rs/reqwest/latest/reqwest/struct.ClientBuilder.html"
	docSqlx           = "https://docs.rs/sqlx/latest/sqlx/pool/struct.PoolOptions.html"

	docCurl     = "https://curl.se/docs/manpage.html"
	docLibcurl  = "https://curl.se/libcurl/c/libcurl-tutorial.html"
	docKafka    = "https://kafka.apache.org/documentation/"
	docMongo    = "https://www.mongodb.com/docs/manual/administration/connection-pool-overview/"
	docPostgres = "https://www.postgresql.org/docs/current/runtime-config-client.html"
	docMySQL    = "https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html"
)
