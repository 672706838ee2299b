package streamparse

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"unicode/utf8"
)

// refuse ends the body with what is wrong in the current family.
func (p *Parser) refuse(err error) {
	p.bad++
	name := p.pb.key[:p.pb.nameEnd]
	p.firstBad = &ParseError{Line: p.line, Reason: fmt.Sprintf("%v, in %s", err, quoteLine(name)), isFamily: true}
	p.err = p.firstBad
}

// have tries to make n bytes available, and reports whether they are.
func (p *Parser) have(n int) bool {
	for p.end-p.pos < n && !p.eof && p.err == nil {
		p.fill()
	}
	return p.end-p.pos >= n
}

// keyRoom is enough for what stands behind a name, and most labels, so that a long name is not copied for it.
const keyRoom = 1 << 10

// longestHead is how many bytes a field's tag and its length take at most.
const longestHead = 20

var errBodyCut = errors.New("the body ends within it")

// readField reads on by one field of a family, or by the length before one. It returns false at the end of the body and
// on an error.
func (p *Parser) readField() bool {
	pb := &p.pb
	if !pb.inFamily {
		return p.readLength()
	}
	if pb.left == 0 {
		pb.inFamily = false
		if pb.started && len(pb.unit) > 0 {
			pb.meta = metaUnit
		}
		return true
	}
	if !pb.started {
		p.plainHeader()
	}
	whole := p.have(int(min(pb.left, longestHead)))
	if p.err != nil {
		return false
	}
	if pb.left > 0 && p.end > p.pos && p.w[p.pos] == 4<<3|wireBytes && !pb.started {
		if err := p.startFamily(); err != nil {
			p.refuse(err)
			return false
		}
		return true // what there is to say of the family comes first
	}
	if pb.left == 0 {
		return true
	}
	begin := p.pos
	err := p.parseField(p.w[p.pos:min(uint64(p.end), uint64(p.pos)+pb.left)])
	if err != nil && p.err == nil {
		if errors.Is(err, errCut) && p.pos == begin && !whole {
			err = errBodyCut
		}
		p.refuse(err)
	}
	return p.err == nil
}

// readLength reads the length before a family.
func (p *Parser) readLength() bool {
	const longest = 5 // bytes that Prometheus takes
	pb := &p.pb
	if !p.have(longest) && (p.err != nil || p.pos == p.end) {
		return false
	}
	p.line++
	pb.key, pb.nameEnd = pb.key[:0], 0
	n, used, err := varint(p.w[p.pos:min(p.end, p.pos+longest)], 0)
	if err != nil {
		p.refuse(fmt.Errorf("the length is cut, or takes more than %d bytes", longest))
		return false
	}
	p.pos += used
	pb.left = n
	pb.inFamily, pb.started = true, false
	pb.help, pb.unit, pb.typ = pb.help[:0], pb.unit[:0], familyCounter
	return true
}

// parseField parses the field at the start of b, of which the head is there unless the family ends before that.
func (p *Parser) parseField(b []byte) error {
	pb := &p.pb
	tag, i, err := field(b, 0)
	if err != nil {
		return err
	}
	switch tag {
	case 3<<3 | wireVarint:
		v, i, err := varint(b, i)
		if err != nil {
			return err
		}
		if pb.started && int32(v) != pb.typ {
			return errors.New("its type follows its metrics")
		}
		pb.typ = int32(v)
		p.advance(i)
		return nil
	case 1<<3 | wireBytes, 2<<3 | wireBytes, 4<<3 | wireBytes, 5<<3 | wireBytes:
	default:
		return p.skipField(b, i, tag)
	}
	n, i, err := varint(b, i)
	if err != nil {
		return err
	}
	if n > pb.left-uint64(i) {
		return errCut
	}
	if tag == 2<<3|wireBytes && n > chunkBytes/2 {
		p.advance(i)
		return p.skipHelp(n)
	}
	if n > uint64(p.opts.MaxLineBytes-longestHead) {
		p.err = p.tooLong()
		return p.err
	}
	p.advance(i)
	if !p.have(int(n)) {
		return errBodyCut
	}
	content := p.w[p.pos : p.pos+int(n)]
	p.advance(int(n))
	switch tag >> 3 {
	case 1:
		if pb.started && string(content) != string(pb.key[:pb.nameEnd]) {
			return errors.New("its name follows its metrics")
		}
		if !pb.started {
			pb.key = append(slices.Grow(pb.key[:0], len(content)+keyRoom), content...)
			pb.nameEnd = len(pb.key)
		}
	case 2:
		if pb.started && !utf8.Valid(content) {
			return errors.New("help text is not valid UTF-8")
		}
		if !pb.started {
			pb.help = append(pb.help[:0], content...)
		}
	case 4:
		return p.parseMetric(content)
	case 5:
		pb.unit = append(pb.unit[:0], content...)
	}
	return nil
}

