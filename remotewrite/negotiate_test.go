package remotewrite

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/receiver"
)

// peer is a receiver which takes some protocols, and has its own way of answering the others.
type peer struct {
	rc *receiver.Receiver
	mu sync.Mutex
	// answers are by protocol what is said to a request in it: 0 takes it, 204 takes nothing of it.
	answers  map[Protocol]int
	requests []Protocol
}

func newPeer(t testing.TB, answers map[Protocol]int) *peer {
	return &peer{rc: newReceiver(t, receiver.Options{Zstd: true, Version2: true}), answers: answers}
}

func protocolOf(h http.Header) Protocol {
	switch {
	case strings.Contains(h.Get("Content-Type"), "v2"):
		return Protocol2
	case h.Get("Content-Encoding") == "zstd":
		return ProtocolVM
	}
	return Protocol1
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proto := protocolOf(r.Header)
	p.mu.Lock()
	p.requests = append(p.requests, proto)
	status := p.answers[proto]
	p.mu.Unlock()
	if status != 0 {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		return
	}
	p.rc.ServeHTTP(w, r)
}

func (p *peer) set(proto Protocol, status int) {
	p.mu.Lock()
	p.answers[proto] = status
	p.mu.Unlock()
}

// take returns the protocols of the requests since the last call, one digit each.
func (p *peer) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := ""
	for _, q := range p.requests {
		s += map[Protocol]string{Protocol1: "1", ProtocolVM: "v", Protocol2: "2"}[q]
	}
	p.requests = nil
	return s
}

// TestNegotiation sends to receivers which know different protocols and say so in different ways: what is committed arrives,
// once, whichever it is, and from then on there are no more requests than blocks.
func TestNegotiation(t *testing.T) {
	type answers = map[Protocol]int
	f := func(name string, want Protocol, answers answers, first, then string) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Protocol = want }, Destination{URL: "http://a.example" + receiver.WritePath})
				p := newPeer(t, answers)
				r.serve("a.example:80", p)
				r.run()
				for i := range int64(8) {
					r.commit(t, r.Writer, 0, 10, 1000+i)
					time.Sleep(2 * second)
					got, want := p.take(), then
					if i == 0 {
						want = first
					}
					if (i == 0 || i > 4) && got != want {
						t.Errorf("block %d was sent in %s, want %s", i, got, want)
					}
				}
				if b := r.balanced(); b.Acknowledged != 80 || b.Pending != 0 {
					t.Errorf("%v, want 80 acknowledged", b)
				}
				if got, want := r.Status()[0].Protocol, map[byte]string{'1': "1.0", '2': "2.0", 'v': "vm"}[then[0]]; got != want {
					t.Errorf("the status says %s, want %s", got, want)
				}
				if got := p.rc.Totals(); got.Samples != 80 || got.Duplicates != 0 || got.OutOfOrder != 0 {
					t.Errorf("the receiver got %+v, want 80 samples", got)
				}
			})
		})
	}
	f("knows everything", ProtocolAuto, answers{}, "2", "2")
	f("Prometheus 3", ProtocolAuto, answers{ProtocolVM: 415}, "2", "2")
	f("Prometheus 2", ProtocolAuto, answers{Protocol2: 204, ProtocolVM: 400}, "2v1", "1")
	f("VictoriaMetrics", ProtocolAuto, answers{Protocol2: 204}, "2v", "v")
	f("only 1.0, says so", ProtocolAuto, answers{Protocol2: 415, ProtocolVM: 415}, "2v1", "1")
	f("only 1.0, cannot decode", ProtocolAuto, answers{Protocol2: 400, ProtocolVM: 400}, "2v1", "1")
	f("only 1.0, fails", ProtocolAuto, answers{Protocol2: 500, ProtocolVM: 500}, "2v1", "1")
	f("only 2.0", ProtocolAuto, answers{Protocol1: 415, ProtocolVM: 415}, "2", "2")
	f("forced 1.0", Protocol1, answers{}, "1", "1")
	f("forced vm", ProtocolVM, answers{}, "v", "v")
	f("forced 2.0", Protocol2, answers{}, "2", "2")
}

// TestNegotiationOfData sees that what is wrong with the data, or with the network, changes nothing about the protocol.
func TestNegotiationOfData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Protocol = ProtocolAuto }, Destination{URL: "http://a.example" + receiver.WritePath, OnRefused: DropRefused})
		p := newPeer(t, map[Protocol]int{})
		stop := r.serve("a.example:80", p)
		r.run()
		send := func(i int64) string {
			r.commit(t, r.Writer, 0, 10, 1000+i)
			time.Sleep(2 * second)
			return p.take()
		}
		send(0)
		p.set(Protocol2, 400) // it is known to speak it: this is about the samples
		if got := send(1); got != "2" {
			t.Errorf("a refused block was sent in %s, want once in 2.0", got)
		}
		p.set(Protocol2, 0)
		if got := send(2); got != "2" {
			t.Errorf("the next block was sent in %s, want 2.0", got)
		}
		stop()
		send(3)
		p.set(Protocol2, 415) // an older version is started in its place
		r.serve("a.example:80", p)
		time.Sleep(10 * second)
		if got := p.take(); got != "2v" {
			t.Errorf("after it was replaced, the block was sent in %s, want 2.0 and vm", got)
		}
		if b := r.balanced(); b.Acknowledged != 30 || b.Refused != 10 {
			t.Errorf("%v, want 30 acknowledged, 10 refused", b)
		}
	})
}

