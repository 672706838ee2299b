package remotewrite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
)

// testBlock makes a block of n rows.
func testBlock(t testing.TB, tg *target, account *atomic.Int64, slot, n int) *block {
	t.Helper()
	b := newBuilder(tg.pool, account)
	for i := range n {
		r := row{refs: tg.store.AppendRefs(nil, tg.set(t, "__name__", "m", "i", sum([]byte{byte(i), byte(i >> 8)}))), value: float64(i), tsMillis: int64(i)}
		if !b.append(tg.dict, &r, 64<<20) {
			t.Fatal("append refused")
		}
	}
	return seal(&b, slot, time.Now())
}

func TestBody(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	blk := testBlock(t, tg, &account, 0, 3000)
	if len(blk.segs) < 3 {
		t.Fatalf("the block has %d segments, want several", len(blk.segs))
	}
	want := blockBytes(blk)
	var open bodies

	req := httptest.NewRequest(http.MethodPost, "/", nil)
	again := 0
	if err := open.attach(req, blk, func() { again++ }); err != nil {
		t.Fatal(err)
	}
	if req.ContentLength != int64(len(want)) {
		t.Errorf("ContentLength = %d, want %d", req.ContentLength, len(want))
	}
	if _, ok := req.Body.(io.WriterTo); ok {
		t.Error("the body is an io.WriterTo, which gives memory to others")
	}
	second, err := req.GetBody()
	if err != nil || again != 1 {
		t.Fatalf("GetBody() = %v, %d calls of again, want 1", err, again)
	}
	for _, r := range []io.Reader{req.Body, iotestOneByte{second}} {
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v, want the %d of the block", len(got), err, len(want))
		}
	}
	if n, err := req.Body.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v, want 0, EOF", n, err)
	}
	for range 2 {
		if err := req.Body.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if n, err := req.Body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errBodyClosed) {
		t.Errorf("Read after Close = %d, %v, want 0, %v", n, err, errBodyClosed)
	}
	blk.release()
	if account.Load() == 0 {
		t.Error("the block is gone while a body is open")
	}
	if n := open.count(); n != 1 {
		t.Errorf("%d bodies are open, want 1", n)
	}
	open.close()
	if n := account.Load(); n != 0 || open.count() != 0 {
		t.Errorf("%d bytes and %d bodies left after all were closed", n, open.count())
	}
	if _, err := req.GetBody(); !errors.Is(err, errBlockGone) {
		t.Errorf("GetBody of a block which is gone = %v, want %v", err, errBlockGone)
	}
	if err := open.attach(req, blk, nil); !errors.Is(err, errBlockGone) {
		t.Errorf("attach of a block which is gone = %v, want %v", err, errBlockGone)
	}
}

