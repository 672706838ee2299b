package streamparse

// Exemplar is one exemplar of a sample or a histogram. Parser.AppendExemplarLabels has its labels.
type Exemplar struct {
	Value           float64
	TimestampMillis int64
	HasTimestamp    bool

	from, to int   // its labels, in exemplars.labels
	at       stamp // of protobuf
	isNative bool  // it belongs to a native histogram as such
}

// exemplars are those of one entry, or of one metric in protobuf.
type exemplars struct {
	list   []Exemplar
	labels []Label
}

func (e *exemplars) reset() { e.list, e.labels = e.list[:0], e.labels[:0] }

// shrink drops all views, and room beyond maxKeptParts.
func (e *exemplars) shrink() {
	if cap(e.list) > maxKeptParts {
		e.list = nil
	}
	if cap(e.labels) > maxKeptParts {
		e.labels = nil
	}
	clear(e.labels[:cap(e.labels)])
}

// Exemplars is a view of the current sample's exemplar, if it has one, or of all those of a histogram.
func (p *Parser) Exemplars() []Exemplar { return p.current }

// AppendExemplarLabels appends the labels of e, one of Exemplars, to dst, as they were written: in OpenMetrics with their
// escapes, as Prometheus leaves them. The views are valid like Series.
func (p *Parser) AppendExemplarLabels(dst []Label, e Exemplar) []Label {
	if p.format == FormatProtobuf {
		return append(dst, p.pb.metric.exemplars.labels[e.from:e.to]...)
	}
	if p.convert.emitted {
		return append(dst, p.convert.exemplars.labels[e.from:e.to]...)
	}
	return append(dst, p.exemplars.labels[e.from:e.to]...)
}
