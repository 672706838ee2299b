// Package memlimit keeps the books on the agent's memory: who holds how much, and what the process takes for it.
//
// Owners of memory register an account: a name, a function that returns bytes, and where possible one that gives memory
// back. The Keeper adds them up beside what the Go runtime and the kernel say. It does not free anything itself, with one
// exception: a process which allocates nothing hardly collects, so memory that owners let go would stay resident; the
// Keeper sees their accounts fall, or is told, and has the runtime return it.
//
// Concurrency: all methods may be called at any time. New starts nothing; Run does the watching, until its context ends.
// Read memlimit.go first, then process.go for what the kernel says.
package memlimit

import (
	"cmp"
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// checkEvery is how often the accounts are added up. Owners drop memory in steps of seconds; looking more often finds
	// no more, and costs a lock per owner each time.
	checkEvery = 2 * time.Second
	// freeEvery is how often memory is returned at the most: it takes a garbage collection.
	freeEvery = 10 * time.Second
	// freeAtLeast is how much must have been released since the last time.
	freeAtLeast = 4 << 20
)

// Account is one owner of memory.
type Account struct {
	// Name is the owner's name, as it appears in reports and metrics.
	Name string
	// Bytes is what it holds now. It is called often, from any goroutine, and must be cheap.
	Bytes func() int64
	// Release, where there is one, gives back what can be done without, at once, and returns how much that was.
	Release func() int64
}

// Options configure a Keeper. The zero value works.
type Options struct {
	// Logger takes what the operator should know. Nil discards it.
	Logger *slog.Logger
}

// Keeper knows the accounts.
type Keeper struct {
	log *slog.Logger

	released atomic.Int64 // reported since memory was returned last

	mu       sync.Mutex
	accounts []*Account
	peak     int64 // of the accounts' sum since memory was returned last
	freed    time.Time
	frees    uint64
}

// New returns a Keeper without accounts.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{log: o.Logger}
}

// Register adds an account, and returns the function that removes it.
func (k *Keeper) Register(a Account) (remove func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &a
	k.accounts = append(k.accounts, p)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.accounts = slices.DeleteFunc(k.accounts, func(x *Account) bool { return x == p })
	}
}

// Released is told of memory which an owner let go without its account having shown it: what was taken and given back
// between two looks at it.
func (k *Keeper) Released(bytes int64) { k.released.Add(bytes) }

// Run watches the accounts until ctx is done, and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			k.check(time.Now())
		}
	}
}

// check returns memory to the system where the accounts have fallen far enough.
func (k *Keeper) check(now time.Time) {
	sum := k.sum()
	k.mu.Lock()
	k.peak = max(k.peak, sum)
	due := k.peak-sum+k.released.Load() >= freeAtLeast && now.Sub(k.freed) >= freeEvery
	if due {
		k.peak, k.freed = sum, now
		k.released.Store(0)
		k.frees++
	}
	k.mu.Unlock()
	if due {
		debug.FreeOSMemory()
	}
}

func (k *Keeper) sum() int64 {
	var n int64
	for _, u := range k.uses() {
		n += u.Bytes
	}
	return n
}

// Use is what one account holds.
type Use struct {
	Name  string
	Bytes int64
}

// uses asks all accounts, outside of the lock: they have locks of their own.
func (k *Keeper) uses() []Use {
	k.mu.Lock()
	accounts := slices.Clone(k.accounts)
	k.mu.Unlock()
	uses := make([]Use, 0, len(accounts))
	for _, a := range accounts {
		uses = append(uses, Use{a.Name, a.Bytes()})
	}
	return uses
}

// Report is the agent's memory at one moment, in bytes.
type Report struct {
	Accounts []Use // the largest first
	Sum      int64 // of the accounts
	// What the Go runtime says: live and dead objects, stacks, what it needs itself, and what is free but not returned.
	HeapObjects, HeapUnused, HeapFree, Stacks, Runtime int64
	// What the kernel says of the process: resident memory that is the process' own, and that which maps files.
	ResidentAnon, ResidentFile int64
	// Returns counts how often memory was returned to the system because accounts had fallen.
	Returns uint64
}

// Report adds everything up.
func (k *Keeper) Report() Report {
	var r Report
	r.Accounts = k.uses()
	slices.SortStableFunc(r.Accounts, func(a, b Use) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for _, u := range r.Accounts {
		r.Sum += u.Bytes
	}
	classes := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(classes)
	v := func(i int) int64 { return int64(classes[i].Value.Uint64()) }
	r.HeapObjects, r.HeapUnused, r.HeapFree, r.Stacks = v(0), v(1), v(2), v(3)
	r.Runtime = v(4) - v(0) - v(1) - v(2) - v(3) - v(5)
	r.ResidentAnon, r.ResidentFile, _ = Resident()
	k.mu.Lock()
	r.Returns = k.frees
	k.mu.Unlock()
	return r
}
