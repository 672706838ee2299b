package sink

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"math"
	"net/http"
	"testing"

	"github.com/klauspost/compress/snappy"

	"scraper/receiver"
)

// push sends samples of series, one each, as an agent would.
func push(t *testing.T, client *http.Client, s *Sink, token string, series ...string) int {
	t.Helper()
	field := func(num int, data []byte) []byte {
		b := binary.AppendUvarint(nil, uint64(num)<<3|2)
		return append(binary.AppendUvarint(b, uint64(len(data))), data...)
	}
	var msg []byte
	for _, one := range series {
		var ts []byte
		for _, l := range AppendLabels(nil, []byte(one)) {
			ts = append(ts, field(1, append(field(1, []byte(l.Name)), field(2, []byte(l.Value))...))...)
		}
		value := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(1))
		ts = append(ts, field(2, append(value, 2<<3, 1))...)
		msg = append(msg, field(1, ts)...)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), bytes.NewReader(snappy.Encode(nil, msg)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func start(t *testing.T, opts Options) *Sink {
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCheckFindsGapsAndDoubles(t *testing.T) {
	s := start(t, Options{PerSeries: true})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	const a, b, c, d = `a{x="1"}`, `a{x="2",y="3"}`, `c`, `d{le="5"}`
	push(t, client, s, "", a, b)
	push(t, client, s, "", d, `d{le="5.0"}`)
	push(t, client, s, "", a, b)
	push(t, client, s, "", a)
	got := s.Check(func(yield func([]receiver.Label, int)) {
		for _, series := range []string{a, b, c, d} {
			yield(AppendLabels(nil, []byte(series)), 2)
		}
	})
	if want := (Judgement{Series: 4, Missing: 2, Doubles: 1}); got != want {
		t.Errorf("Check() = %+v, want %+v", got, want)
	}
}

// What stands between an agent and the receiver: TLS, the token, an outage; and what came over the wire is counted.
func TestGateway(t *testing.T) {
	cert, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{TLS: cert.Config(), Token: "secret"})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cert.Pool(), ServerName: ServerName}}}
	defer client.CloseIdleConnections()
	if got := push(t, client, s, "wrong", "a"); got != http.StatusUnauthorized {
		t.Errorf("status with a wrong token = %d, want 401", got)
	}
	if !s.First().IsZero() {
		t.Error("First() is set before a sample arrived")
	}
	if got := push(t, client, s, "secret", "a"); got != http.StatusNoContent {
		t.Errorf("status = %d, want 204", got)
	}
	if s.First().IsZero() {
		t.Error("First() is not set after a sample arrived")
	}
	s.SetDown(true)
	if got := push(t, client, s, "secret", "a"); got != http.StatusServiceUnavailable {
		t.Errorf("status in an outage = %d, want 503", got)
	}
	c := s.Counts()
	if c.Samples != 1 || c.Unavailable != 2 || c.WireBytes <= c.BodyBytes || c.BodyBytes == 0 {
		t.Errorf("Counts() = %+v, want 1 sample, 2 unavailable, and more bytes on the wire than in bodies", c)
	}
}
