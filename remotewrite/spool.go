package remotewrite

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"scraper/diskqueue"
)

const (
	// spoolTick is how often a spool does what time brings, while there is a block, and once more after that.
	spoolTick = time.Second
	// spoolSlack is how much later that may be, if no block comes which it can be done with: those of a quiet agent come at
	// intervals of a flush and a little, and it need not wake for both.
	spoolSlack = 250 * time.Millisecond
	// lockPoll is how often a spool whose directory another process has asks for it: a rolling update waits for it.
	lockPoll = 200 * time.Millisecond
	// lockPatience is how long blocks wait in memory for that. A process which is told to stop is gone by then; one
	// which stays will stay, and then samples are better sent without a disk than kept from the receiver.
	lockPatience = time.Minute
	// memoryShare of Destination.MaxPendingBytes is for blocks which are on disk, too, so that a block which is soon sent
	// need not be read back.
	memoryShare = 8
	// memoryAge is how long such a block stays in memory: those of a receiver which is away do not.
	memoryAge = 5 * time.Second
)

// spoolState says what becomes of blocks which come.
type spoolState uint8

const (
	spoolOpening spoolState = iota // they wait in memory until the disk is there
	spoolWaiting                   // they wait in memory until another process gives up the directory
	spoolOn                        // they are on disk before they are sent
	spoolFailing                   // the disk takes none: they are sent from memory
)

func (s spoolState) String() string {
	return [...]string{"opening", "waiting for another process", "on disk", "in memory: the disk fails"}[s]
}

// spool is the part of a destination's queue which is on disk. Blocks come by way of the memory queue, so that nobody who
// commits waits for a disk: the spool's goroutine stores them, oldest first, and only then they may be sent. Where the disk
// does not take them they stay in memory, within its bound, and may be sent from there.
//
//	enqueue ──► memory ──store──► disk ──► sender
//	              └─── the disk fails ────────┘
//
// For each slot everything on disk is older than what is in memory, and goes first.
type spool struct {
	d    *destination
	dir  string
	wake chan struct{} // of capacity 1: there is a block in memory
	// recall, by slot and of capacity 1, asks a sender for a block from memory which has to give way to older ones.
	recall []chan struct{}

	// These are owned by run's goroutine.
	maintained time.Time // when maintain was last called
	calm       bool      // there was nothing to maintain then, and nothing has come since
	retryAt    time.Time
	pause      backoff
	waitSince  time.Time // since when another process has the directory
	// failedSince is since when it cannot be opened for another reason.
	failedSince time.Time
	parts       [][]byte
	limits      diskLimits
	notedFor    *client // for which noteTenant was last called

	// These are guarded by the destination's lock.
	q      *diskqueue.Queue // nil until it is open
	state  spoolState
	direct bool // blocks are sent from memory, if there are none on disk
	slots  []spoolSlot
	onDisk diskqueue.Pending
	kept   map[uint64]*block // by sequence number: blocks on disk which are in memory, too, with a hold on each
	bytes  int64             // which kept takes
}

// spoolSlot is what is on disk of one slot, including what is handed out.
type spoolSlot struct {
	blocks int
	kept   int  // of these, how many are in spool.kept
	outMem bool // one is handed out, and is in memory
	// moved is the number in memory of a block which was handed out from there and is on disk now; movedTo is its number
	// there. 0: none.
	moved, movedTo uint64
}

// diskLimits are the limits of a destination's queue on disk.
type diskLimits struct {
	bytes int64
	age   time.Duration
}

func limitsOf(d Destination) diskLimits { return diskLimits{d.MaxDiskBytes, d.MaxBlockAge} }

func newSpool(d *destination, dir string, slots int) *spool {
	s := &spool{
		d: d, dir: dir, wake: make(chan struct{}, 1), slots: make([]spoolSlot, slots), kept: make(map[uint64]*block),
		pause: backoff{min: time.Second, max: 5 * time.Second},
	}
	for range slots {
		s.recall = append(s.recall, make(chan struct{}, 1))
	}
	return s
}

