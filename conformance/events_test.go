package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
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
	"github.com/prometheus/prometheus/prompb"

	"scraper/bufpool"
	"scraper/streamparse"
)

// An event is what a parser says about one entry of a body: all of it, as text, so that two parsers can be compared.
type event struct {
	text   string
	series string // of a sample, the bytes by which the parser knows it
	head   string // of a sample, its labels
	hash   uint64 // of a sample of ours, what Hash gives
}

// theSeed makes the hashes of all parsers comparable.
var theSeed = maphash.MakeSeed()

// theirEvents reads a body with one of Prometheus' parsers. A panic of theirs is a refusal.
func theirEvents(p textparse.Parser, withStart bool) (all []event, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	histograms := 0 // of the family
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
			histograms = 0
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
			if entry == textparse.EntryHistogram {
				histograms++
			}
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
			text := describeHead(list) + describeValue(value, ts)
			if withStart { // asking hides lines in OpenMetrics
				if st := p.StartTimestamp(); st != 0 {
					text += " since " + strconv.FormatInt(st, 10)
				}
			}
			for {
				var e exemplar.Exemplar
				if !p.Exemplar(&e) {
					break
				}
				var exLabels []Label
				e.Labels.Range(func(l labels.Label) { exLabels = append(exLabels, Label{l.Name, l.Value}) })
				if entry == textparse.EntryHistogram && (histograms > 1 || !e.HasTs) {
					continue // it forgets where it was: see exemplarsOf; and its scrape loop drops those without a timestamp
				}
				text += describeExemplar(exLabels, e.Value, e.Ts, e.HasTs)
			}
			all = append(all, event{text: text, series: string(series)})
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
		return fmt.Sprintf("int %d %s/%d schema %d zero %s:%d +%v%v -%v%v %v", h.Count, bitsOf(h.Sum), h.CounterResetHint, h.Schema, bitsOf(h.ZeroThreshold), h.ZeroCount,
			h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	}
	return fmt.Sprintf("float %s %s/%d schema %d zero %s:%s +%v%v -%v%v %v", bitsOf(fh.Count), bitsOf(fh.Sum), fh.CounterResetHint, fh.Schema, bitsOf(fh.ZeroThreshold), bitsOf(fh.ZeroCount),
		fh.PositiveSpans, fh.PositiveBuckets, fh.NegativeSpans, fh.NegativeBuckets, fh.CustomValues)
}

func describeHead(list []Label) string {
	sortLabels(list)
	return strings.TrimSuffix(Sample{Labels: list}.String(), "0")
}

func describeValue(value string, ts *int64) string {
	if ts != nil {
		value += " @" + strconv.FormatInt(*ts, 10)
	}
	return value
}

func describeExemplar(list []Label, v float64, ts int64, hasTS bool) string {
	text := " # " + describeHead(list) + bitsOf(v)
	if hasTS {
		text += " @" + strconv.FormatInt(ts, 10)
	}
	return text
}

