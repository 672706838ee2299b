//go:build !linux

package transport

import (
	"errors"
	"syscall"
)

// canPark says that there is no poll: requests wait with their goroutines.
const canPark = false

type poll struct{}

func newPoll() (*poll, error) { return nil, errors.ErrUnsupported }

func (*poll) add(syscall.RawConn, ticket) error { return errors.ErrUnsupported }
func (*poll) remove(syscall.RawConn)            {}
func (*poll) wait() []ticket                    { return nil }
func (*poll) wake()                             {}
func (*poll) close()                            {}
