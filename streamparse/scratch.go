package streamparse

import "reflect"

// maxPooledWindow is the largest window which a pool of the usual size classes keeps.
const maxPooledWindow = 2 << 20

// scratchBytes is how much memory the parser holds for the parts of entries which it met, in bytes, and for a window which is
// too large to be kept in a pool.
func (p *Parser) scratchBytes() (n int64) {
	m, c, h := &p.pb.metric, &p.convert, &p.pb.metric.native
	n = bytesOf(p.unescaped) + bytesOf(p.labels) + p.exemplars.bytes()
	n += bytesOf(p.pb.key) + bytesOf(p.pb.help) + bytesOf(p.pb.unit)
	n += bytesOf(m.summary.buckets) + bytesOf(m.classic.buckets) + bytesOf(m.ofNative) + m.exemplars.bytes()
	n += bytesOf(h.PositiveSpans) + bytesOf(h.PositiveDeltas) + bytesOf(h.PositiveCounts) + bytesOf(h.spareSpans) + bytesOf(h.CustomValues)
	n += bytesOf(h.NegativeSpans) + bytesOf(h.NegativeDeltas) + bytesOf(h.NegativeCounts)
	n += bytesOf(c.labels) + bytesOf(c.series) + bytesOf(c.texts) + bytesOf(c.sampleText) + bytesOf(c.head) + bytesOf(c.tail)
	n += bytesOf(c.buckets.buckets) + bytesOf(c.made.CustomValues) + bytesOf(c.textEnds) + bytesOf(c.views) + c.exemplars.bytes()
	n += bytesOf(p.created.key) + bytesOf(p.created.sampleKey) + bytesOf(p.created.lastKey)
	if len(p.w) > maxPooledWindow {
		n += int64(len(p.w))
	}
	return n
}

func (e *exemplars) bytes() int64 { return bytesOf(e.list) + bytesOf(e.labels) }

// bytesOf is how many bytes a list takes, used or not.
func bytesOf[T any](list []T) int64 { return int64(cap(list)) * int64(reflect.TypeFor[T]().Size()) }
