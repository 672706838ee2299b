package scrape

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool"
)

var learnSeries = flag.Int("learn", 200_000, "series of the large body that BenchmarkLearnLarge reads once")

// largeBody is a body of n series which is made while it is read. With unique set each has a label that no other one has.
type largeBody struct {
	n, i   int
	unique bool
	line   []byte
	rest   []byte
}

func (l *largeBody) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(l.rest) == 0 {
			if l.i == l.n {
				return n, io.EOF
			}
			l.rest = l.next()
			l.i++
		}
		k := copy(p[n:], l.rest)
		n, l.rest = n+k, l.rest[k:]
	}
	return n, nil
}

func (l *largeBody) next() []byte {
	i := l.i
	pod := i / 40
	if l.unique {
		pod = i
	}
	b := append(l.line[:0], "container_fs_reads_total_"...)
	b = strconv.AppendInt(b, int64(i/10000), 10)
	b = append(b, `{container="app",device="/dev/nvme0n1",id="/kubepods.slice/kubepods-burstable.slice/pod`...)
	b = strconv.AppendInt(b, int64(i/40), 10)
	b = append(b, `",image="registry.k8s.io/img:v1",namespace="ns-`...)
	b = strconv.AppendInt(b, int64(i%11), 10)
	b = append(b, `",pod="pod-`...)
	b = strconv.AppendInt(b, int64(pod), 10)
	b = append(b, `",zone="`...)
	b = strconv.AppendInt(b, int64(i%40), 10)
	b = append(b, `"} `...)
	b = strconv.AppendInt(b, int64(i), 10)
	l.line = append(b, '\n')
	return l.line
}

// BenchmarkLearnLarge reads one large body once, and says what a series costs in time, in the first and the last quarter of the body, and in
// memory: the most that there was while it was learnt, and what is left, the dictionary aside.
func BenchmarkLearnLarge(b *testing.B) {
	for _, unique := range []bool{false, true} {
		b.Run(fmt.Sprintf("series=%d/unique=%v", *learnSeries, unique), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				r := newBenchRig(b, false, tenRules(b))
				pool, err := bufpool.New(bufpool.Options{})
				if err != nil {
					b.Fatal(err)
				}
				spool := batch.NewSpool(batch.SpoolOptions{Dir: b.TempDir(), MaxBatchBytes: 8 << 20})
				r.b = batch.NewSpooled(pool, spool)
				debug.FreeOSMemory()
				before := heapBytes()
				peak := int64(0)
				var quarter, threeQuarters time.Time
				lines := &largeBody{n: *learnSeries, unique: unique}
				body := &progress{r: lines, each: int64(*learnSeries) * 200 / 40, at: func() {
					peak = max(peak, heapBytes()-before-r.dict.Bytes())
					if quarter.IsZero() && lines.i > lines.n/4 {
						quarter = time.Now()
					}
					if threeQuarters.IsZero() && lines.i > lines.n*3/4 {
						threeQuarters = time.Now()
					}
				}}
				b.StartTimer()
				start := time.Now()
				r.scrapeFrom(b, body)
				end := time.Now()
				b.StopTimer()
				n := float64(r.tab.series())
				debug.FreeOSMemory()
				left := heapBytes() - before - r.dict.Bytes()
				b.ReportMetric(float64(end.Sub(start).Nanoseconds())/n, "ns/series")
				b.ReportMetric(float64(quarter.Sub(start).Nanoseconds())/n*4, "first-ns/series")
				b.ReportMetric(float64(end.Sub(threeQuarters).Nanoseconds())/n*4, "last-ns/series")
				b.ReportMetric(float64(peak)/n, "peak-B/series")
				b.ReportMetric(float64(left)/n, "left-B/series")
				b.ReportMetric(float64(r.tab.bytes())/n, "B/series")
				b.ReportMetric(float64(r.dict.Bytes())/n, "dict-B/series")
				r.tab.release()
			}
		})
	}
}

// progress calls at after each so many bytes.
type progress struct {
	r          io.Reader
	each, left int64
	at         func()
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.left -= int64(n); p.left <= 0 {
		p.left += p.each
		p.at()
	}
	return n, err
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