// TestNegotiationUpwards sees that a receiver which was replaced by one that knows more is found out: soon after it was away,
// else within an hour.
func TestNegotiationUpwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Protocol = ProtocolAuto }, Destination{URL: "http://a.example" + receiver.WritePath})
		p := newPeer(t, map[Protocol]int{Protocol2: 415, ProtocolVM: 415})
		stop := r.serve("a.example:80", p)
		r.run()
		ts := int64(1000)
		send := func(pause time.Duration) string {
			ts++
			r.commit(t, r.Writer, 0, 10, ts)
			time.Sleep(pause)
			return p.take()
		}
		if got := send(time.Hour); got != "2v1" {
			t.Errorf("first block was sent in %s", got)
		}
		if got := send(2 * second); got != "2v1" {
			t.Errorf("after an hour a block was sent in %s, want 2.0 and vm to be tried", got)
		}
		p.set(ProtocolVM, 0)
		if got := send(time.Hour); got != "1" {
			t.Errorf("before an hour is over a block was sent in %s, want 1.0", got)
		}
		if got := send(2 * second); got != "2v" {
			t.Errorf("after the hour a block was sent in %s, want vm", got)
		}
		stop()
		send(2 * second)
		p.set(Protocol2, 0)
		r.serve("a.example:80", p)
		time.Sleep(probePause + 10*second)
		p.take()
		if got := send(2 * second); got != "2" {
			t.Errorf("after it was away a block was sent in %s, want 2.0", got)
		}
		if got := p.rc.Totals(); got.Samples != 60 || got.Duplicates != 0 {
			t.Errorf("the receiver got %+v, want 60 samples", got)
		}
	})
}

// TestWritten compares the counts of remote write 2.0's answers with what was sent.
func TestWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Protocol = Protocol2 }, Destination{URL: "http://a.example/"})
		const h = "X-Prometheus-Remote-Write-Samples-Written"
		s := &script{steps: []http.HandlerFunc{status(204, h, "10"), status(200, h, "7"), status(204), status(400, h, "4"), status(204, h, "0")}}
		r.serve("a.example:80", s)
		r.run()
		var want Books
		for i, n := range []struct{ acknowledged, refused, unsupported uint64 }{{10, 0, 0}, {7, 3, 0}, {0, 0, 10}, {4, 6, 0}, {0, 10, 0}} {
			r.commit(t, r.Writer, 0, 10, int64(i))
			time.Sleep(2 * second)
			want.Acknowledged += n.acknowledged
			want.Refused += n.refused
			want.Dropped.Unsupported += n.unsupported
			b := r.balanced()
			if b.Acknowledged != want.Acknowledged || b.Refused != want.Refused || b.Dropped.Unsupported != want.Dropped.Unsupported {
				t.Errorf("after answer %d: %v, want %v", i, b, want)
			}
		}
		if n := s.requests(); n != 5 {
			t.Errorf("%d requests, want one for each of 5 blocks", n)
		}
	})
}

// TestQueueInAnotherProtocol leaves blocks on disk in one protocol, for a process which is to send another one.
func TestQueueInAnotherProtocol(t *testing.T) {
	for _, from := range []Protocol{Protocol1, ProtocolVM, Protocol2} {
		for _, to := range []Protocol{Protocol1, ProtocolVM, Protocol2} {
			t.Run(fmt.Sprintf("%v to %v", from, to), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					d := Destination{Name: "a", URL: "http://a.example" + receiver.WritePath}
					r := newRig(t, func(o *Options) { o.Protocol, o.QueueDir, o.DrainTimeout = from, dir, 1 }, d)
					r.serve("a.example:80", http.HandlerFunc(status(503)))
					r.run()
					r.commit(t, r.Writer, 0, 100, 1000)
					time.Sleep(2 * second)
					r.stop()

					r = newRig(t, func(o *Options) { o.Protocol, o.QueueDir = to, dir }, d)
					p := newPeer(t, map[Protocol]int{})
					r.serve("a.example:80", p)
					r.run()
					time.Sleep(5 * second)
					if got := p.rc.Totals(); got.Samples != 100 || got.Metadata != 0 {
						t.Errorf("the receiver got %+v, want 100 samples", got)
					}
					if b := r.balanced(); b.Recovered != 100 || b.Acknowledged != 100 {
						t.Errorf("%v, want 100 recovered and acknowledged", b)
					}
					for _, q := range p.take() {
						if want := map[Protocol]rune{Protocol1: '1', ProtocolVM: 'v', Protocol2: '2'}[to]; q != want {
							t.Errorf("sent in %c, want %c", q, want)
						}
					}
				})
			})
		}
	}
}

