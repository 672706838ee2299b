// Package memlimit keeps the books on the agent's memory: who holds how much, what the process takes for it, and how close
// that is to what it may take.
//
// Owners of memory register an account: a name, a function that returns bytes, and where possible one that gives memory
// back. The Keeper adds them up beside what the Go runtime and the kernel say. Where there is a budget it keeps the
// runtime's soft limit below it, and says at which level the agent is: whoever can do with less asks Level, or is told by
// Watch. It does not free anything itself, with one exception: a process which allocates nothing hardly collects, so
// memory that owners let go would stay resident; the Keeper sees their accounts fall, or is told, and has the runtime
// return it.
//
// Concurrency: all methods may be called at any time. New starts nothing; Run does the watching, until its context ends.
// Functions of accounts and watchers are called without a lock being held.
//
// Read memlimit.go first (accounts), then pressure.go (what Run does), level.go and budget.go (the arithmetic), and
// resident.go for where the resident memory is.
package memlimit

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// To return memory takes a garbage collection: 5 ms of a small process, 50 of a gigabyte. It pauses for freePause times what
	// it took, but at least for freeGap and at most for freeEvery. What is not used of that is saved up for a minute, so that
	// some bursts which follow each other are answered each at once.
	freePause = 400
	freeGap   = 2 * time.Second
	freeEvery = 10 * time.Second
	freeSaved = time.Minute
	// freeAtLeast is how much must have been released since the last time; or an eighth of the budget, where that is less.
	// The larger of the two would keep what a burst left as long as it is small beside a large budget. Memory is to go
	// back because it is not used, not because it is short; and to fault 4 MiB in again takes about a millisecond.
	freeAtLeast = 4 << 20

	// A fall by more than a fallShare of what is left is the end of a burst. What else it took goes bit by bit: idle buffers,
	// slabs which are compacted, garbage of the last scrapes. So for fallTail memory is returned for less, a tailShare, or
	// tailAtLeast: the few collections which that takes are paid for by as many large falls only.
	fallShare   = 4
	fallTail    = time.Minute
	tailShare   = 64
	tailAtLeast = 256 << 10
)

// Account is one owner of memory.
type Account struct {
	// Name is the owner's name, as it appears in reports and metrics.
	Name string
	// Bytes is what it holds now. It is called often, from any goroutine, and must be cheap.
	Bytes func() int64
	// Release, where there is one, gives back what can be done without, at once, and returns how much that was. It is
	// called by Run's goroutine, when memory gets short and every ten seconds while it is.
	Release func() int64
	// OffHeap says that the memory is not the Go heap's, but counts towards what the process may take all the same.
	OffHeap bool
}

// Options configure a Keeper. The zero value works, without a budget.
type Options struct {
	// Logger takes what the operator should know. Nil discards it.
	Logger *slog.Logger
	// Budget is the memory which may be used, in bytes; 0 if it is not limited. See Smallest.
	Budget int64
	// FindBudget, if not nil, returns the budget as it is now: that of a container may change while it runs. It is called
	// by Run's goroutine, every two seconds.
	FindBudget func() Limit
	// OnBudget, if not nil, is told of a budget which has changed, in bytes, before anything is measured by it. It is called
	// by Run's goroutine, and must not wait for anything.
	OnBudget func(bytes int64)
	// SetSoftLimit sets the soft limit of the Go runtime, in bytes, below the budget; math.MaxInt64 where there is no
	// budget any longer. It is called by Run's goroutine, and never without a budget. Nil does nothing.
	SetSoftLimit func(bytes int64)
	// HeldBack returns how many bytes the work would take which is not done because memory is short, for the recommended
	// budget. Nil: none.
	HeldBack func() int64
}

