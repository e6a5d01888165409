package diff

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tcpstate/tcpstate/internal/report"
)

// maxReport is how long a report's JSON may be: some 100,000 rows.
const maxReport = 256 << 20

// ReadReport reads the document that tcpstate report -o json wrote. An error is a predicate: the caller puts the file's
// name before it.
func ReadReport(r io.Reader) (*report.Document, error) { return readReport(r, maxReport) }

func readReport(r io.Reader, limit int64) (*report.Document, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("is longer than %d MiB: write the report again with --limit", limit>>20)
	}
	var kind struct {
		Schema *string `json:"schema"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, noReport(err)
	}
	switch {
	case kind.Schema == nil:
		return nil, errors.New("has no schema: it is no document of tcpstate report -o json")
	case *kind.Schema != report.Schema:
		return nil, fmt.Errorf("has schema %.100q: what is compared has %s (tcpstate report -o json)",
			*kind.Schema, report.Schema)
	}
	d := new(report.Document)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, noReport(err)
	}
	if d.Window.Seconds < 0 {
		return nil, fmt.Errorf("has a window of %v s", d.Window.Seconds)
	}
	return d, nil
}

// noReport says what is wrong with the JSON, and where.
func noReport(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("is no document of tcpstate report -o json: at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("is no document of tcpstate report -o json: at byte %d: %w", kind.Offset, err)
	}
	return fmt.Errorf("is no document of tcpstate report -o json: %w", err)
}
