package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manual is all pages, by name, as newMan writes them.
func manualPages(t *testing.T, root *cobra.Command) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := writeManual(root, dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

func TestTheManualHasEveryVerbAndFlag(t *testing.T) {
	root := newRoot(&env{stdout: io.Discard, stderr: io.Discard})
	pages := manualPages(t, root)
	verbs := 0
	for _, verb := range root.Commands() {
		page, there := pages["tcpstate-"+verb.Name()+".1"]
		if want := !verb.Hidden && verb.Name() != "help"; there != want {
			t.Errorf("a page of %s: %t, want %t", verb.Name(), there, want)
		}
		if !there {
			continue
		}
		verbs++
		if !strings.Contains(pages["tcpstate.1"], "\n.B "+roff(verb.Name())+"\n"+roff(verb.Short)) {
			t.Errorf("the page of all verbs has no %s", verb.Name())
		}
		verb.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, `\fB\-\-`+roff(f.Name)+`\fR`) {
				t.Errorf("the page of %s has no --%s", verb.Name(), f.Name)
			}
		})
	}
	if verbs < 10 || len(pages) != verbs+1 {
		t.Errorf("%d pages of %d verbs", len(pages), verbs)
	}
}

// No text may turn into a request of roff's: each line that begins with a dot is one of ours.
func TestTextInTheManualMeansItself(t *testing.T) {
	hostile := &cobra.Command{
		Use: "tcpstate", Short: `.so /etc/passwd`, Long: "one\n.two \\fBthree\\fR --four\n'five\n\n  .six\n  seven … ≥", Example: "  .eight",
		Run: func(*cobra.Command, []string) {},
	}
	hostile.Flags().String("nine", ".ten", "\n.eleven")
	page := manualPages(t, hostile)["tcpstate.1"]
	request := regexp.MustCompile(`(?m)^\s*[.'].*$`)
	ours := regexp.MustCompile(`^\.(TH|SH|B|I|TP|PP|nf|fi|RS|RE)( |$)`)
	for _, line := range request.FindAllString(page, -1) {
		if !ours.MatchString(line) {
			t.Errorf("a request that is none of ours: %q", line)
		}
	}
	for _, want := range []string{`\&.so`, `\&.two \efBthree\efR \-\-four`, `\&'five`, `\&.six`, `\&.eight`, `\&.eleven (default .ten)`, `seven ... \(>=`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestTheSameManualEachTime(t *testing.T) {
	first := manualPages(t, newRoot(&env{stdout: io.Discard, stderr: io.Discard}))
	for name, page := range manualPages(t, newRoot(&env{stdout: io.Discard, stderr: io.Discard})) {
		if first[name] != page {
			t.Errorf("%s differs", name)
		}
	}
}
