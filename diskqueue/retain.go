package diskqueue

import (
	"slices"
	"time"
)

// maxKeptIndex bounds the memory which goes with a file to its next life, in entries.
const maxKeptIndex = 512

// recycleLocked gives up a segment without pending blocks: its file is kept to be written again, or removed.
func (q *Queue) recycleLocked(g *segment) {
	q.segs = slices.DeleteFunc(q.segs, func(x *segment) bool { return x == g })
	if q.open == g {
		q.open = nil
	}
	g.gone = true
	spare := &segment{path: g.path, f: g.f, size: g.size, adrift: g.adrift}
	if cap(g.index) <= maxKeptIndex {
		spare.index = g.index[:0]
	}
	g.f, g.index = nil, nil
	if len(q.spares) < maxSpares && !g.adrift {
		// Without its header nothing in it can come back, whatever happens to the acknowledgements.
		if q.openFileLocked(spare) == nil {
			if _, err := spare.f.WriteAt(make([]byte, pageBytes), 0); err == nil {
				q.spares = append(q.spares, spare)
				return
			}
		}
	}
	q.removeLocked(spare)
}

func (q *Queue) removeLocked(g *segment) {
	q.setSize(g, 0)
	g.closeFile()
	_ = q.fs.remove(g.path)
}

// freeLocked makes room for something that is newer: files which are not needed go first, then the oldest blocks, if they
// may. It reports whether there was anything to give.
func (q *Queue) freeLocked(mayDrop bool) bool {
	switch {
	case len(q.bad) > 0:
		_ = q.fs.remove(q.bad[0].path)
		q.bad = q.bad[1:]
	case len(q.spares) > 0:
		q.removeLocked(q.spares[0])
		q.spares = q.spares[1:]
	case mayDrop && len(q.segs) > 0 && q.segs[0].end > q.headBytes():
		q.dropLocked(q.segs[0], Full)
	default:
		return false
	}
	return true
}

// dropLocked gives up a segment with all that is pending in it. What is handed out stays with who has it.
func (q *Queue) dropLocked(g *segment, why Reason) {
	for i := range g.slots {
		all := g.slots[i]
		s := &q.slots[i]
		if s.out && s.outRec.seg == g {
			all.blocks--
			all.samples -= int64(s.outRec.Samples)
			all.bytes -= int64(s.outRec.Bytes)
		}
		q.loseLocked(g, i, &all, why)
		if s.at == g {
			s.at, s.pos = nil, 0
		}
	}
	q.recycleLocked(g)
}

// DropOldest drops the oldest segment of several, so that its file can be written anew: a way out when the disk is full and
// what is new has nowhere to go. It reports whether there was one.
func (q *Queue) DropOldest() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.segs) == 0 || q.segs[0] == q.open {
		return false
	}
	defer q.publishLocked()
	q.dropLocked(q.segs[0], Full)
	return true
}

// expireLocked drops segments in which everything is too old. What is too old in others goes when its turn comes.
func (q *Queue) expireLocked(now time.Time) {
	if q.opts.MaxBlockAge == 0 {
		return
	}
	cutoff := now.Add(-q.opts.MaxBlockAge).UnixMilli()
	for _, g := range slices.Clone(q.segs) {
		old := g.pending > 0
		for i := range g.slots {
			old = old && (g.slots[i].blocks == 0 || g.slots[i].newest < cutoff)
		}
		if !old {
			break
		}
		q.dropLocked(g, Expired)
	}
}
