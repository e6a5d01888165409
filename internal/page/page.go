// Package page writes a report as one HTML file to be attached to an incident: it loads nothing, works without its
// script, and prints. It is a reading of the Document and has no figures of its own.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's own files
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"

	"github.com/tcpstate/tcpstate/internal/report"
)

// Options choose how a page is written.
type Options struct {
	// Version is the tool's own, for the foot of the page.
	Version string
	// Numeric shows addresses instead of their names.
	Numeric bool
}

// The bounds of a page. What they cut off is counted in it.
const (
	maxPage      = 1_000_000 // bytes
	maxCharted   = 12
	maxRows      = 1000
	maxPorts     = 100
	maxBinds     = 100
	openFindings = 10
	maxSections  = 200
	// sectionsRoom is what is usually left for them beside a thousand rows.
	sectionsRoom = 410_000
)

var (
	//go:embed page.html
	markup string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// templates are parsed when the first page is written: no other verb pays for it.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(functions).Parse(withoutIndents(markup)))
})

// withoutIndents takes a tenth of a large page away.
func withoutIndents(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}

// policy lets the page's own style and script run, and nothing else: no image, no font, no request, no form.
func policy() string {
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) +
		"; base-uri 'none'; form-action 'none'"
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write writes d as one HTML document.
func Write(w io.Writer, d *report.Document, o Options) error {
	text, err := newView(d, o).fit(templates())
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// fit writes as many sections as leave the page below its bound. How large the rest is, is known when it is written; a
// second try is needed only where a thousand rows have very long names.
func (v *view) fit(t *template.Template) ([]byte, error) {
	for room := sectionsRoom; ; {
		if err := v.writeSections(t, room); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, v); err != nil {
			return nil, err
		}
		excess := b.Len() - maxPage
		if excess <= 0 || v.SectionsShown == 0 {
			return b.Bytes(), nil
		}
		room = len(v.Sections) - excess
	}
}

// writeSections writes the worst rows' own sections into so many bytes.
func (v *view) writeSections(t *template.Template, room int) error {
	var b bytes.Buffer
	v.SectionsShown = 0
	for i := range v.Rows {
		v.Rows[i].Section = false
	}
	for i := range v.Rows[:min(len(v.Rows), maxSections)] {
		end := b.Len()
		if err := t.ExecuteTemplate(&b, "section", v.section(&v.Rows[i])); err != nil {
			return err
		}
		if b.Len() > room {
			b.Truncate(end)
			break
		}
		v.Rows[i].Section = true
		v.SectionsShown++
	}
	v.Sections = template.HTML(b.String()) // the templates have escaped it
	return nil
}
