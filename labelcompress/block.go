package labelcompress

import "time"

// Block protects the meaning of Refs, for somebody who keys something by Ref for longer than it holds the references:
// as long as a Block is open, the number of a label that was released after Open is not given to another label. It
// keeps no label alive and holds no reference.
//
// A released number waits for the blocks that were open at its release, and for no other. It lies in the limbo of the
// youngest of them; when a block closes, its limbo goes to the next older open block, or, with no older one, is free. So
// there are as many lists as open blocks, and a block which stays open for long pins the numbers which are released
// meanwhile (the words of refs.go, 8 bytes each), and nothing else.
type Block struct {
	dict   *Dict
	holder string
	opened time.Time

	// The rest is guarded by dict.mu.
	closed         bool
	older, younger *Block
	limbo          refList
}

// Open opens a block. The caller closes it.
func (d *Dict) Open() *Block { return d.OpenFor("") }

// OpenFor is Open with a name for Stats.OldestBlockHolder, which says who it is that keeps numbers from being reused.
func (d *Dict) OpenFor(holder string) *Block {
	b := &Block{dict: d, holder: holder, opened: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	b.older = d.ids.youngest
	if b.older != nil {
		b.older.younger = b
	} else {
		d.ids.oldest = b
	}
	d.ids.youngest = b
	d.ids.openBlocks++
	return b
}

// Close closes the block. Closing it again does nothing.
func (b *Block) Close() {
	d := b.dict
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	d.ids.openBlocks--
	if b.younger != nil {
		b.younger.older = b.older
	} else {
		d.ids.youngest = b.older
	}
	if b.older != nil {
		b.older.younger = b.younger
		d.concatLocked(&b.older.limbo, b.limbo)
	} else {
		d.ids.oldest = b.younger
		d.ids.limbo -= b.limbo.n
		d.concatLocked(&d.ids.ready, b.limbo)
	}
	b.older, b.younger, b.limbo = nil, nil, refList{}
}