// eventsOf returns how our parser reads bodies. known holds what was read before: its series are looked for first, in turn,
// as a series table does.
func eventsOf(t testing.TB, body streamparse.Body, known []event) func(io.Reader) ([]event, error) {
	t.Helper()
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	known = slices.DeleteFunc(slices.Clone(known), func(e event) bool { return e.series == "" })
	isProtobuf := body.Format == streamparse.FormatProtobuf
	return func(r io.Reader) (all []event, err error) {
		p := streamparse.New(streamparse.Options{Pool: pool, MaxLineBytes: 16 << 20, Seed: theSeed})
		defer p.Close()
		p.ResetBody(r, body)
		typ := streamparse.TypeUntyped
		histograms := 0
		for next := 0; ; {
			if next < len(known) {
				k := &known[next]
				hash, ok := p.PeekHash(len(k.series))
				b := p.Peek(len(k.series))
				if ok != (b != nil) || ok && k.hash != 0 && (hash == k.hash) != (string(b) == k.series) {
					t.Errorf("PeekHash before %q = %x, %v, want that of %q, %x", b, hash, ok, k.series, k.hash)
				}
				if string(b) == k.series && p.Take(len(k.series)) {
					next++
					if !isProtobuf {
						p.SkipLines(strings.Count(k.series, "\n"))
					}
					all = append(all, event{k.head + valueOf(p), k.series, k.head, k.hash})
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
				histograms = 0
				all = append(all, event{text: fmt.Sprintf("TYPE %q %s", p.Family(), typeNames[typ])})
			case streamparse.KindHelp:
				all = append(all, event{text: fmt.Sprintf("HELP %q %q", p.Family(), p.AppendHelp(nil))})
			case streamparse.KindUnit:
				all = append(all, event{text: fmt.Sprintf("UNIT %q %q", p.Family(), p.Unit())})
			case streamparse.KindSample, streamparse.KindHistogram:
				next++
				var list []Label
				for _, l := range p.AppendLabels(nil) {
					value := string(l.Value)
					if !isProtobuf {
						value = rewritten(typ, string(l.Name), value)
					}
					list = append(list, Label{string(l.Name), value})
				}
				e := event{series: string(p.Series()), head: describeHead(list), hash: p.Hash()}
				if kind == streamparse.KindSample {
					e.text = e.head + valueOf(p)
				} else {
					histograms++
					e.text = e.head + describeValue(describeOurs(t, p.Histogram()), timestampOf(p)) + startOf(p)
					if histograms == 1 {
						e.text += ourExemplars(p)
					}
				}
				all = append(all, e)
			}
		}
	}
}

const oddSpans = "odd spans"

// describeOurs sends the histogram over the wire: what arrives is described.
func describeOurs(t testing.TB, h *streamparse.Histogram) string {
	var sent prompb.Histogram
	if err := sent.Unmarshal(h.AppendWire(nil)); err != nil {
		t.Fatalf("the wire form of %+v: %v", h, err)
	}
	if sent.IsFloatHistogram() != h.IsFloat {
		t.Fatalf("the wire form of %+v is float = %v", h, sent.IsFloatHistogram())
	}
	for _, spans := range [][]streamparse.Span{h.PositiveSpans, h.NegativeSpans} {
		for i, s := range spans {
			if i > 0 && s.Offset < 0 || s.Offset == math.MinInt32 || s.Offset > math.MaxInt32/2 {
				return oddSpans // which we leave as they are, and the oracle compacts to something else that it refuses later
			}
		}
	}
	if h.IsFloat {
		return describe(nil, sent.ToFloatHistogram())
	}
	return describe(sent.ToIntHistogram(), nil)
}

func timestampOf(p *streamparse.Parser) *int64 {
	if ms, ok := p.Timestamp(); ok {
		return &ms
	}
	return nil
}

// valueOf describes the current sample behind its labels.
func valueOf(p *streamparse.Parser) string {
	return describeValue(bitsOf(p.Value()), timestampOf(p)) + startOf(p) + ourExemplars(p)
}

func startOf(p *streamparse.Parser) string {
	if ms, ok := p.StartTimestamp(); ok && ms != 0 {
		return " since " + strconv.FormatInt(ms, 10)
	}
	return ""
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

// agreeEvents compares our reading of a body with theirs. Where units stand does not matter: in a family of protobuf they
// follow the metrics, and we deliver them when they come. Of bodies which both refuse, what comes before the error need
// only be the same as far as both have it, since nothing of it is used.
func agreeEvents(got []event, gotErr error, want []event, wantErr error) string {
	if i := slices.IndexFunc(want, emptyName); i >= 0 { // which their scrape loop refuses, and our parser does
		want, wantErr = want[:i], errors.New("empty name")
	}
	want = forgetUntyped(got, want)
	if gotErr != nil && wantErr != nil {
		got, want = withoutUnits(got), withoutUnits(want)
		n := min(len(got), len(want))
		got, want = got[:n], want[:n]
	}
	d := differEvents(unitsLast(got), unitsLast(want))
	if d == "" && (gotErr == nil) == (wantErr == nil) {
		return ""
	}
	return fmt.Sprintf("%s\nours ends with %v, theirs with %v", d, gotErr, wantErr)
}

// forgetUntyped takes our word for untyped values of protobuf which are 0 or left out: there the oracle repeats the last
// one that it read, since it does not clear it.
func forgetUntyped(got, want []event) []event {
	want = slices.Clone(want)
	got, typ := withoutUnits(got), ""
	for i, k := 0, 0; i < len(want) && k < len(got); i++ {
		if isUnit(want[i]) {
			continue
		}
		if strings.HasPrefix(want[i].text, "TYPE ") {
			typ = want[i].text
		}
		g := got[k]
		k++
		if zero, ok := strings.CutPrefix(g.text, g.head); ok && strings.HasPrefix(zero, "0=0") && strings.HasSuffix(typ, " unknown") &&
			strings.IndexByte(g.series, 0xff) > 0 && strings.HasPrefix(want[i].text, g.head) {
			want[i].text = g.text
		}
	}
	return want
}

func isUnit(e event) bool { return strings.HasPrefix(e.text, "UNIT ") }

func withoutUnits(all []event) []event {
	return slices.DeleteFunc(slices.Clone(all), isUnit)
}

func unitsLast(all []event) []event {
	units := slices.DeleteFunc(slices.Clone(all), func(e event) bool { return !isUnit(e) })
	return append(withoutUnits(all), units...)
}

func emptyName(e event) bool {
	head, _, _ := strings.Cut(e.text, " # ")
	return strings.HasPrefix(head, `{="`) || strings.Contains(head, `,="`) || strings.Contains(head, `__name__=""`)
}

// checkEvents compares our parser of a format with theirs on a body, and with itself on every way to cut it, with and
// without knowing the series.
func checkEvents(t *testing.T, name string, what streamparse.Body, body []byte, theirs textparse.Parser, rng *rand.Rand) {
	t.Helper()
	whole, wholeErr := eventsOf(t, what, nil)(bytes.NewReader(body))
	want, wantErr := theirEvents(theirs, what.Format == streamparse.FormatProtobuf || what.StartTimestamps)
	if d := agreeEvents(whole, wholeErr, want, wantErr); d != "" {
		t.Errorf("%s: %.400q: %s", name, body, d)
		return
	}
	// Known series, and some which have as many bytes as what is there.
	half := slices.Clone(whole)
	for i := range half {
		if i%2 == 0 && half[i].series != "" {
			half[i].series, half[i].hash = strings.Repeat("?", len(half[i].series)), 0
		}
	}
	for _, known := range [][]event{nil, whole, half} {
		parse := eventsOf(t, what, known)
		for how, r := range splits(body, rng) {
			got, err := parse(r)
			if d := differEvents(got, whole); d != "" || fmt.Sprint(err) != fmt.Sprint(wholeErr) {
				t.Errorf("%s, %s, %d known: %.400q: %s\nends with %v, whole with %v", name, how, len(known), body, d, err, wholeErr)
				return
			}
		}
	}
}
