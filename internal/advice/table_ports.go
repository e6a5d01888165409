package advice

// portSections are for connects that found no local port. More ports only move the day on which they run out, so they
// come last.
var portSections = []section{
	{
		place: atFirst, tupleInUse: true,
		rows: []row{
			{source: docIP7,
				text: "let the kernel choose the source port: bind() before connect() with IP_BIND_ADDRESS_NO_PORT, or " +
					"no bind() at all."},
			{runtimes: of("nginx"), source: "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_bind",
				text: "nginx: let proxy_bind name an address without a port (nginx then sets IP_BIND_ADDRESS_NO_PORT), " +
					"or drop it."},
			{runtimes: of("haproxy"), source: docHAProxy,
				text: "haproxy: give \"source\" an address without a port range, so that the kernel chooses the port at " +
					"connect(); several servers with addresses of their own have more ports."},
			{runtimes: of("go"), source: "https://pkg.go.dev/net#Dialer",
				text: "Go: leave net.Dialer.LocalAddr nil, or set IP_BIND_ADDRESS_NO_PORT on the socket in Dialer.Control."},
			{runtimes: of("python"), source: docIP7,
				text: "Python: drop source_address, or call setsockopt(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) before bind()."},
			{runtimes: of("curl"), source: docCurl,
				text: "curl: drop --local-port, so that the kernel chooses the source port at connect()."},
		},
	},
	{
		place: atFirst, portsExhausted: true, verdicts: of(Unpooled, UndersizedPool, ConnectFailing, TooFewToTell),
		rows: []row{
			{source: docTCP,
				text: "reuse connections first: a wider port range only delays the next exhaustion."},
		},
	},
	{
		place: atFirst, portsExhausted: true, verdicts: of(Pooled),
		rows: []row{
			{source: docTCP,
				text: "this service reuses its connections and lacks ports all the same: find who else connects to this " +
					"destination, and let that reuse its connections first."},
		},
	},
	{
		place: atLast, portsExhausted: true,
		rows: []row{
			{source: docSysctl,
				text: "then the host: net.ipv4.ip_local_port_range (listeners' ports in ip_local_reserved_ports), and " +
					"net.ipv4.tcp_tw_reuse = 1 with tcp_timestamps; never tcp_tw_recycle."},
		},
	},
}