func (p *Parser) advance(n int) {
	p.pos += n
	p.pb.left -= uint64(n)
}

// startFamily checks what was read of a family, before its first metric.
func (p *Parser) startFamily() error {
	pb := &p.pb
	name := pb.key[:pb.nameEnd]
	switch {
	case len(name) == 0 || !utf8.Valid(name):
		return errors.New("invalid metric name")
	case !utf8.Valid(pb.help):
		return errors.New("help text is not valid UTF-8")
	case pb.typ < familyCounter || pb.typ > familyGaugeHistogram:
		return fmt.Errorf("unknown metric type %d", pb.typ)
	}
	pb.started = true
	pb.meta = metaHelp
	pb.key = append(name, endOfName)
	switch pb.typ {
	case familyCounter:
		pb.plainTag = 3<<3 | wireBytes
	case familyGauge:
		pb.plainTag = 2<<3 | wireBytes
	case familyUntyped:
		pb.plainTag = 5<<3 | wireBytes
	default:
		pb.plainTag = 0
	}
	pb.familyHash = maphash.Bytes(p.seed, name) + uint64(pb.plainTag)
	return nil
}

// parseMetric parses one metric.
func (p *Parser) parseMetric(b []byte) error {
	pb := &p.pb
	if !pb.started { // its tag takes more bytes than it needs
		if err := p.startFamily(); err != nil {
			return err
		}
	}
	var err error
	if pb.key, err = pb.metric.decode(b, pb.key[:pb.nameEnd+1]); err != nil {
		return err
	}
	if err := p.startMetric(); err != nil || !pb.more {
		return err
	}
	p.err = p.checkBuckets()
	return p.err
}

// skipHelp reads past a help text of n bytes which is too long to be kept, and checks it.
func (p *Parser) skipHelp(n uint64) error {
	pb := &p.pb
	var carry [utf8.UTFMax]byte
	carried := 0
	pb.help = pb.help[:0]
	valid := true
	for n > 0 {
		if !p.have(1) {
			return errBodyCut
		}
		b := p.w[p.pos:min(uint64(p.end), uint64(p.pos)+n)]
		n -= uint64(len(b))
		valid = valid && validPiece(b, &carry, &carried, n == 0)
		p.advance(len(b))
	}
	if !valid { // which matters only if there is a metric
		pb.help = append(pb.help, endOfName)
	}
	return nil
}

// skipField reads past a field that the family should not have, whose content begins at b[i].
func (p *Parser) skipField(b []byte, i int, tag uint64) error {
	pb := &p.pb
	if tag&7 != wireBytes || tag>>3 <= 5 {
		var end int
		var err error
		if tag&7 == wireGroup {
			end, err = p.skipGroup(i, tag)
		} else {
			end, err = skip(b, i, tag, 5)
		}
		if err != nil {
			return err
		}
		p.advance(end)
		return nil
	}
	n, i, err := varint(b, i)
	if err != nil {
		return err
	}
	if n > pb.left-uint64(i) {
		return errCut
	}
	p.advance(i)
	for n > 0 {
		if !p.have(1) {
			return errBodyCut
		}
		part := int(min(uint64(p.end-p.pos), n))
		n -= uint64(part)
		p.advance(part)
	}
	return nil
}

// skipGroup returns where the group ends whose tag is given and whose content begins i bytes behind pos. It says nothing
// about its length, so that all of it has to fit into the window.
func (p *Parser) skipGroup(i int, tag uint64) (end int, err error) {
	limit := int(min(p.pb.left, uint64(p.opts.MaxLineBytes)))
	for n := firstWindowBytes; ; n *= 2 {
		n = min(n, limit)
		whole := p.have(n)
		b := p.w[p.pos:p.end]
		end, err = skip(b[:min(len(b), limit)], i, tag, 5)
		if p.err != nil {
			return 0, p.err
		}
		if !errors.Is(err, errCut) || !whole || n == limit {
			break
		}
	}
	if errors.Is(err, errCut) && p.pb.left > uint64(limit) && p.end-p.pos >= limit {
		p.err = p.tooLong()
		return 0, p.err
	}
	return end, err
}

func (p *Parser) tooLong() error {
	return fmt.Errorf("metric family %d: %w: more than %d bytes; -promscrape.maxLineSize would allow more", p.line, ErrLineTooLong, p.opts.MaxLineBytes)
}
