package main

const page = "http://127.0.0.1/page.html"

var httpCases = []*scenario{
	{
		name: "ab", what: "ab without -k: HTTP/1.0, where the server closes", needs: []string{"nginx", "ab"},
		play: func(s *stage) {
			web := s.nginx(site{rate: 200})
			s.drive("ab", "-q", "-n", "1000", "-c", "4", page)
			s.expect("ab", web, unpooled).closedBy = "remote"
		},
	},
	{
		name: "ab-k", what: "ab -k keeps its connections", needs: []string{"nginx", "ab"},
		play: func(s *stage) {
			web := s.nginx(site{rate: 400})
			s.drive("ab", "-q", "-k", "-n", "2000", "-c", "8", page)
			s.expect("ab", web, pooled)
		},
	},
	{
		name: "wrk", what: "wrk keeps its connections", needs: []string{"nginx", "wrk"},
		play: func(s *stage) {
			web := s.nginx(site{rate: 400})
			s.drive("wrk", "-t1", "-c10", "-d5s", page)
			s.expect("wrk", web, pooled)
		},
	},
	{
		name: "curl-loop", what: "a script that starts curl again and again", needs: []string{"nginx", "curl"},
		play: func(s *stage) {
			web := s.nginx(site{})
			s.repeat(100, "0.03", "curl", "-sf", page)
			s.expect("curl", web, unpooled).closedBy = "local"
		},
	},
	{
		name: "curl-tls-loop", what: "the same with TLS, whose handshake is no reuse", needs: []string{"nginx", "curl", "openssl"},
		play: func(s *stage) {
			web := s.nginx(site{port: 443, tls: true})
			s.repeat(80, "0.03", "curl", "-skf", "https://127.0.0.1/page.html")
			s.expect("curl", web, unpooled)
		},
	},
	{
		name: "wget-loop", what: "a script that starts wget again and again", needs: []string{"nginx", "wget"},
		play: func(s *stage) {
			web := s.nginx(site{})
			s.repeat(100, "0.03", "wget", "-qO", "/dev/null", page)
			s.expect("wget", web, unpooled).closedBy = "local"
		},
	},
	{
		name: "gohttp", what: "Go's default client, bodies read and closed", needs: []string{"nginx", "gohttp"},
		play: func(s *stage) { s.get(site{}, "gohttp", pooled, s.built("gohttp")) },
	},
	{
		name: "gohttp-no-keepalive", what: "Go with DisableKeepAlives", needs: []string{"nginx", "gohttp"},
		play: func(s *stage) { s.get(site{}, "gohttp", unpooled, s.built("gohttp"), "-no-keepalive") },
	},
	{
		name: "gohttp-undrained", what: "Go closing bodies that it has not read", needs: []string{"nginx", "gohttp"},
		play: func(s *stage) {
			s.data("large.bin", 4<<20)
			s.get(site{}, "gohttp", unpooled, s.built("gohttp"), "-undrained", "-url", "http://127.0.0.1/large.bin")
		},
	},
	{
		name: "gohttp-two-idle", what: "Go's default MaxIdleConnsPerHost of 2 under 50 workers", needs: []string{"nginx", "gohttp"},
		play: func(s *stage) {
			s.get(site{rate: 300}, "gohttp", undersized, s.built("gohttp"), "-workers", "50", "-pause", "120ms")
		},
	},
	{
		name: "node-http-each", what: "Node.js http with keepAlive: false", needs: []string{"nginx", "node"},
		play: func(s *stage) { s.get(site{}, "node", unpooled, "node", s.program("node/http_client.js"), "each") },
	},
	{
		name: "node-http-kept", what: "Node.js http with keepAlive: true", needs: []string{"nginx", "node"},
		play: func(s *stage) { s.get(site{}, "node", pooled, "node", s.program("node/http_client.js"), "kept") },
	},
	{
		name: "axios-each", what: "axios with an agent that does not keep alive", needs: []string{"nginx", "node", "axios"},
		play: func(s *stage) { s.get(site{}, "node", unpooled, "node", s.program("node/axios_client.js"), "each") },
	},
	{
		name: "undici", what: "an undici Pool", needs: []string{"nginx", "node", "undici"},
		play: func(s *stage) { s.get(site{}, "node", pooled, "node", s.program("node/undici_client.js")) },
	},
	{
		name: "requests-each", what: "requests.get() for each page", needs: []string{"nginx", "python", "requests"},
		play: func(s *stage) {
			s.get(site{}, "python3", unpooled, python, s.program("python/requests_client.py"), "each")
		},
	},
	{
		name: "requests-session", what: "a requests.Session", needs: []string{"nginx", "python", "requests"},
		play: func(s *stage) {
			s.get(site{}, "python3", pooled, python, s.program("python/requests_client.py"), "kept")
		},
	},
	{
		name: "ruby-each", what: "Net::HTTP.get for each page", needs: []string{"nginx", "ruby"},
		play: func(s *stage) { s.get(site{}, "ruby", unpooled, "ruby", s.program("ruby/http_client.rb"), "each") },
	},
	{
		name: "ruby-kept", what: "Net::HTTP.start once", needs: []string{"nginx", "ruby"},
		play: func(s *stage) { s.get(site{}, "ruby", pooled, "ruby", s.program("ruby/http_client.rb"), "kept") },
	},
	{
		name: "perl-each", what: "HTTP::Tiny->new for each page", needs: []string{"nginx", "perl"},
		play: func(s *stage) { s.get(site{}, "perl", unpooled, "perl", s.program("perl/http_client.pl"), "each") },
	},
	{
		name: "perl-kept", what: "one HTTP::Tiny", needs: []string{"nginx", "perl"},
		play: func(s *stage) { s.get(site{}, "perl", pooled, "perl", s.program("perl/http_client.pl"), "kept") },
	},
	{
		name: "java-http-each", what: "HttpClient.newHttpClient() for each page: connections are forgotten, not closed",
		needs: []string{"nginx", "java"},
		play:  func(s *stage) { s.get(site{}, "java", unpooled, s.java("WebClient", "each")...) },
	},
	{
		name: "java-http-shared", what: "one HttpClient", needs: []string{"nginx", "java"},
		play: func(s *stage) { s.get(site{}, "java", pooled, s.java("WebClient", "kept")...) },
	},
}

// get has a client of nginx run.
func (s *stage) get(o site, comm, verdict string, argv ...string) {
	web := s.nginx(o)
	s.drive(argv...)
	s.expect(comm, web, verdict)
}
