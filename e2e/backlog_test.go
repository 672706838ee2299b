package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"scraper/diskqueue"
	"scraper/receiver"
)

// oneRequest is a request of remote write 1.0 with one sample of each of n series, whose labels hardly compress.
func oneRequest(rnd *rand.Rand, n int, tsMillis int64) []byte {
	message := func(dst []byte, field int, content []byte) []byte {
		dst = binary.AppendUvarint(dst, uint64(field<<3|2))
		dst = binary.AppendUvarint(dst, uint64(len(content)))
		return append(dst, content...)
	}
	label := func(dst []byte, name, value string) []byte {
		return message(dst, 1, message(message(nil, 1, []byte(name)), 2, []byte(value)))
	}
	var raw []byte
	for i := range n {
		var id [24]byte
		for k := range 3 {
			binary.LittleEndian.PutUint64(id[8*k:], rnd.Uint64())
		}
		series := label(nil, "__name__", "backlog")
		series = label(series, "id", fmt.Sprintf("%x", id))
		sample := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(float64(i)))
		sample = binary.AppendUvarint(append(sample, 2<<3), uint64(tsMillis))
		raw = message(raw, 1, message(series, 2, sample))
	}
	return snappy.Encode(nil, raw)
}

// TestBacklog starts with a backlog on disk that is larger than the memory which the agent may have: it is sent, all of it,
// within that memory, while new samples go on to come.
func TestBacklog(t *testing.T) {
	t.Parallel()
	size, limit := int64(64<<20), int64(48<<20)
	if *long {
		size, limit = 10<<30, 128<<20
	}
	data := t.TempDir()
	q, err := diskqueue.Open(diskqueue.Options{Dir: filepath.Join(data, "scraper-queue", "name_backlog"), Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	const series = 4000
	rnd := rand.New(rand.NewPCG(1, 2))
	var written int64
	samples, blocks := uint64(0), 0
	now := time.Now().UnixMilli()
	for ; written < size; blocks++ {
		n := series
		at := now - size>>10 + int64(blocks)
		body := oneRequest(rnd, n, at)
		_, err := q.Append(diskqueue.Block{Slot: blocks % 4, Kind: 1, Samples: n, RawBytes: n * 100, MinTime: at, MaxTime: at, Created: time.Now()}, body)
		if err != nil {
			t.Fatal(err)
		}
		written += int64(len(body))
		samples += uint64(n)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	f := startFarm(t, 1)
	all := addTargets(f, 2, func(int) answer { return counting(20) })
	s := startSink(t, receiver.Options{CountOnly: true})
	conf := configFile(t, fmt.Sprintf("remote_write: [{name: backlog, url: %q}]\nglobal: {scrape_interval: 1s}\nscrape_configs:\n%s", s.url, f.job("farm", "", all...)))
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.tmpDataPath="+data, fmt.Sprintf("-memory.limit=%d", limit))
	began := time.Now()
	most := int64(0)
	waitLonger(t, "the backlog to be sent", 10*time.Minute, func() bool {
		if n, err := a.anonBytes(); err == nil {
			most = max(most, n)
		}
		return s.Totals().Samples >= samples+200
	})
	took := time.Since(began)
	m := a.metrics(t)
	if got := sum(m, "scraper_remotewrite_recovered_samples_total"); got != float64(samples) {
		t.Errorf("%v samples were recovered, want %d", got, samples)
	}
	if lost := sum(m, "scraper_remotewrite_dropped_samples_total") + sum(m, "scraper_remotewrite_refused_samples_total"); lost != 0 {
		t.Errorf("%v samples were lost", lost)
	}
	if most > limit {
		t.Errorf("the agent took %d MiB, want at most %d", most>>20, limit>>20)
	}
	a.terminate(t)
	t.Logf("figure: a backlog of %d MiB in %d blocks was sent in %v; the agent took at most %d MiB", written>>20, blocks, took.Round(100*time.Millisecond), most>>20)
}
