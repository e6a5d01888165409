package page

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/tcpstate/tcpstate/internal/report"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	folder = flag.String("pages", "", "write the pages that browser/run looks at into this folder")
)

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func pageOf(t testing.TB, d *report.Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, d, Options{Version: "v9"}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// documents are those that every page has to be right for.
func documents() map[string]*report.Document {
	return map[string]*report.Document{
		"incident": incident(), "quiet": quiet(), "unobserved": unobserved(), "hostile": hostile(), "busy": busy(1000), "empty": {},
		"hosts": report.Merge([]*report.Document{incident(), unobserved()}),
	}
}

// TestWritePages writes what browser/run opens.
func TestWritePages(t *testing.T) {
	for name, d := range documents() {
		page := pageOf(t, d)
		if *folder == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(*folder, name+".html"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The golden files have the page without its style and script, which are files of their own.
func TestPage(t *testing.T) {
	for name, d := range map[string]*report.Document{"incident": incident(), "quiet": quiet(), "unobserved": unobserved(), "empty": {}} {
		page := pageOf(t, d)
		page = strings.Replace(page, style, "STYLE", 1)
		page = strings.Replace(page, script, "SCRIPT", 1)
		page = regexp.MustCompile(`sha256-[^ ;]+&#39;`).ReplaceAllString(page, "sha256-HASH&#39;")
		golden(t, name+".html", []byte(page))
	}
}

// between returns what stands between two marks, the first time.
func between(t *testing.T, s, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s, from)
	if !ok {
		t.Fatalf("no %s", from)
	}
	text, _, ok := strings.Cut(rest, to)
	if !ok {
		t.Fatalf("no %s behind %s", to, from)
	}
	return text
}

// What each of several hosts says of TIME_WAIT is in no sum; that nobody looked is another thing.
func TestTimeWaitOfSeveralHostsWasObserved(t *testing.T) {
	for name, want := range map[string]bool{"hosts": true, "incident": true, "unobserved": false, "empty": false} {
		line := between(t, pageOf(t, documents()[name]), "<dt>TIME_WAIT</dt><dd>", "</dd>")
		if got := line != "not observed"; got != want {
			t.Errorf("%s: TIME_WAIT %s", name, line)
		}
	}
}

func TestThePolicyLetsOnlyThePageItselfRun(t *testing.T) {
	for name, d := range documents() {
		page := pageOf(t, d)
		want := "default-src 'none'; style-src " + hash(between(t, page, "<style>", "</style>")) + "; script-src " +
			hash(between(t, page, "<script>", "</script>")) + "; base-uri 'none'; form-action 'none'"
		got := between(t, page, `<meta http-equiv="Content-Security-Policy" content="`, `"`)
		if got = strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(got); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if strings.Index(page, "Content-Security-Policy") > strings.Index(page, "<style>") {
			t.Errorf("%s: the policy comes too late", name)
		}
		if strings.Count(page, "<style") != 1 || strings.Count(page, "<script") != 1 {
			t.Errorf("%s: more than one style or script", name)
		}
	}
}

// tags are the page's, without its style and script.
func tags(page string) []string {
	page = strings.Replace(strings.Replace(page, style, "", 1), script, "", 1)
	return regexp.MustCompile(`<[a-zA-Z][^>]*>`).FindAllString(page, -1)
}

// The policy would stop them; a page that has none needs no policy.
func TestNoTagRunsOrLoadsAnything(t *testing.T) {
	bad := regexp.MustCompile(`(?i)\s(style|on[a-z]+|src|srcset|action|formaction|xlink:href|ping|background|poster)\s*=|^<(img|iframe|object|embed|link|base|form|image|audio|video|source|foreignobject|animate|set)\b`)
	link := regexp.MustCompile(`(?i)\shref\s*=\s*"?([^"\s>]*)`)
	for name, d := range documents() {
		for _, tag := range tags(pageOf(t, d)) {
			if bad.MatchString(tag) {
				t.Errorf("%s: %.200s", name, tag)
			}
			if m := link.FindStringSubmatch(tag); m != nil && !strings.HasPrefix(m[1], "#") && !strings.HasPrefix(m[1], "https://") {
				t.Errorf("%s: %.200s", name, tag)
			}
		}
	}
	if strings.Contains(style, "@import") || regexp.MustCompile(`url\([^#]`).MatchString(style) {
		t.Error("the style loads something")
	}
}

// Names are text: there are as many tags of each kind as with harmless names, and nothing turns letters around.
func TestHostileNamesAreText(t *testing.T) {
	page := pageOf(t, hostile())
	kinds := make(map[string]bool)
	for _, tag := range tags(pageOf(t, incident())) {
		kinds[strings.Trim(strings.Fields(tag)[0], "<>")] = true
	}
	for _, tag := range tags(page) {
		if kind := strings.Trim(strings.Fields(tag)[0], "<>"); !kinds[kind] && kind != "a" && kind != "ul" {
			t.Errorf("a tag of somebody else's: %.200s", tag)
		}
	}
	for _, r := range page {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			t.Fatalf("%q is in the page", r)
		}
	}
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;img src=x onerror=alert(1)&gt;", `\u202egnp.exe`, "שלום", "日本語の名前", "{{.Style}}", "&amp;lt;b&amp;gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in the page", want)
		}
	}
	if len(page) > 1<<20 {
		t.Errorf("%d bytes, though a name of a megabyte is shortened", len(page))
	}
}

