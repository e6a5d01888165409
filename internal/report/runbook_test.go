package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pages is docs/runbook.
const pages = "../../docs/runbook"

func TestEachCodeHasAPage(t *testing.T) {
	for _, code := range Codes() {
		page, ok := strings.CutPrefix(Runbook(code), RunbookPages+"/")
		if !ok {
			t.Errorf("%s leads to %s", code, Runbook(code))
		}
		if _, err := os.Stat(filepath.Join(pages, page)); err != nil {
			t.Errorf("%s leads nowhere: %v", code, err)
		}
	}
}

func TestEachFindingLeadsToItsPage(t *testing.T) {
	for name, in := range map[string]Input{"busy": busyHost(), "lossy": lossyHost(), "damaged": damagedHost()} {
		d := Build(in)
		if len(d.Findings) == 0 {
			t.Fatalf("%s: no findings", name)
		}
		var doc struct {
			Findings []struct{ Code, Runbook string }
		}
		if err := json.Unmarshal(jsonOf(t, d, false), &doc); err != nil {
			t.Fatal(err)
		}
		for _, f := range doc.Findings {
			if f.Runbook != Runbook(f.Code) {
				t.Errorf("%s: %s leads to %q, want %q", name, f.Code, f.Runbook, Runbook(f.Code))
			}
		}
	}
}

func damagedHost() Input {
	in := busyHost()
	in.Damage.Add("at 0", 1, false)
	return in
}

// Without a browser a code is enough, and what is asked for in full is there to be copied, on however narrow a terminal.
func TestColumnsLeadToPages(t *testing.T) {
	d := Build(busyHost())
	for _, c := range []struct {
		o    Options
		want []string
		not  string
	}{
		{Options{Width: 80}, []string{
			"EADDRNOTAVAIL. [ports-exhausted]\n", InstalledRunbook + "/CODE.md", RunbookPages + "\n",
		}, Runbook(CodePortsExhausted)},
		{Options{Width: 50, Verbose: true}, []string{"[ports-exhausted]\n", "            ? " + Runbook(CodePortsExhausted) + "\n"}, "CODE.md"},
		{Options{Wide: true}, []string{"[ports-exhausted]\n", "            ? " + Runbook(CodePortsExhausted) + "\n"}, "CODE.md"},
	} {
		text := columnsOf(t, d, c.o)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: %q is not in\n%s", c.o, want, text)
			}
		}
		if strings.Contains(text, c.not) {
			t.Errorf("%+v: %q is in\n%s", c.o, c.not, text)
		}
	}
	if text := columnsOf(t, Build(quietHost()), Options{}); strings.Contains(text, "runbook") {
		t.Errorf("without findings the runbook is told of:\n%s", text)
	}
}
