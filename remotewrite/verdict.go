package remotewrite

import (
	"fmt"
	"strconv"
	"time"
)

// verdict is what an answer means for the block.
type verdict uint8

const (
	delivered   verdict = iota
	again               // a later attempt may succeed
	refused             // the receiver will never take this block as it is
	conflict            // it has other samples for these series and times
	unsupported         // it does not speak the protocol
)

// judge is the table of answers. What is not in it says nothing about the samples, and is most often a proxy which was
// set up wrongly: that must not lose data, so it is tried again. Redirects which are followed do not come here.
func judge(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == 400, status == 413, status == 422:
		return refused
	case status == 409:
		return conflict
	case status == 415:
		return unsupported
	}
	return again
}

// sendError is an attempt which did not deliver.
type sendError struct {
	Status     int           // of the answer; 0 if there was none
	RetryAfter time.Duration // what the receiver asked for
	Err        error         // why there was no answer, or what the answer said; shows no URL and no secret
}

func (e *sendError) Error() string {
	switch {
	case e.Status == 0:
		return "send: " + e.Err.Error()
	case e.Err == nil:
		return fmt.Sprintf("send: answer %d", e.Status)
	}
	return fmt.Sprintf("send: answer %d: %v", e.Status, e.Err)
}

func (e *sendError) Unwrap() error { return e.Err }

// Retryable reports whether another attempt may succeed.
func (e *sendError) Retryable() bool { return e.verdict() == again }

func (e *sendError) verdict() verdict {
	if e.Status == 0 {
		return again
	}
	return judge(e.Status)
}

// class is the answer as a metric's label.
func (e *sendError) class() string {
	if e == nil {
		return "2xx"
	}
	if e.Status < 100 || e.Status > 999 {
		return "error"
	}
	return strconv.Itoa(e.Status/100) + "xx"
}
