package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scraper/internal/memnet"
	"scraper/transport"
)

const headerLimit = 16 << 10

// ways are the two round trippers which must agree, each asked what the server says after a request.
type ways struct {
	ours   *transport.Transport
	theirs *http.Transport
	text   string // the answer, after which the server closes
}

func newWays(t testing.TB) *ways {
	w := &ways{}
	log.SetOutput(io.Discard) // net/http writes there what servers send without being asked
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var n memnet.Network
	l, err := n.Listen("target:80")
	if err != nil {
		t.Fatal(err)
	}
	script(t, l, func(_ int, c net.Conn) {
		if _, ok := readRequest(bufio.NewReader(c)); ok {
			_, _ = io.WriteString(c, w.text)
		}
	})
	w.ours = newTransport(t, transport.Options{DialContext: n.DialContext, MaxHeaderBytes: headerLimit})
	w.theirs = &http.Transport{DialContext: n.DialContext, MaxResponseHeaderBytes: headerLimit, DisableCompression: true}
	t.Cleanup(w.theirs.CloseIdleConnections)
	return w
}

func (w *ways) ask(method, text string) (ours, theirs answer) {
	w.text = text
	w.theirs.CloseIdleConnections() // the connection is dead, which it may not have noticed
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ours = ask(ctx, w.ours, method, "http://target/")
	theirs = ask(ctx, w.theirs, method, "http://target/")
	return ours, theirs
}

// compare says where the two differ in what a user would notice.
func compare(ours, theirs answer) string {
	for _, err := range []error{ours.failed(), theirs.failed()} {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Sprintf("one of the two did not end: ours %v, net/http's %v", ours.failed(), theirs.failed())
		}
	}
	if (ours.err != nil) != (theirs.err != nil) {
		return fmt.Sprintf("the error is %v, net/http's is %v", ours.err, theirs.err)
	}
	if (ours.bodyErr != nil) != (theirs.bodyErr != nil) {
		return fmt.Sprintf("the body's error is %v, net/http's is %v", ours.bodyErr, theirs.bodyErr)
	}
	if errors.Is(theirs.bodyErr, io.ErrUnexpectedEOF) && !errors.Is(ours.bodyErr, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("the body's error is %v, net/http's is %v", ours.bodyErr, theirs.bodyErr)
	}
	type shown struct {
		Status          int
		Header, Trailer http.Header
		Body            string
	}
	return cmp.Diff(shown{theirs.status, theirs.header, theirs.trailer, theirs.body}, shown{ours.status, ours.header, ours.trailer, ours.body})
}

var long = strings.Repeat("0123456789", 2000)

