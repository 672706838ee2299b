package labelcompress

import "sync"

// The index finds the Ref of a text. It is split into shards by the first bits of the hash; each has its own lock and
// grows and shrinks by itself, so that no step of growth copies more than a 64th of the index. Up to 1.5 million labels
// that is less than the largest slab. More shards would cost every small dictionary more than they win large ones.
const (
	shardBits  = 6
	shardCount = 1 << shardBits
)

type shard struct {
	mu    sync.Mutex
	table table
	hits  uint64
	added uint64
}

func (d *Dict) shard(h uint64) *shard { return &d.shards[h>>(64-shardBits)] }

// table is a hash table with open addressing which is at the same time one sorted array with gaps. A slot is hash<<32 |
// Ref; zero is a gap. The home of a hash is its share of the home positions, so homes rise with hashes, and every slot
// lies at its home or behind it with no gap between. That gives short searches also for what is absent (the first larger
// hash ends them) at a load of 7/8, removal without tombstones, and growth by a quarter as a plain pass over the old
// slots, which never looks at a label.
//
// Invariants: non-empty slots ascend by hash; the last slot is a gap; 0 ≤ items ≤ 7/8 homes ≤ len(slots).
// The zero value is an empty table.
type table struct {
	slots []uint64
	homes uint64
	items int
}

const (
	firstHomes = 8
	// Slots behind the last home take what hashes near the end displace. Too few only make a table grow early.
	minTail, maxTail = 4, 36
)

func (t *table) home(h uint32) int { return int(uint64(h) * t.homes >> 32) }

// place finds where a slot with hash h goes: at, shifting what lies between there and gap. It is false when the table
// must grow first.
func (t *table) place(h uint32) (at, gap int, ok bool) {
	if uint64(t.items+1)*8 > t.homes*7 {
		return 0, 0, false
	}
	at = t.home(h)
	for t.slots[at] != 0 && uint32(t.slots[at]>>32) <= h {
		at++
	}
	gap = at
	for t.slots[gap] != 0 {
		gap++
	}
	return at, gap, gap < len(t.slots)-1
}

// put inserts slot where place said.
func (t *table) put(at, gap int, slot uint64) {
	copy(t.slots[at+1:gap+1], t.slots[at:gap])
	t.slots[at] = slot
	t.items++
}

// remove takes r out, and reports whether it was there.
func (t *table) remove(h uint32, r Ref) bool {
	slot := uint64(h)<<32 | uint64(r)
	at := t.home(h)
	for ; at < len(t.slots) && t.slots[at] != slot; at++ {
		if t.slots[at] == 0 || uint32(t.slots[at]>>32) > h {
			return false
		}
	}
	if at >= len(t.slots) {
		return false
	}
	end := at + 1
	for t.slots[end] != 0 && t.home(uint32(t.slots[end]>>32)) < end {
		end++
	}
	copy(t.slots[at:end-1], t.slots[at+1:end])
	t.slots[end-1] = 0
	t.items--
	return true
}

// resized returns a table with at least homes home positions and the same items.
func (t *table) resized(homes int) table {
	for {
		tail := minTail + min(homes/32, maxTail-minTail)
		slots := append([]uint64(nil), make([]uint64, homes+tail)...)
		slots = slots[:cap(slots)] // all that the allocator gave
		n := table{slots: slots, homes: uint64(len(slots) - tail), items: t.items}
		if n.fill(t.slots) {
			return n
		}
		homes += homes/8 + 8
	}
}

// fill copies the slots of another table, in order, into the empty table t. It is false when the tail overflows.
func (t *table) fill(old []uint64) bool {
	next := 0
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		at := max(next, t.home(uint32(slot>>32)))
		if at >= len(t.slots)-1 {
			return false
		}
		t.slots[at] = slot
		next = at + 1
	}
	return true
}

func (t *table) bytes() int64 { return 8 * int64(cap(t.slots)) }

// growIndex makes room in sh's table, and is false when that does not fit into the limit. The caller holds sh.mu.
func (d *Dict) growIndex(sh *shard) bool {
	homes := max(firstHomes, int(sh.table.homes+sh.table.homes/4))
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.fitsLocked(8*int64(homes+maxTail)-sh.table.bytes(), d.internBytes.Load()) {
		return false
	}
	d.replaceIndexLocked(sh, homes)
	return true
}

// shrinkIndex gives memory back when sh's table is mostly empty. The caller holds sh.mu. Growth starts at a load of 7/8
// and leaves 7/10; shrinking starts below 4/10 and leaves 7/10; so each step is paid for by many changes before it.
func (d *Dict) shrinkIndex(sh *shard) {
	t := &sh.table
	if len(t.slots) <= 2*firstHomes || uint64(t.items)*10 >= t.homes*4 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaceIndexLocked(sh, max(firstHomes, t.items*10/7))
}

// tightenIndex gives back what tables which grew or shrank by steps have more than they need. It leaves a load of 8/10, so
// that the next labels do not make them grow again at once.
func (d *Dict) tightenIndex() {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		t := &sh.table
		if len(t.slots) > 2*firstHomes && uint64(t.items)*10 < t.homes*6 {
			d.mu.Lock()
			d.replaceIndexLocked(sh, max(firstHomes, t.items*10/8))
			d.mu.Unlock()
		}
		sh.mu.Unlock()
	}
}

func (d *Dict) replaceIndexLocked(sh *shard, homes int) {
	old := sh.table.bytes()
	sh.table = sh.table.resized(homes)
	d.data.indexBytes += sh.table.bytes() - old
	d.accountLocked(sh.table.bytes() - old)
}
