//go:build purego

package scrape

// viewString returns a copy of b.
func viewString(b []byte) string { return string(b) }
