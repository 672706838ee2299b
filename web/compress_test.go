package web

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestAcceptsGzip(t *testing.T) {
	f := func(v string, want bool) {
		t.Helper()
		if got := acceptsGzip(http.Header{"Accept-Encoding": {v}}); got != want {
			t.Errorf("acceptsGzip(%q) = %t, want %t", v, got, want)
		}
	}
	f("", false)
	f("gzip", true)
	f("deflate, GZIP;q=0.5", true)
	f("gzip;q=0", false)
	f("gzip; q=0.000, *", false)
	f("*", true)
	f("*;q=0, gzip", true)
	f("br, zstd", false)
	f("gzip;q=x", false)
	if acceptsGzip(http.Header{}) {
		t.Error("acceptsGzip() = true, want false")
	}
}

// TestCompression: what is decompressed is what would have been sent otherwise, and it pays.
func TestCompression(t *testing.T) {
	o := options()
	o.Targets = manyTargets(1000)
	s := newServer(t, o)
	for _, path := range []string{"/targets", "/api/v1/targets"} {
		want := text(t, ask(t, s, local, "GET", path, ""))
		res := ask(t, s, local, "GET", path, "", "Accept-Encoding", "gzip")
		if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Content-Length") != "" {
			t.Errorf("GET %s: Content-Encoding %q, Content-Length %q", path, res.Header.Get("Content-Encoding"), res.Header.Get("Content-Length"))
		}
		wire := text(t, res)
		res = ask(t, s, local, "GET", path, "", "Accept-Encoding", "gzip")
		zr, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(zr)
		// The age of a scrape may have gone on between the two.
		if err != nil || len(got) < len(want)*9/10 || len(got) > len(want)*11/10 {
			t.Errorf("GET %s decompresses to %d bytes, %v, want about %d", path, len(got), err, len(want))
		}
		if len(wire) > len(want)/4 {
			t.Errorf("GET %s is %d bytes of %d when compressed", path, len(wire), len(want))
		}
	}
	res := ask(t, s, local, "GET", "/version", "", "Accept-Encoding", "gzip")
	if body := text(t, res); res.Header.Get("Content-Encoding") != "" || res.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
		t.Errorf("a short answer has headers %v, want it plain", res.Header)
	}
	res = ask(t, s, local, "HEAD", "/targets", "", "Accept-Encoding", "gzip")
	if body := text(t, res); body != "" || res.StatusCode != 200 {
		t.Errorf("HEAD /targets = %d with %d bytes", res.StatusCode, len(body))
	}
}
