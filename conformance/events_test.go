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

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"scraper/bufpool"
	"scraper/streamparse"
)

// An event is what a parser says about one entry of a body: all of it, as text, so that two parsers can be compared.
type event struct {
	text   string
	series string // of a sample, the bytes by which the parser knows it
}

// theirEvents reads a body with one of Prometheus' parsers. A panic of theirs is a refusal.
func theirEvents(p textparse.Parser) (all []event, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		switch entry {
		case textparse.EntryType:
			name, typ := p.Type()
			all = append(all, event{text: fmt.Sprintf("TYPE %q %s", name, typ)})
		case textparse.EntryHelp:
			name, text := p.Help()
			all = append(all, event{text: fmt.Sprintf("HELP %q %q", name, text)})
		case textparse.EntryUnit:
			name, unit := p.Unit()
			all = append(all, event{text: fmt.Sprintf("UNIT %q %q", name, unit)})
		case textparse.EntrySeries, textparse.EntryHistogram:
			var ls labels.Labels
			p.Labels(&ls)
			var list []Label
			ls.Range(func(l labels.Label) { list = append(list, Label{l.Name, l.Value}) })
			var value string
			var ts *int64
			var series []byte
			if entry == textparse.EntrySeries {
				var v float64
				series, ts, v = p.Series()
				value = bitsOf(v)
			} else {
				var h *histogram.Histogram
				var fh *histogram.FloatHistogram
				series, ts, h, fh = p.Histogram()
				value = describe(h, fh)
			}
			text := describeSample(list, value, ts)
			for {
				var e exemplar.Exemplar
				if !p.Exemplar(&e) {
					break
				}
				var exLabels []Label
				e.Labels.Range(func(l labels.Label) { exLabels = append(exLabels, Label{l.Name, l.Value}) })
				text += describeExemplar(exLabels, e.Value, e.Ts, e.HasTs)
			}
			all = append(all, event{text, string(series)})
		}
	}
}

// bitsOf writes a value so that it can be read and its last bit told. NaNs are the same: ours makes one of them all.
func bitsOf(v float64) string {
	if v != v {
		return "NaN"
	}
	return fmt.Sprintf("%v=%x", v, math.Float64bits(v))
}

