package advice

// Protocol guesses what is spoken from the port of the server, by the defaults of well-known servers; "" where the port
// tells nothing, or too many use it (9000: PHP-FPM, ClickHouse, MinIO). Anything can listen on any port, so what is
// said because of it must be worded as a guess.
//
// Sources: the IANA service name registry (https://www.iana.org/assignments/service-names-port-numbers), and the
// servers' own documentation for those that are not registered.
func Protocol(port uint16) string { return protocols[port] }

var protocols = map[uint16]string{
	25: "smtp", 465: "smtp", 587: "smtp",
	53:  "dns",
	389: "ldap", 636: "ldap", 3268: "ldap", 3269: "ldap",
	80: "http", 3000: "http", 5000: "http", 8000: "http", 8008: "http", 8080: "http", 8081: "http", 8088: "http",
	8888: "http", 9090: "http", 15672: "http",
	443: "https", 6443: "https", 8443: "https", 9443: "https",
	1433: "mssql", 1521: "oracle", 3306: "mysql", 33060: "mysql", 5432: "postgresql", 6432: "postgresql",
	2181: "zookeeper", 2379: "etcd", 4222: "nats", 5671: "amqp", 5672: "amqp", 8500: "consul", 9092: "kafka",
	6379: "redis", 6380: "redis", 26379: "redis", 11211: "memcached",
	8123: "clickhouse", 9042: "cassandra", 9142: "cassandra", 9200: "elasticsearch",
	27017: "mongodb", 27018: "mongodb", 27019: "mongodb",
}