func TestTheSameDocumentGivesTheSamePage(t *testing.T) {
	first := pageOf(t, incident())
	for range 3 {
		if pageOf(t, incident()) != first {
			t.Fatal("another page")
		}
	}
}

func TestAThousandDestinationsFit(t *testing.T) {
	page := pageOf(t, busy(1000))
	if n := strings.Count(page, `<th scope="row"><a href="#d`) + strings.Count(page, `<th scope="row">worker`); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if n := strings.Count(page, `<details class="one">`); n < 100 || !strings.Contains(page, fmt.Sprintf("The worst %d of 1000", n)) {
		t.Errorf("%d sections", n)
	}
	if len(page) > 1_000_000 {
		t.Errorf("%d bytes", len(page))
	}
}

// What does not fit is counted: 1,500 rows of which 1,000 are in the table.
func TestWhatIsLeftOutIsSaid(t *testing.T) {
	d := busy(1500)
	d.DestinationsOmitted, d.FindingsOmitted, d.PortsOmitted = 7, 5, 9
	page := pageOf(t, d)
	for _, want := range []string{"507 more rows not shown", "5 findings beyond", "1,409 more budgets", "of 1500; the others"} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// A figure that was not measured is a dash, never a zero.
func TestNullIsNoZero(t *testing.T) {
	d := unobserved()
	_, table, _ := strings.Cut(pageOf(t, d), `<table id="rows">`)
	row := between(t, table, `<tbody>`, `</tbody>`)
	cells := regexp.MustCompile(`<t[dh][^>]*>(?:<[^>]*>)?([^<]*)`).FindAllStringSubmatch(row, -1)
	var got []string
	for _, c := range cells {
		got = append(got, strings.TrimSpace(c[1]))
	}
	want := []string{"1", "orders", "10.2.3.4:5432", "unpooled", "10.0", "100", "0", "0", "-", "-", "1.0ms", "local"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d.Destinations[0].TimeWait.Now != nil || d.Ports != nil {
		t.Fatal("the report is not what this test is about")
	}
}

// Every figure of the table is that of the document.
func TestTheTableIsTheDocument(t *testing.T) {
	d := incident()
	table := between(t, pageOf(t, d), `<table id="rows">`, `</table>`)
	for i := range d.Destinations {
		r := &d.Destinations[i]
		for _, want := range []string{
			">" + r.Service.Name + "</a>", "<td>" + count(r.Opened), "<td>" + report.Rate(r.OpenedRate), "<td>" + count(r.Open.Now), "<td>" + count(r.Failures()),
			"<td>" + count(r.TimeWait.Now), ">" + report.Seconds(r.Lifetime.P50),
		} {
			if !strings.Contains(table, want) {
				t.Errorf("row %d: no %s", i, want)
			}
		}
	}
}

// Areas of one chart differ, also where a page has more errnos than there are patterns.
func TestAreasOfAChartDiffer(t *testing.T) {
	errors := strings.Split("abcdefghijklmnopq", "")
	for from := range len(errors) - patterns + 1 {
		used, classes := make(map[int]bool), make(map[string]bool)
		for step := range patterns {
			classes[pattern(errors, errors[(from+step*3)%len(errors)], used)] = true
		}
		if len(classes) != patterns {
			t.Errorf("from %d: only %d of %d patterns", from, len(classes), patterns)
		}
	}
}

// An outline has all that is between its two lines: the areas of its steps add up.
func TestOutline(t *testing.T) {
	edges := []float64{0, 10, 20, 30, 40, 50}
	for _, test := range []struct {
		lower, upper []float64
		want         string
	}{
		{flat(5, 100), []float64{90, 90, 100, 80, 70}, "M0 100V90H20V100H0ZM30 100V80H40V70H50V100H30Z"},
		{flat(5, 100), flat(5, 100), ""},
		{[]float64{100, 90, 90, 100, 100}, []float64{50, 60, 60, 100, 99.96}, "M0 100V50H10V60H30V90H10V100H0Z"},
	} {
		if got := outline(edges, test.lower, test.upper); got != test.want {
			t.Errorf("%v to %v: %s, want %s", test.lower, test.upper, got, test.want)
		}
	}
}

// The last step of a window is seldom whole: what it counted is not divided by a whole step, nor by next to nothing.
func TestRatesOfALastStepThatIsNotWhole(t *testing.T) {
	start, counts := report.Time(epoch), []uint64{10, 10, 8}
	for seconds, want := range map[float64][]float64{3: {10, 10, 8}, 2.8: {10, 10, 10}, 2.25: {10, 14.4, 14.4}, 7: {10, 10, 8}} {
		end := start + report.Time(seconds*1e9)
		c := courseOf(&start, 1, 3, &report.Window{Start: &start, End: &end})
		got := c.rates(counts)
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-6 {
				t.Errorf("a window of %v s: %v, want %v", seconds, got, want)
				break
			}
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(ticks []tick) string {
		var all []string
		for _, t := range ticks {
			all = append(all, t.Text)
		}
		return strings.Join(all, " ")
	}
	for _, test := range []struct {
		most, least float64
		want        string
	}{
		{0, 0, "0 0.5 1"}, {0, 1, "0 1"}, {1, 1, "0 1"}, {7, 1, "0 2 4 6 8"}, {470, 0, "0 200 400 600"}, {28232, 1, "0 10k 20k 30k"},
		{3e6, 1, "0 1M 2M 3M"}, {0.03, 0, "0 0.01 0.02 0.03"}, {7000, 0, "0 2,000 4,000 6,000 8,000"},
	} {
		if ticks, _ := ticksUp(test.most, test.least); labels(ticks) != test.want {
			t.Errorf("up to %v: %s, want %s", test.most, labels(ticks), test.want)
		}
	}
	for _, test := range []struct {
		from, to float64
		want     string
	}{
		{0.001, 0.0012, "500 µs 1 ms 2 ms"}, {0.0001, 2, "100 µs 1 ms 10 ms 100 ms 1 s"}, {0.5, 3, "500 ms 1 s 2 s"}, {1e-9, 1e5, "1 ns 100 ns 10 µs 1 ms 100 ms 10 s 1,000 s 100,000 s"},
	} {
		if got := labels(logScale(test.from, test.to).ticks()); got != test.want {
			t.Errorf("from %v to %v: %s, want %s", test.from, test.to, got, test.want)
		}
	}
	for _, test := range []struct {
		steps int
		step  float64
		want  string
	}{
		{10, 1, "22:13:20 22:13:22 22:13:24 22:13:26 22:13:28 22:13:30"}, {90, 1, "22:13:30 22:14:00 22:14:30"}, {100, 16, "22:20 22:30 22:40"},
		{128, 4096, "Nov 15 Nov 17 Nov 19"},
	} {
		start := report.Time(1_700_000_000_000_000_000)
		ticks, _ := courseOf(&start, report.Decimal(test.step), test.steps, new(report.Window)).ticks()
		if labels(ticks) != test.want {
			t.Errorf("%d steps of %v s: %s, want %s", test.steps, test.step, labels(ticks), test.want)
		}
	}
}

// failing cannot be written to.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAnErrorOfTheWriterIsTold(t *testing.T) {
	if err := Write(failing{}, quiet(), Options{}); err == nil || err.Error() != "write page: no space left" {
		t.Errorf("%v", err)
	}
}

// Everything that is pointed to is there, and everything is there once.
func TestIdentifiersAreWhole(t *testing.T) {
	for name, d := range documents() {
		var ids, to []string
		for _, tag := range tags(pageOf(t, d)) {
			for _, m := range regexp.MustCompile(`\s(id|href|aria-labelledby|for)="?#?([^"\s>]*)`).FindAllStringSubmatch(tag, -1) {
				if m[1] == "id" {
					ids = append(ids, m[2])
				} else if !strings.Contains(m[2], ":") {
					to = append(to, m[2])
				}
			}
		}
		slices.Sort(ids)
		if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) {
			t.Errorf("%s: %d identifiers are there twice", name, len(ids)-n)
		}
		for _, id := range to {
			if _, ok := slices.BinarySearch(ids, id); !ok {
				t.Errorf("%s: there is no %s", name, id)
			}
		}
	}
}

func BenchmarkPage(b *testing.B) {
	d := busy(1000)
	page := pageOf(b, d)
	for b.Loop() {
		if err := Write(new(bytes.Buffer), d, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
	b.ReportMetric(200, "ms/page-max")
	b.ReportMetric(float64(len(page))/1000, "kB/page")
	b.ReportMetric(1000, "kB/page-max")
}