// run opens the queue and stores what comes, until ctx is done; then it stores what is left, and closes the queue. Drain is
// closed when nothing more will come.
func (s *spool) run(ctx context.Context, drain <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		if now.Sub(s.maintained) >= s.interval() {
			s.maintain(now)
			s.maintained = now
		}
		if !now.Before(s.retryAt) {
			if s.q == nil {
				s.open()
			}
			if s.q != nil {
				s.store()
			}
		}
		if s.calm && !s.busy() {
			timer.Stop()
		} else {
			wait := s.interval()
			if s.state == spoolOn {
				wait += spoolSlack
			}
			timer.Reset(time.Until(s.maintained.Add(wait)))
		}
		select {
		case <-s.wake:
		case <-timer.C:
		case <-drain:
			drain = nil
			s.sendDirectly() // there is no time to wait for anybody
		case <-ctx.Done():
			s.close()
			return
		}
	}
}

// busy reports whether something is to be looked at though no block comes.
func (s *spool) busy() bool {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.state != spoolOn || s.onDisk.Blocks > 0 || d.mem.now.blocks > 0 || len(s.kept) > 0
}

// interval is how often something is to be looked at.
func (s *spool) interval() time.Duration {
	if s.state == spoolWaiting {
		return lockPoll
	}
	return spoolTick
}

// open opens the queue, if it can be had.
func (s *spool) open() {
	d := s.d
	s.limits = limitsOf(d.client.Load().dest)
	q, err := diskqueue.Open(diskqueue.Options{
		Dir: s.dir, Slots: len(s.slots), MaxDiskBytes: s.limits.bytes, MaxBlockAge: s.limits.age, OnLoss: s.lost, Logger: d.log,
		GiveUp: !s.failedSince.IsZero() && time.Since(s.failedSince) > readPatience,
	})
	now := time.Now()
	switch {
	case errors.Is(err, diskqueue.ErrLocked):
		if s.waitSince.IsZero() {
			s.waitSince = now
			d.log.Info("another process has the queue: waiting for it to end", slog.String("dir", s.dir))
		}
		s.retryAt = now.Add(lockPoll / 2)
		s.setState(spoolWaiting)
		if now.Sub(s.waitSince) > lockPatience || s.memoryIsShort() {
			d.diskErrors.failed("another process keeps the queue; samples are sent without it: two agents must not have the same data path",
				slog.String("dir", s.dir))
			s.sendDirectly()
		}
		return
	case err != nil:
		if s.failedSince.IsZero() {
			s.failedSince = now
		}
		s.failed("open", err)
		return
	}
	f := q.Found()
	d.m.found(f)
	if f.SetAside != "" {
		d.log.Warn("queue was set aside, since several starts in a row did not get past it: to have it sent, stop the agent, and give the directory its name back",
			slog.String("dir", f.SetAside), slog.String("name", s.dir))
	}
	if f.Damaged > 0 || f.BadSegments > 0 {
		d.log.Warn("queue was damaged; what is good of it is sent", slog.String("dir", s.dir), slog.Int("records", f.Damaged),
			slog.Int64("samples", f.DamagedSamples), slog.Int("segments", f.BadSegments))
	}
	st := q.Stats()
	d.mu.Lock()
	s.q = q
	for i := range s.slots {
		s.slots[i].blocks = q.PendingOf(i).Blocks
	}
	s.onDisk = st.Pending
	d.books.Recovered += uint64(st.Samples)
	d.mu.Unlock()
	d.m.recovered.Add(float64(st.Samples))
	d.m.pend(st.Blocks, st.Samples, st.Bytes)
	if st.Blocks > 0 {
		d.log.Info("sending what the former process left", slog.Int64("samples", st.Samples), slog.Int("blocks", st.Blocks),
			slog.Time("oldest", st.Oldest))
	}
	s.noteTenant()
	s.works()
	d.wakeAll()
}