// TestOneBlockPerProtocol sees that destinations with one protocol share their blocks.
func TestOneBlockPerProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dests []Destination
		for i, p := range []Protocol{Protocol1, Protocol1, ProtocolVM, Protocol2, Protocol2} {
			dests = append(dests, Destination{URL: fmt.Sprintf("http://%d.example/", i), Protocol: p})
		}
		r := newRig(t, nil, dests...)
		r.commit(t, r.Writer, 0, 1000, 1)
		r.flush(time.Now().Add(time.Hour))
		blocks := make(map[*block]Protocol)
		for i, d := range r.dests {
			blk := d.mem.slots[0].at(0).blk
			if blk.protocol != dests[i].Protocol {
				t.Errorf("destination %d has a block of %v", i, blk.protocol)
			}
			blocks[blk] = blk.protocol
		}
		if len(blocks) != 3 || len(r.groups) != 1 {
			t.Errorf("there are %d blocks in %d groups, want 3 in one", len(blocks), len(r.groups))
		}
		r.Close()
	})
}

// TestMetadataIsSentOnce commits what many targets say of the same families, for an hour.
func TestMetadataIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil,
			Destination{URL: "http://one.example" + receiver.WritePath},
			Destination{URL: "http://two.example" + receiver.WritePath, Protocol: Protocol2},
			Destination{URL: "http://none.example" + receiver.WritePath, NoMetadata: true})
		one, two := newReceiver(t, receiver.Options{}), newReceiver(t, receiver.Options{Version2: true})
		none := newReceiver(t, receiver.Options{})
		r.serve("one.example:80", one)
		r.serve("two.example:80", two)
		r.serve("none.example:80", none)
		r.run()
		var scratch []byte
		commit := func(target int, help string) {
			b := r.empty(uint64(target), time.Now().UnixMilli())
			b.AppendMetadata(batch.Metadata{Type: 1, Family: []byte("m"), Help: []byte(help), Unit: []byte("bytes")}, &scratch)
			for _, name := range []string{"m_total", "m_created", "my_other"} {
				b.Append(r.set(t, "__name__", name, "i", fmt.Sprint(target)), 1)
			}
			r.Commit(b)
			b.Reset()
		}
		for range 60 { // minutes
			for target := range 10 {
				commit(target, "Help.")
			}
			time.Sleep(time.Minute)
		}
		commit(0, "Other help.")
		time.Sleep(2 * second)
		if got := one.Totals(); got.Metadata != 61 || got.Samples != 60*30+3 {
			t.Errorf("version 1: %d metadata with %d samples, want 61 with %d", got.Metadata, got.Samples, 60*30+3)
		}
		// There they belong to each series of the family.
		if got := two.Totals(); got.Metadata != 60*20+2 || got.Samples != 60*30+3 {
			t.Errorf("version 2: %d metadata with %d samples, want %d with %d", got.Metadata, got.Samples, 60*20+2, 60*30+3)
		}
		if got := none.Totals(); got.Metadata != 0 || got.Samples != 60*30+3 {
			t.Errorf("where they are not wanted: %d metadata with %d samples, want none with %d", got.Metadata, got.Samples, 60*30+3)
		}
	})
}

func TestSetHeader(t *testing.T) {
	for p, want := range map[Protocol]string{
		Protocol1:  "application/x-protobuf snappy 0.1.0 ",
		ProtocolVM: "application/x-protobuf zstd  1",
		Protocol2:  "application/x-protobuf;proto=io.prometheus.write.v2.Request snappy 2.0.0 ",
	} {
		h := httptest.NewRequest(http.MethodPost, "/", nil).Header
		for q := Protocol1; q < protocols; q++ { // whatever was there before
			q.setHeader(h)
		}
		p.setHeader(h)
		got := strings.Join([]string{h.Get("Content-Type"), h.Get("Content-Encoding"), h.Get("X-Prometheus-Remote-Write-Version"), h.Get("X-VictoriaMetrics-Remote-Write-Version")}, " ")
		if got != want {
			t.Errorf("header of %v is %q, want %q", p, got, want)
		}
		if q, err := ParseProtocol(p.String()); err != nil || q != p {
			t.Errorf("ParseProtocol(%q) = %v, %v", p.String(), q, err)
		}
	}
	if _, err := ParseProtocol("3.0"); err == nil {
		t.Error("ParseProtocol(3.0) gives no error")
	}
}
