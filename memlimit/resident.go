package memlimit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
)

// regions are the resident anonymous bytes of the process, by where they are mapped.
type regions struct {
	heap    int64 // Go's arenas
	program int64 // data of the executable, pages of files which were written to, the first thread's stack
	runtime int64 // everything else, which in a program without C is the runtime's own: tables, caches, profiles
}

// heapReach is how far from an object on Go's heap another part of the heap may be. The runtime begins its arenas at an
// address which is fixed, or drawn by lot, and adds to their end; what it maps elsewhere goes where the kernel puts it,
// which is many times as far off.
const heapReach = 512 << 30

// mapped asks the kernel what is resident of each mapping.
func (k *Keeper) mapped() (regions, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return regions{}, fmt.Errorf("memlimit: what is resident: %w", err)
	}
	defer f.Close()
	r, err := readMaps(f, uint64(reflect.ValueOf(k).Pointer()))
	if err != nil {
		return regions{}, fmt.Errorf("memlimit: what is resident: %w", err)
	}
	return r, nil
}

// readMaps sums up a file in the form of /proc/self/smaps. Object is the address of something on Go's heap.
func readMaps(from io.Reader, object uint64) (regions, error) {
	var (
		r       regions
		into    = &r.runtime
		fileEnd uint64 // of the mapping before, if that was of a file
	)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		key, rest, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		if n := len(key); n > 0 && key[n-1] == ':' { // a field of the mapping
			if string(key) != "Anonymous:" {
				continue
			}
			size, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
			kib, err := strconv.ParseInt(string(size), 10, 64)
			if err != nil {
				return regions{}, fmt.Errorf("line %q: %w", lines.Bytes(), err)
			}
			*into += kib << 10
			continue
		}
		from, to, _ := bytes.Cut(key, []byte("-"))
		start, err := strconv.ParseUint(string(from), 16, 64)
		if err != nil {
			return regions{}, fmt.Errorf("line %q: %w", lines.Bytes(), err)
		}
		end, err := strconv.ParseUint(string(to), 16, 64)
		if err != nil {
			return regions{}, fmt.Errorf("line %q: %w", lines.Bytes(), err)
		}
		name := mappingName(rest)
		switch {
		case bytes.HasPrefix(name, []byte("[anon: Go: heap")):
			into, fileEnd = &r.heap, 0
		case bytes.HasPrefix(name, []byte("[anon: Go:")):
			into, fileEnd = &r.runtime, 0
		case len(name) > 0:
			into, fileEnd = &r.program, end
		case start == fileEnd: // data which are zero at the start follow the others
			into, fileEnd = &r.program, 0
		case max(start, object)-min(start, object) < heapReach:
			into, fileEnd = &r.heap, 0
		default:
			into, fileEnd = &r.runtime, 0
		}
	}
	return r, lines.Err()
}

// mappingName is what follows a mapping's rights, offset, device and inode.
func mappingName(rest []byte) []byte {
	for range 4 {
		_, rest, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	}
	return bytes.TrimSpace(rest)
}
