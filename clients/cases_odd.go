package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

var oddCases = []*scenario{
	{
		name: "leak", what: "connections that are used once and never closed", needs: []string{"nginx", "python"},
		play: func(s *stage) {
			web := s.nginx(site{})
			s.drive(python, s.program("python/sockets.py"), "leak", "80")
			s.expect("python3", web, unpooled)
		},
	},
	{
		name: "refused", what: "calls to a port where nobody listens", needs: []string{"python"},
		play: func(s *stage) { s.alone(python, s.program("python/sockets.py"), "connect", "9") },
	},
	{
		name: "full-backlog", what: "calls to a server that accepts nobody, each given up after 0.2 s", needs: []string{"python"},
		play: func(s *stage) {
			p := s.serve("", python, s.program("python/sockets.py"), "full", "9")
			s.listening(p, 9)
			s.alone(python, s.program("python/sockets.py"), "connect", "9").server = "python3"
		},
	},
	{
		name: "dual-stack", what: "curl tries ::1 first, where nobody listens", needs: []string{"nginx", "curl"},
		play: func(s *stage) {
			web := s.nginx(site{})
			s.repeat(100, "0.03", "curl", "-sf", "--resolve", "web:80:::1,127.0.0.1", "http://web/page.html")
			p := s.expect("curl", web, unpooled)
			refused := s.expect("curl", &server{port: 80, counts: counter{"nginx", func() (uint64, error) { return 0, nil }}}, failing)
			refused.dst = "[::1]:80"
			refused.failed = func() (map[string]uint64, error) {
				n, err := p.opened.read()
				return map[string]uint64{"ECONNREFUSED": n - p.before}, err
			}
		},
	},
	{
		name: "health-check", what: "a check once a second is nothing to judge", needs: []string{"nginx", "curl"},
		play: func(s *stage) {
			web := s.nginx(site{})
			s.repeat(6, "1", "curl", "-sf", page)
			s.expect("curl", web, tooFew)
		},
	},
	{
		name: "curl-beside-wrk", what: "two services and one destination: neither's connections are counted for the other",
		needs: []string{"nginx", "curl", "wrk"},
		play: func(s *stage) {
			web := s.nginx(site{rate: 500})
			s.repeat(80, "0.03", "curl", "-sf", page)
			s.drive("wrk", "-t1", "-c6", "-d5s", page)
			curl := s.expect("curl", web, unpooled)
			curl.opened = s.ofAgent(web, "curl/")
			wrk := s.expect("wrk", web, pooled)
			wrk.opened = counter{"nginx, stub_status less curl's", func() (uint64, error) {
				all, err := web.counts.read()
				if err != nil {
					return 0, err
				}
				others, err := curl.opened.read()
				return all - others, err
			}}
		},
	},
}

// alone has a client run that says itself how many connects succeeded and how the others failed.
func (s *stage) alone(argv ...string) *pair {
	c := s.drive(argv...)
	var told struct {
		Opened uint64
		Failed map[string]uint64
	}
	read := func() (uint64, error) {
		if c.out == "" { // before it was run
			return 0, nil
		}
		if err := json.NewDecoder(strings.NewReader(c.out)).Decode(&told); err != nil {
			return 0, fmt.Errorf("%w in %q", err, tail(c.out))
		}
		return told.Opened, nil
	}
	p := s.expect("python3", &server{port: 9, counts: counter{"the client", read}}, failing)
	p.failed = func() (map[string]uint64, error) { return told.Failed, nil }
	return p
}
