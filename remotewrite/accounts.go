package remotewrite

// Account is the memory of one destination, for who keeps the books on memory.
type Account struct {
	// Name is how the destination is shown, "1:name".
	Name string
	// Bytes is what blocks which wait for it or are on their way take, each counted once whoever shares it, and what is
	// known about its blocks on disk.
	Bytes func() int64
	// Release gives up copies of what is on disk, and returns how much that was.
	Release func() int64
}

// openAccount tells who wants to know of a new destination's memory.
func (w *Writer) openAccount(d *destination) {
	d.closeAccount = w.opts.Account(Account{Name: d.label, Bytes: func() int64 { return w.bytesOf(d) }, Release: d.shrink})
}

// bytesOf is the memory of one destination. Of blocks which several have it is a part, so that the parts add up.
func (w *Writer) bytesOf(d *destination) int64 {
	w.mu.RLock()
	held, counted := w.heldLocked()
	w.mu.RUnlock()
	own := d.blockMemory()
	if held > counted {
		own = int64(float64(own) * float64(counted) / float64(held))
	}
	return own + d.queueMemory()
}

// heldLocked is what the destinations hold of blocks, with blocks which they share counted for each of them, and once.
func (w *Writer) heldLocked() (each, once int64) {
	for _, d := range w.dests {
		each += d.blockMemory()
	}
	for _, d := range w.retiring {
		each += d.blockMemory()
	}
	return each, min(each, w.blockBytes.Load())
}

// blockMemory is what blocks of the destination take, those included which are read back to be sent.
func (d *destination) blockMemory() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mem.now.memBytes + d.loaded
	if d.spool != nil {
		n += d.spool.bytes
	}
	return n
}

// holdLoaded notes that a block which was read back takes so much memory, or no longer does.
func (d *destination) holdLoaded(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded += bytes
}

// shrink gives back blocks which are on disk, too. It returns the bytes.
func (d *destination) shrink() int64 {
	if d.spool == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spool.dropKeptLocked(func(*block) bool { return true })
}
