# Read by run: Prometheus, the agent, and 100 ports.
# shellcheck shell=bash disable=SC2154

[[ $EUID == 0 ]] || fail 'the live part traces, and needs root; without it: run static'
for command in ip nsenter unshare curl; do
	command -v "$command" >/dev/null || fail "$command is missing (Debian: apt-get install iproute2 util-linux curl)"
done

rm -rf "$work"/tsdb-* "$work/captures" "$work"/*.log # of a first try

# start NAME COMMAND...: in the background, its output in NAME.log, its pid in $started
start() {
	local name=$1
	shift
	"$@" >>"$work/$name.log" 2>&1 &
	started=$!
}

# within SECONDS WHAT COMMAND...: waits until the command succeeds, and what was started last is still there
within() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		kill -0 "$started" 2>/dev/null || fail "$what: it has ended"
		((SECONDS < end)) || fail "$what: not within the time"
		sleep 0.2
	done
}

# free_port: a port of loopback that nobody listens on
free_port() {
	local port
	for port in $(shuf -i 20000-30000 -n 50); do
		[[ -n $(ss -Htln "sport = :$port") ]] || { echo "$port" && return; }
	done
}

# value QUERY: what Prometheus says of one series, with its fraction; nothing when it knows nothing
value() { promtool query instant -- "http://127.0.0.1:$prom" "$1" | sed -nE '1s/.*=> ([^ ]+) @\[.*/\1/p'; }

# agrees WHAT QUERY COMMAND...: Prometheus says what the command does, after 20 s at most: on a busy machine it takes a while
# until what has happened is in Prometheus. Both are read anew each time.
agrees() {
	local what=$1 query=$2 end=$((SECONDS + 20)) got want
	shift 2
	while
		want=$("$@") got=$(value "$query")
		[[ $got != "$want" ]]
	do
		((SECONDS < end)) || differs "$what" "$query" "$got" "$want"
		sleep 0.2
	done
	say "$what: $got"
}

# equals WHAT QUERY NUMBER: the same with a number that does not change
equals() { agrees "$1" "$2" echo "$3"; }

# is WHAT QUERY NUMBER: at once, where waiting could hide what is wrong
is() {
	local got
	got=$(value "$2")
	[[ $got == "$3" ]] || differs "$1" "$2" "$got" "$3"
	say "$1: $got"
}

differs() {
	curl -fsS "http://127.0.0.1:$agent/metrics" | grep -F -e "$here" -e tcpstate_kernel_time_wait >"$work/metrics.log" || true
	if [[ $(value 'min_over_time(tcpstate_totals_exact[5m])') == 0 ]]; then
		say "$1: Prometheus says ${3:-nothing}, and $4 it is; the totals are not exact"
		promtool query instant "http://127.0.0.1:$prom" 'tcpstate_lost_total > 0'
		cat "$work/metrics.log" "$work/agent.log"
		exit "$inexact"
	fi
	fail "$1: Prometheus says ${3:-nothing}, and $4 it is ($2)"
}

# settled: waits until Prometheus has figures of two seconds from now
settled() { within 30 'new figures' newer "$(($(date +%s) + 2))"; }
newer() { [[ $(value "tcpstate_snapshot_timestamp_seconds > bool $1") == 1 ]]; }

# first ALERT: when it fired first, Unix time; nothing if it did not
first() { value "min(min_over_time(timestamp(ALERTS{alertstate=\"firing\",$1})[10m:1s]))"; }

# before WHAT A B: A is a time before B
before() {
	[[ -n $2 && -n $3 ]] || fail "$1: one of the two never happened ('$2', '$3')"
	awk -v a="$2" -v b="$3" 'BEGIN { exit !(a < b) }' || fail "$1: $2 is not before $3"
	say "$1: $(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.1f s", b - a }')"
}

