package top

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/report"
)

// words are what stands in the line that names a service, without marks and bars.
func words(text, service string) []string {
	for line := range strings.Lines(text) {
		plain := strings.Map(func(r rune) rune {
			if r > '~' && r != 'µ' || r == '!' {
				return ' '
			}
			return r
		}, line)
		if f := strings.Fields(plain); len(f) > 6 && f[0] == service {
			return f
		}
	}
	return nil
}

func TestTheTableAgreesWithTheReport(t *testing.T) {
	d := report.Build(incident().input())
	var columns strings.Builder
	if err := report.WriteColumns(&columns, d, report.Options{Width: 200}); err != nil {
		t.Fatal(err)
	}
	_, outbound, _ := strings.Cut(columns.String(), "\nOUTBOUND\n")
	frame := opened(t, 200, 50, Options{}, live(d)).text()
	for _, service := range []string{"pgbench", "php-fpm8.2", "gateway", "java", "curl"} {
		// SERVICE PID DESTINATION VERDICT NEW/S OPENED OPEN FAILED CLOSER TIME_WAIT LIFE
		r := words(outbound, service)
		// SERVICE DESTINATION VERDICT NEW/S OPEN TIME_WAIT USED% GONE_IN FAILED [ERROR] LIFE
		v := words(frame, service)
		if len(r) != 11 || len(v) < 10 {
			t.Fatalf("%s: %q in the report, %q in the view", service, r, v)
		}
		want := []string{r[2], r[3], r[4], r[6], r[9], r[7], r[10]}
		got := []string{v[1], v[2], v[3], v[4], v[5], v[8], v[len(v)-1]}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-report +view):\n%s", service, diff)
		}
	}
}
