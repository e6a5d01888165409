package plan

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]float64{
		"30": 30, "0.5": 0.5, ".5": 0.5, "30/s": 30, "30/m": 0.5, "30/min": 0.5, "1800/h": 0.5, "1e3": 1000, "+2": 2,
		"0.000001": 1e-6, "100000000": 1e8, "360000000000/h": 1e8,
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	refused(t, ParseRate, map[string]string{
		"": "is no rate", "x": "is no rate", "NaN": "is no rate", "nan": "is no rate", "Inf": "is no rate", "-inf": "is no rate",
		"infinity": "is no rate", "0x10": "is no rate", "1_000": "is no rate", "1,000": "is no rate", "30/d": "is no rate",
		"/s": "is no rate", "30 ": "is no rate", "3 0": "is no rate", "1e": "is no rate", "30/s/s": "is no rate",
		"0": "not more than nothing", "-0": "not more than nothing", "-30": "not more than nothing", "1e-400": "not more than nothing",
		"-1e309": "not more than nothing",
		"1e309":  "from 0.000001 to 100,000,000 a second", "1e18": "out of bounds", "100000001": "out of bounds",
		"1e-7": "out of bounds", "0.001/h": "out of bounds",
	})
}

func TestParseReuse(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 1, "0%": 1, "0.9": 0.1, "90%": 0.1, ".25": 0.75, "99.9%": 0.001, "0.999999": 1e-6, "99.9999%": 1e-6, "1%": 0.99,
	} {
		if got, err := ParseReuse(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	refused(t, ParseReuse, map[string]string{
		"": "is no share", "%": "is no share", "x": "is no share", "NaN": "is no share", "NaN%": "is no share", "inf": "is no share",
		"1": "out of bounds", "100%": "out of bounds", "1.5": "from 0 to 0.999999, or from 0% to 99.9999%", "-0.1": "out of bounds",
		"-10%": "out of bounds", "90": "out of bounds", "1e309": "out of bounds", "0.9999999": "out of bounds",
	})
}

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]Ports{
		"5000":        {Count: 5000, Half: 2500, Basis: Given},
		"1":           {Count: 1, Half: 1, Basis: Given},
		"65535":       {Count: 65535, Half: 32768, Basis: Given},
		"1024-65535":  {Count: 64512, Half: 32256, Low: 1024, High: 65535, Basis: Given},
		"32768-60999": {Count: 28232, Half: 14116, Low: 32768, High: 60999, Basis: Given},
		// As sysctl prints it.
		"32768\t60999\n": {Count: 28232, Half: 14116, Low: 32768, High: 60999, Basis: Given},
		"5-5":            {Count: 1, Half: 1, Low: 5, High: 5, Basis: Given},
		"1025 - 1027":    {Count: 3, Half: 2, Low: 1025, High: 1027, Basis: Given},
	} {
		got, err := ParsePorts(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	refused(t, ParsePorts, map[string]string{
		"": "is no number of ports", "x": "is no number of ports", "-5": "is no number of ports", "5-": "is no number of ports",
		"1-2-3": "is no number of ports", "1 2 3": "is no number of ports", "5.5": "is no number of ports", "1e3": "is no number of ports",
		"NaN": "is no number of ports", "8080,9090": "is no number of ports",
		"0": "from 1 to 65535", "65536": "from 1 to 65535", "99999999999999999999": "from 1 to 65535", "0-100": "within 1-65535",
		"1024-65536": "within 1-65535", "60999-32768": `is upside down: write 32768-60999`,
	})
}

// refused: parse names each text, and says what is wrong.
func refused[T any](t *testing.T, parse func(string) (T, error), texts map[string]string) {
	t.Helper()
	for text, want := range texts {
		switch _, err := parse(text); {
		case err == nil:
			t.Errorf("%q is taken", text)
		case !strings.HasPrefix(err.Error(), `"`+text+`" is `) || !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Whatever the flags are, what they are read as is within bounds, and can be planned and written in each form.
func FuzzPlan(f *testing.F) {
	f.Add("30", "5000", "0.9", "240s", "0")
	f.Add("1e308", "1024-65535", "99.9999%", "1ms", "8760h")
	f.Add("100/h", "32768\t60999", "1e-9", "24h", "1ns")
	f.Add("NaN", "1-1", "-0", "-1s", "1h1h")
	f.Fuzz(func(t *testing.T, rate, ports, reuse, timeWait, lifetime string) {
		s := Scenario{Rate: MaxRate, New: 1, Ports: linux.Ports, TimeWait: time.Minute, Sources: MaxSources, Destinations: MaxDestinations}
		if v, err := ParseRate(rate); err == nil {
			s.Rate = v
		}
		if v, err := ParseReuse(reuse); err == nil {
			s.New = v
		}
		if p, err := ParsePorts(ports); err == nil {
			s.Ports, s.Sources, s.Destinations = p, 1, 1
		}
		if d, err := time.ParseDuration(timeWait); err == nil && d >= MinTimeWait && d <= MaxTimeWait {
			s.TimeWait = d
		}
		if d, err := time.ParseDuration(lifetime); err == nil && d >= 0 && d <= MaxLifetime {
			s.Lifetime = d
		}
		if !(s.Rate >= MinRate && s.Rate <= MaxRate && s.New >= minNew && s.New <= 1 && s.Ports.Count >= 1 && s.Ports.Count <= 65535) {
			t.Fatalf("out of bounds: %+v", s)
		}
		d := Build(&s)
		sane(t, &d.Outcome)
		for i := range d.Remedies {
			sane(t, &d.Remedies[i].Outcome)
		}
		var b strings.Builder
		for _, write := range []func(io.Writer, *Document) error{WriteColumns, WriteCSV, writeLine} {
			if err := write(&b, d); err != nil {
				t.Fatal(err)
			}
		}
		if text := b.String(); !utf8.ValidString(text) || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Fatal(text)
		}
	})
}

func writeLine(w io.Writer, d *Document) error { return WriteJSON(w, d, false) }

// sane: figures are numbers, and not below 0.
func sane(t *testing.T, o *Outcome) {
	t.Helper()
	figures := []*figure{&o.Lasting, o.Exhaustion}
	if o.SlowHalf != nil {
		figures = append(figures, &o.SlowHalf.Fast, o.SlowHalf.Seconds)
	}
	for _, f := range figures {
		if f != nil && !(*f > 0 && !math.IsInf(float64(*f), 0)) {
			t.Fatalf("%v in %+v", *f, o)
		}
	}
	if o.Capacity < 1 || o.PortsNeeded != nil && *o.PortsNeeded < 1 {
		t.Fatalf("%+v", o)
	}
}
