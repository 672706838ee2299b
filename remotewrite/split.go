package remotewrite

import (
	"context"
	"log/slog"
)

const (
	// maxSplitRequests bounds the requests for one block, the first one included. Fourteen halvings find one series among
	// ten thousand with 22 as a rule; with more refused series than one, larger pieces are halved first, so that little is
	// lost with them.
	maxSplitRequests = 32
	// hopelessHalves is how many pieces may be refused alike, and none be taken, until the rest is given up: both halves.
	// Then it is not single series which the receiver does not like.
	hopelessHalves = 2
	// hopelessSizes is the same for 413, where halves are refused alike if both are too large still: down to an eighth.
	hopelessSizes = 14
)

// splitter halves a block which was refused until the refused series stand alone.
//
// The pieces are sets of series, so that each series is in one piece, in its order: which piece goes first does not matter.
// What was done is not written down: a process which is stopped or killed meanwhile sends the whole block again.
type splitter struct {
	d   *destination
	r   record
	blk *block

	refused  []piece // which are to be halved: each was refused as a whole
	requests int
	taken    int        // requests which were not refused
	fail     *sendError // the first refusal of a piece
	differ   bool       // another one said something else
	t        tally
}

// piece is the series from..to-1 of a block.
type piece struct {
	from, to int
	rows     int
	first    string // the first series
	fail     *sendError
}

func (p *piece) series() int { return p.to - p.from }

// split delivers what a receiver takes of a block which it refused, and settles it. It reports false when there is no time
// left; then the whole block is in the queue.
func (d *destination) split(ctx context.Context, r record, blk *block, fail *sendError) bool {
	s := &splitter{d: d, r: r, blk: blk, requests: 1}
	whole := piece{fail: fail}
	if err := s.describe(&whole); err != nil {
		d.log.Warn("refused block cannot be halved", slog.Any("err", err))
		d.noteRefused(blk, fail, r.rows, nil)
		d.settle(r, tally{refused: r.rows})
		return true
	}
	d.m.splits.Inc()
	s.refused = []piece{whole}
	for len(s.refused) > 0 {
		p := s.largest()
		if p.series() < 2 || s.requests+2 > maxSplitRequests || s.hopeless() {
			s.giveUp(&p)
			continue
		}
		switch s.halve(ctx, &p) {
		case outOfTime:
			if done := s.t.sum(); d.spool == nil && done > 0 { // else the block is kept, and sent again whole
				s.t.left = r.rows - done
				d.settle(r, s.t)
			}
			return false
		case tooOld:
			s.t.expired = r.rows - s.t.sum()
			d.expire(r, s.t)
			return true
		}
	}
	s.t.refused += r.rows - s.t.sum() // nothing, unless a piece could not be read a second time
	d.settle(r, s.t)
	return true
}

// halve sends the halves of a piece which was refused. Where the first is taken, the second is what was refused, and need
// not be sent as it is, unless it is a series alone, or was only too large together with the first.
func (s *splitter) halve(ctx context.Context, p *piece) outcome {
	middle := p.from + p.series()/2
	taken := s.taken
	if out := s.send(ctx, &piece{from: p.from, to: middle, fail: p.fail}); out != arrived && out != answered {
		return out
	}
	rest := piece{from: middle, to: p.to, fail: p.fail}
	if s.taken == taken || rest.series() == 1 || p.fail.Status == 413 {
		return s.send(ctx, &rest)
	}
	if s.describe(&rest) == nil {
		s.refused = append(s.refused, rest)
	}
	return answered
}

// describe fills in what is known of a piece, of the whole block if it has no end.
func (s *splitter) describe(p *piece) error {
	s.d.codec.splitting.Lock()
	defer s.d.codec.splitting.Unlock()
	req, err := s.d.openRequest(s.blk)
	if err != nil {
		return err
	}
	defer req.close()
	if p.to == 0 {
		p.to = req.series
	}
	p.rows, p.first = req.rows(p.from, p.to), req.seriesText(p.from)
	return nil
}

// largest takes the piece with the most series from those which are refused.
func (s *splitter) largest() piece {
	best := 0
	for i := range s.refused {
		if s.refused[i].series() > s.refused[best].series() {
			best = i
		}
	}
	p := s.refused[best]
	s.refused[best] = s.refused[len(s.refused)-1]
	s.refused = s.refused[:len(s.refused)-1]
	return p
}

// hopeless reports whether halving does not help.
func (s *splitter) hopeless() bool {
	if s.taken > 0 || s.differ || s.fail == nil {
		return false
	}
	limit := hopelessHalves
	if s.fail.Status == 413 {
		limit = hopelessSizes
	}
	return s.requests-1 >= limit
}

// send sends a piece until there is an answer, and enters that.
func (s *splitter) send(ctx context.Context, p *piece) outcome {
	blk, err := s.cut(p)
	if err != nil {
		return answered
	}
	defer blk.release()
	s.requests++
	s.d.countResent(blk.rows)
	out, fail := s.d.exchange(ctx, s.r, blk, s)
	switch {
	case out == arrived:
		s.taken++
		s.t.acknowledged += p.rows
	case out != answered:
	case fail.Verdict == refused && fail.Stored == 0:
		if s.fail == nil {
			s.fail = fail
		}
		s.differ = s.differ || !fail.alike(s.fail)
		p.fail = fail
		s.refused = append(s.refused, *p)
	default:
		s.taken++
		p.fail = fail
		s.giveUp(p)
	}
	return out
}

// cut makes the block of a piece. What it takes for that is not held while the block is sent, and by one slot of one
// destination at a time.
func (s *splitter) cut(p *piece) (*block, error) {
	s.d.codec.splitting.Lock()
	defer s.d.codec.splitting.Unlock()
	req, err := s.d.openRequest(s.blk)
	if err != nil {
		return nil, err
	}
	defer req.close()
	blk := s.d.cut(req, s.blk, p.from, p.to)
	p.rows, p.first = blk.rows, req.seriesText(p.from)
	return blk, nil
}

// giveUp enters a piece which is not sent again.
func (s *splitter) giveUp(p *piece) {
	s.t.add(p.fail, p.rows)
	s.d.noteRefused(s.blk, p.fail, p.rows-min(p.fail.Stored, p.rows), p)
}
