package receiver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

func newReceiver(t testing.TB, opts Options) *Receiver {
	t.Helper()
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// push posts a body and returns the answer. Headers are names and values in turn.
func push(t testing.TB, r *Receiver, body []byte, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, WritePath, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// mustPush posts series and wants them taken.
func mustPush(t testing.TB, r *Receiver, all ...ts) {
	t.Helper()
	if w := push(t, r, body(all...)); w.Code != http.StatusNoContent {
		t.Fatalf("push = %d %s, want 204", w.Code, w.Body)
	}
}

func TestAnswers(t *testing.T) {
	good := body(series([]Sample{at(1, 1)}, "__name__", "m"))
	claim := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	for _, tc := range []struct {
		name    string
		body    []byte
		headers []string
		want    int
		reason  string
	}{
		{"good", good, nil, 204, ""},
		{"no headers mean 1.0", good, []string{"Content-Type", "", "Content-Encoding", ""}, 204, ""},
		{"1.0 named", good, []string{"Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest"}, 204, ""},
		{"no series", snappy.Encode(nil, nil), nil, 204, ""},
		{"2.0", good, []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, 415, "io.prometheus.write.v2.Request"},
		{"JSON", good, []string{"Content-Type", "application/json"}, 415, "application/json"},
		{"broken content type", good, []string{"Content-Type", "a/b;;c"}, 415, "content type"},
		{"zstd", good, []string{"Content-Encoding", "zstd"}, 415, "zstd"},
		{"gzip", good, []string{"Content-Encoding", "gzip"}, 415, "gzip"},
		{"no body", nil, nil, 400, "snappy"},
		{"not snappy", []byte("hello, world"), nil, 400, "snappy"},
		{"snappy cut", good[:len(good)-1], nil, 400, "snappy"},
		{"snappy which claims more than it can hold", claim(1 << 19), nil, 400, "cannot hold"},
		{"body too large", make([]byte, 2001), nil, 413, "MaxBodyBytes"},
		{"decompressed too large", claim(1<<20 + 1), nil, 413, "MaxDecodedBytes"},
		{"decompressed far too large", claim(1 << 40), nil, 400, "snappy"},
		{"not protobuf", snappy.Encode(nil, []byte("hello, world")), nil, 400, "decode write request"},
		{"no name", body(series([]Sample{at(1, 1)}, "a", "b")), nil, 400, "no metric name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t, Options{MaxBodyBytes: 2000, MaxDecodedBytes: 1 << 20})
			w := push(t, r, tc.body, tc.headers...)
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.reason) {
				t.Errorf("push = %d %q, want %d and %q", w.Code, w.Body, tc.want, tc.reason)
			}
			tot := r.Totals()
			if got := tot.Accepted == 1; got != (tc.want == 204) || tot.Requests != 1 || tot.Accepted+tot.Refused != 1 {
				t.Errorf("Totals() = %+v after answer %d", tot, w.Code)
			}
		})
	}
}

// Zstd is taken where that is asked for, with the same limits.
func TestZstd(t *testing.T) {
	pack := func(message []byte) []byte {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		return w.EncodeAll(message, nil)
	}
	message, err := snappy.Decode(nil, body(series([]Sample{at(1, 1)}, "__name__", "up")))
	if err != nil {
		t.Fatal(err)
	}
	good := pack(message)
	for _, tc := range []struct {
		name     string
		body     []byte
		encoding string
		want     int
		reason   string
	}{
		{"good", good, "zstd", 204, ""},
		{"named otherwise", good, "ZSTD", 204, ""},
		{"snappy as before", snappy.Encode(nil, message), "snappy", 204, ""},
		{"gzip", good, "gzip", 415, "gzip"},
		{"no body", nil, "zstd", 400, "zstd"},
		{"not zstd", []byte("hello, world"), "zstd", 400, "zstd"},
		{"cut", good[:len(good)-1], "zstd", 400, "zstd"},
		{"decompressed too large", pack(make([]byte, 1<<20+1)), "zstd", 413, "MaxDecodedBytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReceiver(t, Options{Zstd: true, MaxDecodedBytes: 1 << 20})
			w := push(t, r, tc.body, "Content-Encoding", tc.encoding)
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.reason) {
				t.Errorf("push = %d %q, want %d and %q", w.Code, w.Body, tc.want, tc.reason)
			}
			if got := r.Totals().Samples; got != 1 && tc.want == 204 {
				t.Errorf("%d samples arrived, want 1", got)
			}
		})
	}
}

// The limit holds where the client does not say how much it will send.
func TestBodyLimitWithoutLength(t *testing.T) {
	r := newReceiver(t, Options{MaxBodyBytes: 1000})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, WritePath, io.LimitReader(zeros{}, 1<<30))
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("push of an endless body = %d, want 413", w.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAborted(t *testing.T) {
	r := newReceiver(t, Options{})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, WritePath, io.MultiReader(strings.NewReader("x"), failing{}))
	r.ServeHTTP(httptest.NewRecorder(), req)
	if tot := r.Totals(); tot.Aborted != 1 || tot.Requests != 1 || tot.Refused != 0 {
		t.Errorf("Totals() = %+v after a body which broke off, want it aborted", tot)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestMethodsAndPaths(t *testing.T) {
	r := newReceiver(t, Options{})
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{"GET", WritePath, 405}, {"PUT", WritePath, 405}, {"POST", SeriesPath, 405}, {"GET", "/", 404},
		{"GET", SeriesPath, 200}, {"HEAD", SeriesPath, 200}, {"GET", TotalsPath, 200},
		{"GET", SeriesPath + "?limit=x", 400}, {"GET", SeriesPath + "?limit=-1", 400},
	} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, nil))
		if w.Code != tc.want {
			t.Errorf("%s %s = %d, want %d", tc.method, tc.path, w.Code, tc.want)
		}
	}
}

