// Package bodytest writes bodies of tests in each exposition format, so that formats can be compared on the same families.
// It is for tests alone, and knows nothing of how bodies are read.
package bodytest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Body is a body in one of the formats.
type Body struct {
	Name        string // text, openmetrics or protobuf
	ContentType string
	Bytes       []byte
}

// InFormats writes a body in text format again in all formats, text first, its families sorted by name. It borrows text.
// A body is refused whose families the formats cannot all have.
func InFormats(text []byte) ([]Body, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read a body in text: %w", err)
	}
	names := slices.Sorted(maps.Keys(families))
	var all []Body
	for _, f := range []struct {
		name string
		typ  expfmt.FormatType
	}{{"text", expfmt.TypeTextPlain}, {"openmetrics", expfmt.TypeOpenMetrics}, {"protobuf", expfmt.TypeProtoDelim}} {
		var b bytes.Buffer
		format := expfmt.NewFormat(f.typ)
		e := expfmt.NewEncoder(&b, format)
		for _, name := range names {
			if err := e.Encode(families[name]); err != nil {
				return nil, fmt.Errorf("write family %q as %s: %w", name, f.name, err)
			}
		}
		if c, ok := e.(expfmt.Closer); ok {
			if err := c.Close(); err != nil {
				return nil, fmt.Errorf("end a body as %s: %w", f.name, err)
			}
		}
		all = append(all, Body{f.name, string(format), b.Bytes()})
	}
	return all, nil
}
