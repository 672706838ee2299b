package sink

import (
	"bytes"
	"strconv"

	"scraper/receiver"
)

// Expected says what must have arrived: calls the function it is given with each series, and how many of its samples were
// served. The series' labels may be in any order; they are changed, and not kept.
type Expected func(yield func(labels []receiver.Label, served int))

// Judgement compares what arrived with what was served.
type Judgement struct {
	Series  int   `json:"series"`
	Missing int64 `json:"missing"` // samples which were served and did not arrive
	Doubles int64 `json:"doubles"` // samples which arrived more often than they were served
}

// Check compares the counts per series with what must have arrived.
func (s *Sink) Check(expected Expected) Judgement {
	got := s.receiver.PerSeries()
	var j Judgement
	expected(func(labels []receiver.Label, served int) {
		j.Series++
		arrived := got[receiver.HashLabels(labels)]
		if otherNumber(labels) {
			arrived += got[receiver.HashLabels(labels)]
		}
		switch n := int64(arrived) - int64(served); {
		case n < 0:
			j.Missing -= n
		case n > 0:
			j.Doubles += n
		}
	})
	return j
}

// otherNumber rewrites bounds and quantiles which are whole numbers as Prometheus 3 does: le="5" becomes le="5.0". It reports
// whether there was one.
func otherNumber(labels []receiver.Label) bool {
	for i, l := range labels {
		if l.Name != "le" && l.Name != "quantile" {
			continue
		}
		if _, err := strconv.ParseUint(l.Value, 10, 64); err == nil {
			labels[i].Value += ".0"
			return true
		}
	}
	return false
}

// AppendLabels parses a series as the benchmark's texts write it, name{label="value",…}, and appends its labels to dst.
// It knows no escapes, since those texts have none.
func AppendLabels(dst []receiver.Label, series []byte) []receiver.Label {
	name, rest, _ := bytes.Cut(series, []byte("{"))
	dst = append(dst, receiver.Label{Name: receiver.NameLabel, Value: string(name)})
	for len(rest) > 1 {
		label, after, ok := bytes.Cut(rest, []byte(`="`))
		if !ok {
			break
		}
		value, next, _ := bytes.Cut(after, []byte(`"`))
		dst = append(dst, receiver.Label{Name: string(label), Value: string(value)})
		rest = bytes.TrimPrefix(next, []byte(","))
	}
	return dst
}