// store moves blocks from memory to the disk until there are none, or the disk fails.
func (s *spool) store() {
	d := s.d
	stored := false
	mayDrop := true // once, lest a disk which gives no room for it takes everything
	for {
		d.mu.Lock()
		r, ok := d.mem.nextToStore(s.mayStoreLocked)
		if !ok {
			d.mu.Unlock()
			if stored { // a disk which takes one block and not the next does not work yet
				s.works()
			}
			return
		}
		b := r.blk.retain() // a sender may settle it meanwhile
		d.mu.Unlock()
		s.parts = b.appendParts(s.parts[:0])
		seq, err := s.q.Append(diskqueue.Block{
			Slot: r.slot, Kind: uint16(b.protocol), Samples: r.rows, RawBytes: b.rawBytes, MinTime: r.minTS, MaxTime: r.maxTS, Created: r.closed,
		}, s.parts...)
		clear(s.parts)
		if err == nil {
			s.stored(r, b, seq)
			b.release()
			stored = true
			continue
		}
		b.release()
		if errors.Is(err, diskqueue.ErrTooLarge) {
			s.refuse(r)
			continue
		}
		d.mu.Lock()
		d.mem.notStored(r)
		d.mu.Unlock()
		if mayDrop && diskqueue.IsFull(err) && s.memoryIsShort() && s.q.DropOldest() {
			mayDrop = false
			continue // there is a file now to be written anew
		}
		s.failed("write", err)
		d.wakeSlot(r.slot)
		return
	}
}

// mayStoreLocked reports whether the oldest block of a slot may be stored. One which a sender has, from when the disk failed,
// must be the oldest on the disk, too: else the sender gives it back first, since what is on the disk goes before it.
func (s *spool) mayStoreLocked(slot int, out bool) bool {
	if !out || s.slots[slot].blocks == 0 {
		return true
	}
	select {
	case s.recall[slot] <- struct{}{}:
	default:
	}
	return false
}

