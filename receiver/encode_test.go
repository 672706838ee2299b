package receiver

import (
	"encoding/binary"
	"math"

	"github.com/klauspost/compress/snappy"
)

// The oracle: an encoder written from the format's description alone, as plainly as possible.

// ts is a TimeSeries message to be. Labels are names and values in turn.
type ts struct {
	labels  []string
	samples []Sample
}

func series(samples []Sample, labels ...string) ts { return ts{labels, samples} }

func at(tsMillis int64, value float64) Sample { return Sample{tsMillis, value} }

func bytesField(num int, data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(num)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

func fixed64Field(num int, v uint64) []byte {
	b := binary.AppendUvarint(nil, uint64(num)<<3|1)
	return binary.LittleEndian.AppendUint64(b, v)
}

func varintField(num int, v uint64) []byte {
	b := binary.AppendUvarint(nil, uint64(num)<<3)
	return binary.AppendUvarint(b, v)
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func labelMessage(name, value string) []byte {
	return join(bytesField(1, []byte(name)), bytesField(2, []byte(value)))
}

func sampleMessage(s Sample) []byte {
	return join(fixed64Field(1, math.Float64bits(s.Value)), varintField(2, uint64(s.TimestampMillis)))
}

func (t ts) message() []byte {
	var b []byte
	for i := 0; i < len(t.labels); i += 2 {
		b = append(b, bytesField(1, labelMessage(t.labels[i], t.labels[i+1]))...)
	}
	for _, s := range t.samples {
		b = append(b, bytesField(2, sampleMessage(s))...)
	}
	return b
}

func (t ts) labelList() []Label {
	var labels []Label
	for i := 0; i < len(t.labels); i += 2 {
		labels = append(labels, Label{t.labels[i], t.labels[i+1]})
	}
	return labels
}

func writeRequest(all ...ts) []byte {
	var b []byte
	for _, t := range all {
		b = append(b, bytesField(1, t.message())...)
	}
	return b
}

func body(all ...ts) []byte { return snappy.Encode(nil, writeRequest(all...)) }
