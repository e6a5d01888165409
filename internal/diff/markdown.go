package diff

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes d as Markdown, for a pull request or an incident's record.
func WriteMarkdown(w io.Writer, d *Document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", escape(d.Summary))
	fmt.Fprintf(&b, "- before: %s\n- after: %s\n", escape(d.Before.String()), escape(d.After.String()))
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "- note: %s\n", escape(n))
	}
	for i := range d.Rows {
		d.Rows[i].writeMarkdown(&b)
	}
	if text := d.omitted(); text != "" {
		fmt.Fprintf(&b, "\n%s\n", escape(text))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

func (r *Row) writeMarkdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s: %s\n\n", escape(r.title()), r.Result.words())
	if text := r.work(); text != "" {
		fmt.Fprintf(b, "%s\n\n", escape(strings.Trim(text, " ()")))
	}
	b.WriteString("| | before | after | change | |\n|---|--:|--:|--:|---|\n")
	for _, l := range r.lines() {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n",
			escape(strings.TrimSpace(l.name)), escape(l.before), escape(l.after), escape(l.change), l.result.words())
	}
	if r.Result == CannotTell {
		fmt.Fprintf(b, "\n%s\n", escape(strings.Join(r.Reasons, "; ")))
	}
}

// escaper takes their meaning from the characters that have one in Markdown and HTML.
var escaper = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "|", `\|`, "#", `\#`, "~", `\~`)

func escape(s string) string { return escaper.Replace(s) }