// answers are what servers say. wantErr is part of an error of RoundTrip or of the body; without it the body is want.
var answers = []struct {
	name, text, want, wantErr string
	status                    int
	method                    string
}{
	{name: "length", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n", want: "up 1\n"},
	{name: "length 0", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{name: "bare newlines", status: 200, text: "HTTP/1.1 200 OK\nContent-Length: 5\n\nup 1\n", want: "up 1\n"},
	{name: "no reason", status: 200, text: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", wantErr: ""},
	{name: "no length", status: 200, text: "HTTP/1.1 200 OK\r\n\r\nuntil close", want: "until close"},
	{name: "HTTP/1.0", status: 200, text: "HTTP/1.0 200 OK\r\n\r\nuntil close", want: "until close"},
	{name: "HTTP/1.0 with length", status: 200, text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "HTTP/1.0 chunked", status: 200, text: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", want: "2\r\nok\r\n0\r\n\r\n"},
	{name: "chunked", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup 1\n\r\n4\r\na 2\n\r\n0\r\n\r\n", want: "up 1\na 2\n"},
	{name: "chunk extensions", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nup 1\n\r\n0;last\r\n\r\n", want: "up 1\n"},
	{name: "trailers", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Unannounced: 2\r\n\r\n", want: "ok"},
	{name: "endless trailers", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + long + "\r\n\r\n", wantErr: "suspiciously long trailer"},
	{name: "large chunks", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + long + "\r\n0\r\n\r\n", want: long},
	{name: "no chunk size", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n", wantErr: "invalid byte in chunk length"},
	{name: "negative chunk size", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", wantErr: "invalid byte in chunk length"},
	{name: "huge chunk size", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n", wantErr: "chunk length too large"},
	{name: "endless chunk header", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + long + "\r\nok\r\n0\r\n\r\n", wantErr: "header line too long"},
	{name: "chunk without its end", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", wantErr: "malformed chunked encoding"},
	{name: "chunked and length", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", want: "ok"},
	{name: "other transfer encoding", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", wantErr: `unsupported transfer encoding: "gzip"`},
	{name: "two transfer encodings", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\nx", wantErr: "too many transfer encodings"},
	{name: "interim answers", status: 200, text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "storm of interim answers", text: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", wantErr: ""},
	{name: "204", status: 204, text: "HTTP/1.1 204 No Content\r\n\r\n"},
	{name: "204 with length", status: 204, text: "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"},
	{name: "304", status: 304, text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
	{name: "redirect", status: 301, text: "HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "500", status: 500, text: "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", want: "oops"},
	{name: "unknown status", status: 999, text: "HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n"},
	{name: "HEAD", method: "HEAD", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"},
	{name: "HEAD chunked", method: "HEAD", status: 200, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{name: "HEAD with a body", method: "HEAD", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	{name: "more than its length", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", want: "ok"},
	{name: "less than its length", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", wantErr: "unexpected EOF"},
	{name: "equal lengths", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", wantErr: "multiple Content-Length"},
	{name: "negative length", text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", wantErr: `bad Content-Length "-1"`},
	{name: "length with a sign", text: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", wantErr: "bad Content-Length"},
	{name: "huge length", text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", wantErr: "bad Content-Length"},
	{name: "length of words", text: "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", wantErr: "bad Content-Length"},
	{name: "length and connection: close", status: 200, text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "nothing", text: "", wantErr: "unexpected EOF"},
	{name: "noise", text: "\x00\x01\x02\r\n\r\n", wantErr: "malformed HTTP"},
	{name: "a newline", text: "\r\n\r\n", wantErr: "malformed HTTP"},
	{name: "not HTTP", text: "SSH-2.0-OpenSSH_9.2p1\r\n", wantErr: "malformed HTTP response"},
	{name: "TLS alert", text: "\x15\x03\x01\x00\x02\x02\x16", wantErr: "the server answers in TLS"},
	{name: "bad status", text: "HTTP/1.1 2x0 OK\r\n\r\n", wantErr: "malformed HTTP status code"},
	{name: "short status", text: "HTTP/1.1 20 OK\r\n\r\n", wantErr: "malformed HTTP status code"},
	{name: "bad version", text: "HTTP/1.x 200 OK\r\n\r\n", wantErr: "malformed HTTP version"},
	{name: "bad header", text: "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", wantErr: "malformed MIME header"},
	{name: "bad header name", text: "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n", status: 200},
	{name: "folded header", status: 200, text: "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "large header", status: 200, text: "HTTP/1.1 200 OK\r\nX: " + long[:headerLimit-200] + "\r\nContent-Length: 2\r\n\r\nok", want: "ok"},
	{name: "endless header line", text: "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n", wantErr: "larger"},
	{name: "endless status line", text: "HTTP/1.1 200 " + long + "\r\n\r\n", wantErr: "larger"},
	{name: "endless headers", text: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+long[:100]+"\r\n", 400) + "\r\n", wantErr: "larger"},
	{name: "endless short headers", text: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 4000) + "\r\n", wantErr: "the answer's header is too large: more than 1000 lines"},
	{name: "a body of short lines", status: 200, text: "HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + strings.Repeat("\n", 8000)},
}

func TestAnswers(t *testing.T) {
	w := newWays(t)
	for _, a := range answers {
		method := a.method
		if method == "" {
			method = "GET"
		}
		ours, theirs := w.ask(method, a.text)
		if diff := compare(ours, theirs); diff != "" {
			t.Errorf("%s: the answer is not net/http's (-net/http, +ours):\n%s", a.name, diff)
		}
		err := ours.failed()
		switch {
		case a.wantErr == "larger":
			if !errors.Is(err, transport.ErrHeaderTooLarge) || !strings.Contains(err.Error(), "more than 16384 bytes (transport.Options.MaxHeaderBytes)") {
				t.Errorf("%s: RoundTrip = %.200v, want ErrHeaderTooLarge", a.name, err)
			}
		case a.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), a.wantErr) {
				t.Errorf("%s: RoundTrip = %.200v, want error with %q", a.name, err, a.wantErr)
			}
		case a.status != 0 && (err != nil || a.status != ours.status || a.want != "" && a.want != ours.body):
			t.Errorf("%s: RoundTrip = %d %.100q, %v, want %d %.100q", a.name, ours.status, ours.body, err, a.status, a.want)
		}
		if err != nil && len(err.Error()) > 1200 {
			t.Errorf("%s: the error has %d bytes, want what fits in a log line", a.name, len(err.Error()))
		}
		if a.status == 0 && err == nil {
			t.Errorf("%s: RoundTrip = %d %.100q, want an error", a.name, ours.status, ours.body)
		}
	}
}

// A server which switches protocols without being asked is wrong; net/http would hand out the connection.
func TestSwitchingProtocols(t *testing.T) {
	ours, _ := newWays(t).ask("GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello")
	if ours.err == nil || !strings.Contains(ours.err.Error(), "switches to another protocol") {
		t.Errorf("RoundTrip = %d %q, %v, want an error", ours.status, ours.body, ours.err)
	}
}

// However an answer is cut, the cut is noticed, unless nothing says where the answer ends.
func TestAnswersCutEverywhere(t *testing.T) {
	w := newWays(t)
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;x=y\r\nup 1\n\r\n2\r\na \r\n2\r\n2\n\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
	} {
		for i := range len(text) {
			ours, theirs := w.ask("GET", text[:i])
			if ours.failed() == nil || !errors.Is(ours.failed(), io.ErrUnexpectedEOF) && !strings.Contains(ours.failed().Error(), "malformed") {
				t.Errorf("RoundTrip of %q = %d %q, %v, want io.ErrUnexpectedEOF", text[:i], ours.status, ours.body, ours.failed())
			}
			if diff := compare(ours, theirs); diff != "" {
				t.Errorf("the answer %q is not net/http's (-net/http, +ours):\n%s", text[:i], diff)
			}
		}
	}
}

// A connection which breaks within an answer is that answer's error.
func TestAnswerReset(t *testing.T) {
	l, url, o := memory(t)
	cut := 0
	const text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n"
	script(t, l, func(_ int, c net.Conn) {
		if _, ok := readRequest(bufio.NewReader(c)); ok {
			_, _ = io.WriteString(c, text[:cut])
			// What was written is lost if it has not been read yet, as with TCP.
			c.(*memnet.Conn).Reset()
		}
	})
	tr := newTransport(t, o)
	for cut = range len(text) {
		a := get(t, tr, url)
		if a.failed() == nil {
			t.Errorf("RoundTrip with a reset after %d bytes = %d %q, want an error", cut, a.status, a.body)
		}
	}
	if s := tr.Stats(); s.Retries != 0 || s.Dials != uint64(len(text)) {
		t.Errorf("Stats() = %+v, want no retries on new connections", s)
	}
}

// After each of these the connection is kept, or not.
func TestWhatIsKept(t *testing.T) {
	f := func(text string, kept bool) {
		t.Helper()
		l, url := loopback(t)
		script(t, l, answering(text, nil))
		tr := newTransport(t, transport.Options{})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			a := ask(ctx, tr, "GET", url)
			cancel()
			if err := a.failed(); err != nil {
				t.Errorf("RoundTrip of %q = %v, want nil", text, err)
			}
		}
		want := uint64(3)
		if kept {
			want = 1
		}
		if s := tr.Stats(); s.Dials != want || s.Open > 1 || kept != (s.IdlePlain == 1) {
			t.Errorf("Stats() after three answers %q = %+v, want %d dials", text, s, want)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true)
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", true)
	f("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok", true)
	f("HTTP/1.1 204 No Content\r\n\r\n", true)
	f("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", true)
	f("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false)
	f("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n", false) // garbage behind it
	f("HTTP/1.1 204 No Content\r\n\r\nok", false)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", false)
}

func FuzzAnswers(f *testing.F) {
	for _, a := range answers {
		f.Add(a.method == "HEAD", a.text)
	}
	w := newWays(f)
	f.Fuzz(func(t *testing.T, head bool, text string) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		ours, theirs := w.ask(method, text)
		if theirs.status == http.StatusSwitchingProtocols {
			if ours.err == nil {
				t.Errorf("RoundTrip of %q = %d, want an error", text, ours.status)
			}
			return
		}
		if diff := compare(ours, theirs); diff != "" {
			t.Errorf("the answer %q is not net/http's (-net/http, +ours):\n%s", text, diff)
		}
	})
}
