package farm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"scraper/bench/body"
	"scraper/bench/sink"
)

func get(t *testing.T, client *http.Client, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

func newClient(t *testing.T, tlsConfig *tls.Config) *http.Client {
	tr := &http.Transport{DisableCompression: true, TLSClientConfig: tlsConfig}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func newFarm(t *testing.T, opts Options) *Farm {
	f := New(opts)
	t.Cleanup(f.Close)
	return f
}

func count(text []byte) (samples int) {
	for line := range bytes.Lines(text) {
		if line[0] != '#' {
			samples++
		}
	}
	return samples
}

// Whatever the framing, an answer is the source's text, and the next one has moved.
func TestServe(t *testing.T) {
	for name, tc := range map[string]struct {
		target *Target
		series int
	}{
		"plain":          {&Target{}, 500},
		"small":          {&Target{}, 20},
		"large":          {&Target{}, 5000},
		"chunked":        {&Target{Chunked: true}, 500},
		"gzip":           {&Target{Gzip: true}, 500},
		"gzip, large":    {&Target{Gzip: true}, 30_000},
		"gzip, chunked":  {&Target{Gzip: true, Chunked: true}, 5000},
		"small, chunked": {&Target{Chunked: true}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, Options{})
			target := tc.target
			target.Source = body.NewPlain(body.Plain{Series: tc.series})
			if err := f.Add(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			client := newClient(t, nil)
			var last []byte
			for i := range 3 {
				resp, text := get(t, client, "http://"+target.Address()+"/metrics", "Accept-Encoding", "gzip")
				if got := resp.Header.Get("Content-Encoding") == "gzip"; got != target.Gzip {
					t.Errorf("answer %d: gzip = %v, want %v", i, got, target.Gzip)
				}
				if target.Gzip {
					r, err := gzip.NewReader(bytes.NewReader(text))
					if err != nil {
						t.Fatal(err)
					}
					if text, err = io.ReadAll(r); err != nil {
						t.Fatal(err)
					}
				}
				if got := count(text); got != tc.series {
					t.Errorf("answer %d has %d samples, want %d", i, got, tc.series)
				}
				if bytes.Equal(text, last) {
					t.Errorf("answer %d is that before", i)
				}
				last = text
			}
			if scrapes, samples := f.Served(); scrapes != 3 || samples != int64(3*tc.series) {
				t.Errorf("Served() = %d, %d, want 3, %d", scrapes, samples, 3*tc.series)
			}
			if got := len(target.Arrivals(time.Time{}, time.Now())); got != 3 {
				t.Errorf("%d arrivals, want 3", got)
			}
			if got := f.Connections(); got != 1 {
				t.Errorf("%d connections, want 1", got)
			}
		})
	}
}

func TestNegotiation(t *testing.T) {
	f := newFarm(t, Options{})
	target := &Target{Gzip: true, Source: body.NewApplication(1, 50, false), OpenMetrics: body.NewApplication(1, 50, true)}
	if err := f.Add(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	client, url := newClient(t, nil), "http://"+target.Address()+"/metrics"
	if resp, text := get(t, client, url); resp.Header.Get("Content-Encoding") != "" || count(text) != 50 {
		t.Errorf("gzip came unasked for, or not 50 samples in %q", text)
	}
	if _, text := get(t, client, url, "Accept", "application/openmetrics-text;version=1.0.0,text/plain"); !strings.HasSuffix(string(text), "# EOF\n") {
		t.Error("an agent which accepts OpenMetrics got something else")
	}
	if resp, _ := get(t, client, "http://"+target.Address()+"/nothing"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("status = %d, want 404", resp.StatusCode)
	}
	if got := f.Refused(); got != 1 {
		t.Errorf("Refused() = %d, want 1", got)
	}
}

func TestTLSWithToken(t *testing.T) {
	cert, err := sink.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	f := newFarm(t, Options{TLS: cert.Config(), Token: "secret"})
	kubelet := &Target{Path: "/metrics", TLS: true, Source: body.NewProbes(10)}
	probes := &Target{Path: "/metrics/probes", TLS: true, Source: body.NewProbes(7)}
	if err := f.Add(t.Context(), kubelet, probes); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, &tls.Config{RootCAs: cert.Pool(), ServerName: sink.ServerName})
	if resp, _ := get(t, client, "https://"+probes.Address()+"/metrics/probes"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status without a token = %d, want 401", resp.StatusCode)
	}
	if _, text := get(t, client, "https://"+probes.Address()+"/metrics/probes", "Authorization", "Bearer secret"); count(text) != 7 {
		t.Errorf("%d samples, want 7", count(text))
	}
}

// After Hold, nothing is answered, and nothing more is counted.
func TestHold(t *testing.T) {
	f := newFarm(t, Options{})
	target := &Target{Source: body.NewProbes(10)}
	if err := f.Add(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	client, url := newClient(t, nil), "http://"+target.Address()+"/metrics"
	get(t, client, url)
	f.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("a request was answered after Hold")
	}
	if scrapes, _ := f.Served(); scrapes != 1 {
		t.Errorf("%d scrapes served, want 1", scrapes)
	}
}

func TestRemove(t *testing.T) {
	f := newFarm(t, Options{})
	target := &Target{Source: body.NewProbes(10)}
	if err := f.Add(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	client, url := newClient(t, nil), "http://"+target.Address()+"/metrics"
	get(t, client, url)
	f.Remove(target)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("a target which was removed answered")
	}
}