// Keeper knows the accounts.
type Keeper struct {
	log       *slog.Logger
	find      func() Limit
	onBudget  func(int64)
	setSoft   func(int64)
	heldBack  func() int64
	runtime   func() runtimeState // what the runtime says
	resident  func() int64        // what the kernel says
	regions   func() (regions, error)
	returnAll func() time.Duration // returns free memory to the system, and how long that took

	released  atomic.Int64  // reported since memory was returned last
	budget    atomic.Int64  // what Budget returns
	level     atomic.Uint32 // what Level returns
	room      atomic.Int64  // what Room returns
	admission *Admission

	mu       sync.Mutex
	accounts []*entry
	watchers []*func(Level)
	pressure pressure
	freed    time.Time     // when memory was returned last
	paidTo   time.Time     // each return is paid for with a part of the time; until here it is spent
	pause    time.Duration // what the last one is to be paid for with
	frees    uint64
	tailEnds time.Time // see fallTail
}

// entry is an account in the books.
type entry struct {
	Account
	// Guarded by Keeper.mu: what Release gave back, what the account had when it was asked last, and the most since memory
	// was returned last.
	gaveBack, last, peak int64
}

// New returns a Keeper without accounts.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SetSoftLimit == nil {
		o.SetSoftLimit = func(int64) {}
	}
	if o.HeldBack == nil {
		o.HeldBack = func() int64 { return 0 }
	}
	if o.OnBudget == nil {
		o.OnBudget = func(int64) {}
	}
	k := &Keeper{
		log: o.Logger, find: o.FindBudget, onBudget: o.OnBudget, setSoft: o.SetSoftLimit, heldBack: o.HeldBack,
		runtime: readRuntime, resident: residentAnon, returnAll: returnAll,
		pressure: newPressure(max(0, o.Budget)),
	}
	k.regions = k.mapped
	k.budget.Store(k.pressure.budget)
	k.room.Store(k.pressure.room())
	k.admission = NewAdmission(k.room.Load)
	return k
}

// Register adds an account, and returns the function that removes it.
func (k *Keeper) Register(a Account) (remove func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &entry{Account: a}
	k.accounts = append(k.accounts, p)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.accounts = slices.DeleteFunc(k.accounts, func(x *entry) bool { return x == p })
	}
}

// Watch has f called at each change of the level, by Run's goroutine, and returns the function that ends it. F must not
// wait for anything: it is for who has to act at once; who only has to know asks Level.
func (k *Keeper) Watch(f func(Level)) (stop func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &f
	k.watchers = append(k.watchers, p)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.watchers = slices.DeleteFunc(k.watchers, func(x *func(Level)) bool { return x == p })
	}
}

// Level is how short memory is now. It costs one atomic load.
func (k *Keeper) Level() Level { return Level(k.level.Load()) }

// Room is how many bytes may still be used before the level is Critical, as of the last look; less than nothing beyond it,
// and math.MaxInt64 without a budget. What is being used for work that has begun is not part of it.
func (k *Keeper) Room() int64 { return k.room.Load() }

// Budget is the memory which may be used, in bytes; 0 if it is not limited.
func (k *Keeper) Budget() int64 { return k.budget.Load() }

// Limit is what the levels are parts of, in bytes: the budget without the reserve; 0 if there is no budget.
func (k *Keeper) Limit() int64 {
	b := k.Budget()
	return b - Reserve(b)
}

// Admission hands out what Room says.
func (k *Keeper) Admission() *Admission { return k.admission }

// Released is told of memory which an owner let go without its account having shown it: what was taken and given back
// between two looks at it.
func (k *Keeper) Released(bytes int64) { k.released.Add(bytes) }

// Use is what one account holds.
type Use struct {
	Name  string
	Bytes int64
	// Released is what Release gave back in all.
	Released int64
	// OffHeap says that the memory is not the Go heap's.
	OffHeap bool
}

// uses asks all accounts, outside of the lock: they have locks of their own.
func (k *Keeper) uses() (uses []Use, heap, offHeap int64) {
	k.mu.Lock()
	accounts := slices.Clone(k.accounts)
	uses = make([]Use, len(accounts))
	for i, a := range accounts {
		uses[i] = Use{Name: a.Name, Released: a.gaveBack, OffHeap: a.OffHeap}
	}
	k.mu.Unlock()
	for i, a := range accounts {
		n := a.Bytes()
		uses[i].Bytes = n
		if a.OffHeap {
			offHeap += n
		} else {
			heap += n
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, a := range accounts {
		a.last = uses[i].Bytes
		a.peak = max(a.peak, a.last)
	}
	return uses, heap, offHeap
}
