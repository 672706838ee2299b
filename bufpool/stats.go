package bufpool

// ClassStats says what one size class holds and did.
type ClassStats struct {
	// ClassBytes is the size of the class; 0 for what is larger than the largest.
	ClassBytes int
	// InUse buffers are with their users, with InUseBytes of capacity. Growth by append is not seen before Release.
	InUse      int
	InUseBytes int64
	// Idle buffers wait for the next Get.
	Idle      int
	IdleBytes int64
	// Gets counts the buffers handed out, Misses those of them which had to be allocated.
	Gets   uint64
	Misses uint64
	// ShrunkBytes went to the garbage collector by Trim and Shrink, RefusedBytes by a Release which found the idle budget
	// full.
	ShrunkBytes  uint64
	RefusedBytes uint64
}

func (s *ClassStats) add(o ClassStats) {
	s.InUse += o.InUse
	s.InUseBytes += o.InUseBytes
	s.Idle += o.Idle
	s.IdleBytes += o.IdleBytes
	s.Gets += o.Gets
	s.Misses += o.Misses
	s.ShrunkBytes += o.ShrunkBytes
	s.RefusedBytes += o.RefusedBytes
}

// Stats is a snapshot of a pool. Each class is consistent in itself; while others use the pool, the classes are not of
// exactly the same instant.
type Stats struct {
	// Classes are the size classes, smallest first.
	Classes []ClassStats
	// Oversize counts the buffers which are larger than the largest class. None of them is ever idle.
	Oversize ClassStats
	// Total is the sum of Classes and Oversize.
	Total ClassStats
	// MaxIdleBytes is the bound on Total.IdleBytes.
	MaxIdleBytes int64
}

// Stats returns a snapshot of what the pool holds and did.
func (p *Pool) Stats() Stats {
	s := Stats{Classes: make([]ClassStats, len(p.classes)), MaxIdleBytes: max(0, p.maxIdleBytes.Load())}
	for i := range p.classes {
		s.Classes[i] = p.classes[i].stats()
		s.Total.add(s.Classes[i])
	}
	s.Oversize = p.over.stats()
	s.Total.add(s.Oversize)
	return s
}

func (c *class) stats() ClassStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ClassStats{
		ClassBytes:   c.bytes,
		InUse:        c.inUse,
		InUseBytes:   c.inUseBytes,
		Idle:         len(c.idle),
		IdleBytes:    c.idleBytes,
		Gets:         c.gets,
		Misses:       c.misses,
		ShrunkBytes:  c.shrunkBytes,
		RefusedBytes: c.refusedBytes,
	}
}
