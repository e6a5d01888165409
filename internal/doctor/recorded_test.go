package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a report has recorded of a host is judged as the host itself is.
func TestWhatWasRecordedIsJudgedAlike(t *testing.T) {
	const ipv4 = "sys/net/ipv4/"
	for _, ports := range [][2]uint16{{32768, 60999}, {1024, 65535}, {1024, 31000}, {50000, 50099}, {10240, 65535}} {
		for _, reserved := range []int{0, 5, 20000} {
			if reserved > 0 && ports[0] < serviceLow || reserved > int(ports[1]-ports[0]) {
				continue
			}
			for set := range 12 {
				reuse, stamps, fin := set%3, set/3%2, 15+45*(set/6)
				list := ""
				if reserved > 0 {
					list = fmt.Sprintf("%d-%d", ports[0], int(ports[0])+reserved-1)
				}
				d := examine(t, makeHost(t, map[string]string{
					ipv4 + "ip_local_port_range":     fmt.Sprintf("%d %d", ports[0], ports[1]),
					ipv4 + "ip_local_reserved_ports": list + "\n",
					ipv4 + "tcp_tw_reuse":            fmt.Sprintln(reuse),
					ipv4 + "tcp_timestamps":          fmt.Sprintln(stamps),
					ipv4 + "tcp_fin_timeout":         fmt.Sprintln(fin),
				}, nil))
				on, delay, timeout := stamps == 1, time.Second, time.Duration(fin)*time.Second
				r := Recorded{
					Range: &ports, Reserved: &reserved, Reuse: &reuse, ReuseDelay: &delay, Timestamps: &on, FinTimeout: &timeout,
				}
				checks := r.Checks()
				if len(checks) != 4 {
					t.Fatalf("%d checks: %+v", len(checks), checks)
				}
				for i := range checks {
					got, want := &checks[i], d.find(t, checks[i].Code)
					if got.Status != want.Status || got.Meaning != want.Meaning || text(got.Write) != text(want.Write) ||
						text(got.Set) != text(want.Set) {
						t.Errorf("range %v, %d reserved: %s %s: %s\nthe host: %s: %s", ports, reserved, got.Code, got.Status, got.Meaning,
							want.Status, want.Meaning)
					}
				}
			}
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// A report that lacks a setting says nothing about it: that is no fault of the host's.
func TestWhatWasNotRecordedIsNotJudged(t *testing.T) {
	wide, five, zero, on := [2]uint16{1024, 65535}, 5, 0, true
	for _, test := range []struct {
		name  string
		r     Recorded
		codes string
	}{
		{"nothing", Recorded{}, ""},
		{"reserved ports of a wide range", Recorded{Range: &wide, Reserved: &five}, ""},
		{"a wide range", Recorded{Range: &wide, Reserved: &zero}, "port-range"},
		{"not how many are reserved", Recorded{Range: &wide}, ""},
		{"reuse without timestamps", Recorded{Reuse: &zero}, ""},
		{"timestamps and reuse", Recorded{Reuse: &zero, Timestamps: &on}, "tw-reuse timestamps"},
	} {
		var codes []string
		for _, c := range test.r.Checks() {
			codes = append(codes, c.Code)
			if c.Status == Unknown {
				t.Errorf("%s: %s is unknown: %s", test.name, c.Code, c.Meaning)
			}
		}
		if got := strings.Join(codes, " "); got != test.codes {
			t.Errorf("%s: %q, want %q", test.name, got, test.codes)
		}
	}
}
