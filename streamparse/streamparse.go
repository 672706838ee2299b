// Package streamparse reads exposition formats as a stream: chunks in, samples out. The formats are text 0.0.4 and 1.0.0,
// OpenMetrics 0.0.1 and 1.0.0, and protobuf; FormatOf tells by a Content-Type which one a body has, and Body says it to
// ResetBody.
//
// The parser holds a window on the body, never the body. It is a tokenizer, not a line splitter, because a label value may
// hold raw newlines; what spans two reads is carried over to the front of the window. The window starts small, grows to
// one chunk for bodies which fill it, and beyond that only for a line, or one metric in protobuf, which needs it, up to
// Options.MaxLineBytes.
//
// There are two ways to take a sample. Next parses a line in full. PeekHash, or Peek, and Take serve a caller which has met
// the series before: it compares the hash of the next bytes with what it remembers, and Take then parses only the value and
// what is behind it. Take refuses whatever is not plainly a sample; Next then decides. It is the same in all formats: in
// protobuf, the bytes of a series are a key which the parser makes (Series and Peek show it), so that who remembers a hash
// and a length of them need not know which format it reads: hash.go.
//
//	for {
//		if hash, ok := p.PeekHash(n); ok && hash == expected && p.Take(n) {
//			use(p.Value()) // and p.Timestamp(), p.Exemplars(), p.StartTimestamp() where they are wanted
//			continue
//		}
//		switch kind, err := p.Next(); kind {
//		case KindSample: // learn p.Hash(), len(p.Series()), p.AppendLabels()
//		case KindHistogram: // the same, and p.Histogram().AppendWire(); these are never taken by Take
//		case KindType, KindHelp, KindUnit: // p.Family() and p.Type(), p.Help(), p.Unit()
//		}
//	}
//
// It does not know what labels mean, what a target is, or where the bytes come from.
//
// Concurrency: a Parser belongs to one goroutine. Ownership: the window comes from a bufpool.Pool and goes back in Close;
// whatever the parser hands out is a view of it, or of the parser's own scratch memory, valid until the next call of Next,
// Take, Peek, Guess, Reset or Close, to be copied by who wants to keep it. Read streamparse.go first, then text.go (the format)
// and number.go (values), openmetrics.go, and protobuf.go.
package streamparse

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"scraper/bufpool"
)

// Kind is what Next found.
type Kind uint8

// The kinds of entries.
const (
	KindNone      Kind = iota // the end of the body
	KindSample                // a sample: Series, Value, Timestamp, AppendLabels
	KindType                  // a TYPE line: Family, Type
	KindHelp                  // a HELP line: Family, Help
	KindComment               // anything else which starts with #
	KindUnit                  // a UNIT line: Family, Unit
	KindHistogram             // a native histogram: Series, Histogram, Timestamp, AppendLabels
)

// Type is a family's type, as a TYPE line gives it.
type Type uint8

// The types of all formats; text 0.0.4 has the first five.
const (
	TypeUntyped Type = iota // unknown, in OpenMetrics
	TypeCounter
	TypeGauge
	TypeHistogram
	TypeSummary
	TypeGaugeHistogram
	TypeInfo
	TypeStateset
)

// Label is a label of a sample. Both are views.
type Label struct{ Name, Value []byte }

const (
	// firstWindowBytes serves the many targets whose body, or whose next bytes, are small: a thousand slow ones cost 4 MiB.
	firstWindowBytes = 4 << 10
	// chunkBytes is the window for bodies which fill the first one. It is what a worker holds while it parses: smaller ones
	// read more often, larger ones fall out of the second-level cache.
	chunkBytes = 64 << 10
	// tailRoom is how many bytes behind a series are enough for a value and a timestamp, so that Take need not fill.
	tailRoom = 64

	defaultMaxLineBytes = 1 << 20
	maxLineLimit        = 16 << 20
	maxEmptyReads       = 100
)

// Options are the settings of a Parser.
type Options struct {
	// Pool provides the window. Required.
	Pool *bufpool.Pool
	// MaxLineBytes is the longest line that is read, with its newline: 1 MiB if zero, 16 MiB at most. Comments may be longer.
	MaxLineBytes int
	// SkipBadLines skips and counts what is not in the format, as vmagent does, where Prometheus refuses the body. It also
	// accepts what vmagent accepts: a carriage return before the newline, an exemplar, timestamps in seconds.
	SkipBadLines bool
	// Seed is what PeekHash and Hash use: of the parser's own if zero. Parsers which are to agree share one.
	Seed maphash.Seed
}

