package main

// selfTestCase is cheap, and all that is counted about it is exact.
const selfTestCase = "redis-cli-loop"

var redisCases = []*scenario{
	{
		name: "redis-benchmark-k0", what: "redis-benchmark -k 0 opens a connection for each command", needs: []string{"redis"},
		play: func(s *stage) {
			cache := s.redis()
			s.repeat(5, "0.7", "redis-benchmark", "-h", "127.0.0.1", "-k", "0", "-c", "5", "-n", "200", "-t", "set", "-q")
			s.expect("redis-benchmark", cache, unpooled)
		},
	},
	{
		name: "redis-benchmark", what: "redis-benchmark keeps its connections", needs: []string{"redis"},
		play: func(s *stage) {
			cache := s.redis()
			s.repeat(3, "1.2", "redis-benchmark", "-h", "127.0.0.1", "-c", "10", "-n", "10000", "-t", "get", "-q")
			s.expect("redis-benchmark", cache, pooled)
		},
	},
	{
		name: "redis-cli-loop", what: "a script that starts redis-cli again and again", needs: []string{"redis"},
		play: func(s *stage) {
			cache := s.redis()
			s.repeat(120, "0.03", "redis-cli", "-h", "127.0.0.1", "ping")
			s.expect("redis-cli", cache, unpooled).closedBy = "local"
		},
	},
	{
		name: "ioredis-each", what: "ioredis: new Redis() for each command", needs: []string{"redis", "node", "ioredis"},
		play: func(s *stage) { s.remember("node", unpooled, "node", s.program("node/ioredis_client.js"), "each") },
	},
	{
		name: "ioredis-kept", what: "ioredis: one Redis object", needs: []string{"redis", "node", "ioredis"},
		play: func(s *stage) { s.remember("node", pooled, "node", s.program("node/ioredis_client.js"), "kept") },
	},
	{
		name: "goredis-each", what: "go-redis: NewClient() for each command", needs: []string{"redis", "goredis"},
		play: func(s *stage) { s.remember("goredis", unpooled, s.built("goredis"), "-each") },
	},
	{
		name: "goredis-pool", what: "go-redis: one Client, with its pool", needs: []string{"redis", "goredis"},
		play: func(s *stage) { s.remember("goredis", pooled, s.built("goredis")) },
	},
}

// remember has a client of Redis run.
func (s *stage) remember(comm, verdict string, argv ...string) {
	cache := s.redis()
	s.drive(argv...)
	s.expect(comm, cache, verdict)
}

var memcachedCases = []*scenario{
	{
		name: "pymemcache-each", what: "pymemcache: Client() for each key", needs: []string{"memcached", "python", "pymemcache"},
		play: func(s *stage) {
			cache := s.memcached()
			s.drive(python, s.program("python/pymemcache_client.py"), "each")
			s.expect("python3", cache, unpooled)
		},
	},
	{
		name: "pymemcache-kept", what: "pymemcache: one Client", needs: []string{"memcached", "python", "pymemcache"},
		play: func(s *stage) {
			cache := s.memcached()
			s.drive(python, s.program("python/pymemcache_client.py"), "kept")
			s.expect("python3", cache, pooled)
		},
	},
}