// A malformed request leaves nothing behind, not even the series before the damage.
func TestMalformedIsAtomic(t *testing.T) {
	r := newReceiver(t, Options{})
	msg := append(writeRequest(series([]Sample{at(1, 1)}, "__name__", "m")), 0xff)
	if w := push(t, r, snappy.Encode(nil, msg)); w.Code != 400 {
		t.Errorf("push = %d, want 400", w.Code)
	}
	if tot := r.Totals(); r.Len() != 0 || tot.Samples != 0 || tot.Checksum != 0 {
		t.Errorf("Len() = %d, Totals() = %+v, want nothing kept or counted", r.Len(), tot)
	}
}

// Of a request with some invalid series the others are taken, as real receivers do.
func TestInvalidSeriesAlone(t *testing.T) {
	r := newReceiver(t, Options{})
	w := push(t, r, body(
		series([]Sample{at(1, 1)}, "__name__", "m", "a", "1", "a", "2"),
		series([]Sample{at(1, 1)}, "__name__", "good")))
	if w.Code != 400 || !strings.Contains(w.Body.String(), `duplicate label name "a"`) {
		t.Errorf("push = %d %q, want 400 and the reason", w.Code, w.Body)
	}
	if got := r.Series(nil); len(got) != 1 || got[0].Name() != "good" {
		t.Errorf("Series(nil) = %v, want the good one alone", got)
	}
	if tot := r.Totals(); tot.Samples != 1 || tot.InvalidSeries != 1 || tot.Refused != 1 {
		t.Errorf("Totals() = %+v, want 1 sample, 1 invalid series, 1 refused", tot)
	}
}

func TestIntercept(t *testing.T) {
	var status int
	r := newReceiver(t, Options{Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if status == 0 {
			return false
		}
		w.WriteHeader(status)
		return true
	}})
	mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", "m"))
	status = 503
	if w := push(t, r, body(series([]Sample{at(2, 1)}, "__name__", "m"))); w.Code != 503 {
		t.Errorf("push = %d, want the hook's 503", w.Code)
	}
	if tot := r.Totals(); tot.Requests != 2 || tot.Intercepted != 1 || tot.Samples != 1 {
		t.Errorf("Totals() = %+v, want 2 requests, 1 intercepted, 1 sample", tot)
	}
}

func TestInterceptResetsConnection(t *testing.T) {
	r := newReceiver(t, Options{Intercept: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }})
	srv := httptest.NewServer(r)
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+WritePath, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := srv.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("push = %s, want the connection reset", resp.Status)
	}
	if tot := r.Totals(); tot.Intercepted == 0 || tot.Accepted != 0 {
		t.Errorf("Totals() = %+v, want the request intercepted", tot)
	}
}

func TestSeriesJSON(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r,
		series([]Sample{at(1000, math.Inf(1))}, "__name__", "b", "x", `q"`),
		series([]Sample{at(1000, 1.5), StaleMarker(2000)}, "__name__", "a"),
		series([]Sample{at(1000, math.NaN())}, "__name__", "c"))
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", SeriesPath+"?limit=2", nil))
	var got struct {
		Status string
		Total  int
		Data   []struct {
			Series, Value string
			Stale         bool
			Labels        map[string]string
			TimestampMS   int64 `json:"timestampMillis"`
			Samples       int
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("GET %s = %s: %v", SeriesPath, w.Body, err)
	}
	if got.Status != "success" || got.Total != 3 || len(got.Data) != 2 {
		t.Fatalf("GET %s = %s, want 2 of 3", SeriesPath, w.Body)
	}
	if a := got.Data[0]; a.Series != "a" || a.Value != "stale" || !a.Stale || a.TimestampMS != 2000 || a.Samples != 2 {
		t.Errorf("first = %+v, want a stale one", a)
	}
	if b := got.Data[1]; b.Series != `b{x="q\""}` || b.Value != "+Inf" || b.Labels["x"] != `q"` {
		t.Errorf("second = %+v, want b", b)
	}
}

// Whatever the body, there is an answer of a receiver, and memory is in proportion to the body.
func FuzzWrite(f *testing.F) {
	f.Add(body(series([]Sample{at(1, 1)}, "__name__", "m", "a", "b")))
	f.Add([]byte{0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Add(snappy.Encode(nil, bytes.Repeat([]byte{1<<3 | 2, 0}, 1000)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newReceiver(t, Options{MaxDecodedBytes: 1 << 20})
		switch w := push(t, r, body); w.Code {
		case 204, 400, 413:
		default:
			t.Errorf("push(%q) = %d %s", body, w.Code, w.Body)
		}
		s := r.free[0]
		if got, limit := cap(s.body)+cap(s.decoded)+s.decoder.scratchBytes(), 64<<10+64*snappyMaxRatio*len(body); got > limit {
			t.Errorf("push of %d bytes holds %d, want at most %d", len(body), got, limit)
		}
	})
}
