//go:build race || bufcheck

package labelcompress

import (
	"fmt"
	"math/rand/v2"
	"runtime"
)

// checked is true in builds which look for broken contracts.
const checked = true

func checkFail(r Ref, method string) {
	panic(fmt.Sprintf("labelcompress: %s of Ref %d, which nobody holds: it was released too often, or used after its release", method, r))
}

// checkPause stands where another goroutine must be able to come between, and now and then lets one.
func checkPause() {
	if rand.Uint32()%32 == 0 {
		runtime.Gosched()
	}
}
