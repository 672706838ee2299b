package labelcompress

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
)

// benchLabels are n distinct labels of about 30 bytes of text.
func benchLabels(n int) (names, values [][]byte) {
	words := []string{"namespace", "pod", "container", "instance", "id", "le", "device", "mountpoint"}
	for i := range n {
		name := words[i%len(words)]
		names = append(names, []byte(name))
		values = append(values, fmt.Appendf(nil, "%0*x", 30-len(name), uint64(i)*0x9e3779b97f4a7c15>>8))
	}
	return names, values
}

func benchDict(b *testing.B, n int) (*Dict, []Ref, [][]byte, [][]byte) {
	b.Helper()
	d := New(Options{})
	names, values := benchLabels(n)
	refs := make([]Ref, n)
	for i := range n {
		r, err := d.Intern(names[i], values[i])
		if err != nil {
			b.Fatal(err)
		}
		refs[i] = r
	}
	return d, refs, names, values
}

func BenchmarkInternHit(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("labels=%d", n), func(b *testing.B) {
			d, _, names, values := benchDict(b, n)
			order := rand.New(rand.NewPCG(1, 2)).Perm(n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				k := order[i]
				if i++; i == n {
					i = 0
				}
				if _, err := d.Intern(names[k], values[k]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInternMiss(b *testing.B) {
	const n = 200_000
	names, values := benchLabels(n)
	d := New(Options{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == n {
			b.StopTimer()
			d, i = New(Options{}), 0
			b.StartTimer()
		}
		if _, err := d.Intern(names[i], values[i]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkInternRelease is a label which comes and goes: a miss, and the release of the last holder.
func BenchmarkInternRelease(b *testing.B) {
	d, _, _, _ := benchDict(b, 10_000)
	name, value := []byte("pod"), []byte("payments-7c9f7d6b5-x2x7q")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r, err := d.Intern(name, value)
		if err != nil {
			b.Fatal(err)
		}
		d.Release(r)
		if i++; i%4096 == 0 {
			d.Compact()
		}
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	d, refs, _, _ := benchDict(b, 1000)
	i := 0
	for b.Loop() {
		d.Acquire(refs[i])
		d.Release(refs[i])
		if i++; i == len(refs) {
			i = 0
		}
	}
}

func BenchmarkWire(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("labels=%d", n), func(b *testing.B) {
			d, refs, _, _ := benchDict(b, n)
			rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
			i, sum := 0, 0
			for b.Loop() {
				sum += len(d.Wire(refs[i]))
				if i++; i == n {
					i = 0
				}
			}
			runtime.KeepAlive(sum)
		})
	}
}

// BenchmarkAppendWire encodes the labels of series of 12 labels.
func BenchmarkAppendWire(b *testing.B) {
	d, refs, _, _ := benchDict(b, 12_000)
	dst := make([]byte, 0, 4096)
	i := 0
	for b.Loop() {
		dst = d.AppendWire(dst[:0], refs[i:i+12])
		if i += 12; i == len(refs) {
			i = 0
		}
	}
	b.SetBytes(int64(len(dst)))
}

// BenchmarkMixed is interning known labels, reading and releasing them on all processors.
func BenchmarkMixed(b *testing.B) {
	const n = 10_000
	d, refs, names, values := benchDict(b, n)
	var start atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		i := int(start.Add(1)*2654435761) % n
		for pb.Next() {
			r, err := d.Intern(names[i], values[i])
			if err != nil {
				b.Error(err)
				return
			}
			if len(d.Wire(refs[i])) == 0 {
				b.Error("Wire = nothing")
			}
			d.Release(r)
			if i += 7; i >= n {
				i -= n
			}
		}
	})
}

func BenchmarkCompact(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		d, refs, _, _ := benchDict(b, n)
		for i, r := range refs {
			if i%5 != 0 {
				d.Release(r)
			}
		}
		b.StartTimer()
		d.Compact()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n/5), "ns/label")
}

// BenchmarkFootprint reports what a label takes beside its text and its wire form.
func BenchmarkFootprint(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("labels=%d", n), func(b *testing.B) {
			for b.Loop() {
				d, _, _, _ := benchDict(b, n)
				s := d.Stats()
				b.ReportMetric(float64(s.Bytes)/float64(n), "B/pair")
				b.ReportMetric(float64(s.Bytes-s.LiveBytes)/float64(n), "overheadB/pair")
				b.ReportMetric(float64(s.IndexBytes)/float64(n), "indexB/pair")
			}
		})
	}
}
