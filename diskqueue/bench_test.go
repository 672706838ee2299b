package diskqueue

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkAppendAck is what a block costs when the receiver keeps up: it is written, handed out from memory and settled.
func BenchmarkAppendAck(b *testing.B) {
	for _, size := range []int{1 << 10, 30 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("block=%dk", size>>10), func(b *testing.B) {
			q, err := Open(Options{Dir: b.TempDir(), Slots: 4})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			p := payload(1, size)
			at := time.Now()
			parts := make([][]byte, 0, 8)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				parts = parts[:0]
				for rest := p; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					parts = append(parts, rest[:n])
					rest = rest[n:]
				}
				if _, err := q.Append(Block{Slot: i % 4, Samples: 1, Created: at}, parts...); err != nil {
					b.Fatal(err)
				}
				r, ok := q.Next(i % 4)
				if !ok {
					b.Fatal("nothing there")
				}
				if err := q.Ack(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBacklog is what a block costs when it is read back.
func BenchmarkBacklog(b *testing.B) {
	q, err := Open(Options{Dir: b.TempDir(), Slots: 4})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	p := payload(1, 30<<10)
	fillUp := func() {
		for i := range 2000 {
			if _, err := q.Append(Block{Slot: i % 4, Samples: 1, Created: time.Now()}, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	buf := make([]byte, 0, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, ok := q.Next(i % 4)
		if !ok {
			b.StopTimer()
			fillUp()
			b.StartTimer()
			r, _ = q.Next(i % 4)
		}
		if _, err := q.Read(buf, r); err != nil {
			b.Fatal(err)
		}
		if err := q.Ack(r); err != nil {
			b.Fatal(err)
		}
	}
}
