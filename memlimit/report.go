package memlimit

import (
	"cmp"
	"slices"
)

// Report is the agent's memory at one moment, in bytes.
type Report struct {
	Accounts []Use // the largest first
	Sum      int64 // of the accounts on the heap
	OffHeap  int64 // of the others

	// What the Go runtime says: live and dead objects, space between them, free space which was not returned, stacks, and
	// what it needs itself. It counts address space, touched or not.
	HeapObjects, HeapUnused, HeapFree, Stacks, Runtime int64
	// HeapLive are the objects which the last garbage collection found alive.
	HeapLive int64

	// What the kernel says of the process: resident memory that is the process' own, and that which maps files.
	ResidentAnon, ResidentFile int64

	// Budget is the memory which may be used, 0 if it is not limited; Limit is what is left of it after the reserve, and
	// what the levels are parts of; SoftLimit is what the Go runtime was told.
	Budget, Limit, SoftLimit int64
	// Used is what counts for the level: live objects, stacks, what the runtime has touched of its own memory, and what is
	// not on its heap.
	Used int64
	// MostUsed is the most that Used was since the start, and HeldBack what would be used beside Used if nothing was held back.
	// Recommended is the budget in which the larger of MostUsed and the sum of the others is Normal; where Level was higher,
	// more might have been used if there had been more.
	MostUsed, HeldBack, Recommended int64
	// Level is how short memory is, Changes counts how often each level was reached.
	Level   Level
	Changes [Critical + 1]uint64
	// CollectorShare is the part of the process' CPU time which the garbage collector took over the last seconds, 0 to 1.
	CollectorShare float64
	// Returns counts how often memory was returned to the system because accounts had fallen.
	Returns uint64
}

// Report adds everything up.
func (k *Keeper) Report() Report {
	var r Report
	r.Accounts, r.Sum, r.OffHeap = k.uses()
	slices.SortStableFunc(r.Accounts, func(a, b Use) int { return cmp.Compare(b.Bytes, a.Bytes) })
	rt := k.runtime()
	r.HeapObjects, r.HeapUnused, r.HeapFree, r.Stacks, r.Runtime = rt.objects, rt.unused, rt.free, rt.stacks, rt.overhead
	r.HeapLive = rt.live
	r.ResidentAnon, r.ResidentFile, _ = Resident()
	r.HeldBack = k.heldBack()
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &k.pressure
	r.Budget, r.Limit, r.SoftLimit, r.Used = p.budget, p.limit(), p.soft, p.used
	r.MostUsed, r.Recommended = p.most, recommend(max(p.most, p.used+r.HeldBack))
	r.Level, r.Changes, r.CollectorShare, r.Returns = Level(k.level.Load()), p.changes, p.share, k.frees
	return r
}

// History is how the process stood during the last hour, the oldest first, in steps of ten seconds.
func (k *Keeper) History() []Point {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pressure.history.all()
}

// Kind says who knows of a part of the resident memory.
type Kind string

// The kinds of parts.
const (
	KindAccount Kind = "account" // its owner
	KindHeap    Kind = "heap"    // the Go runtime, of its heap
	KindKernel  Kind = "kernel"  // the kernel, by where it is mapped
)

// Part is a part of the process' resident anonymous memory.
type Part struct {
	Name string
	Kind Kind
	// Bytes is what of it is resident.
	Bytes int64
	// Size is how large it is in address space; the same as Bytes where nobody tells the two apart.
	Size int64
}

// Breakdown says where the resident anonymous memory is.
type Breakdown struct {
	Parts []Part // accounts first, the largest of them first
	Sum   int64
	// NotAttributed is what the kernel counts beside Sum. It is less than nothing where owners claim memory which was
	// never touched, or is gone already.
	NotAttributed int64
	ResidentAnon  int64
}

// Breakdown splits the resident memory. It asks the kernel about each mapping, which takes some milliseconds in a large
// process, and fails where the kernel does not tell.
func (k *Keeper) Breakdown() (Breakdown, error) {
	mapped, err := k.regions()
	if err != nil {
		return Breakdown{}, err
	}
	r := k.Report()
	return breakdown(&r, mapped), nil
}

// breakdown combines two views. The kernel knows by address which pages are the heap's, but not what is in them; the
// runtime knows how its heap divides, but not which pages were ever touched. Objects were written to, all but the largest.
// What is between them, free pages and stacks were not always: they share what the heap has in resident pages beyond
// objects, but never more than the runtime says they are. So nothing here makes the sum come out right by itself.
func breakdown(r *Report, m regions) Breakdown {
	b := Breakdown{ResidentAnon: r.ResidentAnon}
	add := func(name string, kind Kind, resident, size int64) {
		b.Parts = append(b.Parts, Part{name, kind, resident, size})
		b.Sum += resident
	}
	for _, u := range r.Accounts {
		if !u.OffHeap {
			add(u.Name, KindAccount, u.Bytes, u.Bytes)
		}
	}
	other := max(0, r.HeapObjects-r.Sum)
	add("other objects", KindHeap, other, other)
	spare := r.HeapUnused + r.HeapFree + r.Stacks
	touched := 1.0
	if spare > 0 {
		touched = min(1, max(0, float64(m.heap-r.HeapObjects)/float64(spare)))
	}
	for _, p := range []struct {
		name string
		size int64
	}{{"heap, unused", r.HeapUnused}, {"heap, free", r.HeapFree}, {"stacks", r.Stacks}} {
		add(p.name, KindHeap, int64(touched*float64(p.size)), p.size)
	}
	add("runtime", KindKernel, m.runtime, max(m.runtime, r.Runtime))
	add("program", KindKernel, m.program, m.program)
	b.NotAttributed = b.ResidentAnon - b.Sum
	return b
}
