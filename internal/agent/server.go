package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tcpstate/tcpstate/internal/page"
	"github.com/tcpstate/tcpstate/internal/report"
)

// The limits of whoever is served.
const (
	headerWithin  = 5 * time.Second
	writeWithin   = 20 * time.Second
	idleFor       = 2 * time.Minute
	maxHeader     = 16 << 10
	scrapesAtOnce = 2
	scrapeWithin  = 8 * time.Second
	// A tracing goroutine that has said nothing for longer is not at work, a snapshot that is older is stale.
	silentFor = 10 * time.Second
	staleFor  = 5 * time.Second
)

// Site answers what is asked over HTTP. It only ever reads.
type Site struct {
	state   *State
	version string
	metrics http.Handler
	errors  *log.Logger
	size    atomic.Int64 // of the last scrape, bytes
	// So many scrapes and reports are written at a time; the others wait, as many as there are connections.
	scraping, writing chan struct{}
}

// NewSite returns one that shows state, and metrics from g. What goes wrong is written to complaints.
func NewSite(state *State, g prometheus.Gatherer, version string, complaints *log.Logger) *Site {
	return &Site{state: state, version: version, errors: complaints, scraping: make(chan struct{}, scrapesAtOnce), writing: make(chan struct{}, 1), metrics: promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog: complaints, ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, CoalesceGather: true,
		DisableCompression: true, // see send
	})}
}

// Server returns an HTTP server for the site, with all its limits.
func (s *Site) Server() *http.Server {
	return &http.Server{
		Handler: s, ErrorLog: s.errors, ReadHeaderTimeout: headerWithin, ReadTimeout: headerWithin, WriteTimeout: writeWithin,
		IdleTimeout: idleFor, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
	}
}

// ServeHTTP answers GET and HEAD.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD: nothing can be changed here", http.StatusMethodNotAllowed)
		return
	}
	if rebound(r) {
		http.Error(w, "this is not "+strconv.Quote(r.Host)+": ask for localhost, or by address", http.StatusMisdirectedRequest)
		return
	}
	switch r.URL.Path {
	case "/":
		s.index(w)
	case "/metrics":
		s.scrape(w, r)
	case "/healthz":
		s.health(w)
	case "/readyz":
		s.ready(w)
	case "/report":
		s.report(w, r)
	default:
		http.Error(w, "no such page: see /", http.StatusNotFound)
	}
}

// rebound reports whether a request over loopback is for another name than this host can have. A page from elsewhere in
// a browser here may read what its own name answers, and its name may come to mean 127.0.0.1 (DNS rebinding). A name
// without a dot belongs to nobody elsewhere.
func rebound(r *http.Request) bool {
	to, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !to.IP.IsLoopback() {
		return false
	}
	name := strings.TrimSuffix((&url.URL{Host: r.Host}).Hostname(), ".")
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") {
		return false
	}
	here, err := os.Hostname()
	return !strings.HasSuffix(name, ".localhost") && (err != nil || !strings.EqualFold(name, here))
}

// secure says that nothing here is to be kept, framed, guessed at or read by another site's page.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

func (s *Site) index(w http.ResponseWriter) {
	plain(w, http.StatusOK, "tcpstate "+s.version+`
/metrics                 Prometheus metrics
/report                  the report of the last minutes, as a page
/report?format=json      the same as JSON; also md, csv and columns
/healthz                 is it at work
/readyz                  is it tracing
`)
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // whoever does not read has gone
}

