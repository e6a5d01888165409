package main

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // also where the host has none
)

func TestMomentsAreFoundInACapture(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	at := func(day, clock string) time.Time {
		v, err := time.ParseInLocation(time.DateTime, "2026-11-"+day+" "+clock, zone)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	noon, later := at("22", "12:00:00"), at("22", "12:20:00")
	night, morning := at("22", "23:50:00"), at("23", "00:10:00")
	week, weekend := at("16", "08:00:00"), at("22", "20:00:00")
	tests := []struct {
		first, last  time.Time
		since, until string
		from, to     time.Time // zero: no bound
	}{
		{noon, later, "", "", time.Time{}, time.Time{}},
		{noon, later, "12:05", "12:10:30", at("22", "12:05:00"), at("22", "12:10:30")},
		{noon, later, "2026-11-22T10:05:00Z", "2026-11-22T12:10:00+02:00", at("22", "12:05:00"), at("22", "12:10:00")},
		{noon, later, "-5m", "-1m30s", at("22", "12:15:00"), at("22", "12:18:30")},
		{noon, later, "11:00", "13:00", at("22", "11:00:00"), at("22", "13:00:00")}, // all of it
		{noon, later, "2026-11-22T10:05:00.25Z", "", at("22", "12:05:00").Add(250 * time.Millisecond), time.Time{}},
		{night, morning, "23:55", "00:05", at("22", "23:55:00"), at("23", "00:05:00")},
		{night, morning, "00:01", "", at("23", "00:01:00"), time.Time{}},
		{night, morning, "23:40", "00:20", at("22", "23:40:00"), at("23", "00:20:00")}, // all of it
		{week, weekend, "10:00", "09:00", at("16", "10:00:00"), at("17", "09:00:00")},
		{week, weekend, "2026-11-20T10:00:00+02:00", "11:00", at("20", "10:00:00"), at("20", "11:00:00")},
	}
	for _, tt := range tests {
		var p period
		setMoment(t, &p.since, tt.since)
		setMoment(t, &p.until, tt.until)
		since, until := p.bounds(tt.first.UnixNano(), tt.last.UnixNano(), zone)
		for _, side := range []struct {
			name string
			got  int64
			want time.Time
		}{{"--since " + tt.since, since, tt.from}, {"--until " + tt.until, until, tt.to}} {
			if side.want.IsZero() && side.got != 0 || !side.want.IsZero() && side.got != side.want.UnixNano() {
				t.Errorf("%s, of %s to %s, is %s, want %s", side.name, tt.first, tt.last, time.Unix(0, side.got).In(zone), side.want)
			}
		}
	}
}

// Where the clock is set, a time of day is what the clock shows.
func TestMomentsOnADayWhenTheClockIsSet(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, zone)
	var p period
	setMoment(t, &p.since, "12:00")
	since, _ := p.bounds(first.UnixNano(), first.Add(20*time.Hour).UnixNano(), zone)
	if got := time.Unix(0, since).In(zone).Format(time.DateTime); got != "2026-10-25 12:00:00" {
		t.Errorf("12:00 is %s", got)
	}
}

func setMoment(t *testing.T, m *moment, text string) {
	t.Helper()
	if text == "" {
		return
	}
	if err := m.Set(text); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoMoment(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "is no time",
		"yesterday":            "is no time",
		"25:00":                "is no time",
		"12:60":                "is no time",
		"12":                   "is no time",
		"2026-11-22":           "is no time",
		"2026-11-22 12:00":     "is no time",
		"5m":                   "is no time",
		"-":                    "is no time before the end",
		"-5":                   "is no time before the end",
		"--5m":                 "is no time before the end",
		"-+5m":                 "is no time before the end",
		"1969-01-01T00:00:00Z": "is not between",
		"9999-01-01T00:00:00Z": "is not between",
	} {
		m := moment{text: "before"}
		if err := m.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if m.text != "before" {
			t.Errorf("%q was taken", text)
		}
	}
}
