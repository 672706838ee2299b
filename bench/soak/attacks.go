package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// attack is an answer which is made to hurt. Its scrape has to fail, within a moment.
type attack struct {
	name  string
	write func(w io.Writer) error // the whole answer, with its head
	free  bool                    // its job has no sample_limit
	quick bool                    // it is part of the short form
}

// The types of bodies.
const (
	asText        = "text/plain; version=0.0.4"
	asOpenMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	asProtobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// part is a part of an answer.
type part func(w io.Writer) error

// say is a part which is a text.
func say(text string) part {
	return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
}

// over is a part which repeats a text up to so many bytes, and a piece more at the most.
func over(bytes int, text string) part {
	block := strings.Repeat(text, max(1, (64<<10)/len(text)))
	return func(w io.Writer) error {
		for n := 0; n < bytes; n += len(block) {
			if _, err := io.WriteString(w, block); err != nil {
				return err
			}
		}
		return nil
	}
}

// many is a part of n pieces, each written by format with its number, as often as that asks for it.
func many(n int, format string) part {
	args := make([]any, strings.Count(format, "%"))
	return func(w io.Writer) error {
		var b []byte
		for i := range n {
			for k := range args {
				args[k] = i
			}
			b = fmt.Appendf(b, format, args...)
			if len(b) > 64<<10 || i == n-1 {
				if _, err := w.Write(b); err != nil {
					return err
				}
				b = b[:0]
			}
		}
		return nil
	}
}

// answer is a whole answer with a body of the given type, and more lines in its head.
func answer(kind, more string, body ...part) func(w io.Writer) error {
	head := say("HTTP/1.1 200 OK\r\nContent-Type: " + kind + "\r\n" + more + "Connection: close\r\n\r\n")
	return parts(append([]part{head}, body...)...)
}

// parts is an answer of these alone.
func parts(all ...part) func(w io.Writer) error {
	return func(w io.Writer) error {
		for _, p := range all {
			if err := p(w); err != nil {
				return err
			}
		}
		return nil
	}
}

const endless = 1 << 30

// attacks are all attacks, cuts of them at random places of a body, in the short form only the most important.
func attacks(cuts int, quick bool) []attack {
	zipped, zstd, chunked := "Content-Encoding: gzip\r\n", "Content-Encoding: zstd\r\n", "Transfer-Encoding: chunked\r\n"
	bomb := answer(asText, zipped, say(gzipBomb()))
	family := func(n int) part { return many(n, "# HELP f%d It is the only one.\n# TYPE f%d counter\nf%d 1\n") }
	const mistake = "a{ 1\n"
	all := []attack{
		{name: "endless line", quick: true, write: answer(asText, "", over(endless, "a"))},
		{name: "endless comment", quick: true, write: answer(asText, "", say("# HELP a "), over(endless, "a "))},
		{name: "endless escapes", write: answer(asText, "", say(`a{l="`), over(endless, `\"`))},
		{name: "gzip bomb", quick: true, write: bomb},
		{name: "gzip of gzip", write: answer(asText, zipped, say(zip(zip(strings.Repeat("a 1\n", 1<<20)))))},
		{name: "gzip with an endless name", write: answer(asText, zipped, say("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"), over(endless, "n"))},
		{name: "zstd with a window of 3.75 GiB", quick: true, write: answer(asText, zstd, say(zstdWindow(0xaf)))},
		{name: "zstd with a window of 8 MiB", quick: true, write: answer(asText, zstd, say(zstdWindow(13<<3)))},
		{name: "100,000 labels", quick: true, write: answer(asText, "", say("a{"), many(100_000, `l%d="v",`), say("} 1\n"))},
		{name: "100,000 labels in less than 1 MiB", quick: true, write: answer(asText, "", say("a{"), many(100_000, `a%x="",`), say("} 1\n"))},
		{name: "29,990 labels, 40 times, and a mistake", quick: true, free: true,
			write: answer(asText, "", many(40, "a%d{"+text(many(29_990, `a%x="v",`))+"} %d\n"), say(mistake))},
		{name: "an exemplar of 100,000 labels", write: answer(asOpenMetrics, "", say("# TYPE a counter\na_total 1 # {"), many(100_000, `a%x="",`), say("} 1\n# EOF\n"))},
		{name: "a label of 10 MB", quick: true, write: answer(asText, "", say(`a{l="`), over(10_000_000, "v"), say("\"} 1\n"))},
		{name: "labels of 900 KB, and a mistake", free: true, write: answer(asText, "", many(100, "a{l=\"%d"+strings.Repeat("v", 900_000)+"\"} 1\n"), say(mistake))},
		{name: "1,000,000 families", quick: true, write: answer(asText, "", family(1_000_000))},
		{name: "1,000,000 families, without sample_limit", free: true, write: answer(asText, "", family(1_000_000))},
		{name: "200,000 families and a mistake", quick: true, free: true, write: answer(asText, "", family(200_000), say(mistake))},
		{name: "200,000 families which are cut off", free: true, write: answer(asText, "Content-Length: 16000000\r\n", family(200_000))},
		{name: "400,000 HELP lines and a mistake", free: true, write: answer(asText, "", many(400_000, "# HELP f%d It has no samples.\n"), say(mistake))},
		{name: "a series again and again, and a mistake", free: true, write: answer(asText, "", over(15<<20, "a{b=\"c\"} 1\n"), say(mistake))},
		{name: "endless head", quick: true, write: parts(say("HTTP/1.1 200 OK\r\nX: "), over(endless, "a"))},
		{name: "10,000 headers", write: parts(say("HTTP/1.1 200 OK\r\n"), many(10_000, "X-%d: y\r\n"), say("\r\na 1\n"))},
		{name: "endless interim answers", write: parts(over(endless, "HTTP/1.1 100 Continue\r\n\r\n"))},
		{name: "endless chunk size", quick: true, write: answer(asText, chunked, over(endless, "0"))},
		{name: "endless chunk extension", write: answer(asText, chunked, say("1;"), over(endless, "e"))},
		{name: "endless trailers", write: answer(asText, chunked, say("4\r\na 1\n\r\n0\r\n"), over(endless, "X: yyyyyyyyyyyyyyyyyyyy\r\n"))},
		{name: "no HTTP", quick: true, write: parts(over(10_000, "\xff\x00"))},
		{name: "a family of 4 GiB", write: answer(asProtobuf, "", say("\xff\xff\xff\xff\x0f"), over(32<<20, "\x00"))},
		{name: "500,000 buckets", write: answer(asProtobuf, "", say(histogram(500_000, "\x1a\x00")))},
		{name: "500,000 spans", write: answer(asProtobuf, "", say(histogram(500_000, "\x62\x00")))},
		{name: "60,000 buckets of a name of almost 1 MiB", quick: true, free: true,
			write: answer(asProtobuf, "", say(named(strings.Repeat("m", 1<<20-100), buckets(60_000))))},
		{name: "60,000 buckets with 340 labels", free: true, write: answer(asProtobuf, "", say(metric(text(many(340, "\x0a\x06\x0a\x04%04x"))+buckets(60_000))))},
		{name: "100,000 exemplars", quick: true, write: answer(asProtobuf, "", say(histogram(100_000, "\x82\x01\x06\x0a\x04\x0a\x00\x12\x00")))},
		{name: "200,000 labels in protocol buffers", quick: true, write: answer(asProtobuf, "", say(metric(strings.Repeat("\x0a\x03\x0a\x01a", 200_000))))},
	}
	if quick {
		kept := all[:0]
		for _, a := range all {
			if a.quick {
				kept = append(kept, a)
			}
		}
		all = kept
	}
	body := text(many(50, "# TYPE family_%d counter\nfamily_%d{label=\"a value\"} %d\n"))
	random := rand.New(rand.NewPCG(1, 2))
	for range cuts {
		all = append(all, attack{name: "cut", write: answer(asText, "Content-Length: "+strconv.Itoa(len(body))+"\r\n", say(body[:random.IntN(len(body))]))})
	}
	if !quick { // the last one: what it leaves behind goes when the next garbage collection comes
		all = append(all, attack{name: "gzip bomb, without sample_limit", free: true, write: bomb})
	}
	return all
}

// text is what a part writes.
func text(p part) string {
	var b strings.Builder
	_ = p(&b) // takes all
	return b.String()
}

// zip compresses a text.
func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s) // a bytes.Buffer takes all
	_ = w.Close()
	return b.String()
}

