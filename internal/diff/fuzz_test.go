package diff

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tcpstate/tcpstate/internal/report"
)

// Whatever a file says, the comparison is a document that can be written, with an exit code that agrees.
func FuzzCompare(f *testing.F) {
	var text bytes.Buffer
	if err := report.WriteJSON(&text, reportWith(unpooled, pooled), false); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String(), text.String())
	f.Add(`{"schema":"tcpstate.report/v1","window":{"seconds":10},"loss":{"totals_exact":true},"ports":[{}],`+
		`"destinations":[{"direction":"outbound","opened":18446744073709551615}]}`, text.String())
	f.Fuzz(func(t *testing.T, before, after string) {
		b, err := ReadReport(strings.NewReader(before))
		if err != nil {
			return
		}
		a, err := ReadReport(strings.NewReader(after))
		if err != nil {
			return
		}
		d := Compare(Input{"a", b}, Input{"b", a})
		if d.Result.ExitCode() != d.ExitCode || d.Summary == "" {
			t.Errorf("%+v", d)
		}
		c := &d.Counts
		if n := c.Better + c.Worse + c.Same + c.CannotTell + c.OnlyBefore + c.OnlyAfter; n != len(d.Rows) {
			t.Errorf("%d rows, %d counted", len(d.Rows), n)
		}
		var out bytes.Buffer
		if err := WriteJSON(&out, d, false); err != nil || !json.Valid(out.Bytes()) {
			t.Errorf("%v: %q", err, &out)
		}
		out.Reset()
		if err := WriteColumns(&out, d, Options{Width: 80}); err != nil || strings.ContainsAny(out.String(), "\x1b\r\x00") {
			t.Errorf("%v: %q", err, &out)
		}
	})
}
