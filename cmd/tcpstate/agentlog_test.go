package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// logAt logs as if it were that time.
func logAt(log *slog.Logger, level slog.Level, at time.Duration, text string) {
	r := slog.NewRecord(time.Unix(1_795_000_000, 0).Add(at), level, text, 0)
	_ = log.Handler().Handle(context.Background(), r)
}

func TestTheSameMessageIsSaidOnceAMinute(t *testing.T) {
	var said bytes.Buffer
	log := newAgentLog(&env{stderr: &said}, "text")
	for i := range 100 {
		logAt(log, slog.LevelWarn, time.Duration(i)*time.Second, "the disk is full")
	}
	logAt(log, slog.LevelInfo, 0, "another \x1b[31mone\nof two lines")
	want := "tcpstate: the disk is full\ntcpstate: the disk is full (repeated 59)\ntcpstate: another \\x1b[31mone\\nof two lines\n"
	if said.String() != want {
		t.Errorf("%q, want %q", said.String(), want)
	}
}

func TestMessagesAreBoundedAllTogether(t *testing.T) {
	var said bytes.Buffer
	log := newAgentLog(&env{stderr: &said}, "json")
	for i := range 1000 {
		logAt(log, slog.LevelWarn, 0, fmt.Sprint("message ", i))
	}
	logAt(log, slog.LevelError, 0, "this matters")
	logAt(log, slog.LevelWarn, time.Minute, "later")
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != perMinute+3 {
		t.Fatalf("%d lines", len(lines))
	}
	var last [3]map[string]any
	for i := range last {
		if err := json.Unmarshal([]byte(lines[perMinute+i]), &last[i]); err != nil {
			t.Fatal(err)
		}
	}
	if last[0]["msg"] != "this matters" || last[1]["msg"] != fmt.Sprint(1000-perMinute, " ", droppedLog) || last[2]["msg"] != "later" {
		t.Errorf("the last lines: %v", last)
	}
}

func TestLinesForTheJournalHaveItsLevels(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "8:1")
	var said bytes.Buffer
	log := newAgentLog(&env{stderr: &said, verbose: true}, "text")
	log.Debug("d")
	log.Info("i")
	log.With("to", "somewhere").Warn("w", "n", 3)
	log.Error("e")
	if want := "<7>tcpstate: d\n<6>tcpstate: i\n<4>tcpstate: w (to somewhere) (n 3)\n<3>tcpstate: e\n"; said.String() != want {
		t.Errorf("%q, want %q", said.String(), want)
	}
}

func TestWhatAVerbSaysIsLogged(t *testing.T) {
	var said bytes.Buffer
	e := (&env{}).logged(newAgentLog(&env{stderr: &said}, "json"))
	e.say("traced %d", 5)
	var m map[string]any
	if err := json.Unmarshal(said.Bytes(), &m); err != nil || m["msg"] != "traced 5" || m["level"] != "INFO" {
		t.Errorf("%v in %q", err, said.String())
	}
}
