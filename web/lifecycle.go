package web

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"scraper/config"
)

func (s *Server) prometheus() bool { return s.o.Dialect == config.Prometheus }

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // the client may have gone
}

// health says that the process answers.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "OK") }

func (s *Server) ping(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "Scraper is Healthy.\n")
}

// readyOK is vmagent's way to ask for readiness: it says 425 where others say 503.
func (s *Server) readyOK(w http.ResponseWriter, r *http.Request) {
	code := http.StatusServiceUnavailable
	if !s.prometheus() {
		code = http.StatusTooEarly
	}
	if s.isReady(w, code) {
		plain(w, http.StatusOK, "OK")
	}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.isReady(w, http.StatusServiceUnavailable) {
		plain(w, http.StatusOK, "Scraper is Ready.\n")
	}
}

// isReady answers with code and the reason unless the agent is ready.
func (s *Server) isReady(w http.ResponseWriter, code int) bool {
	stopping := s.stopping.Load()
	header := "false"
	reason := ""
	if stopping {
		header, reason = "true", "stopping"
	} else if err := s.o.Ready(); err != nil {
		reason = err.Error()
	}
	if reason == "" {
		return true
	}
	if s.prometheus() {
		w.Header().Set("X-Prometheus-Stopping", header)
	}
	plain(w, code, "Scraper is not ready: "+reason+"\n")
	return false
}

// lifecycle answers 403 where the lifecycle requests were not enabled.
func (s *Server) lifecycle(w http.ResponseWriter) bool {
	if s.prometheus() && !s.o.EnableLifecycle {
		plain(w, http.StatusForbidden, "Lifecycle API is not enabled. Start with --web.enable-lifecycle to use it.\n")
		return false
	}
	return true
}

// reload is synchronous: its answer says what became of the new configuration.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if !s.lifecycle(w) {
		return
	}
	err := s.o.Reload(r.Context())
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's writer has none
	if err != nil {
		// Whoever owns the configuration logs it.
		plain(w, http.StatusInternalServerError, "failed to reload config: "+err.Error()+"\n")
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) quit(w http.ResponseWriter, r *http.Request) {
	if !s.lifecycle(w) {
		return
	}
	s.log.Info("a request asked the agent to stop", slog.String("peer", r.RemoteAddr))
	plain(w, http.StatusOK, "Requesting termination... Goodbye!\n")
	s.o.Quit()
}
