package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// writeNotices writes the licences of all parts. A text that several have is there once.
func (p *parts) writeNotices(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "tcpstate %s is made of these parts, and passed on under their licences:\n\n", p.self.version)
	all := append([]part{p.self}, p.others...)
	var order []text
	owners := make(map[string][]string)
	for i := range all {
		for _, t := range all[i].texts {
			if owners[t.body] == nil {
				order = append(order, t)
			}
			owners[t.body] = append(owners[t.body], fmt.Sprintf("%s %s: %s", all[i].path, all[i].version, t.name))
		}
		fmt.Fprintf(out, "  %s %s\n", all[i].path, all[i].version)
	}
	for _, t := range order {
		line := strings.Repeat("=", 80)
		fmt.Fprintf(out, "\n%s\n%s\n%s\n\n%s", line, strings.Join(owners[t.body], "\n"), line, t.body)
	}
	return out.Flush()
}
