package streamparse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// pairs calls f with each label of the key, in order, until it returns an error.
func (pb *protobuf) pairs(f func(name, value []byte) error) error {
	for i := pb.nameEnd + 1; i < pb.labelsEnd; {
		_, next, err := field(pb.key, i)
		if err != nil {
			return err
		}
		pair, next, err := message(pb.key, next)
		if err != nil {
			return err
		}
		name, value, err := decodePair(pair)
		if err != nil {
			return err
		}
		if err := f(name, value); err != nil {
			return err
		}
		i = next
	}
	return nil
}

// A family's name and a metric's labels stand in the body once, for as many samples as there are buckets, of which one may
// take 13 bytes. So a body of 1 MiB could have as many labels as one of 64 GiB in text. What the labels of its samples take,
// beyond what they ordinarily do, may therefore be so many times what was read of the body, and as many of the longest lines.
//
// A histogram of 30 buckets is never refused, nor is any with 40 labels of 2 KiB in all; ten thousand buckets may have labels
// of 5 KiB.
const (
	ordinaryBytes   = 4 << 10 // of one sample's name and labels
	labelBytes      = 32      // what each label counts beside its text: a short one takes as long to be sorted and looked up
	repeatedPerByte = 32
	repeatedLines   = 16
)

// beyond is what a sample's labels take beyond what is ordinary, if its key has so many bytes, and so many labels. Of a sample that
// the caller knows these are not counted: they cost it nothing.
func beyond(keyBytes, labels int) int64 {
	return int64(max(0, keyBytes+labels*labelBytes-ordinaryBytes))
}

// checkRepeated refuses a body of which the samples so far, and so much more, take too much.
func (p *Parser) checkRepeated(more int64) error {
	if most := repeatedPerByte*p.offset() + repeatedLines*int64(p.opts.MaxLineBytes); p.pb.repeated+more > most {
		return fmt.Errorf("metric family %d: %w: the names and labels of its samples, and of those before, take more than %d bytes; -promscrape.maxLineSize would allow more",
			p.line, ErrLineTooLong, most)
	}
	return nil
}

// checkBuckets is checkRepeated for what the metric's buckets or quantiles will take at least, before the first of its samples.
func (p *Parser) checkBuckets() error {
	pb := &p.pb
	n := len(pb.metric.classic.buckets) + len(pb.metric.summary.buckets)
	return p.checkRepeated(int64(n) * beyond(pb.labelsEnd, 0))
}

// checkLabels refuses names and values which no series may have, and counts the metric's labels. Who has met the series has
// checked them.
func (pb *protobuf) checkLabels() error {
	if pb.labels >= 0 {
		return nil // another sample of the metric has them
	}
	n := 0
	err := pb.pairs(func(name, value []byte) error {
		if n++; n > MaxLabels {
			return errors.New(manyLabels)
		}
		if len(name) == 0 || !utf8.Valid(name) {
			return errors.New("invalid label name " + quoteLine(name))
		}
		if !utf8.Valid(value) {
			return errors.New("label value is not valid UTF-8")
		}
		return nil
	})
	pb.labels = n
	return err
}

// appendProtobufLabels is AppendLabels. The name with its suffix, and the bound, are written to p.unescaped.
func (p *Parser) appendProtobufLabels(dst []Label) []Label {
	pb := &p.pb
	suffix, label := "", ""
	switch pb.key[pb.labelsEnd] {
	case keyCount:
		suffix = "_count"
	case keySum:
		suffix = "_sum"
	case keyBucket:
		suffix, label = "_bucket", "le"
	case keyQuantile:
		label = "quantile"
	}
	text := append(append(slices.Grow(p.unescaped[:0], pb.nameEnd+keyRoom), pb.key[:pb.nameEnd]...), suffix...)
	nameEnd := len(text)
	text = append(text, label...)
	labelEnd := len(text)
	if label != "" {
		f := math.Float64frombits(binary.LittleEndian.Uint64(pb.key[pb.labelsEnd+1:]))
		if p.body.PlainBounds {
			text = strconv.AppendFloat(text, f, 'g', -1, 64)
		} else {
			text = appendBound(text, f)
		}
	}
	p.unescaped = text
	dst = append(dst, Label{p.nameLabel[:], text[:nameEnd:nameEnd]})
	_ = pb.pairs(func(name, value []byte) error { // Next has checked them
		dst = append(room(dst), Label{name, value})
		return nil
	})
	if label != "" {
		dst = append(dst, Label{text[nameEnd:labelEnd:labelEnd], text[labelEnd:]})
	}
	return dst
}

// appendBound appends a float as Prometheus writes le and quantile: so that a whole number keeps a fraction.
func appendBound(dst []byte, f float64) []byte {
	if f == 0 { // a negative one, too
		return append(dst, "0.0"...)
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	if bytes.ContainsAny(dst[n:], "e.NI") {
		return dst
	}
	return append(dst, ".0"...)
}
