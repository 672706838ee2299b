package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Sample is what a parser says about one sample of a body.
type Sample struct {
	Series string  // the bytes of name and labels as they were written
	Labels []Label // sorted by name and then value, the metric's name among them; names may repeat
	Bits   uint64  // of the value, so that every NaN can be told
	TS     int64   // in milliseconds, if HasTS
	HasTS  bool
	Type   string // of the TYPE line before it: counter, gauge, histogram, summary, or unknown for none and for untyped
}

// Label is one name and value, with escapes decoded.
type Label struct{ Name, Value string }

// String writes a sample as the edge cases have it.
func (s Sample) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range s.Labels {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Name + "=" + strconv.Quote(l.Value))
	}
	b.WriteString("} " + strconv.FormatFloat(math.Float64frombits(s.Bits), 'g', -1, 64))
	if s.HasTS {
		fmt.Fprintf(&b, " @%d", s.TS)
	}
	return b.String()
}

// Refusal says where a body is not in its format. Parsers differ in their words, so only Line is to be compared.
type Refusal struct {
	Line  int   // on which the bad entry begins, from 1
	Class class // what is wrong, as far as the oracle's words tell; for people
	Err   error
}

func (r *Refusal) Error() string { return fmt.Sprintf("line %d: %s: %v", r.Line, r.Class, r.Err) }

// class is the part of an entry that is wrong.
type class string

const (
	classStart     class = "start of an entry"
	className      class = "metric name"
	classLabel     class = "label"
	classUTF8      class = "UTF-8"
	classValue     class = "value"
	classTimestamp class = "timestamp"
	classMeta      class = "metadata"
	// classNUL is a line that begins with NUL. The oracle takes it for the end of the body, and says nothing of what it
	// ignores. Scraper takes it for a bad line, and so does the harness.
	classNUL class = "NUL at the start of a line"
)

// expected returns what Prometheus' parser for text format 0.0.4 makes of a body: the samples in order, and if it refuses
// the body, a *Refusal with the samples before it.
func expected(body []byte) ([]Sample, error) {
	// Room for the newline which the parser may append in place: then all that it returns are views of whole, and their
	// capacity tells where they are.
	whole := append(make([]byte, 0, len(body)+1), body...)
	p := textparse.NewPromParser(whole, labels.NewSymbolTable(), false)
	offset := func(view []byte) int { return cap(whole) - cap(view) + len(view) }
	var (
		samples []Sample
		typ     = "unknown"
		done    int // where the last good entry's line ends
	)
	endLine := func(from int) {
		if i := bytes.IndexByte(whole[from:], '\n'); i >= 0 {
			done = from + i + 1
		} else {
			done = len(whole)
		}
	}
	refuse := func(c class, err error) error {
		// Blank lines between the last good entry and the bad one are good.
		for {
			i := done
			for i < len(whole) && (whole[i] == ' ' || whole[i] == '\t') {
				i++
			}
			if i == len(whole) || whole[i] != '\n' {
				break
			}
			done = i + 1
		}
		return &Refusal{Line: 1 + bytes.Count(whole[:done], []byte{'\n'}), Class: c, Err: err}
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			if rest := whole[done:]; len(bytes.Trim(rest, " \t\n")) > 0 {
				return samples, refuse(classNUL, errors.New("the rest of the body is ignored"))
			}
			return samples, nil
		}
		if err != nil {
			return samples, refuse(classify(err), err)
		}
		switch entry {
		case textparse.EntrySeries:
			series, ts, v := p.Series()
			s := Sample{Series: string(series), Bits: math.Float64bits(v), Type: typ}
			if ts != nil {
				s.TS, s.HasTS = *ts, true
			}
			var ls labels.Labels
			p.Labels(&ls)
			ls.Range(func(l labels.Label) { s.Labels = append(s.Labels, Label{l.Name, l.Value}) })
			sortLabels(s.Labels)
			samples = append(samples, s)
			endLine(offset(series))
		case textparse.EntryType:
			name, t := p.Type()
			typ = string(t)
			endLine(offset(name))
		case textparse.EntryHelp:
			name, _ := p.Help()
			endLine(offset(name))
		case textparse.EntryComment:
			endLine(offset(p.Comment()))
		}
	}
}

// classify reads the oracle's words.
func classify(err error) class {
	for _, c := range []struct {
		words string
		class class
	}{
		{"valid start token", classStart},
		{"UTF-8", classUTF8},
		{"utf8", classUTF8},
		{"metric name after", classMeta},
		{"expected text in", classMeta},
		{"invalid metric type", classMeta},
		{"after metadata", classMeta},
		{"after comment", classMeta},
		{"metric name", className},
		{"label", classLabel},
		{"expected equal", classLabel},
		{"ParseInt", classTimestamp},
		{"timestamp", classTimestamp},
	} {
		if strings.Contains(err.Error(), c.words) {
			return c.class
		}
	}
	return classValue
}
