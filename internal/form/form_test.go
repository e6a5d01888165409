package form

import (
	"errors"
	"strings"
	"testing"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -999: "-999", -1000: "-1,000"} {
		if got := Grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for _, c := range []struct {
		n          uint64
		noun, want string
	}{{0, "port", "0 ports"}, {1, "port", "1 port"}, {28232, "port", "28,232 ports"}, {2, "address", "2 addresses"}} {
		if got := Count(c.n, c.noun); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestJSON(t *testing.T) {
	for indent, want := range map[bool]string{false: "{\"a\":\"<&>\"}\n", true: "{\n  \"a\": \"<&>\"\n}\n"} {
		var b strings.Builder
		if err := JSON(&b, map[string]string{"a": "<&>"}, indent, "write it"); err != nil || b.String() != want {
			t.Errorf("%q, %v; want %q", b.String(), err, want)
		}
	}
	if err := JSON(broken{}, 1, false, "write it"); !errors.Is(err, errBroken) || err.Error() != "write it: broken" {
		t.Error(err)
	}
}

func TestAppendCSV(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, "plain": "plain", "a b": "a b", " a": `" a"`, "a,b": `"a,b"`, `a"b`: `"a""b"`, "a\nb": "\"a\nb\"", "=1": `"=1"`,
		"-": `"-"`, "@x": `"@x"`, "+1": `"+1"`, "a=1": "a=1", `back\slash`: `"back\slash"`, "日本": "日本",
	} {
		if got := string(AppendCSV([]byte("x,"), text)); got != "x,"+want {
			t.Errorf("%q: %s, want x,%s", text, got, want)
		}
		if got := string(AppendCSV(nil, []byte(text))); got != want {
			t.Errorf("bytes of %q: %s, want %s", text, got, want)
		}
	}
}