# 100 ports toward each destination, and no reuse of TIME_WAITs. The namespace has no name: it goes with its last process.
start holder unshare --net sleep infinity
holder=$started
apart() { [[ $(readlink "/proc/$holder/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }
within 10 'a network namespace' apart
inside() { nsenter --net="/proc/$holder/ns/net" "$@"; }
here=10.77.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1)) # for the agent also sees those who do the same at the same time
inside ip link set lo up
inside ip address add "$here/32" dev lo
inside sysctl -qw net.ipv4.ip_local_port_range='40000 40099' net.ipv4.tcp_tw_reuse=0
inode=$(inside readlink /proc/self/ns/net | tr -dc 0-9)
sockstat() { inside awk '$1 == "TCP:" { for (i = 2; i < NF; i++) if ($i == "tw") print $(i + 1) }' /proc/net/sockstat; }

# The names of the processes are those of the services.
(cd .. && CGO_ENABLED=0 go build -o "$work/lm-server" ./monitoring/load)
for name in lm-churn lm-pool lm-again; do
	cp "$work/lm-server" "$work/$name"
done
churned=$here:5432 pooled=$here:6379 again=$here:80
for address in $churned $pooled $again; do
	start server nsenter --net="/proc/$holder/ns/net" "$work/lm-server" serve "$address"
done

agent=$(free_port)
start_agent() { # who connects to a thousand places on the same machine takes no place from the clients
	start agent "$tool" agent --listen "127.0.0.1:$agent" --write "$work/captures" --after 2s --destinations 10000
	agent_pid=$started
	within 60 'the agent is ready' curl -fsS "http://127.0.0.1:$agent/readyz"
}
began=$(date +%s%N)
start_agent
say "ready after $((($(date +%s%N) - began) / 1000000)) ms"
curl -fsS "http://127.0.0.1:$agent/metrics" -o "$work/metrics"
promtool check metrics <"$work/metrics" || fail 'promtool does not like the metrics'

# The rules as they are, but for waiting: seconds instead of minutes.
sed -E 's/^( +(for|keep_firing_for):) .*/\1 3s/' tcpstate.rules.yml >"$work/tcpstate.rules.yml"
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [tcpstate.rules.yml]
scrape_configs:
  - job_name: tcpstate
    honor_labels: true
    static_configs: [{targets: ['127.0.0.1:$agent']}]
END
# One with native histograms, and one as it is without the flag.
serve_prometheus() {
	local port
	port=$(free_port)
	start "prometheus-$1" prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb-$1" \
		--web.listen-address="127.0.0.1:$port" --log.level=warn "${@:2}"
	within 60 "Prometheus $1 is ready" curl -fsS "http://127.0.0.1:$port/-/ready"
	prom=$port
}
serve_prometheus plain
plain=$prom
serve_prometheus native --enable-feature=native-histograms
scraped() { [[ -n $(value tcpstate_totals_exact) ]]; }
within 30 'the agent is scraped' scraped

say "--- $(inside cat /proc/sys/net/ipv4/ip_local_port_range | tr '\t' -) toward $churned, 5 connects a second"
start pool nsenter --net="/proc/$holder/ns/net" "$work/lm-pool" pool $pooled 50 10m
pool_pid=$started
inside "$work/lm-churn" churn $churned 5 50s 25 >"$work/churn.count" || fail 'the client'
declare -A own
while read -r name number; do own[$name]=$number; done <"$work/churn.count"
((own[EADDRNOTAVAIL] > 0)) || fail "no connect failed: ${own[connected]} of 100 ports were used"
settled
# First what goes in half a minute: the TIME_WAITs.
equals 'ports in use' "tcpstate_port_used_ratio{destination=\"$churned\"}" 1
equals 'ports that connect() takes over' "tcpstate_ports_reusable{destination=\"$churned\"}" 0
agrees 'TIME_WAITs of the client, as many as the kernel holds there' \
	"sum(tcpstate_time_wait{service=\"lm-churn\",destination=\"$churned\"})" sockstat
agrees "the kernel's count in Prometheus" "tcpstate_kernel_time_wait{netns=\"$inode\"}" sockstat

fired() { [[ -n $(first "$1") ]]; }
exhausted="alertname=\"TcpstatePortsExhausted\",destination=\"$churned\""
within 20 'exhaustion is called' fired "$exhausted"
exhausted=$(first "$exhausted")
running="alertname=\"TcpstatePortsRunningOut\",destination=\"$churned\""
warned=$(first "$running,severity=\"warning\"")
called=$(first "$running,severity=\"critical\"")
before 'the warning comes before the first connect fails by' "$warned" "${own[first_failure]}"
before 'the critical alert comes before the first connect fails by' "$called" "${own[first_failure]}"
before 'the first connect fails before it is called exhaustion by' "${own[first_failure]}" "$exhausted"
latest=$(awk -v t="${own[first_failure]}" 'BEGIN { printf "%.3f", t + 5 }')
before 'it is called exhaustion within 5 s, to spare' "$exhausted" "$latest"
is 'alerts about the ports of the pool, ever' \
	"count(count_over_time(ALERTS{destination=\"$pooled\"}[10m])) or vector(0)" 0

same() { # as the client, as the kernel
	equals "connections of $1" "tcpstate_connects_total{service=\"$1\",destination=\"$2\"}" "$3"
	equals "connects of $1 without a port" \
		"tcpstate_connect_failures_total{service=\"$1\",destination=\"$2\",error=\"EADDRNOTAVAIL\"} or vector(0)" "$4"
}
same lm-churn $churned "${own[connected]}" "${own[EADDRNOTAVAIL]}"
same lm-pool $pooled 4 0
equals 'the same by budget' "tcpstate_port_exhaustions_total{destination=\"$churned\"}" "${own[EADDRNOTAVAIL]}"
equals 'totals are exact' tcpstate_totals_exact 1
equals 'the verdict on the client' \
	"count(tcpstate_verdict_info{service=\"lm-churn\",destination=\"$churned\",verdict=\"unpooled\"})" 1
aside() { find "$work/captures" -name 'incident-*' | wc -l; }
agrees 'what the flight recorder has put aside' tcpstate_incidents_total aside
(($(aside) > 0)) || fail 'the flight recorder has put nothing aside'

say '--- the agent is killed and started anew'
kill -KILL "$agent_pid"
wait "$agent_pid" 2>/dev/null || true
start_agent
inside "$work/lm-again" churn $again 20 3s >"$work/again.count" || fail 'the second client'
unset own && declare -A own
while read -r name number; do own[$name]=$number; done <"$work/again.count"
settled
same lm-again $again "${own[connected]}" 0
is 'what was counted before the restart is not counted again' \
	"sum(tcpstate_connects_total{destination=\"$churned\"}) or vector(0)" 0
agrees 'TIME_WAITs from before the restart are known' "sum(tcpstate_time_wait{destination=~\"$here:.*\"})" sockstat
equals 'connects at most, added up over the restart' \
	"sum(increase(tcpstate_connects_total{destination=~\"$churned|$again\"}[2m])) < bool $((100 + own[connected] + 10))" 1

say '--- the dashboard'
# What is empty on a host in order, or where the kernel keeps no BPF statistics.
may_be_empty='> 0$|> 0)$|< Inf)$|bpf_run|verdict=~'
queries=0
while IFS= read -r query; do
	queries=$((queries + 1))
	answer=$(promtool query instant -- "http://127.0.0.1:$prom" "$query" 2>&1) ||
		fail "the dashboard's query $query: $answer"
	[[ -n $answer || $query =~ $may_be_empty ]] || fail "the dashboard's query has no answer: $query"
done < <(cd .. && go run ./monitoring/grafana -queries)
say "$queries queries have an answer"
equals 'half of the connections of the client live for less than a second, by native histograms' \
	'histogram_quantile(0.5, sum(rate(tcpstate_connection_lifetime_seconds{service="lm-again"}[2m]))) < bool 1' 1
prom=$plain
lives=tcpstate_connection_lifetime_seconds
equals 'and by sums and counts without them' \
	"sum(${lives}_sum{service=\"lm-again\"}) / sum(${lives}_count{service=\"lm-again\"}) < bool 1" 1

say '--- what it takes'
kill "$pool_pid" 2>/dev/null || true
for query in process_resident_memory_bytes process_cpu_seconds_total process_open_fds; do
	say "$query: $(value "$query")"
done
say "scrape: $(value 'scrape_duration_seconds{job="tcpstate"}') s, $(wc -c <"$work/metrics") bytes when idle"
