package scrape

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
)

const (
	// unixSocketLabel holds the path of the unix socket on which a target listens. Its URL is asked for there.
	unixSocketLabel = "__unix_socket__"
	// maxSocketPath is what fits in the kernel's structure.
	maxSocketPath = 107
	// socketSuffix ends the host and port which stand for a unix socket in the URL of a request, where clients keep their
	// connections by host and port. No name server knows such a name.
	socketSuffix = ".unix-socket.invalid:1"
)

// socketHost is the host and port which stand for a unix socket.
func socketHost(path string) string { return hex.EncodeToString([]byte(path)) + socketSuffix }

// addressOf is where a host and port lead: "unix:" and a path for those that socketHost returns, else they are returned.
func addressOf(hostPort string) string {
	if name, ok := strings.CutSuffix(hostPort, socketSuffix); ok {
		if path, err := hex.DecodeString(name); err == nil {
			return "unix:" + string(path)
		}
	}
	return hostPort
}

// dialAddressOf dials where a host and port lead.
func dialAddressOf(ctx context.Context, dial dialFunc, network, hostPort string) (net.Conn, error) {
	addr := addressOf(hostPort)
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	return dial(ctx, network, addr)
}
