package testnet

import (
	"fmt"
	"path/filepath"
	"runtime"
	"time"
)

// Patience is how long anything in a test may take before it counts as not happening. It is meant for an emulated
// machine; on a real one nothing comes near it.
const Patience = 30 * time.Second

// failure is what a step inside [Namespace.Do] panics with. Do turns it into a failed test: t.Fatal itself may only be
// called on the test's own goroutine.
type failure string

// Fail ends the function run by [Namespace.Do] and fails its test, naming the line that called it.
func Fail(format string, args ...any) {
	fail(2, fmt.Sprintf(format, args...))
}

// Must fails like [Fail] if err is not nil.
func Must(err error) {
	if err != nil {
		fail(2, err.Error())
	}
}

// Must1 is [Must] for a call that returns something.
func Must1[T any](v T, err error) T {
	if err != nil {
		fail(2, err.Error())
	}
	return v
}

func fail(skip int, what string) {
	panic(failure(callers(skip+1) + ": " + what))
}

// callers names the calling lines of test files, innermost first: that of a helper alone tells nothing.
func callers(skip int) string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(skip+1, pcs)])
	where := ""
	for range 4 {
		f, more := frames.Next()
		if where != "" {
			where += " < "
		}
		where += fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		if !more {
			break
		}
	}
	return where
}

// Until waits for cond, asking every millisecond, and fails with what when it does not come true.
func Until(what string, cond func() bool) {
	end := time.Now().Add(Patience)
	for !cond() {
		if time.Now().After(end) {
			fail(2, "still waiting after "+Patience.String()+": "+what)
		}
		time.Sleep(time.Millisecond)
	}
}
