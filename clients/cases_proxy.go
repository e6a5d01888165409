package main

import "fmt"

const (
	nginxUnpooled = `proxy_pass http://back; proxy_http_version 1.0; proxy_set_header Connection close;`
	nginxPooled   = `proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";`
)

var proxyCases = []*scenario{
	{
		name: "nginx-upstream", what: "nginx as a proxy without keepalive", needs: []string{"nginx", "wrk"},
		play: func(s *stage) { s.nginxProxy(nginxUnpooled, "", unpooled) },
	},
	{
		name: "nginx-keepalive", what: "nginx as a proxy with keepalive", needs: []string{"nginx", "wrk"},
		play: func(s *stage) { s.nginxProxy(nginxPooled, "keepalive 32;", pooled) },
	},
	{
		name: "haproxy-close", what: "HAProxy with http-server-close and http-reuse never", needs: []string{"haproxy", "nginx", "wrk"},
		play: func(s *stage) { s.haproxyTo("option http-server-close\n  http-reuse never", unpooled) },
	},
	{
		name: "haproxy", what: "HAProxy as it comes", needs: []string{"haproxy", "nginx", "wrk"},
		play: func(s *stage) { s.haproxyTo("", pooled) },
	},
}

// nginxProxy has wrk call an nginx that calls another.
func (s *stage) nginxProxy(location, upstream, verdict string) {
	back := s.nginx(site{port: 8080})
	front := s.nginx(site{
		rate: 200, location: location, http: fmt.Sprintf("upstream back { server %s; %s }", back.addr(), upstream),
	})
	s.drive("wrk", "-t1", "-c8", "-d5s", page)
	s.expect("wrk", front, pooled)
	s.expect("nginx", back, verdict)
}

// haproxyTo has wrk call a HAProxy that calls nginx.
func (s *stage) haproxyTo(backend, verdict string) {
	back := s.nginx(site{port: 8080, rate: 200})
	front := s.haproxy(back, backend)
	s.drive("wrk", "-t1", "-c8", "-d5s", "http://127.0.0.1:8000/page.html")
	s.expect("wrk", front, pooled)
	s.expect("haproxy", back, verdict)
}

var phpCases = []*scenario{
	{
		name: "php-pdo", what: "PHP with PDO: a connection for each page", needs: []string{"php-fpm", "php-pgsql", "nginx", "postgres", "wrk"},
		play: func(s *stage) { s.pages("pdo.php", s.postgres(), unpooled) },
	},
	{
		name: "php-pdo-persistent", what: "PHP with PDO::ATTR_PERSISTENT",
		needs: []string{"php-fpm", "php-pgsql", "nginx", "postgres", "wrk"},
		play:  func(s *stage) { s.pages("pdo_persistent.php", s.postgres(), pooled) },
	},
	{
		name: "php-redis", what: "phpredis with connect()", needs: []string{"php-fpm", "php-redis", "nginx", "redis", "wrk"},
		play: func(s *stage) { s.pages("redis.php", s.redis(), unpooled) },
	},
	{
		name: "php-redis-persistent", what: "phpredis with pconnect()", needs: []string{"php-fpm", "php-redis", "nginx", "redis", "wrk"},
		play: func(s *stage) { s.pages("redis_persistent.php", s.redis(), pooled) },
	},
}

// pages has wrk call an nginx in front of FPM; the script calls a server.
func (s *stage) pages(script string, to *server, verdict string) {
	socket, comm := s.php()
	web := s.nginx(site{rate: 80, location: fmt.Sprintf(
		"fastcgi_pass unix:%s; fastcgi_param SCRIPT_FILENAME %s; fastcgi_param REQUEST_METHOD $request_method;",
		socket, s.program("php/"+script))})
	s.drive("wrk", "-t1", "-c4", "-d5s", "http://127.0.0.1/")
	s.expect("wrk", web, pooled)
	s.expect(comm, to, verdict)
}
