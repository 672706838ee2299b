package transport_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"scraper/bufpool"
	"scraper/transport"
)

// childEnv makes the test binary a server, so that its memory and goroutines are not measured.
const childEnv = "TRANSPORT_TEST_CHILD"

func child() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		block := make([]byte, 64<<10)
		for n > 0 {
			k, err := w.Write(block[:min(n, len(block))])
			if err != nil {
				return
			}
			n -= k
		}
	})
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	_, _ = os.Stdout.WriteString(plain.URL + "\n" + secure.URL + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent has gone
}

// startChild returns the addresses of a server for plain HTTP and one for TLS in another process.
func startChild(t testing.TB) (plain, secure string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	sc := bufio.NewScanner(out)
	var urls []string
	for len(urls) < 2 && sc.Scan() {
		urls = append(urls, sc.Text())
	}
	if len(urls) < 2 {
		t.Fatal("the server process did not start")
	}
	return urls[0], urls[1]
}

func heapAndStacks() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestIdleConnectionsAreCheap(t *testing.T) {
	plain, secure := startChild(t)
	f := func(name, url string, conns, bodyBytes, limit int) {
		t.Run(name, func(t *testing.T) {
			if bufpool.Checked {
				conns = 50 // memory does not count, goroutines do
			}
			hosts := make(map[string]string)
			tr := newTransport(t, transport.Options{
				TLS:            &tls.Config{InsecureSkipVerify: true},
				Address:        func(hostPort string) string { return hosts[hostPort] },
				MaxFatTLSBytes: 1 << 30,
			})
			scheme, addr, _ := strings.Cut(url, "://")
			urls := make([]string, conns)
			for i := range urls {
				hosts[fmt.Sprintf("host%d:80", i)] = addr
				urls[i] = fmt.Sprintf("%s://host%d:80/?bytes=%d", scheme, i, bodyBytes)
			}
			hosts["warm:80"] = addr
			if err := get(t, tr, fmt.Sprintf("%s://warm:80/?bytes=%d", scheme, bodyBytes)).failed(); err != nil {
				t.Fatal(err)
			}
			goroutines, before, statsBefore := runtime.NumGoroutine(), heapAndStacks(), tr.Stats()
			for _, u := range urls {
				if err := get(t, tr, u).failed(); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "as many goroutines as before, with idle connections", func() bool { return runtime.NumGoroutine() <= goroutines })
			if tr.Hosts() != conns+1 {
				t.Fatalf("%d hosts have idle connections, want %d", tr.Hosts(), conns+1)
			}
			per := (heapAndStacks() - before) / int64(conns)
			stated := (tr.Stats().IdleBytes - statsBefore.IdleBytes) / int64(conns)
			t.Logf("%s: %d bytes per idle connection, Stats says %d", name, per, stated)
			if bufpool.Checked {
				return
			}
			if per > int64(limit) {
				t.Errorf("%d bytes of heap and stacks per idle connection, want at most %d", per, limit)
			}
			if stated < per*2/3 || stated > per*3/2 {
				t.Errorf("Stats() has %d bytes per idle connection, and %d were measured: want it within a factor of 1.5", stated, per)
			}
		})
	}
	f("plain", plain, 1000, 2000, 1<<10)
	f("TLS", secure, 1000, 2000, 16<<10)
	f("TLS with large bodies", secure, 200, 300<<10, 60<<10) // the fat ones: see MaxFatTLSBytes
}
