//go:build !purego

package scrape

import "unsafe"

// viewString returns a view of b, valid until b is changed: of the learner's scratch memory, for one series.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
