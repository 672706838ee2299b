package memlimit

// Limit is a limit on memory, and where it comes from.
type Limit struct {
	// Source is whose limit it is, in words: a flag, a variable, the container's.
	Source string
	Bytes  int64 // 0 or less: none
}

// Smallest returns the limit which counts, the first of the smallest, and those which are larger than it. Without any it
// returns a Limit of 0 bytes.
func Smallest(limits ...Limit) (least Limit, larger []Limit) {
	for _, l := range limits {
		if l.Bytes > 0 && (least.Bytes == 0 || l.Bytes < least.Bytes) {
			least = l
		}
	}
	for _, l := range limits {
		if l.Bytes > least.Bytes {
			larger = append(larger, l)
		}
	}
	return least, larger
}

// Reserve is the part of a budget which is kept free of Go's memory: for the pages of the program which it writes to and
// must be able to read, for the kernel's tables and sockets where nothing counts them, and for what is allocated between
// the runtime's limit being met and the next look.
//
// 4 MiB is what the first two take in an agent that does nothing; a sixteenth is for what grows with the load. Less than
// that, and a container of 64 MiB is killed while 200 targets of 4 MB answer at once; more is missed in small containers.
// Above 1 GiB it does not grow any more.
func Reserve(budget int64) int64 {
	return min(budget/4, 4<<20+min(budget, 1<<30)/16)
}

// softLimit is what Go's runtime may take of a budget while offHeap bytes are not on its heap. It is never below a quarter
// of what is left after the reserve: a limit which cannot be met has the runtime collect all the time, and helps nobody.
func softLimit(budget, offHeap int64) int64 {
	limit := budget - Reserve(budget)
	return max(limit-offHeap, limit/4)
}
