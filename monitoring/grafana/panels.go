package main

type section struct {
	title  string
	panels []panel
}

// What the series of a host, of a service's rows, and of a destination's budgets are chosen by.
const (
	hosts   = `{job=~"$job",instance=~"$instance"}`
	rows    = `{job=~"$job",instance=~"$instance",service=~"$service",destination=~"$destination"}`
	budgets = `{job=~"$job",instance=~"$instance",destination=~"$destination"}`

	row    = "{{service}} → {{destination}} {{instance}}"
	budget = "{{source}} → {{destination}} {{instance}}"
)

func sections() []section {
	return []section{
		{"overview", overview()},
		{"local ports", ports()},
		{"connections", connections()},
		{"TIME_WAIT", timeWait()},
		{"how long connections take and live", durations()},
		{"tcpstate itself", itself()},
	}
}

func overview() []panel {
	of := func(severity string) string {
		return `sum(tcpstate_findings{job=~"$job",instance=~"$instance",severity="` + severity + `"}) or vector(0)`
	}
	return []panel{
		number("critical findings", "", of("critical"), 1),
		number("warnings", "", of("warning"), 1, 1e9),
		number("ports in use, worst", "percentunit", "max(tcpstate_port_used_ratio"+budgets+")", 0.7, 0.85),
		number("connects without a port", "", "sum(increase(tcpstate_port_exhaustions_total"+budgets+"[$__range]))", 1),
		number("hosts that answer", "", "count(tcpstate_tracer_info"+hosts+")"),
		number("hosts whose totals are inexact", "", "count(tcpstate_totals_exact"+hosts+" == 0) or vector(0)", 1, 1e9),
		table("findings", 12, "sum by (severity, code, instance) (tcpstate_findings"+hosts+") > 0", "findings",
			"severity", "code", "instance").
			linked("code", "runbook", repository+"docs/runbook/${__value.raw}.md"),
		table("verdicts that are not pooled", 12,
			`max by (service, destination, verdict, kind, confidence, instance) (tcpstate_verdict_info`+
				`{verdict=~"unpooled|undersized-pool|connect-failing",job=~"$job",instance=~"$instance",service=~"$service",`+
				`destination=~"$destination"})`,
			"", "service", "destination", "verdict", "kind", "confidence", "instance").
			linked("verdict", "runbook", repository+"docs/runbook/${__value.raw}.md"),
	}
}

func ports() []panel {
	return []panel{
		graph("ports in use", "percentunit", 12,
			query{top(10, "tcpstate_port_used_ratio"+budgets), budget}).
			limited(1, 0.7, 0.85).
			said("Of the ports that connect() can choose from. From a half on each connect() searches for long. With " +
				"tcp_tw_reuse TIME_WAITs are taken over, and nearly all ports may be in use without harm."),
		graph("time until none is left", "s", 12,
			query{"bottomk(10, tcpstate_seconds_to_exhaustion" + budgets + " < Inf)", budget}).
			said("If it goes on like now, TIME_WAITs that end counted in. No line: it does not come to that."),
		graph("ports held, and how many there are", "short", 12,
			query{top(10, "tcpstate_ports_used"+budgets), budget},
			query{top(10, "tcpstate_ports_reusable"+budgets+" > 0"), "of these, connect() takes over " + budget},
			query{"max by (instance) (tcpstate_port_capacity" + budgets + ")", "there are, {{instance}}"}),
		graph("connects that failed with EADDRNOTAVAIL", "cps", 12,
			query{"sum by (instance, source, destination) (rate(tcpstate_port_exhaustions_total" + budgets +
				"[$__rate_interval])) > 0", budget}),
	}
}

func connections() []panel {
	rate := func(metric, selector string) string { return "rate(" + metric + selector + "[$__rate_interval])" }
	byRow := func(metric string) string {
		return "sum by (instance, service, destination) (" + rate(metric, rows) + ")"
	}
	failed, opened := byRow("tcpstate_connect_failures_total"), byRow("tcpstate_connects_total")
	return []panel{
		graph("opened", "cps", 8,
			query{top(10, rate("tcpstate_connects_total", rows)), row}),
		graph("failed, by error", "cps", 8,
			query{"sum by (error) (" + rate("tcpstate_connect_failures_total", rows) + ") > 0", "{{error}}"}),
		graph("share of connects that fail", "percentunit", 8,
			query{top(10, failed+" / ("+failed+" + ("+opened+" or 0 * "+failed+")) > 0"), row}),
		graph("open at once", "short", 8,
			query{top(10, "tcpstate_open_connections"+rows), row}),
		graph("closed, by who closed first", "cps", 8,
			query{"sum by (closed_by) (" + rate("tcpstate_closes_total", rows) + ")", "{{closed_by}}"}).
			said("TIME_WAIT is where the end that closed first is: here for local and both."),
		graph("accepted", "cps", 8,
			query{top(10, "sum by (instance, service, listener) ("+
				rate("tcpstate_accepts_total", `{job=~"$job",instance=~"$instance",service=~"$service"}`)+")"),
				"{{service}} {{listener}} {{instance}}"}),
		graph("sent and received", "Bps", 24,
			query{top(10, rate("tcpstate_sent_bytes_total", rows)), "sent " + row},
			query{"-" + top(10, rate("tcpstate_received_bytes_total", rows)), "received " + row}).
			signed().
			said("Payload, told when a connection ends. Received is below zero."),
	}
}

