// Command grafana prints the Grafana dashboard of tcpstate; with -queries the queries in it, a line each, with -rules
// the same as recording rules, which promtool can check:
//
//	go run ./monitoring/grafana > monitoring/grafana/tcpstate.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	queries := flag.Bool("queries", false, "print the queries")
	rules := flag.Bool("rules", false, "print the queries as rules")
	flag.Parse()
	write := writeDashboard
	switch {
	case *rules:
		write = writeRules
	case *queries:
		write = writeQueries
	}
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

func writeDashboard(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(build()); err != nil {
		return fmt.Errorf("write dashboard: %w", err)
	}
	return nil
}

// plain are values for Grafana's variables, with which a query is one for Prometheus.
var plain = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h",
	"$job", ".*", "$instance", ".*", "$service", ".*", "$destination", ".*")

// expressions are the queries of all panels, without variables.
func expressions() []string {
	var all []string
	for _, p := range build().Panels {
		for _, t := range p.Targets {
			all = append(all, plain.Replace(t.Expr))
		}
	}
	return all
}

func writeQueries(w io.Writer) error {
	if _, err := io.WriteString(w, strings.Join(expressions(), "\n")+"\n"); err != nil {
		return fmt.Errorf("write queries: %w", err)
	}
	return nil
}

func writeRules(w io.Writer) error {
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, e := range expressions() {
		fmt.Fprintf(&b, "      - record: dashboard:query%d\n        expr: %q\n", i, e)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}
