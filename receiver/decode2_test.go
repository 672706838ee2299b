package receiver

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/snappy"
)

func refsField(refs ...uint64) []byte {
	var b []byte
	for _, r := range refs {
		b = binary.AppendUvarint(b, r)
	}
	return bytesField(1, b)
}

func symbols(texts ...string) []byte {
	var b []byte
	for _, s := range texts {
		b = append(b, bytesField(4, []byte(s))...)
	}
	return b
}

// TestVersion2 sends requests of remote write 2.0, and looks at what is answered and kept.
func TestVersion2(t *testing.T) {
	const ct = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	sample := bytesField(2, sampleMessage(at(1000, 1.5)))
	good := bytesField(5, join(refsField(1, 2, 3, 4), sample, bytesField(4, refsField(3, 4)), bytesField(5, varintField(1, 1))))
	nameless := bytesField(5, join(refsField(3, 4), sample))
	f := func(name string, on bool, msg []byte, wantStatus int, wantWritten string) {
		t.Helper()
		r, err := New(Options{Version2: on})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodPost, WritePath, bytes.NewReader(snappy.Encode(nil, msg)))
		req.Header.Set("Content-Type", ct)
		req.Header.Set("Content-Encoding", "snappy")
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		written := w.Header().Get("X-Prometheus-Remote-Write-Samples-Written")
		if w.Code != wantStatus || written != wantWritten {
			t.Errorf("%s: answer %d %q, %q written, want %d and %q", name, w.Code, w.Body, written, wantStatus, wantWritten)
		}
		if n := len(r.Series(map[string]string{"__name__": "m", "a": "b"})); (n == 1) != (wantWritten == "1") {
			t.Errorf("%s: %d series are kept", name, n)
		}
		if got := r.Totals(); wantStatus == 204 && (got.Exemplars != 1 || got.Metadata != 1 || got.Samples != 1) {
			t.Errorf("%s: totals %+v", name, got)
		}
	}
	all := symbols("", "__name__", "m", "a", "b")
	f("good", true, join(all, good), 204, "1")
	f("symbols behind", true, join(good, all), 204, "1")
	f("one of two", true, join(all, nameless, good), 400, "1")
	f("not asked for", false, join(all, good), 415, "")
	f("no symbols", true, good, 400, "")
	f("first symbol", true, join(symbols("__name__", "m"), good), 400, "")
	f("no such symbol", true, join(symbols("", "__name__"), good), 400, "")
	f("odd references", true, join(all, bytesField(5, join(refsField(1, 2, 3), sample))), 400, "")
	f("version 1", true, writeRequest(series([]Sample{at(1000, 1)}, "__name__", "m")), 400, "")
}
