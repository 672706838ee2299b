package streamparse

import (
	"bytes"
	"io"
)

// Rest returns a parser of what p has not parsed yet of its body: what is in its window, and behind that what r reads, which
// it borrows until the other's Close. It is for who wants to know what is to come. P must not be used before the other is closed,
// and goes on then as if nothing had been. Rest returns nil in the midst of what only p knows to its end: the samples of one
// metric in protobuf, and a histogram which is being converted.
func (p *Parser) Rest(r io.Reader) *Parser {
	pb := &p.pb
	if p.err != nil || !pb.betweenMetrics() || p.convert.active || p.convert.emitted {
		return nil
	}
	q := New(p.opts)
	q.ResetBody(io.MultiReader(bytes.NewReader(p.w[p.pos:p.end]), r), p.body)
	q.line, q.bytes, q.ended = p.line, p.offset(), p.ended
	q.typ = p.typ
	q.created.familyBytes = p.created.familyBytes
	q.convert.family = append(q.convert.family, p.convert.family...)
	other := &q.pb
	other.left, other.inFamily, other.started = pb.left, pb.inFamily, pb.started
	other.typ, other.plainTag, other.familyHash = pb.typ, pb.plainTag, pb.familyHash
	other.help, other.unit = append(other.help, pb.help...), append(other.unit, pb.unit...)
	other.nameEnd, other.repeated = pb.nameEnd, pb.repeated
	if other.key = append(other.key, pb.key[:pb.nameEnd]...); pb.started {
		other.key = append(other.key, endOfName)
	}
	return q
}