func timeWait() []panel {
	return []panel{
		graph("held: tcpstate's count and the kernel's own", "short", 8,
			query{"sum by (instance) (tcpstate_time_wait" + hosts + ")", "tcpstate {{instance}}"},
			query{"sum by (instance) (tcpstate_kernel_time_wait" + hosts + ")", "kernel {{instance}}"}).
			said("The kernel's is what /proc/net/sockstat shows, over all network namespaces. A difference that lasts is the " +
				"finding time-wait-inexact."),
		graph("held, by destination", "short", 8, query{top(10, "tcpstate_time_wait"+rows), row}),
		graph("made", "cps", 8,
			query{top(10, "rate(tcpstate_time_wait_entered_total"+rows+"[$__rate_interval])"), row}),
	}
}

// durations are of native histograms. Without them (README.md) there are sums and counts, and so means, only.
func durations() []panel {
	both := func(title, metric string) panel {
		by := "sum by (service) (rate(" + metric + rows + "[$__rate_interval]))"
		suffixed := func(s string) string { return "sum by (service) (rate(" + metric + s + rows + "[$__rate_interval]))" }
		return graph(title, "s", 12,
			query{top(10, "histogram_quantile(0.5, "+by+")"), "half, {{service}}"},
			query{top(10, "histogram_quantile(0.99, "+by+")"), "99 %, {{service}}"},
			query{top(10, "histogram_sum("+by+") / histogram_count("+by+") or "+suffixed("_sum")+" / "+suffixed("_count")),
				"mean, {{service}}"})
	}
	return []panel{
		both("lifetime of connections", "tcpstate_connection_lifetime_seconds").
			said("Told when a connection ends. Milliseconds where there should be a pool: there is none."),
		both("time a connect takes", "tcpstate_connect_duration_seconds").
			said("A jump from microseconds to milliseconds toward a near host: more than half of the ports are taken."),
	}
}

func itself() []panel {
	itself := func(metric string) string { return metric + hosts + " and on (job, instance) tcpstate_tracer_info" }
	rate := func(metric string) string { return "rate(" + metric + hosts + "[$__rate_interval])" }
	return []panel{
		graph("CPU", "percentunit", 8,
			query{top(10, rate("process_cpu_seconds_total")+" and on (job, instance) tcpstate_tracer_info"),
				"user space {{instance}}"},
			query{top(10, "sum by (job, instance) ("+rate("tcpstate_bpf_run_seconds_total")+")"), "in the kernel {{instance}}"}).
			said("Of one core. What the programs in the kernel take is known where kernel.bpf_stats_enabled is 1."),
		graph("BPF, time of one run", "s", 8,
			query{top(10, rate("tcpstate_bpf_run_seconds_total")+" / "+rate("tcpstate_bpf_runs_total")),
				"{{program}} {{instance}}"}),
		graph("memory", "bytes", 8, query{top(10, itself("process_resident_memory_bytes")), "{{instance}}"}),
		graph("events", "cps", 8,
			query{"sum by (kind) (" + rate("tcpstate_events_total") + ")", "{{kind}}"}),
		graph("lost", "cps", 8,
			query{"sum by (reason, instance) (" + rate("tcpstate_lost_total") + ") > 0", "{{reason}} {{instance}}"}),
		graph("age of the figures", "s", 8,
			query{top(10, "time() - tcpstate_snapshot_timestamp_seconds"+hosts), "{{instance}}"}).
			said("By the clock of Prometheus: it also shows a clock that is wrong."),
		graph("file descriptors", "short", 8, query{top(10, itself("process_open_fds")), "{{instance}}"}),
		graph("rows kept apart", "short", 8,
			query{top(10, "tcpstate_destinations"+hosts), "{{instance}}"},
			query{"max(tcpstate_destinations_limit" + hosts + ")", "as many as can be; the rest is ~other"}),
		graph("flight recorder: written", "Bps", 8,
			query{top(10, rate("tcpstate_recorder_written_bytes_total")), "{{instance}}"}),
		graph("flight recorder: events written, and not", "cps", 8,
			query{top(10, rate("tcpstate_recorder_events_total")), "written {{instance}}"},
			query{top(10, rate("tcpstate_recorder_dropped_events_total")) + " > 0", "dropped {{instance}}"}),
		graph("incidents put aside", "short", 8,
			query{"sum by (instance) (increase(tcpstate_incidents_total" + hosts + "[$__rate_interval])) > 0", "{{instance}}"}),
		number("flight recorders that run", "", "count(tcpstate_recorder_running"+hosts+" == 1)"),
		number("configurations that are rejected", "",
			"count(tcpstate_config_reload_success"+hosts+" == 0) or vector(0)", 1, 1e9),
		table("configuration read last", 8,
			"tcpstate_config_reload_success_timestamp_seconds"+hosts+" * 1000", "read", "instance").
			dated("read"),
		table("agents", 8, "max by (instance, version, tier, kernel) (tcpstate_tracer_info"+hosts+")", "",
			"instance", "version", "tier", "kernel"),
	}
}
