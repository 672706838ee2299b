// Package leaktest fails tests which leave goroutines behind, and keeps them from asking the network for names.
//
// It is for tests alone. Every package with goroutines calls Main from its TestMain:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
//
// Main looks once, after all tests; Check looks after one test, to find which. A goroutine counts as leaked when it was
// not there before and is still there after a bounded wait: one that is about to end may take its time.
package leaktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// patience is how long goroutines may take to end. Only leaks wait for it.
const patience = 5 * time.Second

// Main runs the tests of a package and exits, with failure when a test failed or goroutines are left.
//
// Main also refuses to resolve names by DNS, so that tests find the same network everywhere: names in the hosts file
// (localhost) still resolve.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for packages which have to clean up before they exit: it returns the code to exit with.
func Run(m *testing.M) int {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: refuse}
	before := snapshot()
	code := m.Run()
	if code == 0 {
		if leaked := wait(before, patience); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "leaktest: goroutines left after all tests:\n\n%s", describe(leaked))
			code = 1
		}
	}
	return code
}

// Check makes the test fail at its end when goroutines are left which were not there when Check was called. Call it
// first, so that what the test cleans up is gone by then. The test must not be parallel.
func Check(t testing.TB) {
	t.Helper()
	before := snapshot()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return // what failed explains what is left
		}
		if leaked := wait(before, patience); len(leaked) > 0 {
			t.Errorf("goroutines left after the test:\n\n%s", describe(leaked))
		}
	})
}

func refuse(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("leaktest: tests must not ask the network for names")
}
