package diskqueue

import (
	"testing"
)

// FuzzOpen opens a directory with foreign bytes in its files: nothing panics, and what is there can be used.
func FuzzOpen(f *testing.F) {
	m := newMemFS()
	q, err := Open(Options{Dir: "q", Slots: 2, fs: m, segmentBytes: pageBytes + 600})
	if err != nil {
		f.Fatal(err)
	}
	for i := range uint64(12) {
		put(f, q, int(i%2), i, int(i)*7)
	}
	r, _ := q.Next(0)
	ack(f, q, r)
	kill(q)
	var files [][]byte
	for _, name := range m.names() {
		files = append(files, m.files[name].b)
	}
	acks, seg := m.files["q/acks"].b, m.files["q/0000000000000000.seg"].b
	f.Add(seg, seg, acks)
	f.Add(seg[:len(seg)-100], files[len(files)-1], acks[:40])
	f.Add([]byte{}, make([]byte, 5000), []byte("x"))
	f.Fuzz(func(t *testing.T, a, b, acks []byte) {
		m := newMemFS()
		m.files["q/0000000000000000.seg"] = &memData{b: a}
		m.files["q/0000000000000001.seg"] = &memData{b: b}
		m.files["q/acks"] = &memData{b: acks}
		q, err := Open(Options{Dir: "q", Slots: 2, fs: m, segmentBytes: pageBytes + 600})
		if err != nil {
			t.Fatal(err)
		}
		defer kill(q)
		for slot := range 2 {
			for range 1000 {
				r, ok := q.Next(slot)
				if !ok {
					break
				}
				_, _ = q.Read(nil, r)
				ack(t, q, r)
			}
		}
		if st := q.Stats(); st.Pending != (Pending{}) && q.barrier == 0 {
			t.Fatalf("pending %+v after all was taken", st.Pending)
		}
		put(t, q, 0, 5, 10)
		if got := drain(t, q, 0); len(got) != 1 || got[0] != 5 {
			t.Fatalf("drained %v, want the block which was appended", got)
		}
	})
}
