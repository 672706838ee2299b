package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"scraper/bufpool"
	"scraper/streamparse"
)

// parser reads a whole body. What it says in its error, if any, is a *Refusal.
type parser func(io.Reader) ([]Sample, error)

// ours returns Scraper's parser, as Prometheus' dialect uses it. known holds series to be looked for first, in turn, as a
// series table does; what is not found where it was is parsed in full.
func ours(t testing.TB, known []Sample) parser {
	t.Helper()
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return func(r io.Reader) ([]Sample, error) {
		p := streamparse.New(streamparse.Options{Pool: pool, MaxLineBytes: 16 << 20})
		defer p.Close()
		p.Reset(r)
		var all []Sample
		typ := streamparse.TypeUntyped
		views := []streamparse.Label(nil)
		for next := 0; ; {
			if next < len(known) {
				k := &known[next]
				if b := p.Peek(len(k.Series)); string(b) == k.Series && p.Take(len(k.Series)) {
					p.SkipLines(strings.Count(k.Series, "\n"))
					next++
					s := Sample{Series: k.Series, Bits: math.Float64bits(p.Value()), Labels: k.Labels, Type: k.Type}
					s.TS, s.HasTS = timestamp(p)
					all = append(all, s)
					continue
				}
			}
			kind, err := p.Next()
			if err != nil {
				if e, ok := errors.AsType[*streamparse.ParseError](err); ok {
					err = &Refusal{Line: e.Line, Err: err}
				}
				return all, err
			}
			switch kind {
			case streamparse.KindNone:
				return all, nil
			case streamparse.KindType:
				typ = p.Type()
			case streamparse.KindSample:
				next++
				s := Sample{Series: string(p.Series()), Bits: math.Float64bits(p.Value()), Type: typeNames[typ]}
				s.TS, s.HasTS = timestamp(p)
				views = p.AppendLabels(views[:0])
				for _, l := range views {
					s.Labels = append(s.Labels, Label{string(l.Name), rewritten(typ, string(l.Name), string(l.Value))})
				}
				sortLabels(s.Labels)
				all = append(all, s)
			}
		}
	}
}

func timestamp(p *streamparse.Parser) (int64, bool) {
	if ms, ok := p.Timestamp(); ok {
		return ms, true
	}
	return 0, false
}

var typeNames = map[streamparse.Type]string{
	streamparse.TypeUntyped:   "unknown",
	streamparse.TypeCounter:   "counter",
	streamparse.TypeGauge:     "gauge",
	streamparse.TypeHistogram: "histogram",
	streamparse.TypeSummary:   "summary",

	streamparse.TypeGaugeHistogram: "gaugehistogram",
	streamparse.TypeInfo:           "info",
	streamparse.TypeStateset:       "stateset",
}

// rewritten writes le and quantile as OpenMetrics does. Prometheus' parser does it, and not ours, which leaves the meaning
// of labels to its caller.
func rewritten(typ streamparse.Type, name, value string) string {
	if typ == streamparse.TypeHistogram && name == "le" || typ == streamparse.TypeSummary && name == "quantile" {
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			return labels.FormatOpenMetricsFloat(f)
		}
	}
	return value
}

// agree compares what we make of a body with what the oracle makes of it, and returns what differs, or "". It knows the
// differences which are meant:
//   - the oracle takes blanks before a name for a part of it;
//   - the oracle accepts empty names, and leaves it to its scrape loop to refuse them, which it does;
//   - the oracle stops in silence at NUL in places where none may be; we refuse the line, or in a comment go on.
func agree(text []byte, got []Sample, gotErr error, want []Sample, wantErr error) string {
	want = slices.Clone(want)
	for i := range want {
		trimName(&want[i])
	}
	anyLine := false
	for i, s := range want {
		if slices.ContainsFunc(s.Labels, func(l Label) bool {
			return l.Name == "" || l == Label{"__name__", ""} && !strings.Contains(s.Series, "__name__")
		}) {
			want, wantErr, anyLine = want[:i], &Refusal{Err: errors.New("empty name")}, true
			break
		}
	}
	refusal, refused := errors.AsType[*Refusal](wantErr)
	if refused && !anyLine && weReadOn(text, refusal) {
		if len(got) < len(want) {
			return fmt.Sprintf("%d samples and %v, want at least %d samples", len(got), gotErr, len(want))
		}
		return differ(got[:len(want)], want)
	}
	if d := differ(got, want); d != "" {
		return fmt.Sprintf("%s\nours ends with %v, theirs with %v", d, gotErr, wantErr)
	}
	if (gotErr != nil) != refused {
		return fmt.Sprintf("ours ends with %v, theirs with %v", gotErr, wantErr)
	}
	if refused && !anyLine {
		if r, ok := errors.AsType[*Refusal](gotErr); !ok || r.Line != refusal.Line {
			return fmt.Sprintf("ours ends with %v, theirs in line %d with %v", gotErr, refusal.Line, wantErr)
		}
	}
	return ""
}

