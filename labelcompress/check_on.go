//go:build race || bufcheck

package labelcompress

import "fmt"

// checked is true in builds which look for broken contracts.
const checked = true

func checkFail(r Ref, method string) {
	panic(fmt.Sprintf("labelcompress: %s of Ref %d, which nobody holds: it was released too often, or used after its release", method, r))
}
