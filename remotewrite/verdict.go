package remotewrite

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// verdict is what an answer means for the block.
type verdict uint8

const (
	again       verdict = iota // a later attempt may succeed; so it may where there is no answer
	delivered                  // the receiver has it
	refused                    // it will never take this block as it is; perhaps parts of it
	barred                     // it takes nothing from us, and we were told not to wait for a change
	conflict                   // it has other samples for these series and times
	unsupported                // it does not speak the protocol
	partly                     // it says how much of it it has
)

// judge is the table of answers. What is not in it says nothing about the samples, and is most often a proxy which was
// set up wrongly: that must not lose data, so it is tried again. Redirects which are followed do not come here.
func judge(status int, onAuthError AuthErrorPolicy) verdict {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == 400, status == 413, status == 422:
		return refused
	case status == 401, status == 403, status == 404:
		if onAuthError == DropOnAuthError {
			return barred
		}
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
	Verdict    verdict       // never delivered
	RetryAfter time.Duration // what the receiver asked for
	Words      string        // the beginning of the answer's text, without secrets
	Stored     int           // the samples which the receiver says that it has stored all the same
	Understood bool          // it says so as one does that knows remote write 2
	// NotUnderstood says that the status is one of success, and that the receiver does not know what it was sent.
	NotUnderstood bool
	Err           error // why there was no answer, or what the answer said; shows no URL and no secret
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
func (e *sendError) Retryable() bool { return e.Verdict == again }

// alike reports whether two answers say the same.
func (e *sendError) alike(o *sendError) bool { return e.Status == o.Status && e.Words == o.Words }

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

// stored is the number of samples which an answer says are stored, whatever its status; 0 if it does not say.
func stored(h http.Header) (n int) {
	for _, kind := range []string{"Samples", "Histograms"} {
		if k, err := strconv.Atoi(strings.TrimSpace(h.Get("X-Prometheus-Remote-Write-" + kind + "-Written"))); err == nil && k > 0 {
			n += min(k, 1<<30)
		}
	}
	return n
}