// gzipBomb is a gigabyte of one line, in a megabyte.
func gzipBomb() string {
	return text(func(w io.Writer) error {
		z := gzip.NewWriter(w)
		defer z.Close()
		return over(1<<30, "a 1\n")(z)
	})
}

// zstdWindow is the head of a frame whose descriptor asks for a window, and blocks which repeat one byte.
func zstdWindow(descriptor byte) string {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, descriptor}
	const blockBytes = 128 << 10
	for range 10_000 { // more than a gigabyte
		head := uint32(blockBytes)<<3 | 1<<1 // RLE, not the last one
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 'a')
	}
	return string(b)
}

// delimited is a text with its length before it.
func delimited(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }

// named is a family of one metric, a histogram, which has these fields.
func named(name, fields string) string {
	return delimited("\x0a" + delimited(name) + "\x18\x04" + "\x22" + delimited(fields))
}

// metric is named of a short name.
func metric(fields string) string { return named("m", fields) }

// histogram is a family of one histogram, which has a field n times.
func histogram(n int, field string) string {
	return metric("\x3a" + delimited(strings.Repeat(field, n)))
}

// buckets is the field of a metric which makes it a histogram of n buckets.
func buckets(n int) string {
	var all []byte
	for i := range n {
		all = append(all, "\x1a\x0b\x08\x01\x11"...) // one observation up to
		all = binary.LittleEndian.AppendUint64(all, math.Float64bits(float64(i)))
	}
	return "\x3a" + delimited(string(all))
}
