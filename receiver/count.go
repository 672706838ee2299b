package receiver

// The sizes of what scratch space holds, in bytes on a 64-bit machine.
const (
	seriesCountBytes = 2 * 8
	labelViewBytes   = 6 * 8
)

// counter counts the samples of each series of one request, by hash, staleness markers aside. The decoder has counted all
// else.
type counter struct{ counts []seriesCount }

type seriesCount struct{ hash, samples uint64 }

func (c *counter) reset() { c.counts = c.counts[:0] }

func (c *counter) series(_ []byte, hash uint64) { c.counts = append(c.counts, seriesCount{hash: hash}) }

func (c *counter) sample(_ int64, bits uint64) {
	if bits != staleBits {
		c.counts[len(c.counts)-1].samples++
	}
}

// addTo adds the counts to sums, which holds at most limit series.
func (c *counter) addTo(sums map[uint64]uint64, limit int) {
	for _, s := range c.counts {
		if n, ok := sums[s.hash]; ok || len(sums) < limit {
			sums[s.hash] = n + s.samples
		}
	}
}

func (c *counter) scratchBytes() int { return cap(c.counts) * seriesCountBytes }

func (d *decoder) scratchBytes() int {
	return cap(d.key) + cap(d.labels)*labelViewBytes + cap(d.symbols)*labelViewBytes/2
}
