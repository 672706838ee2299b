package memlimit

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// runtimeState is what Go's runtime says of itself. Sizes are in bytes, and of address space which it has in use, touched
// or not.
type runtimeState struct {
	objects, unused, free, stacks int64 // of the heap
	overhead                      int64 // what the runtime needs itself
	mapped                        int64 // all of it, without what was returned to the system: what its soft limit is about
	live                          int64 // objects which the last collection found alive
	collections                   uint64
	gcCPU, usedCPU                float64 // seconds since the start; they change when a collection ends
}

// readRuntime asks the runtime. It takes a few microseconds.
func readRuntime() runtimeState {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
	}
	metrics.Read(s)
	size := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	seconds := func(i int) float64 { return s[i].Value.Float64() }
	r := runtimeState{
		objects: size(0), unused: size(1), free: size(2), stacks: size(3), mapped: size(4) - size(5),
		live: size(6), collections: s[7].Value.Uint64(),
	}
	r.overhead = r.mapped - r.objects - r.unused - r.free - r.stacks
	// What idle processors do for the collector is nobody's loss.
	r.gcCPU = seconds(8) - seconds(9)
	r.usedCPU = seconds(10) - seconds(11) - seconds(9)
	return r
}

// returnAll collects garbage, returns all free memory to the system, and says how long that took.
func returnAll() time.Duration {
	start := time.Now()
	debug.FreeOSMemory()
	return time.Since(start)
}
