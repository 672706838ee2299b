package remotewrite

import (
	"fmt"
	"net/http"
)

// Protocol is how blocks are encoded and compressed. The numbers of those other than ProtocolAuto are the kinds of blocks in
// the queue on disk, and stay what they are.
type Protocol uint8

const (
	// ProtocolAuto is the best of the others that the receiver turns out to speak.
	ProtocolAuto Protocol = iota
	// Protocol1 is remote write 1.0: prometheus.WriteRequest in snappy.
	Protocol1
	// ProtocolVM is the same message in zstd, which VictoriaMetrics takes.
	ProtocolVM
	// Protocol2 is remote write 2.0: io.prometheus.write.v2.Request in snappy.
	Protocol2

	protocols
)

var protocolNames = [protocols]string{"auto", "1.0", "vm", "2.0"}

// String is the protocol's name, as ParseProtocol takes it.
func (p Protocol) String() string {
	if p < protocols {
		return protocolNames[p]
	}
	return fmt.Sprintf("kind %d", uint8(p))
}

// ParseProtocol is the inverse of String. Empty means auto.
func ParseProtocol(s string) (Protocol, error) {
	for p, name := range protocolNames {
		if s == name {
			return Protocol(p), nil
		}
	}
	if s == "" {
		return ProtocolAuto, nil
	}
	return 0, fmt.Errorf("protocol %q is not known; want auto, 1.0, 2.0 or vm", s)
}

// ladder is what a destination with this setting tries, best first. Why in this order, docs/decisions/005-protocols.md says.
func (p Protocol) ladder() []Protocol {
	if p == ProtocolAuto {
		return []Protocol{Protocol2, ProtocolVM, Protocol1}
	}
	return []Protocol{p}
}

// encoded reports whether blocks may be of this protocol.
func (p Protocol) encoded() bool { return p > ProtocolAuto && p < protocols }

// setHeader puts into h what tells a receiver how a body is encoded, in place of what was there.
func (p Protocol) setHeader(h http.Header) {
	const content, encoding, version, vmVersion = "Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "X-Victoriametrics-Remote-Write-Version"
	delete(h, version)
	delete(h, vmVersion)
	h[content], h[encoding] = []string{"application/x-protobuf"}, []string{"snappy"}
	switch p {
	case Protocol2:
		h[content], h[version] = []string{"application/x-protobuf;proto=io.prometheus.write.v2.Request"}, []string{"2.0.0"}
	case ProtocolVM:
		h[encoding], h[vmVersion] = []string{"zstd"}, []string{"1"}
	default:
		h[version] = []string{"0.1.0"}
	}
}
