package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serve runs a server until the test ends, and returns it.
func serve(t *testing.T, r *Receiver) *Server {
	t.Helper()
	srv, err := r.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return srv
}

func post(ctx context.Context, c *http.Client, url string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestListenOnLoopbackOnly(t *testing.T) {
	r := newReceiver(t, Options{})
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "nonsense"} {
		if srv, err := r.Listen(addr); err == nil {
			srv.Close()
			t.Errorf("Listen(%q) succeeded, want it refused", addr)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", ":0"} {
		srv, err := r.Listen(addr)
		if err != nil {
			t.Errorf("Listen(%q) = %v, want a server", addr, err)
			continue
		}
		if err := errors.Join(srv.Close(), srv.Close()); err != nil {
			t.Errorf("Close twice = %v, want nil", err)
		}
	}
}

// Senders on many connections, readers meanwhile: all of it arrives, in order.
func TestConcurrency(t *testing.T) {
	const senders, requests, perRequest = 8, 30, 20
	r := newReceiver(t, Options{MaxConcurrentRequests: 3})
	srv := serve(t, r)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range requests {
				var all []ts
				for k := range perRequest {
					all = append(all, series([]Sample{at(int64(j), float64(k))}, "__name__", "m", "k", fmt.Sprint(k), "sender", fmt.Sprint(i)))
				}
				if status, err := post(t.Context(), client, srv.WriteURL(), body(all...)); err != nil || status != 204 {
					t.Errorf("post = %d, %v, want 204", status, err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				r.Series(map[string]string{"k": "1"})
				r.Latest(10, "m")
				r.Verify()
			}
		})
	}
	if err := r.Wait(t.Context(), func() bool { return r.Totals().Requests == senders*requests }); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := r.Verify().Err(); err != nil {
		t.Error(err)
	}
	found := r.Series(nil)
	if len(found) != senders*perRequest || r.Totals().Samples != senders*perRequest*requests {
		t.Errorf("%d series, %d samples, want %d and %d", len(found), r.Totals().Samples, senders*perRequest, senders*perRequest*requests)
	}
	for _, s := range found {
		if len(s.Samples) != requests || len(s.Gaps(1e6)) != 0 {
			t.Errorf("%s has %d samples, gaps %v, want %d and none", s, len(s.Samples), s.Gaps(1e6), requests)
		}
	}
}

// A hook which waits for the end of its request does not keep Run from returning, and does not outlive it.
func TestRunEndsHangingRequests(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, Options{Intercept: func(_ http.ResponseWriter, req *http.Request) bool {
		close(entered)
		<-req.Context().Done()
		close(left)
		return true
	}})
	srv, err := r.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	posted := make(chan error, 1)
	go func() {
		_, err := post(t.Context(), client, srv.WriteURL(), []byte("x"))
		posted <- err
	}()
	<-entered
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	select {
	case <-left:
	default:
		t.Error("Run returned before the hook did")
	}
	<-posted
}

func TestRequestFromSeveralReceivers(t *testing.T) {
	a, b := newReceiver(t, Options{}), newReceiver(t, Options{})
	mustPush(t, a, series([]Sample{at(1, 1)}, "__name__", "m"))
	if diff := cmp.Diff(Totals{}, b.Totals()); diff != "" {
		t.Errorf("a second receiver: (-want +got)\n%s", diff)
	}
}