func describe(h *histogram.Histogram, fh *histogram.FloatHistogram) string {
	if h != nil {
		h = h.Copy().Compact(0)
		return fmt.Sprintf("int %d %s/%d schema %d zero %s:%d +%v%v -%v%v %v", h.Count, bitsOf(h.Sum), h.CounterResetHint, h.Schema, bitsOf(h.ZeroThreshold), h.ZeroCount,
			h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	}
	fh = fh.Copy().Compact(0)
	return fmt.Sprintf("float %s %s/%d schema %d zero %s:%s +%v%v -%v%v %v", bitsOf(fh.Count), bitsOf(fh.Sum), fh.CounterResetHint, fh.Schema, bitsOf(fh.ZeroThreshold), bitsOf(fh.ZeroCount),
		fh.PositiveSpans, fh.PositiveBuckets, fh.NegativeSpans, fh.NegativeBuckets, fh.CustomValues)
}

func describeSample(list []Label, value string, ts *int64) string {
	s := Sample{Labels: list}
	sortLabels(s.Labels)
	text := strings.TrimSuffix(s.String(), "0") + value
	if ts != nil {
		text += " @" + strconv.FormatInt(*ts, 10)
	}
	return text
}

func describeExemplar(list []Label, v float64, ts int64, hasTS bool) string {
	text := " # " + describeSample(list, bitsOf(v), nil)
	if hasTS {
		text += " @" + strconv.FormatInt(ts, 10)
	}
	return text
}

// eventsOf returns how our parser reads bodies of a format. known holds what was read before: its series are looked for
// first, in turn, as a series table does.
func eventsOf(t testing.TB, f streamparse.Format, known []event, o streamparse.Options) func(io.Reader) ([]event, error) {
	t.Helper()
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.Pool, o.MaxLineBytes = pool, 16<<20
	known = slices.DeleteFunc(slices.Clone(known), func(e event) bool { return e.series == "" })
	return func(r io.Reader) (all []event, err error) {
		p := streamparse.New(o)
		defer p.Close()
		p.ResetFormat(r, f)
		typ := streamparse.TypeUntyped
		for next := 0; ; {
			if next < len(known) {
				k := &known[next]
				if b := p.Peek(len(k.series)); string(b) == k.series && p.Take(len(k.series)) {
					next++
					if f != streamparse.FormatProtobuf {
						p.SkipLines(strings.Count(k.series, "\n"))
					}
					head, _, _ := strings.Cut(k.text, "} ")
					all = append(all, event{head + "} " + valueOf(p), k.series})
					continue
				}
			}
			kind, err := p.Next()
			if err != nil {
				return all, err
			}
			switch kind {
			case streamparse.KindNone:
				return all, nil
			case streamparse.KindType:
				typ = p.Type()
				all = append(all, event{text: fmt.Sprintf("TYPE %q %s", p.Family(), typeNames[typ])})
			case streamparse.KindHelp:
				all = append(all, event{text: fmt.Sprintf("HELP %q %q", p.Family(), p.AppendHelp(nil))})
			case streamparse.KindUnit:
				all = append(all, event{text: fmt.Sprintf("UNIT %q %q", p.Family(), p.Unit())})
			case streamparse.KindSample:
				next++
				head, _, _ := strings.Cut(describeSample(readLabels(p, typ), "", nil), "} ")
				all = append(all, event{head + "} " + valueOf(p), string(p.Series())})
			}
		}
	}
}

func readLabels(p *streamparse.Parser, typ streamparse.Type) (list []Label) {
	for _, l := range p.AppendLabels(nil) {
		list = append(list, Label{string(l.Name), rewritten(typ, string(l.Name), string(l.Value))})
	}
	return list
}

// valueOf describes the current sample behind its labels.
func valueOf(p *streamparse.Parser) string {
	text := bitsOf(p.Value())
	if ms, ok := p.Timestamp(); ok {
		text += " @" + strconv.FormatInt(ms, 10)
	}
	return text + ourExemplars(p)
}

func ourExemplars(p *streamparse.Parser) (text string) {
	for _, e := range p.Exemplars() {
		var list []Label
		for _, l := range p.AppendExemplarLabels(nil, e) {
			list = append(list, Label{string(l.Name), string(l.Value)})
		}
		text += describeExemplar(list, e.Value, e.TimestampMillis, e.HasTimestamp)
	}
	return text
}

// differEvents says where two readings differ, or "".
func differEvents(got, want []event) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("event %d is missing, want %s", i, want[i].text)
		case i >= len(want):
			return fmt.Sprintf("event %d is %s, want none", i, got[i].text)
		case got[i].text != want[i].text:
			return fmt.Sprintf("event %d is %s, want %s", i, got[i].text, want[i].text)
		}
	}
	return ""
}

// agreeEvents compares our reading of a body with theirs. Of bodies which both refuse, what comes before the error need
// only be the same as far as both have it, since nothing of it is used.
func agreeEvents(got []event, gotErr error, want []event, wantErr error) string {
	if i := slices.IndexFunc(want, emptyName); i >= 0 { // which their scrape loop refuses, and our parser does
		want, wantErr = want[:i], errors.New("empty name")
	}
	if gotErr != nil && wantErr != nil {
		n := min(len(got), len(want))
		got, want = got[:n], want[:n]
	}
	d := differEvents(got, want)
	if d == "" && (gotErr == nil) == (wantErr == nil) {
		return ""
	}
	return fmt.Sprintf("%s\nours ends with %v, theirs with %v", d, gotErr, wantErr)
}

func emptyName(e event) bool {
	head, _, _ := strings.Cut(e.text, " # ")
	return strings.HasPrefix(head, `{=`) || strings.Contains(head, `,="`) || strings.Contains(head, `__name__=""`)
}

// checkEvents compares our parser of a format with theirs on a body, and with itself on every way to cut it, with and
// without knowing the series.
func checkEvents(t *testing.T, name string, f streamparse.Format, body []byte, theirs textparse.Parser, rng *rand.Rand) {
	t.Helper()
	whole, wholeErr := eventsOf(t, f, nil, streamparse.Options{})(bytes.NewReader(body))
	want, wantErr := theirEvents(theirs)
	if d := agreeEvents(whole, wholeErr, want, wantErr); d != "" {
		t.Errorf("%s: %.400q: %s", name, body, d)
		return
	}
	for _, known := range [][]event{nil, whole} {
		parse := eventsOf(t, f, known, streamparse.Options{})
		for how, r := range splits(body, rng) {
			got, err := parse(r)
			if d := differEvents(got, whole); d != "" || fmt.Sprint(err) != fmt.Sprint(wholeErr) {
				t.Errorf("%s, %s, %d known: %.400q: %s\nends with %v, whole with %v", name, how, len(known), body, d, err, wholeErr)
				return
			}
		}
	}
}