// iotestOneByte reads one byte at a time.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// TestBodyClosedWhileRead closes bodies under their readers; the checked builds see who is late.
func TestBodyClosedWhileRead(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	var open bodies
	for range 50 {
		blk := testBlock(t, tg, &account, 0, 200)
		var wg sync.WaitGroup
		for range 3 {
			r, _ := open.newBody(blk)
			wg.Go(func() {
				got, err := io.ReadAll(r)
				if err == nil && bytes.Contains(got, bytes.Repeat([]byte{0xdb}, 16)) {
					t.Error("read memory which was given back")
				}
			})
			wg.Go(func() { r.Close() })
		}
		blk.release()
		wg.Wait()
	}
	if n := account.Load(); n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

// rudeServer answers before it has read, resets connections, and otherwise checks what it got: the header X-Sum holds
// the checksum which the body must have.
type rudeServer struct {
	n       atomic.Int64
	foreign atomic.Int64
	whole   atomic.Int64
}

func (s *rudeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch n := s.n.Add(1); n % 8 {
	case 0: // an answer before anything is read
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case 1:
		_, _ = io.ReadFull(r.Body, make([]byte, 100))
		w.WriteHeader(http.StatusBadRequest)
		return
	case 2: // early success
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	case 3: // reset
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		panic(http.ErrAbortHandler)
	case 4: // slow enough for the client to cancel
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	got, err := io.ReadAll(r.Body)
	if err != nil || int64(len(got)) != r.ContentLength {
		return
	}
	s.whole.Add(1)
	if sum(got) != r.Header.Get("X-Sum") {
		s.foreign.Add(1)
	}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// TestBodiesOverHTTP sends many blocks at once to a server which answers early, resets and lets clients cancel, and uses
// the blocks' memory again as soon as it is given back. No request may carry a byte which is not its own.
func TestBodiesOverHTTP(t *testing.T) {
	f := func(t *testing.T, http2 bool) {
		rude := new(rudeServer)
		s := httptest.NewUnstartedServer(rude)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		h := DefaultHTTP()
		if s.EnableHTTP2 = http2; http2 {
			s.StartTLS()
			h.EnableHTTP2 = true
			h.TLSConfig.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
		} else {
			s.Start()
		}
		defer s.Close()

		// Few buffers are kept, so that memory is in use again at once.
		pool := bufpooltest.NewWith(t, bufpool.Options{MaxIdleBytes: 4 << 20})
		tg := newTarget(t, pool)
		var account atomic.Int64
		var open bodies
		sets := make([]string, 256)
		for i := range sets {
			for j := range 6 { // noise, so that blocks have several segments
				sets[i] += sum([]byte{byte(i), byte(j)})
			}
		}
		for i := range sets {
			tg.set(t, "__name__", "m", "v", sets[i])
		}
		var next atomic.Int64
		var clients sync.WaitGroup
		var mu sync.Mutex // of the builder's label store, which is for one goroutine
		rounds, senders := int64(300), 8
		if *long {
			rounds, senders = 3400, 64 // 10,200 sends
		}
		for range senders {
			clients.Go(func() {
				c := clientTo(t, Destination{URL: s.URL, HTTP: h, Timeout: 5 * time.Second})
				defer closeIdle(c.rt)
				real, sumOf := c.rt, ""
				c.rt = roundTripper(func(r *http.Request) (*http.Response, error) {
					r.Header.Set("X-Sum", sumOf)
					return real.RoundTrip(r)
				})
				for n := next.Add(1); n <= rounds; n = next.Add(1) {
					b := newBuilder(pool, &account)
					mu.Lock()
					for i := range 1 + int(n)%40*6 {
						id := tg.sets["__name__\xffm\xffv\xff"+sets[(i+int(n))%len(sets)]]
						r := row{refs: tg.store.AppendRefs(nil, id), value: float64(n) * 1.7, tsMillis: n * int64(i)}
						b.append(tg.dict, &r, 64<<20)
					}
					mu.Unlock()
					blk := seal(&b, 0, time.Now())
					sumOf = sum(blockBytes(blk))
					for attempt := range 3 {
						ctx, cancel := context.WithCancel(t.Context())
						if n%5 == 0 {
							time.AfterFunc(time.Duration(n%7)*time.Millisecond, cancel)
						}
						c.send(ctx, &open, blk, attempt, nil)
						cancel()
					}
					blk.release()
				}
			})
		}
		clients.Wait()
		if rude.whole.Load() == 0 {
			t.Error("no request arrived whole")
		}
		if n := rude.foreign.Load(); n != 0 {
			t.Errorf("%d of %d bodies held foreign bytes", n, rude.whole.Load())
		}
		// The transports close what they still have; bufpooltest waits for the buffers.
		deadline := time.Now().Add(2 * time.Second)
		for open.count() > 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if n := open.count(); n != 0 {
			t.Errorf("%d bodies were never closed by the transport", n)
		}
	}
	t.Run("HTTP1", func(t *testing.T) { f(t, false) })
	t.Run("HTTP2", func(t *testing.T) { f(t, true) })
}

// clientTo returns a client for d.
func clientTo(t testing.TB, d Destination) *client {
	t.Helper()
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.parseURL()
	if err != nil {
		t.Fatal(err)
	}
	d = d.withDefaults(o)
	tr, err := newTransport(d, u, o)
	if err != nil {
		t.Fatal(err)
	}
	return &client{d, tr}
}

// TestTransportWhichNeverCloses has a transport that breaks its contract: it keeps the body.
func TestTransportWhichNeverCloses(t *testing.T) {
	pool := bufpooltest.New(t)
	tg := newTarget(t, pool)
	var kept []io.ReadCloser
	var mu sync.Mutex
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		kept = append(kept, r.Body)
		mu.Unlock()
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	w, err := New(Options{Protocol: Protocol1, Pool: pool, Destinations: []Destination{{URL: "http://a.example/", Transport: rt}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	tg.commit(t, w, 0, 3000, 1) // a block which is not copied
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(kept) != 1 {
		t.Fatalf("%d requests, want 1", len(kept))
	}
	if n, err := kept[0].Read(make([]byte, 10)); err == nil || n != 0 {
		t.Errorf("Read after Run = %d, %v, want an error", n, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSmallBodyIsOneWrite counts what a connection is given for a small block, and for a large one.
func TestSmallBodyIsOneWrite(t *testing.T) {
	var got []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
	}))
	defer s.Close()
	var writes atomic.Int64
	rt := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return writeCounter{c, &writes}, err
	}}
	defer rt.CloseIdleConnections()
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	var open bodies
	for _, rows := range []int{10, 3000} {
		blk := testBlock(t, tg, &account, 0, rows)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := open.attach(req, blk, nil); err != nil {
			t.Fatal(err)
		}
		writes.Store(0)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n, small := writes.Load(), blk.bytes <= copiedBytes; (n == 1) != small || small != (rows == 10) || !bytes.Equal(got, blockBytes(blk)) {
			t.Errorf("a block of %d bytes took %d writes, and arrived as %d bytes", blk.bytes, n, len(got))
		}
		blk.release()
	}
	open.close() // the transport closes a body when it gets to it
}

type writeCounter struct {
	net.Conn
	n *atomic.Int64
}

func (c writeCounter) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}
