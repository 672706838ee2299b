package scrape

import (
	"context"
	"net"
	"testing"
)

// TestConnectionsAreClosed closes those of one address, which includes one that is being dialled, and no others.
func TestConnectionsAreClosed(t *testing.T) {
	ends := make(map[string]net.Conn)
	dialling, dial := make(chan struct{}), make(chan struct{})
	c := newConnections(func(_ context.Context, network, addr string) (net.Conn, error) {
		if network == "late" {
			close(dialling)
			<-dial
		}
		here, there := net.Pipe()
		ends[network+addr] = there
		return here, nil
	})
	for _, addr := range []string{"a:1", "b:1"} {
		conn, err := c.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	late := make(chan error)
	go func() {
		_, err := c.DialContext(t.Context(), "late", "a:1")
		late <- err
	}()
	<-dialling
	c.closeAll("a:1")
	close(dial)
	if err := <-late; err == nil {
		t.Error("a connection was opened to an address which was closed meanwhile")
	}
	for _, name := range []string{"tcpa:1", "latea:1"} {
		if _, err := ends[name].Write([]byte("x")); err == nil {
			t.Errorf("connection %s is open, want it closed", name)
		}
	}
	go func() { _, _ = ends["tcpb:1"].Write([]byte("x")) }()
	for k := range c.open["b:1"] {
		if n, err := k.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read from the other connection = %d, %v, want it open", n, err)
		}
	}
	if len(c.open["a:1"]) != 0 || len(c.open["b:1"]) != 1 {
		t.Errorf("the books have %d and %d connections, want 0 and 1", len(c.open["a:1"]), len(c.open["b:1"]))
	}
}

func TestDialAddress(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/metrics":              "a:80",
		"https://a/metrics":             "a:443",
		"http://user:pw@a:9100/x?q=1":   "a:9100",
		"http://[::1]:9100/metrics":     "[::1]:9100",
		"https://[2001:db8::1]/metrics": "[2001:db8::1]:443",
	} {
		if got := dialAddress(in); got != want {
			t.Errorf("dialAddress(%q) = %q, want %q", in, got, want)
		}
	}
}
