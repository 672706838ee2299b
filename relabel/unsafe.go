//go:build !purego

package relabel

import "unsafe"

// viewString returns a view of b, valid until b is changed. It is for matching alone: it never gets into a label set,
// and never leaves the package.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

const viewsAreCopies = false
