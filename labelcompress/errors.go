package labelcompress

import (
	"errors"
	"fmt"
)

// ErrFull is what every *FullError is, for errors.Is.
var ErrFull = errors.New("labelcompress: dictionary is full")

// FullError says that a new label was not stored because the dictionary is at its limit. Labels which are known can
// still be interned.
type FullError struct {
	Limit int64 // Options.MaxBytes, or what can be addressed at all
	Used  int64 // Stats.Bytes when the label was refused
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("labelcompress: dictionary is full: %d of %d bytes in use, and a new label does not fit; raise Options.MaxBytes", e.Used, e.Limit)
}

// Is makes every FullError an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// TooLongError says that a label is longer than a dictionary stores.
type TooLongError struct {
	Bytes int // the label's length as it would have been stored
}

// Error implements error.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("labelcompress: label of %d bytes is longer than %d", e.Bytes, MaxLabelBytes)
}

// full returns the error for a label which does not fit. A full dictionary refuses label after label at the same use, so
// the last error is kept and given again: errors are immutable.
func (d *Dict) full() error {
	limit := d.maxBytes.Load()
	if limit == 0 {
		limit = addressable
	}
	used := d.bytes.Load()
	if e := d.lastFull.Load(); e != nil && e.Used == used && e.Limit == limit {
		return e
	}
	e := &FullError{Limit: limit, Used: used}
	d.lastFull.Store(e)
	return e
}
