package scrape

import (
	"net/http"
	"time"
)

// heavyBytes is the size of a body which takes a worker for a tenth of a second and more, and its batch megabytes. Two of
// them are not read at the same time: together they would take as long, and twice the memory. A smaller one would have
// ordinary targets wait for each other.
const heavyBytes = 8 << 20

// waitItsTurn lets a heavy scrape, whose answer is there, wait while another one is read. The body waits in the kernel, and
// with the target. It waits for half of its timeout at most, so that one which hangs does not make the others fail. The
// caller calls the returned function when the body was read.
func (m *Manager) waitItsTurn(tn *turn, resp *http.Response) (done func()) {
	tn.t.mu.Lock()
	size := max(tn.t.result.bodyBytes, resp.ContentLength)
	tn.t.mu.Unlock()
	if size < heavyBytes {
		return func() {}
	}
	patience := time.NewTimer(tn.timeout / 2)
	defer patience.Stop()
	select {
	case m.heavy <- struct{}{}:
		return func() { <-m.heavy }
	case <-patience.C:
	case <-tn.life.Done():
	}
	return func() {}
}
