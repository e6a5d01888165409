package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// site is how an nginx is set up.
type site struct {
	port     uint16 // 80 if it is 0
	rate     int    // requests a second; those beyond wait
	http     string // directives of http
	server   string // directives of server
	location string // directives of location /, instead of an answer of its own
	tls      bool
}

// nginx starts nginx. Its own count of accepted connections is asked for through a unix socket.
func (s *stage) nginx(o site) *server {
	if o.port == 0 {
		o.port = 80
	}
	dir := filepath.Join(s.dir, fmt.Sprintf("nginx-%d", o.port))
	s.fail(os.Mkdir(dir, 0o755))
	s.data("page.html", 2000)
	conf := s.file(fmt.Sprintf("nginx-%d.conf", o.port), s.nginxConf(dir, o))
	p := s.serve("", "nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error"))
	s.listening(p, o.port)
	socket := filepath.Join(dir, "status")
	s.exists(p, socket)
	read := s.lessOwn(func() (uint64, error) {
		text, err := talk(socket, "GET / HTTP/1.0\r\n\r\n")
		return number(text, `requests\s+(\d+)`, err)
	})
	return &server{comm: "nginx", port: o.port, counts: counter{"nginx, stub_status", read}}
}

func (s *stage) nginxConf(dir string, o site) string {
	listen := fmt.Sprintf("listen 127.0.0.1:%d backlog=1024", o.port)
	if o.tls {
		certificate := s.certificate()
		listen += " ssl"
		o.server += fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", certificate, certificate)
	}
	if o.rate > 0 {
		o.http += fmt.Sprintf("limit_req_zone $server_port zone=all:1m rate=%dr/s;", o.rate)
		o.server += "limit_req zone=all burst=5000;"
	}
	if o.location == "" {
		o.location = fmt.Sprintf("root %s;", filepath.Join(s.dir, "html"))
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	return fmt.Sprintf(`daemon off;
worker_processes 1;
user www-data;
pid %[1]s/pid;
events { worker_connections 4096; }
http {
	log_format connections '$connection $http_user_agent';
	access_log %[1]s/access connections;
	keepalive_requests 100000;
	%[2]s
	%[3]s
	server { %[4]s; %[5]s location / { %[6]s } }
	server { listen unix:%[1]s/status; access_log off; location / { stub_status; } }
}
`, dir, temp.String(), o.http, listen, o.server, o.location)
}

// certificate makes a key and a certificate, in one file.
func (s *stage) certificate() string {
	path := filepath.Join(s.dir, "certificate.pem")
	s.fail(s.lab.command(s.ctx, "", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
		"-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", path+".key", "-out", path+".crt"))
	key, err := os.ReadFile(path + ".key")
	s.fail(err)
	text, err := os.ReadFile(path + ".crt")
	s.fail(err)
	s.fail(os.WriteFile(path, append(text, key...), 0o600))
	return path
}

// ofAgent counts, in nginx's access log, the connections over which a user agent has sent requests.
func (s *stage) ofAgent(to *server, agent string) counter {
	path := filepath.Join(s.dir, fmt.Sprintf("nginx-%d", to.port), "access")
	return counter{"nginx's access log", func() (uint64, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(string(data)) {
			connection, by, _ := strings.Cut(line, " ")
			if strings.HasPrefix(by, agent) {
				seen[connection] = true
			}
		}
		return uint64(len(seen)), nil
	}}
}

// haproxy starts HAProxy in front of a server; backend are further directives for its side.
func (s *stage) haproxy(to *server, backend string) *server {
	socket := filepath.Join(s.dir, "haproxy.sock")
	conf := s.file("haproxy.cfg", fmt.Sprintf(`global
  maxconn 2000
  nbthread 1
  stats socket %s mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:8000
  default_backend back
backend back
  %s
  server one %s
`, socket, backend, to.addr()))
	p := s.serve("", "haproxy", "-db", "-f", conf)
	s.listening(p, 8000)
	read := func() (uint64, error) {
		text, err := talk(socket, "show stat typed\n")
		return number(text, `F\.\d+\.\d+\.\d+\.conn_tot\.\d+:\w+:u64:(\d+)`, err)
	}
	return &server{comm: "haproxy", port: 8000, counts: counter{"HAProxy, conn_tot", read}}
}
