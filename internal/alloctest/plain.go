//go:build !race && !bufcheck

package alloctest

const instrumented = false