// trimName takes the blanks before a sample's name away. A quoted name has none: there the series begins with a brace.
func trimName(s *Sample) {
	trimmed := strings.TrimLeft(s.Series, " \t")
	blanks := s.Series[:len(s.Series)-len(trimmed)]
	s.Series = trimmed
	if blanks == "" || trimmed[0] == '{' {
		return
	}
	s.Labels = slices.Clone(s.Labels)
	for i := range s.Labels {
		if l := &s.Labels[i]; l.Name == "__name__" && strings.HasPrefix(l.Value, blanks) {
			l.Value = l.Value[len(blanks):]
			break
		}
	}
	sortLabels(s.Labels)
}

// weReadOn reports whether the oracle refuses something that we accept on purpose.
func weReadOn(text []byte, r *Refusal) bool {
	lines := bytes.Split(text, []byte{'\n'})
	return r.Class == classNUL && bytes.HasPrefix(bytes.TrimLeft(lines[r.Line-1], " \t"), []byte{'#'})
}

func differ(got, want []Sample) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("sample %d is missing, want %v", i, want[i])
		case i >= len(want):
			return fmt.Sprintf("sample %d is %v, want none", i, got[i])
		}
		g, w := &got[i], &want[i]
		if g.Series != w.Series || g.Bits != w.Bits || g.TS != w.TS || g.HasTS != w.HasTS || g.Type != w.Type || !slices.Equal(g.Labels, w.Labels) {
			return fmt.Sprintf("sample %d is %v of type %s (%q, %x), want %v of type %s (%q, %x)", i, *g, g.Type, g.Series, g.Bits, *w, w.Type, w.Series, w.Bits)
		}
	}
	return ""
}

// check compares our parser with the oracle on a body, and with itself on every way to cut it, with and without knowing
// the series before.
func check(t *testing.T, name string, text []byte, rng *rand.Rand) {
	t.Helper()
	whole, wholeErr := ours(t, nil)(bytes.NewReader(text))
	want, wantErr := expected(text)
	if d := agree(text, whole, wholeErr, want, wantErr); d != "" {
		t.Errorf("%s: %.300q: %s", name, text, d)
		return
	}
	checkSplits(t, name, text, rng, whole, wholeErr)
}

// checkSplits compares our parser with itself, which made whole and wholeErr of the body in one piece.
func checkSplits(t *testing.T, name string, text []byte, rng *rand.Rand, whole []Sample, wholeErr error) {
	t.Helper()
	for _, known := range [][]Sample{nil, whole} {
		parse := ours(t, known)
		for how, r := range splits(text, rng) {
			got, err := parse(r)
			if d := differ(got, whole); d != "" || fmt.Sprint(err) != fmt.Sprint(wholeErr) {
				t.Errorf("%s, %s, %d series known: %.300q: %s\nends with %v, whole with %v", name, how, len(known), text, d, err, wholeErr)
				return
			}
		}
	}
}

func TestParseEdgeCases(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, tt := range edgeCases {
		check(t, tt.name, []byte(tt.body), rng)
	}
}

func TestParseBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for _, b := range bodies(t) {
		t.Run(b.name, func(t *testing.T) {
			if samples, err := expected(b.text); err != nil || len(samples) == 0 {
				t.Fatalf("expected = %d samples, %v, want some and no error", len(samples), err)
			}
			check(t, b.name, b.text, rng)
		})
	}
}

// checkAny is check for bodies that chance made. The oracle's lexer skips NUL here, and stops there, and drops what is
// beside it elsewhere: beyond the edge cases there is nothing to compare with.
func checkAny(t *testing.T, name string, text []byte, rng *rand.Rand) {
	t.Helper()
	if bytes.IndexByte(text, 0) < 0 {
		check(t, name, text, rng)
		return
	}
	whole, err := ours(t, nil)(bytes.NewReader(text))
	checkSplits(t, name, text, rng, whole, err)
}

// Bodies in which a few bytes are wrong: what is left of the format, and where the error is, must be the same.
func TestParseDamagedBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	n := 3000
	if testing.Short() {
		n = 300
	}
	for range n {
		text := damage(excerpt(rng), rng)
		checkAny(t, "damaged", text, rng)
		if t.Failed() {
			return
		}
	}
}

// excerpt puts a few edge cases one behind the other.
func excerpt(rng *rand.Rand) []byte {
	var text []byte
	for range 1 + rng.IntN(3) {
		tt := edgeCases[rng.IntN(len(edgeCases))]
		if tt.line == 0 || rng.IntN(10) == 0 {
			text = append(text, tt.body...)
		}
	}
	return text
}

func damage(text []byte, rng *rand.Rand) []byte {
	const bytesThatMatter = "{}=,\"\\\n\t #\x00a1.-+eE_:\xff\xc3\xa9\r"
	for range rng.IntN(4) {
		i := rng.IntN(len(text) + 1)
		c := bytesThatMatter[rng.IntN(len(bytesThatMatter))]
		switch {
		case rng.IntN(3) == 0:
			text = slices.Insert(text, i, c)
		case i == len(text):
		case rng.IntN(2) == 0:
			text[i] = c
		default:
			text = slices.Delete(text, i, i+1)
		}
	}
	return text
}

func FuzzParse(f *testing.F) {
	for _, tt := range edgeCases {
		f.Add([]byte(tt.body), uint64(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if len(text) > 2000 {
			return
		}
		checkAny(t, "fuzz", text, rand.New(rand.NewPCG(seed, 0)))
	})
}
