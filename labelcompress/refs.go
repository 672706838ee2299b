package labelcompress

import "sync/atomic"

// A Ref leads to its label through one word: the number of its holders above, the label's place (slabs.go) below. One
// atomic load gives both, so a word without holders is never taken for a place. The words lie in pages; each level
// below is one memory page, so a small dictionary holds one of each.
//
// The word of a free Ref has no holders, and links the list in which that Ref waits: a page's free list, a block's limbo
// (block.go), or ready. Waiting therefore costs no memory of its own. Word 0 of a page belongs to no label (which is why
// 0 is not a Ref); it heads the page's free list and counts the Refs of the page that are not on it:
// used<<pageBits | index of the first free word.
const (
	pageBits  = 9
	pageRefs  = 1 << pageBits
	pageTops  = 1 << 9
	pageBytes = 8 * pageRefs
	maxRefs   = pageTops * pageRefs * pageRefs

	oneHolder = 1 << 32
)

type (
	page      [pageRefs]atomic.Uint64
	pageTable [pageRefs]atomic.Pointer[page]
)

// idState is what Dict.mu guards of the Refs.
type idState struct {
	items      int    // labels in the dictionary
	pages      int    // pages in use
	pageLimit  int    // no page at or above this number is in use
	emptyPages int    // pages of which every Ref is free
	absentHint int    // no page below this number is missing
	withFree   bitset // pages which have a free Ref

	ready refList // Refs which wait for nobody, but have not been filed with their page yet

	oldest, youngest *Block // open blocks, linked in the order in which they were opened
	openBlocks       int
	limbo            int // Refs in the limbo of all blocks
}

// word returns r's word, or nil for a number that was never given.
func (d *Dict) word(r Ref) *atomic.Uint64 {
	if r>>(2*pageBits) >= pageTops {
		return nil
	}
	t := d.pages[r>>(2*pageBits)].Load()
	if t == nil {
		return nil
	}
	p := t[r>>pageBits&(pageRefs-1)].Load()
	if p == nil {
		return nil
	}
	return &p[r&(pageRefs-1)]
}

// pageAt returns page number n, or nil.
func (d *Dict) pageAt(n int) *page {
	if t := d.pages[n>>pageBits].Load(); t != nil {
		return t[n&(pageRefs-1)].Load()
	}
	return nil
}

// takeIDLocked takes a free Ref of the lowest page that has one, or 0 when there is none within the limit.
func (d *Dict) takeIDLocked() (Ref, *atomic.Uint64) {
	d.fileReadyLocked(readyPerUse)
	n := d.ids.withFree.least()
	if n < 0 {
		if n = d.addPageLocked(); n < 0 {
			return 0, nil
		}
	}
	p := d.pageAt(n)
	head := p[0].Load()
	used, free := head>>pageBits, head&(pageRefs-1)
	next := p[free].Load()
	p[0].Store((used+1)<<pageBits | next)
	if next == 0 {
		d.ids.withFree.remove(n)
	}
	if used == 0 {
		d.ids.emptyPages--
	}
	return Ref(n<<pageBits) | Ref(free), &p[free]
}

// returnIDLocked files a free Ref with its page.
func (d *Dict) returnIDLocked(r Ref) {
	n := int(r >> pageBits)
	p := d.pageAt(n)
	head := p[0].Load()
	used, free := head>>pageBits-1, head&(pageRefs-1)
	p[r&(pageRefs-1)].Store(free)
	p[0].Store(used<<pageBits | uint64(r&(pageRefs-1)))
	if free == 0 {
		d.accountLocked(int64(d.ids.withFree.add(n)))
	}
	if used == 0 {
		d.ids.emptyPages++
	}
}

// addPageLocked adds a page of free Refs at the smallest number without one, or returns -1.
func (d *Dict) addPageLocked() int {
	n := d.ids.absentHint
	for n < d.ids.pageLimit && d.pageAt(n) != nil {
		n++
	}
	d.ids.absentHint = n
	if n >= maxRefs/pageRefs || !d.fitsLocked(2*pageBytes, d.internBytes.Load()) {
		return -1
	}
	t := d.pages[n>>pageBits].Load()
	if t == nil {
		t = new(pageTable)
		d.pages[n>>pageBits].Store(t)
		d.accountLocked(pageTableBytes)
	}
	p := new(page)
	for i := 1; i < pageRefs-1; i++ {
		p[i].Store(uint64(i + 1))
	}
	p[0].Store(1) // nothing used, word 1 is the first free one
	t[n&(pageRefs-1)].Store(p)
	d.accountLocked(pageBytes + int64(d.ids.withFree.add(n)))
	d.ids.pages++
	d.ids.emptyPages++
	d.ids.pageLimit = max(d.ids.pageLimit, n+1)
	return n
}

// dropPages lets empty pages go, all but one, from the highest number downwards. It visits at most visit pages from
// number from-1 down, and returns where it stopped, 0 when there is no more to do.
func (d *Dict) dropPages(from, visit int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(from, d.ids.pageLimit)
	for ; n > 0 && visit > 0 && d.ids.emptyPages > 1; visit-- {
		n--
		p := d.pageAt(n)
		if p == nil || p[0].Load()>>pageBits != 0 {
			continue
		}
		d.pages[n>>pageBits].Load()[n&(pageRefs-1)].Store(nil)
		d.ids.withFree.remove(n)
		d.ids.pages--
		d.ids.emptyPages--
		d.ids.absentHint = min(d.ids.absentHint, n)
		d.accountLocked(-pageBytes)
	}
	for l := d.ids.pageLimit; l > 0 && d.pageAt(l-1) == nil; l-- {
		d.ids.pageLimit = l - 1
	}
	if d.ids.emptyPages <= 1 {
		return 0
	}
	return n
}

// refList is a list of free Refs, linked through their words. The zero value is empty.
type refList struct {
	head, tail Ref
	n          int
}

func (d *Dict) pushLocked(l *refList, r Ref) {
	d.word(r).Store(0)
	d.concatLocked(l, refList{head: r, tail: r, n: 1})
}

// concatLocked moves all of more to the end of l.
func (d *Dict) concatLocked(l *refList, more refList) {
	switch {
	case more.n == 0:
		return
	case l.n == 0:
		*l = more
		return
	}
	d.word(l.tail).Store(uint64(more.head))
	l.tail = more.tail
	l.n += more.n
}

// readyPerUse is how many ready Refs each change of the ids files, so that the close of a block which kept many in limbo
// holds the lock no longer than any other: more than one, so that ready empties.
const readyPerUse = 4

// fileReadyLocked files up to n ready Refs with their pages, and reports whether none is left.
func (d *Dict) fileReadyLocked(n int) bool {
	l := &d.ids.ready
	for ; n > 0 && l.n > 0; n-- {
		r := l.head
		l.head = Ref(d.word(r).Load())
		l.n--
		d.returnIDLocked(r)
	}
	return l.n == 0
}

// freeIDLocked takes back the Ref of a label that is gone.
func (d *Dict) freeIDLocked(r Ref) {
	d.fileReadyLocked(readyPerUse)
	if b := d.ids.youngest; b != nil {
		d.pushLocked(&b.limbo, r)
		d.ids.limbo++
		return
	}
	d.returnIDLocked(r)
}
