package main

const selectOne = "select 1;\n"

var postgresCases = []*scenario{
	{
		name: "pgbench-C", what: "pgbench -C opens a connection for each transaction", needs: []string{"postgres"},
		play: func(s *stage) {
			db := s.postgres()
			s.drive(pgProgram("pgbench"), "-n", "-C", "-f", s.file("one.sql", selectOne), "-c", "4", "-R", "100", "-T", "5")
			s.expect("pgbench", db, unpooled)
		},
	},
	{
		name: "pgbench", what: "pgbench keeps a connection for each client", needs: []string{"postgres"},
		play: func(s *stage) {
			db := s.postgres()
			s.drive(pgProgram("pgbench"), "-n", "-f", s.file("one.sql", selectOne), "-c", "8", "-R", "600", "-T", "5")
			s.expect("pgbench", db, pooled)
		},
	},
	{
		name: "psql-loop", what: "a script that starts psql again and again: many processes, one service",
		needs: []string{"postgres"},
		play: func(s *stage) {
			db := s.postgres()
			s.repeat(100, "0.03", pgProgram("psql"), "-XAtqc", "select 1")
			s.expect("psql", db, unpooled)
		},
	},
	{
		name: "pgbouncer", what: "pgbench -C in front of PgBouncer, which keeps its own few connections",
		needs: []string{"postgres", "pgbouncer"},
		play: func(s *stage) {
			db := s.postgres()
			pool := s.pgbouncer(db, 5)
			s.drive(pgProgram("pgbench"), "-n", "-C", "-f", s.file("one.sql", selectOne), "-c", "4", "-R", "150", "-T", "5", "-p", "6432")
			s.expect("pgbench", pool, unpooled)
			s.expect("pgbouncer", db, pooled)
		},
	},
	{
		name: "psycopg2-each", what: "psycopg2.connect() for each query", needs: []string{"postgres", "python", "psycopg2"},
		play: func(s *stage) { s.query("python3", unpooled, python, s.program("python/psycopg2_client.py"), "each") },
	},
	{
		name: "psycopg2-kept", what: "one psycopg2 connection", needs: []string{"postgres", "python", "psycopg2"},
		play: func(s *stage) { s.query("python3", pooled, python, s.program("python/psycopg2_client.py"), "kept") },
	},
	{
		name: "node-pg-client", what: "node-postgres: a Client for each query", needs: []string{"postgres", "node", "pg"},
		play: func(s *stage) { s.query("node", unpooled, "node", s.program("node/pg_client.js"), "each") },
	},
	{
		name: "node-pg-pool", what: "node-postgres: a Pool", needs: []string{"postgres", "node", "pg"},
		play: func(s *stage) { s.query("node", pooled, "node", s.program("node/pg_client.js"), "kept") },
	},
	{
		name: "gosql-no-idle", what: "database/sql with SetMaxIdleConns(0)", needs: []string{"postgres", "gosql"},
		play: func(s *stage) { s.query("gosql", unpooled, s.built("gosql"), "-idle", "0", "-workers", "4") },
	},
	{
		name: "gosql-two-idle", what: "database/sql as it comes, 2 idle connections, under 20 goroutines",
		needs: []string{"postgres", "gosql"},
		play: func(s *stage) {
			s.query("gosql", undersized, s.built("gosql"), "-workers", "20", "-query", "select pg_sleep(0.01)", "-pause", "40ms")
		},
	},
	{
		name: "gosql-pool", what: "database/sql with a pool as large as its goroutines", needs: []string{"postgres", "gosql"},
		play: func(s *stage) { s.query("gosql", pooled, s.built("gosql"), "-idle", "10", "-workers", "10") },
	},
	{
		name: "gosql-recycled", what: "database/sql with a pool whose connections live 1 s", needs: []string{"postgres", "gosql"},
		play: func(s *stage) {
			s.query("gosql", pooled, s.built("gosql"), "-idle", "10", "-workers", "10", "-pause", "10ms", "-lifetime", "1s")
		},
	},
	{
		name: "jdbc-each", what: "DriverManager.getConnection() for each query", needs: []string{"postgres", "java", "hikari"},
		play: func(s *stage) { s.query("java", unpooled, s.java("SqlClient", "each")...) },
	},
	{
		name: "hikari", what: "a HikariCP pool", needs: []string{"postgres", "java", "hikari"},
		play: func(s *stage) { s.query("java", pooled, s.java("SqlClient", "kept")...) },
	},
}

// query has a client of PostgreSQL run.
func (s *stage) query(comm, verdict string, argv ...string) {
	db := s.postgres()
	s.drive(argv...)
	s.expect(comm, db, verdict)
}

// hikariPath are the jars that SqlClient needs.
const hikariPath = "/usr/share/java/HikariCP.jar:/usr/share/java/postgresql.jar:/usr/share/java/slf4j-api.jar"

// java is the command line of a class, with a virtual machine that takes little.
func (s *stage) java(class string, args ...string) []string {
	path := s.lab.cache + "/java:" + hikariPath
	return append([]string{"java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, class}, args...)
}

var mariadbCases = []*scenario{
	{
		name: "mariadb-loop", what: "a script that starts the mariadb client again and again", needs: []string{"mariadb"},
		play: func(s *stage) {
			db := s.mariaDB()
			s.repeat(80, "0.04", "mariadb", "--no-defaults", "-h127.0.0.1", "-uapp", "-psecret", "-BNe", "select 1")
			s.expect("mariadb", db, unpooled)
		},
	},
	{
		name: "mariadb-slap", what: "mariadb-slap keeps a connection for each client", needs: []string{"mariadb"},
		play: func(s *stage) {
			db := s.mariaDB()
			s.drive("mariadb-slap", "--no-defaults", "-h127.0.0.1", "-uapp", "-psecret", "--concurrency=4",
				"--number-of-queries=8000", "--query=select 1", "--create-schema=mysql")
			s.expect("mariadb-slap", db, pooled)
		},
	},
	{
		name: "node-mysql2-each", what: "mysql2: createConnection() for each query", needs: []string{"mariadb", "node", "mysql2"},
		play: func(s *stage) {
			db := s.mariaDB()
			s.drive("node", s.program("node/mysql2_client.js"), "each")
			s.expect("node", db, unpooled)
		},
	},
	{
		name: "node-mysql2-pool", what: "mysql2: createPool()", needs: []string{"mariadb", "node", "mysql2"},
		play: func(s *stage) {
			db := s.mariaDB()
			s.drive("node", s.program("node/mysql2_client.js"), "kept")
			s.expect("node", db, pooled)
		},
	},
}