// held takes an answer, so that who reads slowly does not hold up who makes it.
type held struct {
	header http.Header
	code   int
	bytes.Buffer
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(code int) { h.code = code }

// scrape makes the whole answer before the first byte is sent: one scraper that never reads is not one of the few that
// are served at once.
func (s *Site) scrape(w http.ResponseWriter, r *http.Request) {
	answer := held{header: w.Header(), code: http.StatusOK}
	if !take(r.Context(), s.scraping, scrapeWithin) {
		http.Error(w, "too many scrapes at once: try again later", http.StatusServiceUnavailable)
		return
	}
	answer.Grow(int(s.size.Load()))
	s.metrics.ServeHTTP(&answer, r)
	<-s.scraping
	s.size.Store(int64(answer.Len()))
	send(w, r, answer.code, answer.Bytes())
}

// take takes one of few places, and waits for it for a while.
func take(ctx context.Context, places chan struct{}, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// health says whether the tracing goroutine is at work.
func (s *Site) health(w http.ResponseWriter) {
	silent := s.state.Silent(time.Now())
	if silent > silentFor {
		plain(w, http.StatusServiceUnavailable, "the tracing goroutine has been silent for "+silent.Round(time.Second).String()+"\n")
		return
	}
	plain(w, http.StatusOK, "ok\n")
}

// readiness is what /readyz says.
type readiness struct {
	Ready bool `json:"ready"`
	// Why it is not ready; "" when it is.
	Why         string  `json:"why"`
	Tier        int     `json:"time_wait_tier"`
	Age         float64 `json:"snapshot_age_seconds"`
	TotalsExact bool    `json:"totals_exact"`
	Events      uint64  `json:"events"`
	Recording   bool    `json:"recording"`
}

func (s *Site) readiness(now time.Time) readiness {
	latest := s.state.Latest()
	if latest == nil {
		return readiness{Why: "not attached yet"}
	}
	r := readiness{
		Tier: latest.Tracer.Tier, Age: now.Sub(latest.At).Seconds(), TotalsExact: latest.Exact, Recording: latest.Recorder.Running,
		Why: latest.NotReady,
	}
	for _, n := range latest.Events {
		r.Events += n
	}
	if r.Why == "" && now.Sub(latest.At) > staleFor {
		r.Why = "the last snapshot is too old"
	}
	r.Ready = r.Why == ""
	return r
}

func (s *Site) ready(w http.ResponseWriter) {
	r := s.readiness(time.Now())
	text, err := json.Marshal(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(text, '\n'))
}

// formats are the forms of a report: what it is, and who writes it.
var formats = map[string]struct {
	mime    string
	charted int // rows that get charts
	write   func(io.Writer, *report.Document, string) error
}{
	"html": {"text/html; charset=utf-8", 200, func(w io.Writer, d *report.Document, version string) error {
		return page.Write(w, d, page.Options{Version: version})
	}},
	"json": {"application/json", 12, func(w io.Writer, d *report.Document, _ string) error { return report.WriteJSON(w, d, false) }},
	"md": {"text/markdown; charset=utf-8", 0, func(w io.Writer, d *report.Document, _ string) error {
		return report.WriteMarkdown(w, d, report.Options{})
	}},
	"csv": {"text/csv; charset=utf-8", 0, func(w io.Writer, d *report.Document, _ string) error { return report.WriteCSV(w, d) }},
	"columns": {"text/plain; charset=utf-8", 0, func(w io.Writer, d *report.Document, _ string) error {
		return report.WriteColumns(w, d, report.Options{Width: 120})
	}},
}

func (s *Site) report(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("format")
	if name == "" {
		name = "html"
	}
	format, ok := formats[name]
	if !ok {
		http.Error(w, "unknown format: it is one of html, json, md, csv and columns", http.StatusBadRequest)
		return
	}
	text, err := s.written(r.Context(), format.charted, format.write)
	switch {
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", "2")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case err != nil:
		s.errors.Printf("write report: %v", err)
		http.Error(w, "the report could not be written", http.StatusInternalServerError)
		return
	}
	if name == "html" {
		// The page brings its own, by which its style and script run.
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	}
	w.Header().Set("Content-Type", format.mime)
	send(w, r, http.StatusOK, text)
}

// written is a report in one form. Sending it is not part of it: who reads slowly holds up nobody.
func (s *Site) written(ctx context.Context, charted int, write func(io.Writer, *report.Document, string) error) ([]byte, error) {
	if !take(ctx, s.writing, reportWithin) {
		return nil, ErrBusy
	}
	defer func() { <-s.writing }()
	d, err := s.state.Report(ctx, charted)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = write(&text, d, s.version)
	return text.Bytes(), err
}

// send writes an answer, compressed for those who can read that.
func send(w http.ResponseWriter, r *http.Request, code int, text []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	if len(text) > smallest && takesGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		text = zip(text)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text)
	}
}

// smallest is what is not worth compressing, bytes.
const smallest = 1400

func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			return strings.TrimSpace(quality) != "q=0"
		}
	}
	return false
}