// ErrLineTooLong is wrapped by the error for a line beyond Options.MaxLineBytes.
var ErrLineTooLong = errors.New("line too long")

// ParseError says where and why a body is not in its format.
type ParseError struct {
	Line   int    // starting from 1; in protobuf the number of the metric family
	Reason string // with the offending text, cut and quoted

	isFamily bool
}

func (e *ParseError) Error() string {
	if e.isFamily {
		return fmt.Sprintf("metric family %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// Parser reads one body after the other.
//
//	   0 ≤ pos ≤ end ≤ len(w)
//
//	|  parsed  |  unread  |  free  |
//	0         pos        end     len(w)
type Parser struct {
	opts Options
	seed maphash.Seed
	r    io.Reader
	buf  *bufpool.Buf
	w    []byte
	pos  int
	end  int
	// eof is set when r has no more; the unread bytes then end in a newline.
	eof bool
	err error // sticky: what ended the body, other than its end

	line     int   // lines which are wholly parsed
	bytes    int64 // read from r
	bad      int
	firstBad *ParseError

	body    Body
	format  Format
	lenient bool // Options.SkipBadLines, in text
	special bool // body.isSpecial
	ended   bool // "# EOF" was read

	// The current entry.
	value     float64
	ts        int64
	hasTS     bool
	typ       Type
	series    []byte
	family    []byte
	help      []byte
	unit      []byte
	text      []byte // what the spans are offsets into
	name      span
	labels    []labelSpan
	unescaped []byte
	exemplars exemplars  // of OpenMetrics
	current   []Exemplar // the current entry's
	created   created
	convert   converter
	pb        protobuf
	nameLabel [len(nameLabel)]byte // what the metric's name is called
}

const nameLabel = "__name__"

// span is a part of the current line; escaped says that it holds backslashes.
type span struct {
	start, end uint32
	escaped    bool
}

type labelSpan struct{ name, value span }

// New returns a parser without a body; call Reset before anything else.
func New(o Options) *Parser {
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = defaultMaxLineBytes
	}
	o.MaxLineBytes = min(o.MaxLineBytes, maxLineLimit)
	if o.Seed == (maphash.Seed{}) {
		o.Seed = maphash.MakeSeed()
	}
	p := &Parser{opts: o, seed: o.Seed}
	copy(p.nameLabel[:], nameLabel)
	return p
}

// Reset begins a new body in text format. It borrows r until the next Reset or Close.
func (p *Parser) Reset(r io.Reader) { p.ResetBody(r, Body{}) }

// ResetBody is Reset for a body in any format.
func (p *Parser) ResetBody(r io.Reader, b Body) {
	p.r = r
	p.body = b
	p.format = b.Format
	p.lenient = p.opts.SkipBadLines && p.format == FormatText
	p.pos, p.end, p.line, p.bytes, p.bad = 0, 0, 0, 0, 0
	p.eof, p.err, p.firstBad = false, nil, nil
	p.ended = false
	p.pb.reset()
	p.created.reset()
	p.convert.reset()
	p.special = b.isSpecial()
	p.dropViews()
}

// Close gives the window back, and what an unusual body took beside it, and returns how many bytes that were, but for a window
// of the pool's. The parser can be Reset afterwards.
func (p *Parser) Close() (released int64) {
	before := p.scratchBytes()
	p.r = nil
	p.dropViews()
	if p.buf != nil {
		p.buf.Release()
		p.buf, p.w = nil, nil
	}
	p.pos, p.end = 0, 0
	if cap(p.unescaped) > chunkBytes {
		p.unescaped = nil
	}
	if cap(p.labels) > 1024 {
		p.labels = nil
	}
	p.exemplars.shrink()
	p.pb.shrink()
	p.created.shrink()
	p.convert.shrink()
	return before - p.scratchBytes()
}

func (p *Parser) dropViews() {
	p.series, p.family, p.help, p.unit, p.text = nil, nil, nil, nil, nil
	p.labels = p.labels[:0]
	p.exemplars.reset()
	p.current = nil
}

// Value is the current sample's value; every NaN is the same one. Like all about the current entry it is valid until the next
// call of Next, Take, Peek or Guess.
func (p *Parser) Value() float64 { return p.value }

// Timestamp is the current sample's own timestamp in milliseconds; ok is false where it has none.
func (p *Parser) Timestamp() (ms int64, ok bool) { return p.ts, p.hasTS }

// StartTimestamp is when the current sample's counter, summary or histogram began to count, in milliseconds; ok is false
// where that is not known.
func (p *Parser) StartTimestamp() (ms int64, ok bool) {
	if p.format == FormatProtobuf {
		return p.pb.start.millis(), p.pb.start.isSet
	}
	if p.convert.emitted {
		return p.convert.start, p.convert.start != 0
	}
	if p.hasStart() {
		return p.created.start, p.created.start != 0
	}
	return 0, false
}

// Series is a view of the bytes of the current sample before its value: name and labels as the target wrote them.
func (p *Parser) Series() []byte { return p.series }

// Family is a view of the current TYPE or HELP line's metric name.
func (p *Parser) Family() []byte { return p.family }

// Help is a view of the current HELP line's text, as it was written. HELP lines of more than 32 KiB are checked, and not
// delivered; in protobuf they are, without the text.
func (p *Parser) Help() []byte { return p.help }

// AppendHelp appends the current HELP line's text to dst, with its escapes resolved.
func (p *Parser) AppendHelp(dst []byte) []byte {
	switch p.format {
	case FormatText:
		return appendUnescapedHelp(dst, p.help)
	case FormatOpenMetrics:
		return appendUnescaped(dst, p.help)
	}
	return append(dst, p.help...)
}

// Unit is a view of the current UNIT line's text.
func (p *Parser) Unit() []byte { return p.unit }

// Type is the current TYPE line's type.
func (p *Parser) Type() Type { return p.typ }

// Line is the number of the line which was parsed last, starting from 1; in protobuf of the metric family.
func (p *Parser) Line() int { return p.line }

// Bytes is how many bytes of the body were read so far.
func (p *Parser) Bytes() int64 { return p.bytes }

// WindowBytes returns how large the window is now. It is more than 64 KiB only for a line, or a metric in protobuf, which needs
// it.
func (p *Parser) WindowBytes() int64 { return int64(len(p.w)) }

// Bad is the number of lines which Options.SkipBadLines skipped, and the first one's error (nil if none).
func (p *Parser) Bad() (n int, first *ParseError) { return p.bad, p.firstBad }

// Peek returns a view of the next n bytes, or nil when the body has fewer, or when the next line is not a sample's.
// The view starts at a line's start.
func (p *Parser) Peek(n int) []byte {
	if p.format == FormatProtobuf {
		return p.peekProtobuf(n)
	}
	if p.end-p.pos < n+tailRoom && !p.ensure(n+tailRoom) {
		return nil
	}
	if p.w[p.pos] == '#' || p.special && p.hasWhole() {
		return nil
	}
	return p.w[p.pos : p.pos+n]
}

// SamplesFollow reports whether the metadata of the current family are complete, but for a unit in protobuf, which stands
// behind the samples.
func (p *Parser) SamplesFollow() bool {
	if p.format == FormatProtobuf {
		return p.pb.meta == metaNone
	}
	return (p.pos < p.end || p.ensure(1)) && p.w[p.pos] != '#'
}

// Guess returns how many bytes the next line's series probably takes: up to its last closing brace, else up to its first
// blank. 0 means that it cannot say. It is right unless a brace stands behind the series or there is something unusual about
// the line, and costs far less than Next; who has met the series compares what Peek shows for it.
func (p *Parser) Guess() int {
	if p.format == FormatProtobuf {
		return p.guessProtobuf()
	}
	b := p.w[p.pos:p.end]
	nl := indexNewline(b)
	if nl <= 0 || b[0] == '#' || p.special && p.hasWhole() {
		return 0
	}
	if p.format == FormatOpenMetrics {
		if i := bytes.Index(b[:nl], []byte(" # {")); i >= 0 {
			nl = i
		}
	}
	if i := bytes.LastIndexByte(b[:nl], '}'); i >= 0 {
		return i + 1
	}
	return max(0, bytes.IndexByte(b[:nl], ' '))
}

// ensure tries to make n bytes available. At the end of the body fewer will do if they hold more than a line's newline.
func (p *Parser) ensure(n int) bool {
	for p.end-p.pos < min(n, p.opts.MaxLineBytes) && !p.eof && p.err == nil {
		p.fill()
	}
	return p.end-p.pos >= n-tailRoom+1 && p.err == nil
}

// Take takes the sample whose series is the next n bytes, which the caller has compared with a Series that it met before.
// It reports false, and takes nothing, unless a blank, a value, and at most a timestamp follow, and then a newline.
func (p *Parser) Take(n int) bool {
	used := 0
	switch p.format {
	case FormatText:
		used = p.tail(p.w[p.pos+n : p.end])
	case FormatOpenMetrics:
		used = p.tailOpenMetrics(p.w[p.pos+n : p.end])
	default:
		return p.takeProtobuf(n)
	}
	if used == 0 || n+used > p.opts.MaxLineBytes {
		return false
	}
	p.pos += n + used
	p.line++
	return true
}

// SkipLines corrects Line for a series that Take took and which holds n raw newlines: Newlines of it when Next gave it.
func (p *Parser) SkipLines(n int) {
	if p.format != FormatProtobuf {
		p.line += n
	}
}

// Newlines is how many raw newlines the current sample's series holds: 0 in protobuf, whatever the bytes of Series are.
func (p *Parser) Newlines() int {
	if p.format == FormatProtobuf {
		return 0
	}
	return countNewlines(p.series)
}

// Next parses the next entry. At the end of the body it returns KindNone and a nil error. An error is final: a *ParseError,
// or what reading the body ended with.
func (p *Parser) Next() (Kind, error) {
	if p.format == FormatProtobuf {
		return p.nextProtobuf()
	}
	p.convert.emitted = false
	for {
		if p.err != nil {
			return KindNone, p.err
		}
		if p.pos == p.end {
			if p.eof {
				if p.format == FormatOpenMetrics && !p.ended {
					p.badLine("the body does not end with # EOF", nil)
					continue
				}
				if p.finishHistogram() {
					return KindHistogram, nil
				}
				return KindNone, nil
			}
			p.fill()
			continue
		}
		if p.ended {
			p.badLine("data after # EOF", nil)
			continue
		}
		// A line's limit holds however much of it is there: what is beyond it is not looked at.
		whole := p.end-p.pos >= p.opts.MaxLineBytes
		b := p.w[p.pos:min(p.end, p.pos+p.opts.MaxLineBytes)]
		line := p.line
		n, kind, f := p.scanEntry(b)
		switch {
		case n > 0:
			if kind == KindSample && p.hasStart() {
				if p.isCreated() {
					p.pos += n
					continue
				}
				if !p.startOf(n) {
					p.line = line
					continue
				}
			}
			if p.body.ConvertClassic {
				switch p.collect(kind) {
				case collectedFirst:
					p.line = line
					return KindHistogram, nil
				case collectedOnly:
					p.pos += n
					continue
				}
			}
			p.pos += n
			if kind != KindNone {
				return kind, nil
			}
		case f.reason != "":
			// The error is the same however the body arrives: it shows the rest of the line.
			if !p.eof && !whole && len(b)-f.at <= shownBytes && indexNewline(b[f.at:]) < 0 {
				p.fill()
				continue
			}
			p.badLine(f.reason, b[f.at:])
		case p.inLongComment():
			p.skipComment()
		case !p.eof || whole:
			p.fill()
		default:
			p.badLine("unexpected end of the body", b)
		}
	}
}

func (p *Parser) scanEntry(b []byte) (int, Kind, fault) {
	if p.format == FormatOpenMetrics {
		return p.scanOpenMetrics(b)
	}
	return p.scan(b)
}

// badLine refuses the line at pos, or skips it. The error shows the beginning of text.
func (p *Parser) badLine(reason string, text []byte) {
	p.bad++
	if p.firstBad == nil { // the others are only counted: a body may be all bad lines
		p.firstBad = &ParseError{Line: p.line + 1, Reason: reason + ", got " + quoteLine(text)}
	}
	if !p.lenient {
		p.err = p.firstBad
		return
	}
	p.skipLine()
}
