package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"scraper/diskqueue"
	"scraper/receiver"
)

// oneRequest is a request of remote write 1.0 with one sample of each of n series, in snappy which compresses nothing. It
// returns where in it the samples' values are: their timestamps, of 6 bytes, begin 9 bytes behind.
func oneRequest(rnd *rand.Rand, n int, tsMillis int64) (body []byte, values []int) {
	message := func(dst []byte, field int, content []byte) []byte {
		dst = binary.AppendUvarint(dst, uint64(field<<3|2))
		dst = binary.AppendUvarint(dst, uint64(len(content)))
		return append(dst, content...)
	}
	label := func(dst []byte, name, value string) []byte {
		return message(dst, 1, message(message(nil, 1, []byte(name)), 2, []byte(value)))
	}
	var raw []byte
	for range n {
		series := label(nil, "__name__", "backlog")
		series = label(series, "id", fmt.Sprintf("%016x%016x%016x", rnd.Uint64(), rnd.Uint64(), rnd.Uint64()))
		sample := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, 0)
		sample = binary.AppendUvarint(append(sample, 2<<3), uint64(tsMillis))
		raw = message(raw, 1, message(series, 2, sample))
		values = append(values, len(raw)-len(sample)+1)
	}
	const literal = 63 << 2 // with a length of four bytes
	body = append(binary.AppendUvarint(nil, uint64(len(raw))), literal)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(raw)-1))
	for i := range values {
		values[i] += len(body)
	}
	return append(body, raw...), values
}

// backlog is a queue on disk, and what of it has arrived.
type backlog struct {
	blocks  int
	samples uint64
	bytes   int64
	bySum   map[uint32]int // the number of a block by the checksum of its request

	mu      sync.Mutex
	arrived []int // times
	newest  [4]int
	foreign []string // what did not belong there, or then
}

// writeBacklog makes a queue in dir.
func writeBacklog(t testing.TB, dir string, size int64) *backlog {
	t.Helper()
	q, err := diskqueue.Open(diskqueue.Options{Dir: dir, Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	type model struct {
		body   []byte
		values []int
	}
	var models []model
	now := time.Now().UnixMilli()
	for _, n := range []int{10, 300, 1000, 4000, 10_000} {
		body, values := oneRequest(rnd, n, now)
		models = append(models, model{body, values})
	}
	b := &backlog{bySum: make(map[uint32]int), newest: [4]int{-1, -1, -1, -1}}
	for ; b.bytes < size; b.blocks++ {
		m := models[rnd.IntN(len(models))]
		at := now - size>>10 + int64(b.blocks)
		for i, pos := range m.values {
			binary.LittleEndian.PutUint64(m.body[pos:], math.Float64bits(float64(b.blocks)+float64(i)/1e6))
			binary.PutUvarint(m.body[pos+9:], uint64(at))
		}
		n := len(m.values)
		_, err := q.Append(diskqueue.Block{Slot: b.blocks % 4, Kind: 1, Samples: n, RawBytes: len(m.body), MinTime: at, MaxTime: at, Created: time.Now()}, m.body)
		if err != nil {
			t.Fatal(err)
		}
		b.bySum[crc32.ChecksumIEEE(m.body)] = b.blocks
		b.bytes += int64(len(m.body))
		b.samples += uint64(n)
	}
	if len(b.bySum) != b.blocks {
		t.Fatalf("%d requests have %d checksums", b.blocks, len(b.bySum))
	}
	b.arrived = make([]int, b.blocks)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// take looks at each request: one of the backlog is noted and answered, others are left to the receiver.
func (b *backlog) take(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return true
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.bySum[crc32.ChecksumIEEE(body)]
	switch {
	case ok && n <= b.newest[n%4] && b.arrived[n] == 0:
		b.foreign = append(b.foreign, fmt.Sprintf("block %d came after block %d of its slot", n, b.newest[n%4]))
	case !ok && bytes.Contains(body, []byte("backlog")):
		b.foreign = append(b.foreign, fmt.Sprintf("a request of %d bytes is none of the backlog's", len(body)))
	case !ok:
		return false
	}
	if ok {
		b.arrived[n]++
		b.newest[n%4] = max(n, b.newest[n%4])
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// left is the number of blocks which have not arrived.
func (b *backlog) left() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, times := range b.arrived {
		if times == 0 {
			n++
		}
	}
	return n
}

// TestBacklog starts in a control group with a backlog on disk that is larger than the memory which the agent may have: it is
// sent, all of it, in order, each byte as it was, within that memory, while new samples go on to come, from the first second on.
func TestBacklog(t *testing.T) {
	t.Parallel()
	size := int64(1 << 30)
	if *long {
		size = 10 << 30
	}
	const limit = 128 << 20
	procs := memoryGroup(t, limit)
	data := t.TempDir()
	b := writeBacklog(t, filepath.Join(data, "scraper-queue", "name_backlog"), size)
	const series = 20
	f := startFarm(t, 1)
	n := numbered{series, addTargets(f, 4, func(int) answer { return counting(series) })}
	s := startSink(t, receiver.Options{Intercept: b.take})
	conf := configFile(t, fmt.Sprintf("remote_write: [{name: backlog, url: %q, protobuf_message: prometheus.WriteRequest}]\n"+
		"global: {scrape_interval: 1s}\nscrape_configs:\n%s", s.url, f.job("farm", "", n.all...)))
	began := time.Now()
	a := startLimited(t, procs, "", "-promscrape.config="+conf, "-remoteWrite.tmpDataPath="+data)
	most := int64(0)
	waitLonger(t, "the backlog to be sent", 10*time.Minute, func() bool {
		if n, err := a.anonBytes(); err == nil {
			most = max(most, n)
		}
		return b.left() == 0
	})
	took := time.Since(began)
	freeze(t, a, conf, n.all...)
	m := a.settled(t)
	if got := sum(m, "scraper_remotewrite_recovered_samples_total"); got != float64(b.samples) {
		t.Errorf("%v samples were recovered, want %d", got, b.samples)
	}
	first := n.all[0].servings()[0].begun.Sub(began)
	if first > 2*time.Second+time.Second { // of its start, and the interval
		tooSlow(t, "the first scrape was %v after the start", first)
	}
	n.wantAll(t, s)
	if lost := lostOnPurpose(m); lost != 0 {
		t.Errorf("%v samples were dropped", lost)
	}
	b.mu.Lock()
	if twice := slices.IndexFunc(b.arrived, func(n int) bool { return n > 1 }); twice >= 0 || len(b.foreign) > 0 {
		t.Errorf("block %d arrived more than once; %q", twice, b.foreign)
	}
	b.mu.Unlock()
	wantOrdered(t, s, 0)
	if page := a.memory(t); page.Container == nil || page.Container.OOMKills != 0 {
		t.Errorf("container %+v, want none killed", page.Container)
	}
	if most > limit/2 {
		t.Errorf("the agent took %d MiB, want at most half of %d", most>>20, limit>>20)
	}
	a.terminate(t)
	t.Logf("figure: a backlog of %d MiB, %d blocks, %d samples, was sent in %v within a container of %d MiB; the agent took at most %d MiB, and scraped after %v",
		b.bytes>>20, b.blocks, b.samples, took.Round(100*time.Millisecond), limit>>20, most>>20, first.Round(10*time.Millisecond))
}