// recalled reports whether a block which was handed out has to give way to older ones, and takes it back if so.
func (s *spool) recalled(r record) bool {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	sl := &s.slots[r.slot]
	if r.onDisk || sl.moved == r.seq || sl.blocks == 0 {
		return false
	}
	d.mem.giveBack(r)
	d.health.inFlight--
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// stored moves a block from memory to the disk, where it is since a moment ago. A sender may have it, from when the disk
// failed: then it is the oldest of its slot all the same, and is settled on the disk when the sender is done with it.
func (s *spool) stored(r record, b *block, seq uint64) {
	d := s.d
	s.calm = false
	d.mu.Lock()
	there, out := d.mem.stored(r)
	if !there {
		d.mu.Unlock()
		if _, err := s.q.Settle(r.slot, seq); err != nil {
			s.ackFailed(err)
		}
		return
	}
	sl := &s.slots[r.slot]
	if out {
		sl.moved, sl.movedTo, sl.outMem = r.seq, seq, true
	} else if sl.kept+btoi(sl.outMem) == sl.blocks && s.bytes+b.memBytes <= d.mem.limit/memoryShare && !d.opts.Pressed() {
		s.kept[seq] = b.retain()
		s.bytes += b.memBytes
		sl.kept++
	}
	sl.blocks++
	s.onDisk.Blocks++
	s.onDisk.Samples += int64(r.rows)
	s.onDisk.Bytes += int64(r.bytes)
	d.mu.Unlock()
	d.wakeSlot(r.slot)
}

// refuse drops a block which exceeds the bound of the disk alone.
func (s *spool) refuse(r record) {
	d := s.d
	d.mu.Lock()
	there, _ := d.mem.stored(r)
	if there {
		d.books.Dropped.QueueFull += uint64(r.rows)
	}
	d.mu.Unlock()
	if there {
		d.m.pend(-1, -int64(r.rows), -int64(r.bytes))
		d.m.dropped("queue_full").Add(float64(r.rows))
		d.evictions.event("dropped a block which is larger than the bound of the disk", r.rows)
	}
}

// maintain does what time brings.
func (s *spool) maintain(now time.Time) {
	d := s.d
	d.mu.Lock()
	pressed := d.opts.Pressed()
	s.dropKeptLocked(func(b *block) bool { return pressed || now.Sub(b.closed) > memoryAge })
	d.mu.Unlock()
	if s.q == nil {
		return
	}
	s.calm = !s.busy()
	s.noteTenant()
	if l := limitsOf(d.client.Load().dest); l != s.limits {
		s.limits = l
		s.q.SetLimits(l.bytes, l.age)
	}
	if err := s.q.Maintain(now); err != nil {
		d.m.diskError("sync")
		d.diskErrors.failed("queue could not be written through to the disk", slog.Any("err", err))
	}
	d.m.diskBytes.Set(float64(s.q.Stats().DiskBytes))
}

// failed lets blocks be sent from memory, and sets the time of the next try.
func (s *spool) failed(what string, err error) {
	d := s.d
	s.retryAt = time.Now().Add(s.pause.next(0))
	d.m.diskError(what)
	d.diskErrors.failed("queue cannot be written: samples wait in memory, and are lost if the process is killed", slog.Any("err", err))
	s.setState(spoolFailing)
	s.sendDirectly()
}

// works ends what failed began.
func (s *spool) works() {
	if s.state == spoolOn {
		return
	}
	s.pause.reset()
	s.retryAt, s.waitSince = time.Time{}, time.Time{}
	s.d.mu.Lock()
	s.state, s.direct = spoolOn, false
	s.d.mu.Unlock()
	s.d.m.diskOK.Set(1)
	s.d.diskErrors.recovered("queue works again")
}

func (s *spool) setState(state spoolState) {
	s.d.mu.Lock()
	s.state = state
	s.d.mu.Unlock()
	s.d.m.diskOK.Set(0)
}

// sendDirectly lets blocks be sent which are not on disk, unless they soon are.
func (s *spool) sendDirectly() {
	s.d.mu.Lock()
	was := s.direct
	s.direct = s.state != spoolOn
	changed := s.direct && !was
	s.d.mu.Unlock()
	if changed {
		s.d.wakeAll()
	}
}

// memoryIsShort reports whether what waits in memory nears its bound.
func (s *spool) memoryIsShort() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.mem.now.memBytes > s.d.mem.limit/2
}

// close stores what is left, and closes the queue.
func (s *spool) close() {
	if s.q == nil {
		s.retryAt = time.Time{}
		if s.state != spoolWaiting { // a disk which fails may have been given room
			s.open()
		}
	}
	d := s.d
	if s.q != nil {
		s.store()
		if err := s.q.Close(); err != nil {
			d.log.Warn("queue could not be closed", slog.Any("err", err))
		}
	}
	d.mu.Lock()
	s.dropKeptLocked(func(*block) bool { return true })
	left := s.onDisk
	d.mu.Unlock()
	if left.Blocks > 0 {
		d.log.Info("left on disk for the next start", slog.Int64("samples", left.Samples), slog.Int("blocks", left.Blocks))
	}
}

// forgetKeptLocked takes a block out of kept, without giving up the hold on it.
func (s *spool) forgetKeptLocked(seq uint64) {
	b := s.kept[seq]
	delete(s.kept, seq)
	s.bytes -= b.memBytes
	s.slots[b.slot].kept--
}

// dropKeptLocked gives up blocks which are on disk, too, and returns how much memory they took.
func (s *spool) dropKeptLocked(which func(*block) bool) (bytes int64) {
	for seq, b := range s.kept {
		if which(b) {
			bytes += b.memBytes
			s.forgetKeptLocked(seq)
			b.release()
		}
	}
	return bytes
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// queueMemory is what the destination's queue keeps in memory about blocks on disk.
func (d *destination) queueMemory() int64 {
	if d.spool == nil {
		return 0
	}
	d.mu.Lock()
	q := d.spool.q
	d.mu.Unlock()
	if q == nil {
		return 0
	}
	return q.Stats().MemoryBytes
}
