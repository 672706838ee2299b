package receiver

import (
	"errors"
	"net/http"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// A decompressor decodes s.body into s.decoded, of at most maxBytes, or refuses it.
type decompressor func(s *scratch, maxBytes int64) error

// snappyMaxRatio is more than a snappy block can expand: its densest element makes 64 bytes out of 3.
const snappyMaxRatio = 22

// unsnappy decodes a snappy block. It is strict: what only klauspost's own extension of the format allows is refused, as
// other receivers would.
func (s *scratch) unsnappy(maxBytes int64) error {
	n, err := snappy.DecodedLen(s.body)
	if err != nil {
		return refuse(http.StatusBadRequest, "snappy: %w", err)
	}
	if int64(n) > maxBytes {
		return refuse(http.StatusRequestEntityTooLarge, "decompressed body has %d bytes, more than %d (MaxDecodedBytes)", n, maxBytes)
	}
	if n > snappyMaxRatio*len(s.body) {
		return refuse(http.StatusBadRequest, "snappy: a block of %d bytes cannot hold %d", len(s.body), n)
	}
	s.decoded, err = snappy.DecodeStrict(s.decoded[:cap(s.decoded)], s.body)
	if err != nil {
		s.decoded = nil
		return refuse(http.StatusBadRequest, "snappy: %w", err)
	}
	return nil
}

// newZstd returns a decoder of frames of at most maxBytes. It starts no goroutine as long as only DecodeAll is used, which
// may be called by several at the same time.
func newZstd(maxBytes int64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(maxBytes)), zstd.WithDecoderConcurrency(1))
}

// unzstd decodes zstd frames.
func (r *Receiver) unzstd(s *scratch, maxBytes int64) error {
	if len(s.body) == 0 {
		return refuse(http.StatusBadRequest, "zstd: there is no frame")
	}
	var err error
	s.decoded, err = r.zstd.DecodeAll(s.body, s.decoded[:0])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || int64(len(s.decoded)) > maxBytes:
		return refuse(http.StatusRequestEntityTooLarge, "decompressed body has more than %d bytes (MaxDecodedBytes)", maxBytes)
	case err != nil:
		return refuse(http.StatusBadRequest, "zstd: %w", err)
	}
	return nil
}
