package streamparse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
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

// checkLabels refuses names and values which no series may have. Who has met the series has checked them.
func (pb *protobuf) checkLabels() error {
	n := 0
	return pb.pairs(func(name, value []byte) error {
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
	text := append(append(p.unescaped[:0], pb.key[:pb.nameEnd]...), suffix...)
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
