# Read by run: what can be said without tracing.
# shellcheck shell=bash disable=SC2154

# Exact, for what they accept changes: Grafana 10.4 is the oldest that the dashboard is for.
SCHEMA=(@grafana/schema@10.4.0 typescript@5.9.3)

promtool check rules tcpstate.rules.yml || fail 'the rules'
promtool test rules tcpstate.rules_test.yml || fail 'the tests of the rules'
(cd .. && go run ./monitoring/grafana -rules) >"$work/dashboard.rules.yml"
promtool check rules "$work/dashboard.rules.yml" >/dev/null || fail 'a query of the dashboard'
(cd .. && go test -count=1 ./monitoring/...) || fail 'the tests beside the rules'

command -v npm >/dev/null || fail 'npm is missing (Debian: apt-get install nodejs npm)'
npm install --prefix "$work" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error \
	"${SCHEMA[@]}" >/dev/null
node grafana/check.mjs grafana/tcpstate.json "$work/dashboard.ts"
"$work/node_modules/.bin/tsc" --noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler \
	"$work/dashboard.ts" || fail "the dashboard does not fit Grafana's schema"
say 'the dashboard fits the schema of Grafana'

# What the pages show of prometheus.yml is one.
cp tcpstate.rules.yml "$work"
echo '[]' >"$work/hosts.json"
awk -v to="$work/shown" '/^```yaml/ { shown = 1; n++; next } /^```/ { shown = 0 } shown { print >(to n ".yml") }' \
	README.md ../docs/fleet.md
for file in $(grep -l '^# prometheus.yml' "$work"/shown*.yml); do
	promtool check config "$file" >"$work/config.log" || fail "a prometheus.yml that is shown: $(cat "$file")"
done

# Each `tcpstate VERB --flag` of the runbook is one that there is.
commands=0
while read -r file line; do
	read -ra words <<<"$line"
	verb=${words[1]}
	[[ $verb != version ]] || continue
	help=$("$tool" "$verb" --help 2>&1) || fail "$file: tcpstate has no verb $verb: $line"
	for word in "${words[@]:2}"; do
		[[ $word =~ ^--?[a-z] ]] || continue
		grep -qE -- "(^|[ ,])${word%%=*}([ ,=]|$)" <<<"$help" || fail "$file: tcpstate $verb has no flag $word: $line"
	done
	commands=$((commands + 1))
done < <(grep -HoE 'tcpstate (top|report|trace|record|diff|export|info|doctor|plan|check|agent|version)( [^`|#>&]*)?' \
	../docs/runbook/*.md ../docs/fleet.md | sed 's/:/ /')
((commands > 20)) || fail "only $commands commands found in the runbook"
say "$commands commands of the runbook exist"
