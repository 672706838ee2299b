package farm

import (
	"bytes"
	"cmp"
	"net"
	"time"

	"scraper/bench/body"
)

// maxHead bounds a request's head, in bytes.
const maxHead = 16 << 10

// request is what the farm wants to know of a request.
type request struct {
	path        string
	gzip        bool
	openMetrics bool
	token       bool
}

// serve answers the requests of one connection.
func (s *server) serve(c net.Conn) {
	buf := make([]byte, 1024)
	n := 0
	for {
		end := -1
		for end < 0 {
			if n == len(buf) {
				if n == maxHead {
					return
				}
				buf = append(buf, make([]byte, n)...)
			}
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			end = bytes.Index(buf[:n], []byte("\r\n\r\n"))
		}
		at := time.Now()
		req, ok := parse(buf[:end+4], s.token)
		n = copy(buf, buf[end+4:n])
		if !ok {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			return
		}
		if !s.answer(c, req, at) {
			return
		}
	}
}

// parse reads the head of a GET, as far as the farm needs it. Header names of HTTP are of any case.
func parse(head []byte, token string) (r request, ok bool) {
	line, headers, _ := bytes.Cut(head, []byte("\r\n"))
	rest, isGet := bytes.CutPrefix(line, []byte("GET "))
	path, _, isHTTP := bytes.Cut(rest, []byte(" HTTP/1.1"))
	if !isGet || !isHTTP {
		return r, false
	}
	path, _, _ = bytes.Cut(path, []byte("?"))
	r.path = string(path)
	r.token = token == ""
	for len(headers) > 0 {
		line, headers, _ = bytes.Cut(headers, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Accept-Encoding")):
			r.gzip = bytes.Contains(value, []byte("gzip"))
		case bytes.EqualFold(name, []byte("Accept")):
			r.openMetrics = bytes.Contains(value, []byte("application/openmetrics-text"))
		case token != "" && bytes.EqualFold(name, []byte("Authorization")):
			r.token = string(bytes.TrimSpace(value)) == "Bearer "+token
		}
	}
	return r, true
}

// answer sends what the request asks for, and says whether the connection lives on.
func (s *server) answer(c net.Conn, req request, at time.Time) bool {
	select {
	case <-s.farm.hold:
		<-s.farm.end
		return false
	default:
	}
	t := s.paths[req.path]
	switch {
	case t == nil:
		s.farm.refused.Add(1)
		_, err := c.Write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
		return err == nil
	case !req.token:
		s.farm.refused.Add(1)
		_, err := c.Write([]byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
		return err == nil
	}
	switch t.Behaviour {
	case Hang:
		t.arrived(at)
		return t.waitUntilGone(c)
	case Drip:
		t.arrived(at)
		return t.drip(c)
	}
	return t.answer(c, req, at)
}

func (t *Target) arrived(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrivals = append(t.arrivals, at)
}

// answer writes what lies ready, and lays the next one ready in the background.
func (t *Target) answer(c net.Conn, req request, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.farm.holding.Load() { // since the request came in
		return false
	}
	t.arrivals = append(t.arrivals, at)
	a, source, kind := &t.plain, t.Source, cmp.Or(t.ContentType, contentType)
	if t.OpenMetrics != nil && req.openMetrics {
		a, source, kind = &t.open, t.OpenMetrics, openMetricsType
	}
	if gz := t.Gzip && req.gzip; !a.ready || gz != a.wantGz {
		a.make(t, source, gz, at, kind)
	}
	out := net.Buffers{a.wire}
	if rest := a.rest(t.Chunked); rest != nil {
		out = append(out, rest)
	}
	n, err := out.WriteTo(c)
	t.bytes += n
	if err != nil {
		return false
	}
	t.served++
	t.samples += int64(a.samples)
	a.ready = false
	// The due time of the next scrape is what its explicit timestamps are about.
	t.farm.wg.Go(func() { t.renew(a, source, kind, at.Add(t.Period)) })
	return true
}

func (t *Target) renew(a *answer, source body.Source, kind string, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !a.ready && !t.farm.holding.Load() {
		a.make(t, source, a.wantGz, due, kind)
	}
}

// waitUntilGone reads until the agent gives up.
func (t *Target) waitUntilGone(c net.Conn) bool {
	one := make([]byte, 1)
	for {
		if _, err := c.Read(one); err != nil {
			return false
		}
	}
}

// drip sends one byte of an answer per second, until the agent gives up.
func (t *Target) drip(c net.Conn) bool {
	text := append([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n"), "# HELP "...)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := c.Write(text[min(i, len(text)-1) : min(i, len(text)-1)+1]); err != nil {
			return false
		}
		select {
		case <-tick.C:
		case <-t.farm.end:
			return false
		}
	}
}
