package web

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves the agent's own metrics. What some collector fails to say does not keep the others back.
func (s *Server) metrics() http.HandlerFunc {
	h := promhttp.HandlerFor(s.o.Gather, promhttp.HandlerOpts{
		ErrorLog:            gatherLog{s.log},
		ErrorHandling:       promhttp.ContinueOnError,
		DisableCompression:  true, // ours keeps no state
		MaxRequestsInFlight: 2 * maxRenders,
	})
	return h.ServeHTTP
}

type gatherLog struct{ log *slog.Logger }

// Println is for promhttp.
func (l gatherLog) Println(v ...any) {
	l.log.Warn("own metrics were gathered in part", slog.String("err", fmt.Sprint(v...)))
}
