# Passes the output of "go test -bench" on and puts the figures that have a limit into a table at the end: a figure
# called x is measured against x-max or x-min of the same line. A few have none, but are to be seen.

{ print; fflush() }

/^Benchmark/ && NF > 3 {
	split("", value)
	name = substr($1, 10)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2)
		value[$(i + 1)] = $i
	for (i = 3; i < NF; i += 2) {
		unit = $(i + 1)
		if (unit ~ /-(max|min)$/)
			continue
		if (unit "-max" in value)
			row(name, unit, "at most " value[unit "-max"] + 0, value[unit] + 0 <= value[unit "-max"] + 0)
		else if (unit "-min" in value)
			row(name, unit, "at least " value[unit "-min"] + 0, value[unit] + 0 >= value[unit "-min"] + 0)
		else if (unit ~ /^(lost|cpu-share|first-ratio|kernel-MiB|ms-to-open|ns\/connection|timers-ns\/connection|lookup-ns\/connection)$/)
			row(name, unit, "", 1)
	}
}

/^(--- )?SKIP|^ +.*cannot trace/ { skipped = 1 }

function row(name, unit, limit, ok) {
	rows[++n] = sprintf("%-28s %-18s %10.4g   %-14s %s", name, unit, value[unit], limit, limit == "" ? "" : ok ? "ok" : "over")
}

END {
	if (n)
		printf "\n%-28s %-18s %10s   %-14s\n", "benchmark", "figure", "measured", "limit"
	for (i = 1; i <= n; i++)
		print rows[i]
	if (skipped)
		print "some were skipped: they need root, see above"
}
